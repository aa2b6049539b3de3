package bedrocktest

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// FaultKind is something that goes wrong with a request.
type FaultKind string

// The faults. Those of the first group end a request before the model runs and are not billed; all others are billed.
const (
	Throttle    FaultKind = "throttle"    // 429 ThrottlingException
	Unavailable FaultKind = "unavailable" // 503 ServiceUnavailableException
	NotReady    FaultKind = "not-ready"   // 429 ModelNotReadyException, which imported models return at first
	OverQuota   FaultKind = "over-quota"  // 400 ServiceQuotaExceededException
	Expired     FaultKind = "expired"     // 403 ExpiredTokenException
	Denied      FaultKind = "denied"      // 403 AccessDeniedException

	Internal     FaultKind = "internal"      // 500 InternalServerException
	ModelTimeout FaultKind = "model-timeout" // 408 ModelTimeoutException
	ModelError   FaultKind = "model-error"   // 424 ModelErrorException
	Reset        FaultKind = "reset"         // the connection is reset before the answer begins
	Stall        FaultKind = "stall"         // no answer until the client gives up, or for Options.StallLimit; then a reset
	Truncate     FaultKind = "truncate"      // the answer is cut in the middle
	MissingUsage FaultKind = "missing-usage" // a complete answer without usage
)

// The faults of streams. An exception as the very first frame, after HTTP 200, comes before the model runs and is not billed. One in the
// middle of a stream comes after content, and the whole answer is billed. An operation without a stream answers with the HTTP status of the
// exception, and is billed accordingly.
const (
	ThrottledAtFirst     FaultKind = "throttled-at-first"     // throttlingException, 429
	UnavailableAtFirst   FaultKind = "unavailable-at-first"   // serviceUnavailableException, 503
	InvalidAtFirst       FaultKind = "invalid-at-first"       // validationException, 400
	StreamError          FaultKind = "stream-error"           // modelStreamErrorException in mid-stream, 424
	ThrottledMidStream   FaultKind = "throttled-mid-stream"   // throttlingException in mid-stream, 429
	UnavailableMidStream FaultKind = "unavailable-mid-stream" // serviceUnavailableException in mid-stream, 503
	InternalMidStream    FaultKind = "internal-mid-stream"    // internalServerException in mid-stream, 500
	TimeoutMidStream     FaultKind = "timeout-mid-stream"     // modelTimeoutException in mid-stream of InvokeModel, 408
)

// Faults returns the fault of the request with the given number, counted from 1, or empty for none. It is called once for each valid request
// and must be safe for concurrent use.
type Faults func(seq int) FaultKind

// Script gives the first requests these faults, in order. An empty kind is no fault.
func Script(kinds ...FaultKind) Faults {
	return func(seq int) FaultKind {
		if seq > len(kinds) {
			return ""
		}
		return kinds[seq-1]
	}
}

// When gives the first requests for which match returns true these faults, in order, and all others none. It is for Options.FaultFor.
func When(match func(Request) bool, kinds ...FaultKind) func(Request) FaultKind {
	var matched atomic.Int64
	return func(r Request) FaultKind {
		if !match(r) {
			return ""
		}
		if n := matched.Add(1); n <= int64(len(kinds)) {
			return kinds[n-1]
		}
		return ""
	}
}

// RandomFaults gives the share rate of all requests, from 0 to 1, a random fault. A request's fault depends only on the seed and its number.
func RandomFaults(seed uint64, rate float64) Faults { return random(seed, rate, unaryFaults()) }

// RandomStreamFaults is RandomFaults with the faults of streams among the kinds.
func RandomStreamFaults(seed uint64, rate float64) Faults {
	return random(seed, rate, append(unaryFaults(), ThrottledAtFirst, UnavailableAtFirst, InvalidAtFirst, StreamError, ThrottledMidStream))
}

// unaryFaults are the kinds among which RandomFaults chooses.
func unaryFaults() []FaultKind {
	return []FaultKind{Throttle, Unavailable, Internal, ModelTimeout, ModelError, Reset, Stall, Truncate, MissingUsage}
}

// random gives a share of the requests (rate, from 0 to 1) one of these kinds, drawn from the seed and the number of the request.
func random(seed uint64, rate float64, kinds []FaultKind) Faults {
	return func(seq int) FaultKind {
		random := rand.New(rand.NewPCG(seed, uint64(seq)))
		if random.Float64() >= rate {
			return ""
		}
		return kinds[random.IntN(len(kinds))]
	}
}

// status returns the answer to a request with this fault, or nil if the fault has none.
func (k FaultKind) status() *refusal.Error {
	switch k {
	case Throttle, ThrottledAtFirst, ThrottledMidStream:
		return refusal.TooManyRequests()
	case NotReady:
		return refusal.New(429, "ModelNotReadyException", "Model is not ready for inference. Wait and try your request again.")
	case OverQuota:
		return refusal.New(400, "ServiceQuotaExceededException", "Your request exceeds the service quota for your account.")
	case Expired:
		return refusal.New(403, "ExpiredTokenException", "The security token included in the request is expired")
	case Denied:
		return refusal.NoAccess()
	case Unavailable, UnavailableAtFirst, UnavailableMidStream:
		return refusal.New(503, "ServiceUnavailableException", "The service is temporarily unavailable.")
	case Internal, InternalMidStream:
		return refusal.New(500, "InternalServerException", "The system encountered an unexpected error during processing.")
	case ModelTimeout, TimeoutMidStream:
		return refusal.New(408, "ModelTimeoutException", "The model took too long to respond.")
	case InvalidAtFirst:
		return refusal.Invalid("The provided request is not valid.")
	case ModelError, StreamError:
		return refusal.New(424, "ModelErrorException", "The model returned an error.")
	default:
		return nil
	}
}

// billed reports whether AWS would bill a request with this fault. streams says that the answer is a stream. In any other answer an exception in
// mid-stream becomes a refusal with its status, and 429 and 503 are not billed.
func (k FaultKind) billed(streams bool) bool {
	switch k {
	case Throttle, Unavailable, NotReady, OverQuota, Expired, Denied, ThrottledAtFirst, UnavailableAtFirst, InvalidAtFirst:
		return false
	case ThrottledMidStream, UnavailableMidStream:
		return streams
	default:
		return true
	}
}

// exception returns the type of the exception that a stream with this fault ends with; empty for none.
func (k FaultKind) exception() string {
	switch k {
	case ThrottledAtFirst, ThrottledMidStream:
		return "throttlingException"
	case UnavailableAtFirst, UnavailableMidStream:
		return "serviceUnavailableException"
	case InvalidAtFirst:
		return "validationException"
	case StreamError:
		return "modelStreamErrorException"
	case InternalMidStream:
		return "internalServerException"
	case TimeoutMidStream:
		return "modelTimeoutException"
	default:
		return ""
	}
}

// exceptionBody returns the event with which a stream with this fault ends.
func (k FaultKind) exceptionBody() map[string]any {
	body := map[string]any{"type": k.exception(), "message": k.status().Message}
	if k == StreamError {
		body["originalStatusCode"] = 424
	}
	return body
}
