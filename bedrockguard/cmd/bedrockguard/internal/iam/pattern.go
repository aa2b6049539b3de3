package iam

import "strings"

// symbol is one element of a pattern.
type symbol struct {
	kind byte // 'c' one character, '?' any one character, '*' any number of characters
	char rune
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

// lower returns the pattern in lower case.
func (p pattern) lower() pattern {
	lowered := make(pattern, len(p))
	for i, s := range p {
		if s.kind == 'c' {
			s.char = []rune(strings.ToLower(string(s.char)))[0]
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

// hole is a character that no document can have. It replaces the wildcards of a request to check whether a pattern matches all that they
// stand for.
const hole = -1

// covers reports whether a pattern matches everything that the other one matches. The other one's wildcards are replaced with holes, which only a
// wildcard matches: ? with one, and * three times in turn: with none, with one, and with more than p without an asterisk could match.
func (p pattern) covers(of pattern) bool {
	for _, length := range [...]int{0, 1, 1 + len(p) + len(of)} {
		filled := make(pattern, 0, len(of))
		for _, s := range of {
			switch s.kind {
			case 'c':
				filled = append(filled, s)
			case '?':
				filled = append(filled, symbol{'c', hole})
			case '*':
				for range length {
					filled = append(filled, symbol{'c', hole})
				}
			}
		}
		if !p.overlaps(filled) {
			return false
		}
		if !of.wild() {
			return true
		}
	}
	return true
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
// Its time is proportional to the product of the lengths.
func (p pattern) overlaps(other pattern) bool {
	for len(p) > 0 && len(other) > 0 && p[0].kind == 'c' && other[0].kind == 'c' { // most patterns differ at once, or have a long common beginning
		if p[0].char != other[0].char {
			return false
		}
		p, other = p[1:], other[1:]
	}
	reach := make([]bool, len(other)+1) // by j: whether the rests of p from i and of other from j overlap
	for i := len(p); i >= 0; i-- {
		next := reach
		reach = make([]bool, len(other)+1)
		for j := len(other); j >= 0; j-- {
			reach[j] = p.meetsAt(other, i, j, next, reach)
		}
	}
	return reach[0]
}

// meetsAt computes reach for one i and j: next has the results for i+1, and row those for i and larger j. An asterisk stands for nothing, or for one
// more character of the other pattern.
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
// matches some of it. With complete, parts that want lacks match anything: IAM completes resources, but not the values of conditions.
func compareARN(want, given pattern, complete bool) tri {
	if want.everything() {
		if complete {
			return yes
		}
		return maybe // AWS documents no result for a condition
	}
	wants, gives := want.split(arnParts), given.split(arnParts)
	for complete && len(wants) < arnParts {
		wants = append(wants, glob("*"))
	}
	// A request's ARN that lacks parts is no ARN, and matches nothing.
	if len(gives) < arnParts && !given.wild() {
		return no
	}
	if len(wants) < arnParts {
		return maybe // AWS documents no result for a condition's ARN that lacks parts, either
	}
	for len(gives) < arnParts {
		gives = append(gives, glob("*"))
	}
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
