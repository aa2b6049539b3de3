package chain

import (
	"errors"
	"net"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
)

// fromBedrock reports whether the answer has a request id, which Bedrock adds to every answer of its own.
func (a *attempt) fromBedrock() bool { return a.header.Get("X-Amzn-Requestid") != "" }

// action returns what an outcome, the way in which an attempt ended without reported usage, does to the reservation: Options.Outcomes decides
// first, then the list below. Any other outcome is charged with the reserved amount, because AWS calls no other answer free, and bills
// interrupted calls in full.
func (o *Config) action(outcome event.Outcome) event.Action {
	if a, ok := o.Outcomes[outcome]; ok {
		return a
	}
	switch outcome {
	case event.OutcomeNotSent, event.OutcomeRefused,
		"http-400", "http-403", "http-404", // as OutcomeStatus names them: refused by the service before inference
		"http-429", "http-503": // throttled or overloaded: also refused before inference
		return event.Void
	default:
		return event.ChargeReserved
	}
}

// outcomeOf classifies an attempt that ended with an error. An answer's status decides: another guard's refusal is known by its header, Bedrock's
// own errors by theirs, and the rest comes from a proxy. Without a status only a request that was certainly not sent is free.
func (a *attempt) outcomeOf(err error) event.Outcome {
	if status := a.status.Load(); status != 0 && (status < 200 || status > 299) {
		if a.header.Get(RefusalHeader) != "" {
			return event.OutcomeRefused
		}
		if a.fromBedrock() && a.header.Get("X-Amzn-Errortype") != "" {
			return event.OutcomeStatus(int(status))
		}
		return event.OutcomeProxyStatus(int(status))
	}
	if a.status.Load() == 0 && a.certainlyUnsent(err) {
		return event.OutcomeNotSent
	}
	return event.OutcomeBroken
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
	// No byte was sent as far as is known. That proves something only if a byte would have been noticed: by the body (watched), or by the trace of
	// a transport that reports how it gets connections (dialing).
	var op *net.OpError
	return a.watched.Load() || a.dialing.Load() || errors.As(err, &op) && op.Op == "dial"
}
