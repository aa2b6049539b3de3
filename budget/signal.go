package budget

import "context"

// Signaler is what a Store may implement beside its contract, when its server can tell of changes without being asked. Streams in
// flight end sooner then, and policies are followed sooner; without it they are polled.
type Signaler interface {
	// Signal calls changed soon after any process sets or removes a kill flag or the policy document, and once after each connection is
	// made, because something may have changed unheard while there was none. It reconnects by itself, and returns when ctx ends or
	// the store is closed; a store that finds that it can't tell returns an error at once. changed must be quick.
	Signal(ctx context.Context, changed func()) error
}
