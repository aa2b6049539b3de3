// Package inputs knows what a client asks for: the operations, the requests in the forms of the SDK and of HTTP, and copies of them with another
// output limit.
package inputs

import "github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

// Treatment says what the guard does with an operation of the client.
type Treatment uint8

// The treatments.
const (
	Refused Treatment = iota // its cost can't be metered, so that it is refused unless it has a flat price; also any operation that is not known
	Free                     // it costs nothing and passes
	Guarded                  // it is billed by tokens: metered and limited
)

// TreatmentOf returns what the guard does with an operation of the SDK's client, by its name. A test compares the names here with the client, so
// that a person decides about an operation that AWS adds; until then it is refused.
func TreatmentOf(operation string) Treatment {
	switch operation {
	case "Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream":
		return Guarded
	case "CountTokens", "GetAsyncInvoke", "ListAsyncInvokes":
		return Free
	default:
		// ApplyGuardrail and InvokeGuardrailChecks are billed by text units, StartAsyncInvoke and the bidirectional stream by seconds of
		// video and speech: none has a token price, but Options.FlatPrices can price all but the last.
		return Refused
	}
}

// OperationOf returns the guarded operation that an input of the SDK belongs to, the model id that it names, and whether its answer is a stream. For
// any other input the operation is empty. The SDK also keeps the operation's name in the context, but looking it up there is slower.
func OperationOf(input any) (operation string, modelID *string, streams bool) {
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		return "Converse", in.ModelId, false
	case *bedrockruntime.ConverseStreamInput:
		return "ConverseStream", in.ModelId, true
	case *bedrockruntime.InvokeModelInput:
		return "InvokeModel", in.ModelId, false
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		return "InvokeModelWithResponseStream", in.ModelId, true
	default:
		return "", nil, false
	}
}

// BidirectionalStream is the one operation that the guard can't refuse with a middleware: the SDK would leave the caller waiting for ever,
// because the call only returns what the Deserialize step hands over.
const BidirectionalStream = "InvokeModelWithBidirectionalStream"
