package chain

import (
	"errors"
	"net"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
)

// fromBedrock reports whether the answer has a request id, which Bedrock adds to every answer of its own.
func (a *attempt) fromBedrock() bool { return a.header.Get(requestIDHeader) != "" }

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

// outcomeOf classifies an attempt without a usable answer, which ended with err; nil if the transport has returned no error. If there is an answer,
// its status decides.
func (a *attempt) outcomeOf(err error) event.Outcome {
	status := int(a.status.Load())
	switch {
	case status == 0 && a.certainlyUnsent(err):
		return event.OutcomeNotSent
	case status == 0: // it may have been sent, and no answer came
		return event.OutcomeBroken
	case status >= 200 && status <= 299: // the answer did not arrive completely
		return event.OutcomeBroken
	case a.header.Get(RefusalHeader) != "": // another guard, which the request has passed, refused it
		return event.OutcomeRefused
	case a.fromBedrock() && a.header.Get("X-Amzn-Errortype") != "": // one of Bedrock's own errors
		return event.OutcomeStatus(status)
	default: // an error of a proxy
		return event.OutcomeProxyStatus(status)
	}
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
	// a transport that reports how it gets connections (dialing). The operation of the error is "dial" if no connection could be made.
	var op *net.OpError
	return a.watched.Load() || a.dialing.Load() || errors.As(err, &op) && op.Op == "dial"
}
