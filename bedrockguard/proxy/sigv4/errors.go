package sigv4

import "errors"

// Why Verify refuses a request. Each is the sentinel of an *Error with details. A caller should get the same answer for ErrUnknownKey and
// ErrMismatch, so that it can't find out which keys exist.
var (
	ErrUnsigned   = errors.New("the request has no AWS signature")
	ErrMalformed  = errors.New("the signature can't be read")
	ErrUnknownKey = errors.New("no such access key")
	ErrMismatch   = errors.New("the signature does not match the request")
	ErrPayload    = errors.New("the body is not the one that was signed")
	ErrSkew       = errors.New("the request was signed too long ago, or in the future")
	ErrReplayed   = errors.New("the request was served before")
)

// Error says why a request was not verified. It has no secret, no signature and no content.
type Error struct {
	Err         error  // one of the sentinels, or what Options.Secrets returned
	AccessKeyID string // the id in the request, which is not verified; empty if it could not be parsed
	Detail      string // what is wrong, and what to do
}

// Error returns the reason and the detail.
func (e *Error) Error() string {
	text := "sigv4: " + e.Err.Error()
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Err }

func malformed(detail string) error { return &Error{Err: ErrMalformed, Detail: detail} }
