package tokens

import (
	"bytes"
	"strings"
)

// A content stream draws a page, a form, or a part of one, by operators that stand behind their operands: (Hello) Tj shows a text, /Fm0 Do draws a form
// or an image.

// pdfContent is a stream that may draw, or several versions of it.
type pdfContent struct {
	text  int64            // the tokens that its own strings can have
	texts bool             // it has the operators that begin a text and show it
	open  bool             // it ends in the middle of a string, or draws what is named at the end of another stream
	draws map[string]int64 // how often it draws what it calls by each name

	total   int64 // of a form: the tokens of its text and of all that it draws; set by formTotal
	known   bool  // total is set
	entered bool  // formTotal is adding it up
}

// drawnText returns the tokens of a stream with those of the forms that it draws. Which page shows the stream is not known, and so which form it means
// by a name: it counts as the largest that has this name anywhere in the file. It returns false if forms draw each other in a circle.
func (m *pdfMeter) drawnText(c *pdfContent) (text int64, ok bool) {
	text = c.text
	for name, times := range c.draws {
		most, ok := m.largest(m.links.drawn[name])
		if !ok {
			return 0, false
		}
		text = addSat(text, mulSat(times, most))
	}
	return text, true
}

// maxPDFSteps bounds how often formTotal is called for one file, which may have many forms of the same names.
const maxPDFSteps = 10_000_000

// formTotal returns the tokens of a form with the forms that it draws. It returns false if a form draws itself, and if that takes too long to find. A
// name means what the form's own /Resources say, which is nothing if they lack it. A form without any takes those of the page that draws it, so that
// the name may mean whatever it means anywhere in the file.
func (m *pdfMeter) formTotal(object int) (int64, bool) {
	f := m.forms[object]
	if m.steps++; m.steps > maxPDFSteps {
		return 0, false
	}
	switch {
	case f == nil:
		return 0, true // an image
	case f.known:
		return f.total, true
	case f.entered:
		return 0, false
	}
	f.entered = true
	total := f.text
	for name, times := range f.draws {
		targets, own := m.links.drawnBy(object, name)
		if !own {
			targets = m.links.drawn[name]
		}
		most, ok := m.largest(targets)
		if !ok {
			return 0, false
		}
		total = addSat(total, mulSat(times, most))
	}
	f.total, f.known = total, true
	return total, true
}

// largest returns the most tokens that one of several objects can have, if it is a form. It returns false if a form draws itself.
func (m *pdfMeter) largest(objects []int) (most int64, ok bool) {
	for _, object := range objects {
		total, ok := m.formTotal(object)
		if !ok {
			return 0, false
		}
		most = max(most, total)
	}
	return most, true
}

// hasPDFWord reports whether a word is in s, between delimiters.
func hasPDFWord(s []byte, word string) bool {
	for at := 0; ; {
		i := bytes.Index(s[at:], []byte(word))
		if i < 0 {
			return false
		}
		i += at
		at = i + 1
		if (i == 0 || strings.IndexByte(pdfDelimiters, s[i-1]) >= 0) && isPDFWord(s[i:], word) {
			return true
		}
	}
}

// showsText reports whether a content stream may have one of the operators that show text: Tj, TJ, ' and ".
func showsText(s []byte) bool {
	return bytes.Contains(s, []byte("Tj")) || bytes.Contains(s, []byte("TJ")) || bytes.IndexByte(s, '\'') >= 0 || bytes.IndexByte(s, '"') >= 0
}

// contentText bounds the tokens of the text that a content stream can show. Strings are in parentheses, or hexadecimal in angle brackets. It returns
// false for closed if the last string does not end.
func contentText(s []byte) (text int64, closed bool) {
	closed = true
	var inside, strings int64 // bytes in strings, and how many strings
	for i := 0; i < len(s); {
		switch s[i] {
		case '(':
			n := literalString(s[i:])
			closed = i+n < len(s) || s[len(s)-1] == ')'
			inside, strings = inside+int64(n), strings+1
			i += n
		case '<':
			if bytes.HasPrefix(s[i:], []byte("<<")) { // a dictionary
				i += 2
				continue
			}
			end := bytes.IndexByte(s[i:], '>')
			if end < 0 { // a string that is not closed goes on to the end
				end, closed = len(s)-i, false
			}
			inside, strings = inside+int64(end+1)/2, strings+1 // two digits are a byte
			i += max(end, 1)
		default:
			i++
		}
	}
	return addSat(2*inside, strings), closed
}

// literalString returns the length of the string at the beginning of s, including its parentheses. Parentheses in it are balanced or escaped. A
// string that is not closed goes on to the end of s.
func literalString(s []byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// maxCommentBytes bounds a comment between the name of a form and the operator that draws it. Nobody writes one there.
const maxCommentBytes = 256

// countDraws adds to draws how often a content stream draws a form or an image, by its name: /Fm0 Do. It returns false if a comment hides what comes
// behind a name.
func countDraws(s []byte, draws map[string]int64) bool {
	for {
		name, rest, ok := nextName(s)
		if !ok {
			return true
		}
		s = rest
		next := bytes.TrimLeft(rest, pdfWhiteSpace)
		if len(next) > 0 && next[0] == '%' {
			near := next[:min(len(next), maxCommentBytes)]
			behind := pdfSpace(near)
			if len(behind) == 0 && len(near) == maxCommentBytes {
				return false
			}
			next = next[len(near)-len(behind):]
		}
		if isPDFWord(next, "Do") {
			draws[pdfName(name)]++
		}
	}
}

// nextName returns the first name in s, with its slash, and what comes behind it; and false if there is none.
func nextName(s []byte) (name, rest []byte, ok bool) {
	i := bytes.IndexByte(s, '/')
	if i < 0 {
		return nil, nil, false
	}
	end := i + 1
	for end < len(s) && strings.IndexByte(pdfDelimiters, s[end]) < 0 {
		end++
	}
	return s[i:end], s[end:], true
}
