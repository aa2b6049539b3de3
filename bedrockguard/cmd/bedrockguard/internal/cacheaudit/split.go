package cacheaudit

import (
	"bytes"
	"regexp"
)

// splitter finds the JSON objects in a log, whatever is around and between them: one in each line, spread over lines, in an array, or in the
// output of the AWS CLI. It keeps one object in memory, up to a bound.
type splitter struct {
	found func(object []byte) bool // returns whether the object is a record; the bytes are valid during the call
	limit int                      // how long an object may be, in bytes

	// The object that has begun and not ended.
	object  []byte // what was read of it; empty between objects
	depth   int    // how many brackets are open in it
	quoted  bool   // a string has begun in it
	escaped bool   // the next character is after a backslash in a string
	isField bool   // it is a field of the envelope, and need not be a record

	// An array or an envelope has begun: other text in it does not count as a line that can't be read.
	inside bool

	bad     int // lines and objects that are not records
	tooLong int // objects that are too long
}

// envelopeStart matches the beginning of an envelope: an object that has the records in a list, with other fields before that. The match ends
// with the list's bracket.
var envelopeStart = regexp.MustCompile(`^\{(?:\s*"\w+"\s*:\s*(?:"[^"\\]*"|[\w.+-]+|\[\s*\])\s*,)*\s*"(?:events|logEvents|results|Records|records|Items)"\s*:\s*\[`)

// maxEnvelopeStart is how long such a beginning can be, in bytes.
const maxEnvelopeStart = 1 << 10

// line processes the next line of the log, without its end: it finds the objects that the line begins, continues or ends. A line without any is
// bad, unless it only has what may stand between objects.
func (s *splitter) line(text []byte) {
	if s.wasCutOff(text) {
		s.drop()
	}
	hasObject := len(s.object) > 0 // whether the line has a part of any object
	for len(text) > 0 {
		if len(s.object) == 0 {
			at := s.next(text)
			if at < 0 {
				fits := s.between(text)
				if !fits && !hasObject {
					s.bad++
				}
				break
			}
			_ = s.between(text[:at]) // only to note that an array begins: the line has an object, so it is not bad
			s.isField = s.inside && bytes.HasSuffix(bytes.TrimSpace(text[:at]), []byte{':'})
			text, hasObject = text[at:], true
		}
		text = s.take(text)
	}
	if len(s.object) > 0 {
		s.object = append(s.object, '\n')
	}
}

// wasCutOff reports whether the object that the lines before have begun does not go on in the next line: strings do not continue in another line, and
// an object inside of another one does not begin a line.
func (s *splitter) wasCutOff(next []byte) bool {
	return len(s.object) > 0 && (s.quoted || len(next) > 0 && next[0] == '{')
}

// next returns where an object begins, or -1. In an array or an envelope, brackets in the strings around the objects are skipped.
func (s *splitter) next(text []byte) int {
	if !s.inside {
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

// between notes whether an array begins in a text that stands between objects, and reports whether the text may stand there: in an array or an
// envelope any text may.
func (s *splitter) between(text []byte) bool {
	text = bytes.TrimSpace(text)
	s.inside = s.inside || len(text) > 0 && text[0] == '['
	return s.inside || len(bytes.Trim(text, "[]{},: \t")) == 0
}

// take processes the object that text begins or continues, and returns the text after it. If the object turns out to be an envelope around a
// list of records, it is no record itself: take forgets it and returns the text after the list's bracket, so that the records of the list are
// processed one by one.
func (s *splitter) take(text []byte) (rest []byte) {
	end, ended := s.walk(text)
	if len(s.object)+end > s.limit {
		// The rest of the line is left out with the object.
		s.tooLong++
		s.reset()
		return nil
	}
	searched := len(s.object) >= maxEnvelopeStart // an earlier call has seen all of what can be the beginning of an envelope
	s.object = append(s.object, text[:end]...)
	if !s.inside && !searched {
		if list := s.envelopeList(); list >= 0 {
			rest := append(bytes.Clone(s.object[list:]), text[end:]...)
			s.reset()
			s.inside = true
			return rest
		}
	}
	if ended {
		if !s.found(s.object) && !s.isField {
			s.bad++
		}
		s.reset()
	}
	return text[end:]
}

// envelopeList returns where the list of an envelope begins in the object, behind its bracket, and -1 if the object is no envelope.
func (s *splitter) envelopeList() int {
	head := s.object[:min(len(s.object), maxEnvelopeStart)]
	if m := envelopeStart.FindIndex(head); m != nil {
		return m[1]
	}
	return -1
}

// walk returns where the object ends in text, or the length of text and false if it does not end there. It keeps between calls how many brackets are
// open and whether a string is.
func (s *splitter) walk(text []byte) (end int, ended bool) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case s.escaped:
			s.escaped = false
		case s.quoted && c == '\\':
			s.escaped = true
		case c == '"':
			s.quoted = !s.quoted
		case s.quoted: // brackets in a string do not count
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			s.depth--
			if s.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(text), false
}

// drop discards an object that was cut off.
func (s *splitter) drop() {
	s.bad++
	s.reset()
}

// reset forgets the object, so that the next one can begin. inside stays as it is: an array or an envelope goes on after its first object.
func (s *splitter) reset() {
	s.object, s.depth, s.quoted, s.escaped = s.object[:0], 0, false, false
}

// end says that the log has ended. An object that has not ended is bad.
func (s *splitter) end() {
	if len(s.object) > 0 {
		s.drop()
	}
}
