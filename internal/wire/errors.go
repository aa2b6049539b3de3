package wire

import (
	"errors"
	"fmt"
)

// ErrMalformed is the sentinel of every MalformedError.
var ErrMalformed = errors.New("wire: malformed JSON or count")

// MalformedError tells why a body, a header or a frame was not understood. It never holds content.
type MalformedError struct {
	Field  string // the field or header at fault, one of those this package knows; empty for the JSON itself
	Offset int    // byte offset in the body; 0 for a header
	Reason string
}

// Error returns the reason with the field and the offset.
func (e *MalformedError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("wire: malformed at byte %d: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("wire: malformed %s at byte %d: %s", e.Field, e.Offset, e.Reason)
}

// Unwrap returns ErrMalformed.
func (e *MalformedError) Unwrap() error { return ErrMalformed }
