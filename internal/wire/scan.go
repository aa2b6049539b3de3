package wire

import (
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// text is the inside of a string literal.
type text = jsonscan.Text

// scanner reads JSON, and the counts in it. Peek returns the first byte of the next value; Skip, Value, Text, Object and Array read that value,
// and the last two call a function for each member or element, which has to read it.
type scanner struct{ jsonscan.Scanner }

// scanObject scans a body that has to be one JSON object, and calls field for each of its members when the member's value comes next: field has to
// read that value. The error is a *request.MalformedError.
func (p *scanner) scanObject(body []byte, field func(key string) error) error {
	return request.Malformed(p.Document(string(body), field))
}

// count reads a value that has to be a non-negative integer or null. It reports false for null.
func (p *scanner) count(field string) (int64, bool, error) {
	// Peek skips white space, so that Pos is where the value begins.
	p.Peek()
	at := p.Pos()
	raw, err := p.Value()
	if err != nil || raw == "null" {
		return 0, false, err
	}
	n, err := jsonscan.Count(raw)
	if err != nil {
		return 0, false, &request.MalformedError{Field: field, Offset: at, Reason: "not a non-negative integer"}
	}
	return n, true, nil
}
