package chain

// Refused keeps the SDK from retrying refusals whose text or cause looks like a broken connection.
type Refused struct{ Err error }

// Error is that of the refusal.
func (e Refused) Error() string { return e.Err.Error() }

// Unwrap returns the refusal.
func (e Refused) Unwrap() error { return e.Err }

// RetryableError reports false.
func (Refused) RetryableError() bool { return false }
