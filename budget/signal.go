package budget

import "context"

// KillSignaler is what a Store may implement beside its contract, when its server can tell of kill flags without being
// asked. Streams in flight end sooner then; without it they are polled.
type KillSignaler interface {
	// SignalKills calls changed soon after any process sets or removes a kill flag, and once after each connection is made,
	// because flags may have changed unheard while there was none. It reconnects by itself, and returns when ctx ends or
	// the store is closed; a store that finds that it can't tell returns an error at once. changed must be quick.
	SignalKills(ctx context.Context, changed func()) error
}
