package iam

import "strings"

// symbol is one element of a pattern.
type symbol struct {
	kind byte // 'c' one character, '?' any one character, '*' any number of characters
	char rune // the character, if kind is 'c'
}

// pattern is a text with wildcards.
type pattern []symbol

// glob parses * and ? as wildcards.
func glob(text string) pattern {
	p := make(pattern, 0, len(text))
	for _, c := range text {
		switch c {
		case '*', '?':
			p = append(p, symbol{kind: byte(c)})
		default:
			p = append(p, symbol{'c', c})
		}
	}
	return p
}

// literal makes a pattern in which every character stands for itself.
func literal(text string) pattern {
	p := make(pattern, 0, len(text))
	for _, c := range text {
		p = append(p, symbol{'c', c})
	}
	return p
}

// String returns a pattern as it is written.
func (p pattern) String() string {
	var b strings.Builder
	for _, s := range p {
		if s.kind == 'c' {
			b.WriteRune(s.char)
		} else {
			b.WriteByte(s.kind)
		}
	}
	return b.String()
}

// lower returns the pattern in lower case.
func (p pattern) lower() pattern {
	lowered := make(pattern, len(p))
	for i, s := range p {
		if s.kind == 'c' {
			s.char = []rune(strings.ToLower(string(s.char)))[0] // the first, because a character has to stay one character
		}
		lowered[i] = s
	}
	return lowered
}

// split splits a pattern at colons, into at most n parts.
func (p pattern) split(n int) []pattern {
	var parts []pattern
	begin := 0
	for i, s := range p {
		if s.kind == 'c' && s.char == ':' && len(parts) < n-1 {
			parts = append(parts, p[begin:i])
			begin = i + 1
		}
	}
	return append(parts, p[begin:])
}

// everything reports whether a pattern is only asterisks.
func (p pattern) everything() bool {
	for _, s := range p {
		if s.kind != '*' {
			return false
		}
	}
	return len(p) > 0
}

// hole is a character that no document can have, so that only a wildcard matches it. Holes replace the wildcards of a request, to check whether a
// pattern matches all that these stand for.
const hole = -1

// covers reports whether a pattern matches everything that the other one matches. It tries three texts that the other one matches, in which each
// asterisk has become no hole, one hole, and more holes than p could match without an asterisk. None finds a p that demands more characters than the
// other pattern does, many find a p that bounds how many there are, and one is for what is between. If p does not match one of the texts, the answer
// no is certain: with any character that p does not have in the place of the holes, only the other pattern matches the text. That the answer yes is
// right, too, has no proof here; a test compares it with what regular expressions match.
func (p pattern) covers(other pattern) bool {
	if !other.wild() {
		return p.overlaps(other)
	}
	for _, holes := range [...]int{0, 1, 1 + len(p) + len(other)} {
		if !p.overlaps(other.filled(holes)) {
			return false
		}
	}
	return true
}

// filled returns the pattern with each ? replaced with one hole, and each asterisk with as many as given.
func (p pattern) filled(holes int) pattern {
	filled := make(pattern, 0, len(p))
	for _, s := range p {
		switch s.kind {
		case 'c':
			filled = append(filled, s)
		case '?':
			filled = append(filled, symbol{'c', hole})
		case '*':
			for range holes {
				filled = append(filled, symbol{'c', hole})
			}
		}
	}
	return filled
}

// wild reports whether a pattern has wildcards.
func (p pattern) wild() bool {
	for _, s := range p {
		if s.kind != 'c' {
			return true
		}
	}
	return false
}

// overlaps reports whether there is a text that both patterns match. For a text without wildcards that is whether the pattern matches it.
// Its time is proportional to the product of the lengths: it fills a table of results, of which it keeps two rows.
func (p pattern) overlaps(other pattern) bool {
	p, other, differ := withoutCommonStart(p, other)
	if differ {
		return false
	}
	// reach has a row of the table, by j: whether the rests of p from i and of other from j overlap. The rows are filled from the last i on.
	reach := make([]bool, len(other)+1)
	for i := len(p); i >= 0; i-- {
		next := reach
		reach = make([]bool, len(other)+1)
		for j := len(other); j >= 0; j-- {
			reach[j] = p.meetsAt(other, i, j, next, reach)
		}
	}
	return reach[0]
}

// withoutCommonStart returns what is left of two patterns after the characters that both begin with, and whether they differ in the character after
// these. It spares overlaps most of its work: most patterns differ at once, or have a long common beginning.
func withoutCommonStart(p, other pattern) (restOfP, restOfOther pattern, differ bool) {
	for len(p) > 0 && len(other) > 0 && p[0].kind == 'c' && other[0].kind == 'c' {
		if p[0].char != other[0].char {
			return p, other, true
		}
		p, other = p[1:], other[1:]
	}
	return p, other, false
}

// meetsAt returns whether the rests of p from i and of other from j overlap. next has these results for i+1, by j, and row those for i and larger j.
// An asterisk stands for nothing, and is passed over, or for one more character of the other pattern, and stays.
func (p pattern) meetsAt(other pattern, i, j int, next, row []bool) bool {
	ended, otherEnded := i == len(p), j == len(other)
	switch {
	case ended && otherEnded:
		return true
	case !ended && p[i].kind == '*':
		return next[j] || !otherEnded && row[j+1]
	case !otherEnded && other[j].kind == '*':
		return row[j+1] || !ended && next[j]
	case ended || otherEnded:
		return false
	case p[i].kind == 'c' && other[j].kind == 'c' && p[i].char != other[j].char:
		return false
	}
	return next[j+1]
}

// arnParts is the number of parts of an ARN. The last one may contain colons.
const arnParts = 6

// compareARN returns whether a document's pattern of an ARN (want) matches a request's ARN (given), part by part, so that a wildcard never
// matches beyond a colon. given may have wildcards, too: then the answer is yes only if want matches all that given stands for, and maybe if it
// matches some of it. With complete, parts that want lacks match anything: IAM completes resources, but not the values of conditions. Without it,
// AWS documents no result for a want of asterisks alone, or of fewer parts than an ARN has: the answer is maybe.
func compareARN(want, given pattern, complete bool) tri {
	if want.everything() {
		if complete {
			return yes
		}
		return maybe
	}
	wants, gives := want.split(arnParts), given.split(arnParts)
	// A request's ARN that lacks parts is no ARN, and matches nothing, unless its wildcards may stand for the parts.
	if len(gives) < arnParts && !given.wild() {
		return no
	}
	if len(wants) < arnParts && !complete {
		return maybe
	}
	return compareParts(withAnyParts(wants), withAnyParts(gives))
}

// withAnyParts returns the parts of an ARN, with an asterisk for each part at the end that is missing.
func withAnyParts(parts []pattern) []pattern {
	for len(parts) < arnParts {
		parts = append(parts, glob("*"))
	}
	return parts
}

// compareParts returns no if any part of want matches nothing of the same part of given, yes if each matches all of it, and else maybe.
func compareParts(wants, gives []pattern) tri {
	verdict := yes
	for i := range wants {
		if !wants[i].overlaps(gives[i]) {
			return no
		}
		if !wants[i].covers(gives[i]) {
			verdict = maybe
		}
	}
	return verdict
}
