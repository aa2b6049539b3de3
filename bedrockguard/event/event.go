// Package event has what a guard tells of the calls that it handles: events, their kinds, and how attempts end. Package bedrockguard has
// another name for each, so that its users need not import this package.
package event

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// Kind says what happened.
type Kind string

// The kinds of event. Each attempt that is sent gives one Reserved and one of Settled, Voided or Unsettled. The comments name the fields of Event
// that tell more: "a limit refused: Err" says that Err is the refusal.
const (
	Reserved         Kind = "reserved"          // Worst is reserved
	Settled          Kind = "settled"           // Actual is posted; Estimated says that it is the worst case
	Voided           Kind = "voided"            // the reservation was given back
	Unsettled        Kind = "unsettled"         // the store did not take the settlement: Worst is charged when the reservation expires
	Denied           Kind = "denied"            // a limit, the rate, the cache policy or the store refused: Err
	Observed         Kind = "observed"          // an observe-only limit would have refused: Err
	ThresholdCrossed Kind = "threshold crossed" // what is spent has reached a fraction of a limit that its Notify names: Crossed
	Killed           Kind = "killed"            // the scope is killed: a call was refused or a stream ended: Err
	CacheFinding     Kind = "cache finding"     // Finding: why a prompt will not cache, or did not
	EstimateViolated Kind = "estimate violated" // Actual exceeded Worst: the bound of this model is wrong
	AnswerDiffers    Kind = "answer differs"    // Answered is not what was Asked for: later calls of this id reserve at the higher price
	PriceAssumed     Kind = "price assumed"     // no price is known for Asked, a model in a region: the highest known factor is used instead
	CatalogOld       Kind = "catalog old"       // the table of prices is more than 120 days old; Asked is its date
	OutputLimited    Kind = "output limited"    // the request is sent with an output limit of OutputTo tokens; see Options.Output
	PointsRemoved    Kind = "points removed"    // the request is sent without its cache points, for which the budget has no room; see Options.Output
	Substituted      Kind = "substituted"       // Answered replaces the model that was Asked for; with Err it was not replaced, and both name it
	Looping          Kind = "looping"           // Options.Brakes would have refused: Err
	InShadow         Kind = "in shadow"         // emitted by New: this guard only refuses calls that were killed
	ListenerFailed   Kind = "listener failed"   // another listener panicked: Err. The other fields are those of the event that it was called with
)

// Event reports what happened to one attempt. It never contains prompt text. Fields that do not apply are zero.
type Event struct {
	Kind        Kind
	Time        time.Time
	Duration    time.Duration // since the attempt was reserved
	Operation   string
	Model       string // the resolved foundation-model id
	Region      string // where the client sends to
	RequestID   string // AWS's id of the attempt; empty without an answer
	Scope       budget.Scope
	Attempt     int            // 1 for the first; the SDK's retries count up
	Reservation budget.ID      // zero when nothing was reserved
	Worst       budget.Charge  // the reserved charge, the most in each unit: the same tokens can count in several units
	Actual      budget.Charge  // what was posted
	Usage       price.Usage    // what was posted, in tokens, each counted once. If it is Estimated, all input is uncached
	Shadow      bool           // the guard is in shadow mode: denied calls were let through
	Estimated   bool           // the worst case was posted, because the actual cost is not known
	Outcome     Outcome        // how the attempt ended
	Asked       string         // what was asked for, if something else answered
	Answered    string         // what answered instead
	OutputFrom  int64          // the request's output limit, in tokens; zero if it had none
	OutputTo    int64          // the output limit with which it is sent
	Crossed     budget.Crossed // of ThresholdCrossed: the limit, and how full it is
	Finding     cache.Finding  // of CacheFinding: what is wrong with a prompt's caching, and where
	Err         error          // why a call was refused or would have been, or what failed
	Dropped     int64          // how many events this listener has missed before this one, because it was too slow
}
