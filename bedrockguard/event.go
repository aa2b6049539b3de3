package bedrockguard

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// EventKind says what happened.
type EventKind string

// The kinds of event. Each attempt that is sent gives one EventReserved and one of EventSettled, EventVoided or
// EventUnsettled.
const (
	EventReserved         EventKind = "reserved"          // Worst is reserved
	EventSettled          EventKind = "settled"           // Actual is posted; Estimated says that it is the worst case
	EventVoided           EventKind = "voided"            // the reservation was given back
	EventUnsettled        EventKind = "unsettled"         // the store did not take the settlement: Worst is charged when the reservation expires
	EventDenied           EventKind = "denied"            // a limit, the rate, the cache policy or the store refused: Err
	EventObserved         EventKind = "observed"          // an observe-only limit would have refused: Err
	EventThresholdCrossed EventKind = "threshold crossed" // Crossed
	EventKilled           EventKind = "killed"            // the scope is killed: a call was refused or a stream ended: Err
	EventCacheFinding     EventKind = "cache finding"     // Finding: why a prompt will not cache, or did not
	EventEstimateViolated EventKind = "estimate violated" // Actual exceeded Worst: the bound of this model is wrong
	EventAnswerDiffers    EventKind = "answer differs"    // Answered is not what was Asked for: later calls of this id reserve at the higher price
	EventPriceAssumed     EventKind = "price assumed"     // no price is known for Asked, a model in a region: the highest known factor is used instead
	EventCatalogOld       EventKind = "catalog old"       // the table of prices is more than 120 days old; Asked is its date
	EventOutputLimited    EventKind = "output limited"    // the request is sent with an output limit of OutputTo tokens; see Options.Output
	EventPointsRemoved    EventKind = "points removed"    // the request is sent without its cache points, for which the budget has no room; see Options.Output
	EventSubstituted      EventKind = "substituted"       // Answered replaces the model that was Asked for; with Err it was not allowed to, and both are the same
	EventLooping          EventKind = "looping"           // Options.Brakes would have refused: Err
	EventInShadow         EventKind = "in shadow"         // emitted by New: this guard only refuses calls that were killed
	EventListenerFailed   EventKind = "listener failed"   // another listener panicked: Err. The other fields are those of the event that it was called with
)

// Event reports what happened to one attempt. It never contains prompt text. Fields that do not apply are zero.
type Event struct {
	Kind        EventKind
	Time        time.Time
	Duration    time.Duration // since the attempt was reserved
	Operation   string
	Model       string // the resolved foundation-model id
	Region      string // where the client sends to
	RequestID   string // AWS's id of the attempt; empty without an answer
	Scope       budget.Scope
	Attempt     int           // 1 for the first; the SDK's retries count up
	Reservation budget.ID     // zero when nothing was reserved
	Worst       budget.Charge // the reserved charge, the most in each unit: the same tokens can count in several units
	Actual      budget.Charge // what was posted
	Usage       price.Usage   // what was posted, in tokens, each counted once. If it is Estimated, all input is uncached
	Shadow      bool          // the guard is in shadow mode: denied calls were let through
	Estimated   bool          // the worst case was posted, because the actual cost is not known
	Outcome     Outcome       // how the attempt ended
	Asked       string        // what was asked for, if something else answered
	Answered    string        // what answered instead
	OutputFrom  int64         // the request's output limit, in tokens; zero if it had none
	OutputTo    int64         // the output limit with which it is sent
	Crossed     budget.Crossed
	Finding     cache.Finding
	Err         error
	Dropped     int64 // how many events this listener has missed before this one, because it was too slow
}

// listened reports whether there is a listener. Callers check it before they build an event, to save the work if there is none.
func (g *Guard) listened() bool { return g.direct != nil || g.queued != nil }

// emitKind emits an event of a kind, with an error if it has one. An Event is large, and is made here, so that the stack frames of callers, which
// mostly emit none, stay small.
//
//go:noinline
func (g *Guard) emitKind(ctx context.Context, c *call, a *attempt, kind EventKind, err error) {
	g.emit(ctx, c, a, Event{Kind: kind, Err: err})
}

// emit fills in what is known of the call, and of its attempt if that is not nil, and tells all listeners. Silent calls, such as estimates, have no
// events.
func (g *Guard) emit(ctx context.Context, c *call, a *attempt, e Event) {
	if !g.listened() || c.silent {
		return
	}
	e.Time, e.Shadow = time.Now(), g.opts.Shadow
	e.Operation, e.Model, e.Scope, e.Region = c.operation, c.scope.Model, c.scope, c.region
	if a != nil {
		e.Attempt, e.RequestID = a.number, a.header.Get(requestIDHeader)
		if a.receipt != nil {
			e.Reservation, e.Worst = a.receipt.Reservation.ID, a.receipt.Reservation.Charge
			e.Duration = e.Time.Sub(a.began)
		}
	}
	g.tellAll(ctx, &e, nil)
}

// requestIDHeader is the header with AWS's id of the request.
const requestIDHeader = "X-Amzn-Requestid"
