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
func RandomFaults(seed uint64, rate float64) Faults {
	kinds := []FaultKind{Throttle, Unavailable, Internal, ModelTimeout, ModelError, Reset, Stall, Truncate, MissingUsage}
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
	case Throttle:
		return &refusal{429, "ThrottlingException", "Too many requests, please wait before trying again."}
	case Unavailable:
		return &refusal{503, "ServiceUnavailableException", "The service is temporarily unavailable."}
	case Internal:
		return &refusal{500, "InternalServerException", "The system encountered an unexpected error during processing."}
	case ModelTimeout:
		return &refusal{408, "ModelTimeoutException", "The model took too long to respond."}
	case ModelError:
		return &refusal{424, "ModelErrorException", "The model returned an error."}
	default:
		return nil
	}
}

// billed reports whether AWS would bill a request with this fault.
func (k FaultKind) billed() bool { return k != Throttle && k != Unavailable }
