package chain

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
)

// listened reports whether there is a listener. Callers check it before they build an event, to save the work if there is none.
func (g *Guard) listened() bool { return g.listeners.Any() }

// emitKind emits an event of a kind, with an error if it has one. An Event is large, and is made here, so that the stack frames of callers, which
// mostly emit none, stay small.
//
//go:noinline
func (g *Guard) emitKind(ctx context.Context, c *Call, a *attempt, kind event.Kind, err error) {
	g.emit(ctx, c, a, event.Event{Kind: kind, Err: err})
}

// EmitRefused emits the event of a refusal, for a door: event.Killed after a kill, else event.Denied.
func (g *Guard) EmitRefused(ctx context.Context, c *Call, err error) {
	g.emitKind(ctx, c, nil, refusalKind(err), err)
}

// emit fills in what is known of the call, and of its attempt if that is not nil, and tells all listeners. Silent calls, such as estimates, have no
// events.
func (g *Guard) emit(ctx context.Context, c *Call, a *attempt, e event.Event) {
	if !g.listened() || c.silent {
		return
	}
	e.Time, e.Shadow = time.Now(), g.opts.Shadow
	e.Operation, e.Model, e.Scope, e.Region = c.Operation, c.Scope.Model, c.Scope, c.Region
	// The answer's header is nil until an answer came, and Get of a nil header is empty.
	if a != nil {
		e.Attempt, e.RequestID = a.number, a.header.Get(requestIDHeader)
		// Without a receipt nothing was reserved, so that there is no time since the reservation either.
		if a.receipt != nil {
			e.Reservation, e.Worst = a.receipt.Reservation.ID, a.receipt.Reservation.Charge
			e.Duration = e.Time.Sub(a.began)
		}
	}
	g.listeners.Tell(ctx, &e)
}

// requestIDHeader is the header with AWS's id of the request.
const requestIDHeader = "X-Amzn-Requestid"
