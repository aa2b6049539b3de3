package budget

import "context"

// Signaler is an optional interface of a Store whose server can push changes. Streams of killed calls then end sooner, and policies are
// followed sooner; other stores are polled.
type Signaler interface {
	// Signal calls changed soon after any process sets or removes a kill flag or the policy document, and once after each connection is
	// made, because a change may have been missed before. It reconnects by itself, and returns when ctx ends or the store is closed; if the
	// store finds that it can't signal, it returns an error at once. changed must return quickly.
	Signal(ctx context.Context, changed func()) error
}
