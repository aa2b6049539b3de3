// Package converse reads Converse requests as values of the AWS SDK.
package converse

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// Request is what Converse and ConverseStream inputs have in common. Its fields refer to the input's own values.
type Request struct {
	System      []types.SystemContentBlock
	Messages    []types.Message
	Tools       *types.ToolConfiguration
	Inference   *types.InferenceConfiguration
	Additional  document.Interface // additionalModelRequestFields, which go to the model unchanged
	Guarded     bool               // it names a guardrail
	Guardrail   string             // the guardrail's id, if the request tells it
	Tier        *types.ServiceTier
	Performance *types.PerformanceConfiguration
	Variables   map[string]types.PromptVariableValues
	Output      *types.OutputConfig
}

// Of takes what the inputs of Converse and ConverseStream have in common, and reports false for any other input.
func (r *Request) Of(input any) bool {
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		*r = Request{
			System: in.System, Messages: in.Messages, Tools: in.ToolConfig, Inference: in.InferenceConfig,
			Additional: in.AdditionalModelRequestFields, Tier: in.ServiceTier,
			Performance: in.PerformanceConfig, Variables: in.PromptVariables, Output: in.OutputConfig,
		}
		if g := in.GuardrailConfig; g != nil {
			r.Guarded, r.Guardrail = true, aws.ToString(g.GuardrailIdentifier)
		}
	case *bedrockruntime.ConverseStreamInput: // the same fields in another type
		*r = Request{
			System: in.System, Messages: in.Messages, Tools: in.ToolConfig, Inference: in.InferenceConfig,
			Additional: in.AdditionalModelRequestFields, Tier: in.ServiceTier,
			Performance: in.PerformanceConfig, Variables: in.PromptVariables, Output: in.OutputConfig,
		}
		if g := in.GuardrailConfig; g != nil {
			r.Guarded, r.Guardrail = true, aws.ToString(g.GuardrailIdentifier)
		}
	default:
		return false
	}
	return true
}
