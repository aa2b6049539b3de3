package bedrockguard

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

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

func (o Outcome) overridable() bool {
	code, ok := strings.CutPrefix(string(o), proxyStatusPrefix)
	if !ok {
		code, ok = strings.CutPrefix(string(o), statusPrefix)
	}
	if ok {
		n, err := strconv.Atoi(code)
		return err == nil && n >= 100 && n <= 599
	}
	switch o {
	case OutcomeNotSent, OutcomeRefused, OutcomeNoUsage, OutcomeBroken, OutcomeAbandoned, OutcomeKilled:
		return true
	default:
		return false
	}
}

// Action is what happens to a reservation whose attempt reported no usage.
type Action uint8

// The actions.
const (
	ChargeReserved Action = iota + 1 // post the worst case, marked as estimated, so that budget.Ledger.Correct can replace it
	Void                             // give the reservation back: certainly nothing was consumed
)

// fromBedrock reports whether the answer has a request id, which Bedrock adds to every answer of its own.
func (a *attempt) fromBedrock() bool { return a.header.Get("X-Amzn-Requestid") != "" }

// action returns what an outcome does to the reservation: Options.Outcomes decides first, then the list below. Any other outcome is charged,
// because AWS calls no other answer free, and bills interrupted calls in full.
func (o Options) action(outcome Outcome) Action {
	if a, ok := o.Outcomes[outcome]; ok {
		return a
	}
	switch outcome {
	case OutcomeNotSent, OutcomeRefused,
		statusPrefix + "400", statusPrefix + "403", statusPrefix + "404", // refused by the service before inference
		statusPrefix + "429", statusPrefix + "503": // throttled or overloaded: also refused before inference
		return Void
	default:
		return ChargeReserved
	}
}

// outcomeOf classifies an attempt that ended with an error.
func (a *attempt) outcomeOf(err error) Outcome {
	if status := a.status.Load(); status != 0 && (status < 200 || status > 299) {
		if a.header.Get(headerRefusal) != "" {
			return OutcomeRefused
		}
		if a.fromBedrock() && a.header.Get("X-Amzn-Errortype") != "" {
			return OutcomeStatus(int(status))
		}
		return OutcomeProxyStatus(int(status))
	}
	if a.status.Load() == 0 && a.certainlyUnsent(err) {
		return OutcomeNotSent
	}
	return OutcomeBroken
}

// certainlyUnsent reports whether the service can't have got a request to run: the transport was never called, it never read a byte of the
// body, or it never had a connection. If a transport does not report its connections, the request counts as sent, unless the error says that
// no connection could be made.
func (a *attempt) certainlyUnsent(err error) bool {
	if !a.handedOver.Load() {
		return true
	}
	if a.mayHaveSent.Load() {
		return false
	}
	var op *net.OpError
	return a.watched.Load() || a.dialing.Load() || errors.As(err, &op) && op.Op == "dial"
}
