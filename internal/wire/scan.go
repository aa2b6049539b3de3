package wire

import (
	"errors"
	"strconv"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// text is the inside of a string literal.
type text = jsonscan.Text

// plain returns a text without escapes.
func plain(s string) text { return text{Raw: s, Len: len(s)} }

// scanner reads JSON, and the counts in it.
type scanner struct{ jsonscan.Scanner }

// scanObject starts a scan of a body that has to be one JSON object, and calls field at every value of it.
func (p *scanner) scanObject(body []byte, field func(key string) error) error {
	err := p.Document(string(body), field)
	var e *jsonscan.Error
	if errors.As(err, &e) {
		return &MalformedError{Offset: e.Offset, Reason: e.Reason}
	}
	return err
}

// count reads a value that has to be a plain non-negative integer or null. It reports false for null.
func (p *scanner) count(field string) (int64, bool, error) {
	p.Peek()
	at := p.Pos()
	raw, err := p.Value()
	if err != nil || raw == "null" {
		return 0, false, err
	}
	n, err := plainCount(raw)
	if err != nil {
		return 0, false, &MalformedError{Field: field, Offset: at, Reason: "not a plain non-negative integer"}
	}
	return n, true, nil
}

// plainCount accepts digits only: no sign, fraction, exponent or quotes.
func plainCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}
