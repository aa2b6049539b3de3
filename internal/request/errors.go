package request

import (
	"errors"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// ErrMalformed is the sentinel of every MalformedError.
var ErrMalformed = errors.New("bedrockguard: malformed request")

// MalformedError tells why a body, a header or a frame was not understood. It never holds content.
type MalformedError struct {
	Field  string // the field or header at fault, one of those this module knows; empty for the JSON itself
	Offset int    // byte offset in the body; 0 for a header
	Reason string
}

// Error returns the reason with the field and the offset.
func (e *MalformedError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("bedrockguard: malformed request at byte %d: %s: what it can cost could not be told, so nothing was sent: mend the request", e.Offset, e.Reason)
	}
	return fmt.Sprintf("bedrockguard: malformed request: %s at byte %d: %s: what it can cost could not be told, so nothing was sent: mend the request", e.Field, e.Offset, e.Reason)
}

// Unwrap returns ErrMalformed.
func (e *MalformedError) Unwrap() error { return ErrMalformed }

// Malformed returns the *MalformedError for a scanner's error, and any other error as it is.
func Malformed(err error) error {
	if e := (*jsonscan.Error)(nil); errors.As(err, &e) {
		return &MalformedError{Offset: e.Offset, Reason: e.Reason}
	}
	return err
}

// MalformedField returns the error for a field of a request. The reason must not quote the field's value.
func MalformedField(field, reason string) error { return &MalformedError{Field: field, Reason: reason} }
