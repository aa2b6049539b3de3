package sigv4

import "errors"

// What Verify finds wrong. Each is the sentinel of an *Error that tells more. A caller should be told the same for ErrUnknownKey and
// ErrMismatch, so that it can't find out which keys there are.
var (
	ErrUnsigned   = errors.New("the request has no AWS signature")
	ErrMalformed  = errors.New("the signature can't be read")
	ErrUnknownKey = errors.New("no such access key")
	ErrMismatch   = errors.New("the signature does not match the request")
	ErrPayload    = errors.New("the body is not the one that was signed")
	ErrSkew       = errors.New("the request was signed too long ago, or in the future")
	ErrReplayed   = errors.New("the request was served before")
)

// Error tells why a request was not verified. It holds no secret, no signature and no content.
type Error struct {
	Err         error  // one of the sentinels, or what Options.Secrets returned
	AccessKeyID string // that the request names, which nothing vouches for; empty when it could not be read
	Detail      string // what is wrong, and what helps
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
