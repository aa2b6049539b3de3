package bedrocktest

import "math/rand/v2"

// FaultKind is something that goes wrong with a request.
type FaultKind string

// The faults. Those of the first group answer before the model runs and are not billed; all others are.
const (
	Throttle    FaultKind = "throttle"    // 429 ThrottlingException
	Unavailable FaultKind = "unavailable" // 503 ServiceUnavailableException

	Internal     FaultKind = "internal"      // 500 InternalServerException
	ModelTimeout FaultKind = "model-timeout" // 408 ModelTimeoutException
	ModelError   FaultKind = "model-error"   // 424 ModelErrorException
	Reset        FaultKind = "reset"         // the connection is reset before the answer begins
	Stall        FaultKind = "stall"         // no answer until the client gives up, Options.StallLimit at most; then a reset
	Truncate     FaultKind = "truncate"      // the answer is cut in its middle
	MissingUsage FaultKind = "missing-usage" // a complete answer that tells no usage
)

// The faults of streams. An exception as the very first frame, behind HTTP 200, comes before the model runs and is not billed. One in
// the middle of a stream comes after content, and all of the answer is billed. An operation without a stream answers with the HTTP
// status of the exception, and is billed by that.
const (
	ThrottledAtFirst   FaultKind = "throttled-at-first"   // throttlingException, 429
	UnavailableAtFirst FaultKind = "unavailable-at-first" // serviceUnavailableException, 503
	InvalidAtFirst     FaultKind = "invalid-at-first"     // validationException, 400
	StreamError        FaultKind = "stream-error"         // modelStreamErrorException in mid-stream, 424
	ThrottledMidStream FaultKind = "throttled-mid-stream" // throttlingException in mid-stream, 429
)

// Faults decides what goes wrong with the request of the given number, from 1; empty lets it pass. It is called once for each
// valid request and must be safe for concurrent use.
type Faults func(seq int) FaultKind

// Script gives the first requests these faults, in order. An empty kind is a request that passes.
func Script(kinds ...FaultKind) Faults {
	return func(seq int) FaultKind {
		if seq > len(kinds) {
			return ""
		}
		return kinds[seq-1]
	}
}

// RandomFaults gives the part rate of all requests, from 0 to 1, a fault of any kind. A request's fault depends on the seed and its
// number alone.
func RandomFaults(seed uint64, rate float64) Faults { return random(seed, rate, unaryFaults()) }

// RandomStreamFaults is RandomFaults with the faults of streams among the kinds.
func RandomStreamFaults(seed uint64, rate float64) Faults {
	return random(seed, rate, append(unaryFaults(), ThrottledAtFirst, UnavailableAtFirst, InvalidAtFirst, StreamError, ThrottledMidStream))
}

func unaryFaults() []FaultKind {
	return []FaultKind{Throttle, Unavailable, Internal, ModelTimeout, ModelError, Reset, Stall, Truncate, MissingUsage}
}

func random(seed uint64, rate float64, kinds []FaultKind) Faults {
	return func(seq int) FaultKind {
		random := rand.New(rand.NewPCG(seed, uint64(seq)))
		if random.Float64() >= rate {
			return ""
		}
		return kinds[random.IntN(len(kinds))]
	}
}

// status returns the answer of a fault that has one.
func (k FaultKind) status() *refusal {
	switch k {
	case Throttle, ThrottledAtFirst, ThrottledMidStream:
		return &refusal{429, "ThrottlingException", "Too many requests, please wait before trying again."}
	case Unavailable, UnavailableAtFirst:
		return &refusal{503, "ServiceUnavailableException", "The service is temporarily unavailable."}
	case Internal:
		return &refusal{500, "InternalServerException", "The system encountered an unexpected error during processing."}
	case ModelTimeout:
		return &refusal{408, "ModelTimeoutException", "The model took too long to respond."}
	case InvalidAtFirst:
		return invalid("The provided request is not valid.")
	case ModelError, StreamError:
		return &refusal{424, "ModelErrorException", "The model returned an error."}
	default:
		return nil
	}
}

// billed reports whether AWS would bill a request with this fault.
func (k FaultKind) billed(streams bool) bool {
	switch k {
	case Throttle, Unavailable, ThrottledAtFirst, UnavailableAtFirst, InvalidAtFirst:
		return false
	case ThrottledMidStream:
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
	case UnavailableAtFirst:
		return "serviceUnavailableException"
	case InvalidAtFirst:
		return "validationException"
	case StreamError:
		return "modelStreamErrorException"
	default:
		return ""
	}
}

// exceptionBody is the event that a stream with this fault ends with.
func (k FaultKind) exceptionBody() map[string]any {
	body := map[string]any{"type": k.exception(), "message": k.status().message}
	if k == StreamError {
		body["originalStatusCode"] = 424
	}
	return body
}
