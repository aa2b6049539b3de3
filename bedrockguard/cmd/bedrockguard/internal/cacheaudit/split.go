package cacheaudit

import (
	"bytes"
	"regexp"
)

// splitter takes JSON objects out of a log, whatever stands around and between them: one a line, spread over lines, in an array, in
// what the AWS CLI prints around events. It holds one object at a time, up to a bound.
type splitter struct {
	found func(object []byte) bool // reports whether the object was understood; the bytes are valid during the call
	limit int

	object  []byte // what has begun and not ended
	depth   int
	quoted  bool // inside of a string
	escaped bool // behind a backslash in it
	member  bool // the object is a field of what is around the events, and need not be a record
	wrapped bool // inside of an array, or of an object around events: what stands between objects there is no line that can't be read

	bad     int // lines and objects that are no record
	tooLong int // objects beyond the bound
}

// around matches the beginning of an object around events, up to the first of them.
var around = regexp.MustCompile(`^\{(?:\s*"\w+"\s*:\s*(?:"[^"\\]*"|[\w.+-]+|\[\s*\])\s*,)*\s*"(?:events|logEvents|results|Records|records|Items)"\s*:\s*\[`)

// maxAround is how long such a beginning can be.
const maxAround = 1 << 10

// line takes in the next line, without its end.
func (s *splitter) line(text []byte) {
	if len(s.object) > 0 && (s.quoted || len(text) > 0 && text[0] == '{') {
		s.drop() // it was cut off: no string goes over lines, and no object inside of another begins one
	}
	began := len(s.object) > 0
	for len(text) > 0 {
		if len(s.object) == 0 {
			at := s.next(text)
			if at < 0 {
				if !s.between(text) && !began {
					s.bad++
				}
				break
			}
			s.between(text[:at])
			s.member = s.wrapped && bytes.HasSuffix(bytes.TrimSpace(text[:at]), []byte{':'})
			text, began = text[at:], true
		}
		text = s.take(text)
	}
	if len(s.object) > 0 {
		s.object = append(s.object, '\n')
	}
}

// next returns where an object begins, or -1. What is around objects may hold strings, which are none.
func (s *splitter) next(text []byte) int {
	if !s.wrapped {
		return bytes.IndexByte(text, '{')
	}
	quoted := false
	for i, c := range text {
		switch {
		case c == '"' && (i == 0 || text[i-1] != '\\'):
			quoted = !quoted
		case c == '{' && !quoted:
			return i
		}
	}
	return -1
}

// between reports whether a text may stand between objects, and notes an array that begins.
func (s *splitter) between(text []byte) bool {
	text = bytes.TrimSpace(text)
	s.wrapped = s.wrapped || len(text) > 0 && text[0] == '['
	return s.wrapped || len(bytes.Trim(text, "[]{},: \t")) == 0
}

// take goes on with the object that text begins or continues, and returns what is behind it.
func (s *splitter) take(text []byte) (rest []byte) {
	end, ended := s.walk(text)
	if len(s.object)+end > s.limit {
		s.tooLong++
		s.reset()
		return nil
	}
	s.object = append(s.object, text[:end]...)
	if !s.wrapped && len(s.object) <= maxAround+len(text) {
		head := s.object[:min(len(s.object), maxAround)]
		if m := around.FindIndex(head); m != nil { // its elements come one by one
			rest := append(bytes.Clone(s.object[m[1]:]), text[end:]...)
			s.reset()
			s.wrapped = true
			return rest
		}
	}
	if ended {
		if !s.found(s.object) && !s.member {
			s.bad++
		}
		s.reset()
	}
	return text[end:]
}

// walk returns where the object ends in text, or its length.
func (s *splitter) walk(text []byte) (end int, ended bool) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case s.escaped:
			s.escaped = false
		case s.quoted && c == '\\':
			s.escaped = true
		case c == '"':
			s.quoted = !s.quoted
		case s.quoted:
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			if s.depth--; s.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(text), false
}

// drop gives up an object that was cut off.
func (s *splitter) drop() {
	s.bad++
	s.reset()
}

func (s *splitter) reset() {
	s.object, s.depth, s.quoted, s.escaped = s.object[:0], 0, false, false
}

// end says that the log is over.
func (s *splitter) end() {
	if len(s.object) > 0 {
		s.drop()
	}
}
