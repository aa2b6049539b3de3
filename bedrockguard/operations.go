package bedrockguard

import (
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

// treatment says what the guard does with an operation of the client.
type treatment uint8

const (
	refused treatment = iota // its cost can't be metered; also any operation that is not in the table
	free                     // costs nothing
	guarded                  // metered and limited
)

// treatmentOf lists every operation of the client. A test compares it with the SDK's client, so that a person decides about an operation
// that AWS adds; until then it is refused.
func treatmentOf(operation string) treatment {
	switch operation {
	case "Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream":
		return guarded
	case "CountTokens", "GetAsyncInvoke", "ListAsyncInvokes":
		return free
	default:
		// ApplyGuardrail and InvokeGuardrailChecks are billed by text units, StartAsyncInvoke and the bidirectional stream by seconds of
		// video and speech: none has a token price, but Options.FlatPrices can price all but the last.
		return refused
	}
}

// operationOf returns the guarded operation that an input belongs to and the model that it names; for any other input it returns no
// operation. It goes by the input's type, which is faster than the context.
func operationOf(input any) (operation string, modelID *string, streams bool) {
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
