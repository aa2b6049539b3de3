package bedrockguard

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
)

// What a guard tells of its calls, and how an attempt ended. Package event describes the types, their fields and their methods.
type (
	// EventKind says what happened.
	EventKind = event.Kind
	// Event reports what happened to one attempt. It never contains prompt text. Fields that do not apply are zero.
	Event = event.Event
	// Outcome is how an attempt ended, which decides what is charged. Answers with an HTTP error are OutcomeStatus.
	Outcome = event.Outcome
	// Action is what happens to a reservation whose attempt reported no usage.
	Action = event.Action
)

// The kinds of event. Each attempt that is sent gives one EventReserved and one of EventSettled, EventVoided or EventUnsettled. The comments name the
// fields of Event that tell more: "a limit refused: Err" says that Err is the refusal.
const (
	EventReserved         = event.Reserved         // Worst is reserved
	EventSettled          = event.Settled          // Actual is posted; Estimated says that it is the worst case
	EventVoided           = event.Voided           // the reservation was given back
	EventUnsettled        = event.Unsettled        // the store did not take the settlement: Worst is charged when the reservation expires
	EventDenied           = event.Denied           // a limit, the rate, the cache policy or the store refused: Err
	EventObserved         = event.Observed         // an observe-only limit would have refused: Err
	EventThresholdCrossed = event.ThresholdCrossed // what is spent has reached a fraction of a limit that its Notify names: Crossed
	EventKilled           = event.Killed           // the scope is killed: a call was refused or a stream ended: Err
	EventCacheFinding     = event.CacheFinding     // Finding: why a prompt will not cache, or did not
	EventEstimateViolated = event.EstimateViolated // Actual exceeded Worst: the bound of this model is wrong
	EventAnswerDiffers    = event.AnswerDiffers    // Answered is not what was Asked for: later calls of this id reserve at the higher price
	EventPriceAssumed     = event.PriceAssumed     // no price is known for Asked, a model in a region: the highest known factor is used instead
	EventCatalogOld       = event.CatalogOld       // the table of prices is more than 120 days old; Asked is its date
	EventOutputLimited    = event.OutputLimited    // the request is sent with an output limit of OutputTo tokens; see Options.Output
	EventPointsRemoved    = event.PointsRemoved    // the request is sent without its cache points, for which the budget has no room; see Options.Output
	EventSubstituted      = event.Substituted      // Answered replaces the model that was Asked for; with Err it was not replaced, and both name it
	EventLooping          = event.Looping          // Options.Brakes would have refused: Err
	EventInShadow         = event.InShadow         // emitted by New: this guard only refuses calls that were killed
	EventListenerFailed   = event.ListenerFailed   // another listener panicked: Err. The other fields are those of the event that it was called with
)

// The outcomes besides HTTP errors.
const (
	OutcomeNotSent   = event.OutcomeNotSent   // certainly nothing was sent: signing failed, or no connection could be made
	OutcomeUsage     = event.OutcomeUsage     // the answer reported its usage
	OutcomeNoUsage   = event.OutcomeNoUsage   // a complete answer that reports no usage, or can't be parsed
	OutcomeBroken    = event.OutcomeBroken    // sent, and then reset, cut, timed out or canceled
	OutcomeAbandoned = event.OutcomeAbandoned // the stream's reader closed it before its usage arrived
	OutcomeKilled    = event.OutcomeKilled    // the scope was killed while the stream ran
	OutcomeRefused   = event.OutcomeRefused   // another guard, in a proxy in between, refused it before it was sent
)

// OutcomeStatus is the outcome of an answer with an HTTP status other than 2xx that Bedrock itself gave, which its request id and its error
// type show. A stream whose first frame is such a refusal has this outcome too.
func OutcomeStatus(code int) Outcome { return event.OutcomeStatus(code) }

// OutcomeProxyStatus is the outcome of an answer with an HTTP status other than 2xx that lacks Bedrock's own headers: it comes from
// something in between, and does not show what Bedrock did with the request. It is charged unless Options.Outcomes says otherwise.
func OutcomeProxyStatus(code int) Outcome { return event.OutcomeProxyStatus(code) }

// The actions.
const (
	ChargeReserved = event.ChargeReserved // post the worst case, marked as estimated, so that budget.Ledger.Correct can replace it
	Void           = event.Void           // give the reservation back: certainly nothing was consumed
)

// What a guard refuses with, besides the errors of budget and cache. Package refusal describes the types and their fields.
type (
	// RateLimitedError says how long the scope's token bucket needs to refill. It unwraps to ErrRateLimited.
	RateLimitedError = refusal.RateLimitedError
	// LoopError says which field of Brakes refused a call. It unwraps to ErrLooping.
	LoopError = refusal.LoopError
	// UnsupportedOperationError names the operation that was refused. It unwraps to ErrUnsupportedOperation.
	UnsupportedOperationError = refusal.UnsupportedOperationError
	// UnknownHostError is the refusal of a request that has a path of Bedrock's and a host that is not known to be Bedrock. It unwraps to
	// ErrUnsupportedOperation.
	UnknownHostError = refusal.UnknownHostError
)
