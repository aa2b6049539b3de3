package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The largest size and depth of a document that is parsed: ten times what IAM stores of any kind.
const (
	maxBytes = 1 << 20
	maxDepth = 16
)

// Position is a place in a document, counted from 1.
type Position struct{ Line, Column int }

// SyntaxError is a mistake in a document, with its place.
type SyntaxError struct {
	Position
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Problem) }

// node is a value of JSON, with its place.
type node struct {
	kind   byte     // '{' for an object, '[' for a list, 's' for a string, 'n' for a number, 'b' for a boolean, 0 for null
	text   string   // of a string, a number or a boolean
	fields []field  // of an object
	items  []*node  // of a list
	at     Position // where it begins
}

// field is a member of an object.
type field struct {
	name  string
	at    Position // where the name begins
	value *node
}

// what returns the name of the node's kind.
func (n *node) what() string {
	switch n.kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 's':
		return "a string"
	case 'n':
		return "a number"
	case 'b':
		return "a boolean"
	}
	return "null"
}

// reader parses JSON into nodes. encoding/json decides what is valid, and gives the offsets from which the places are computed.
type reader struct {
	raw     []byte
	decoder *json.Decoder
}

// readNodes parses all values of a text, each of which is a document. The whole text must be UTF-8.
func readNodes(raw []byte) ([]*node, error) {
	r := &reader{raw: raw, decoder: json.NewDecoder(bytes.NewReader(raw))}
	r.decoder.UseNumber()
	if len(raw) > maxBytes {
		return nil, &SyntaxError{Position{1, 1}, fmt.Sprintf("the document has %d bytes, more than %d", len(raw), maxBytes)}
	}
	if problem := r.characters(); problem != nil {
		return nil, problem
	}
	var all []*node
	for {
		n, err := r.value(0)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
}

// characters refuses invalid UTF-8, because decoders would replace it.
func (r *reader) characters() error {
	for at := 0; at < len(r.raw); {
		c, size := utf8.DecodeRune(r.raw[at:])
		if c == utf8.RuneError && size == 1 {
			return r.problem(at, "a byte that is no UTF-8")
		}
		at += size
	}
	return nil
}

// problem returns a mistake at an offset in the text.
func (r *reader) problem(at int, format string, args ...any) error {
	return &SyntaxError{r.position(at), fmt.Sprintf(format, args...)}
}

// position converts an offset into line and column; columns count characters.
func (r *reader) position(at int) Position {
	before := r.raw[:min(at, len(r.raw))]
	line := bytes.LastIndexByte(before, '\n') + 1
	return Position{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[line:]) + 1}
}

// next returns a token and the offset at which it begins.
func (r *reader) next() (json.Token, int, error) {
	at := int(r.decoder.InputOffset())
	// InputOffset is the end of the token before, after which separators may come.
	for at < len(r.raw) && strings.IndexByte(" \t\r\n,:", r.raw[at]) >= 0 {
		at++
	}
	token, err := r.decoder.Token()
	if err == nil {
		return token, at, nil
	}
	if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
		// Offset is the number of bytes read, of which the last one is wrong.
		return nil, at, r.problem(max(0, int(bad.Offset)-1), "no JSON: %v", err)
	}
	if errors.Is(err, io.EOF) {
		return nil, at, io.EOF
	}
	return nil, at, r.problem(at, "no JSON: %v", err)
}

// value parses a value. depth is how many others it is inside of. It returns io.EOF if the text has ended and depth is 0.
func (r *reader) value(depth int) (*node, error) {
	token, at, err := r.next()
	if err != nil {
		return nil, r.within(err, depth)
	}
	if depth > maxDepth {
		return nil, r.problem(at, "values are nested more than %d deep", maxDepth)
	}
	n := &node{at: r.position(at)}
	// For null the token is nil, which is in none of the cases: the kind stays 0.
	switch v := token.(type) {
	case json.Delim:
		n.kind = byte(v)
		switch v {
		case '{':
			err = r.object(n, depth)
		case '[':
			err = r.list(n, depth)
		}
	case string:
		n.kind, n.text = 's', v
	case json.Number:
		n.kind, n.text = 'n', v.String()
	case bool:
		n.kind, n.text = 'b', fmt.Sprint(v)
	}
	return n, err
}

// within turns io.EOF into a mistake if it came inside of a value, at a depth from 1 on. Other errors, and io.EOF at depth 0, stay as they are.
func (r *reader) within(err error, depth int) error {
	if depth > 0 && errors.Is(err, io.EOF) {
		return r.problem(len(r.raw), "no JSON: it ends in the middle")
	}
	return err
}

// object parses the members of an object into n.fields. The object is inside of depth values, and so its members are inside of one more. A name that
// occurs twice is a mistake, because readers differ in which one counts.
func (r *reader) object(n *node, depth int) error {
	seen := make(map[string]bool)
	for r.decoder.More() {
		token, at, err := r.next()
		if err != nil {
			return r.within(err, depth+1)
		}
		name, ok := token.(string)
		if !ok {
			return r.problem(at, "no JSON: want the name of a member")
		}
		if seen[name] {
			return r.problem(at, "%q stands twice in one object: which one counts differs among readers", name)
		}
		seen[name] = true
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.fields = append(n.fields, field{name, r.position(at), value})
	}
	return r.end(depth)
}

// list parses the items of a list into n.items. The list is inside of depth values.
func (r *reader) list(n *node, depth int) error {
	for r.decoder.More() {
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, value)
	}
	return r.end(depth)
}

// end parses the bracket that closes an object or a list, which is inside of depth values. It is called when the decoder has no more members or
// items: then the next token is that bracket, or the text has ended, which is always a mistake before the bracket.
func (r *reader) end(depth int) error {
	_, _, err := r.next()
	return r.within(err, depth+1)
}
