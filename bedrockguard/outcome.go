package bedrockguard

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// Outcome is how an attempt ended, as far as it decides what is charged. Answers with an HTTP error are OutcomeStatus.
type Outcome string

// The outcomes besides HTTP errors.
const (
	OutcomeNotSent   Outcome = "not-sent"  // certainly nothing was sent: signing failed, the dial was refused
	OutcomeUsage     Outcome = "usage"     // the answer told what was consumed
	OutcomeNoUsage   Outcome = "no-usage"  // a complete answer that tells no usage, or an unreadable one
	OutcomeBroken    Outcome = "broken"    // sent, and then reset, cut, timed out or canceled
	OutcomeAbandoned Outcome = "abandoned" // the stream's reader closed it before its usage came
	OutcomeKilled    Outcome = "killed"    // the scope was killed while the stream ran
	OutcomeRefused   Outcome = "refused"   // another guard, in a proxy on the way, refused it before it was sent
)

// OutcomeStatus is the outcome of an answer of Bedrock's own with an HTTP status other than 2xx, known by its request id and its
// error type. A stream whose first frame is such a refusal has it, too.
func OutcomeStatus(code int) Outcome { return Outcome(statusPrefix + strconv.Itoa(code)) }

// OutcomeProxyStatus is the outcome of an answer with an HTTP status other than 2xx that does not show Bedrock's own headers: it
// comes from something in between, and proves nothing of what Bedrock did with the request. It is charged unless
// Options.Outcomes says otherwise.
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

// Action is what becomes of a reservation whose attempt reported no usage.
type Action uint8

// The actions.
const (
	ChargeReserved Action = iota + 1 // post the worst case, marked estimated: budget.Ledger.Correct can replace it
	Void                             // give it back: certainly nothing was consumed
)

// fromBedrock reports whether the answer has the request id that Bedrock gives every answer of its own.
func (a *attempt) fromBedrock() bool { return a.header.Get("X-Amzn-Requestid") != "" }

// action returns what an outcome does to the reservation: Options.Outcomes decides first, then the list below. What is in neither is
// charged, because AWS says of no other answer that it is free, and bills interrupted calls in full.
func (o Options) action(outcome Outcome) Action {
	if a, ok := o.Outcomes[outcome]; ok {
		return a
	}
	switch outcome {
	case OutcomeNotSent, OutcomeRefused,
		statusPrefix + "400", statusPrefix + "403", statusPrefix + "404", // refused by the service before inference
		statusPrefix + "429", statusPrefix + "503": // throttled, or overloaded: refused before inference, too
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
// body, or it never had a connection. A transport that does not report its connections counts as having sent, unless its error says
// that the dial failed.
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
