package event

import "strconv"

// Outcome is how an attempt ended, which decides what is charged. Answers with an HTTP error are OutcomeStatus.
type Outcome string

// The outcomes besides HTTP errors.
const (
	OutcomeNotSent   Outcome = "not-sent"  // certainly nothing was sent: signing failed, or no connection could be made
	OutcomeUsage     Outcome = "usage"     // the answer reported its usage
	OutcomeNoUsage   Outcome = "no-usage"  // a complete answer that reports no usage, or can't be parsed
	OutcomeBroken    Outcome = "broken"    // sent, and then reset, cut, timed out or canceled
	OutcomeAbandoned Outcome = "abandoned" // the stream's reader closed it before its usage arrived
	OutcomeKilled    Outcome = "killed"    // the scope was killed while the stream ran
	OutcomeRefused   Outcome = "refused"   // another guard, in a proxy in between, refused it before it was sent
)

// OutcomeStatus is the outcome of an answer with an HTTP status other than 2xx that Bedrock itself gave, which its request id and its error
// type show. A stream whose first frame is such a refusal has this outcome too.
func OutcomeStatus(code int) Outcome { return Outcome(statusPrefix + strconv.Itoa(code)) }

// OutcomeProxyStatus is the outcome of an answer with an HTTP status other than 2xx that lacks Bedrock's own headers: it comes from
// something in between, and does not show what Bedrock did with the request. It is charged unless Options.Outcomes says otherwise.
func OutcomeProxyStatus(code int) Outcome { return Outcome(proxyStatusPrefix + strconv.Itoa(code)) }

const (
	statusPrefix      = "http-"
	proxyStatusPrefix = "proxy-http-"
)

// Action is what happens to a reservation whose attempt reported no usage.
type Action uint8

// The actions.
const (
	ChargeReserved Action = iota + 1 // post the worst case, marked as estimated, so that budget.Ledger.Correct can replace it
	Void                             // give the reservation back: certainly nothing was consumed
)
