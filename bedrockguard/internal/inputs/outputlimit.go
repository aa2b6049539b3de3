package inputs

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

// WithOutputLimit returns a copy of a request whose answer is limited to n tokens; modelID tells the dialect of an InvokeModel body. If the request
// can't have that limit it returns the request as it is, and false.
func WithOutputLimit(modelID string, input any, n int64) (any, bool) {
	var parts converse.Request
	if parts.Of(input) && mustNotLimit(parts.Additional) { // a Converse input of the SDK
		return input, false
	}
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		own := *in
		own.InferenceConfig = withMaxTokens(in.InferenceConfig, n)
		return &own, true
	case *bedrockruntime.ConverseStreamInput:
		own := *in
		own.InferenceConfig = withMaxTokens(in.InferenceConfig, n)
		return &own, true
	case *bedrockruntime.InvokeModelInput:
		if body, ok := limitBody(cost.OfModel, modelID, in.Body, n); ok {
			own := *in
			own.Body = body
			return &own, true
		}
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		if body, ok := limitBody(cost.OfModel, modelID, in.Body, n); ok {
			own := *in
			own.Body = body
			return &own, true
		}
	case *HTTP:
		if body, ok := limitBody(in.Form.Dialect(), modelID, in.Body, n); ok {
			own := *in
			own.Body = body
			return &own, true
		}
	}
	return input, false
}

// withMaxTokens returns a copy of a configuration of Converse's, or a new one for nil, with a limit of n tokens. n fits into an int32, because
// whoever asks for a limit sees to that.
func withMaxTokens(c *types.InferenceConfiguration, n int64) *types.InferenceConfiguration {
	var own types.InferenceConfiguration
	if c != nil {
		own = *c
	}
	own.MaxTokens = aws.Int32(int32(n))
	return &own
}

// limitBody is WithOutputLimit for a JSON body in a dialect.
func limitBody(d cost.Dialect, modelID string, body []byte, n int64) ([]byte, bool) {
	if effortForbids(body) {
		return body, false
	}
	return cost.SetOutputLimit(d, modelID, body, n)
}

// mustNotLimit reports whether Converse's additional fields, which go to the model as they are, ask for something that the service refuses together
// with a limit. It reports true for fields that can't be serialised.
func mustNotLimit(fields document.Interface) bool {
	if fields == nil {
		return false
	}
	raw, err := fields.MarshalSmithyDocument()
	return err != nil || effortForbids(raw)
}

// effortForbids reports whether a body, or the additional fields of one, asks for Nova 2's thinking at high effort: the service refuses that together
// with an output limit (Amazon Nova user guide, extended thinking, 2026-11).
func effortForbids(raw []byte) bool {
	var fields struct {
		Additional json.RawMessage `json:"additionalModelRequestFields"`
		Reasoning  struct {
			Effort string `json:"maxReasoningEffort"`
		} `json:"reasoningConfig"`
		Inference struct {
			Reasoning struct {
				Effort string `json:"maxReasoningEffort"`
			} `json:"reasoningConfig"`
		} `json:"inferenceConfig"`
	}
	if json.Unmarshal(raw, &fields) != nil {
		return false // invalid JSON is refused when it is read
	}
	// The body is one of Converse, whose additional fields have the same form.
	if len(fields.Additional) > 0 && effortForbids(fields.Additional) {
		return true
	}
	return fields.Reasoning.Effort == "high" || fields.Inference.Reasoning.Effort == "high"
}

// BodyOf returns the JSON body of an input, and false for one of Converse, which has fields in its place.
func BodyOf(input any) ([]byte, bool) {
	switch in := input.(type) {
	case *bedrockruntime.InvokeModelInput:
		return in.Body, true
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		return in.Body, true
	case *HTTP:
		return in.Body, true
	default:
		return nil, false
	}
}

// ModelOf returns the model that an input names; nil if it names none.
func ModelOf(input any) *string {
	if in, ok := input.(*HTTP); ok {
		return &in.Model
	}
	_, id, _ := OperationOf(input)
	return id
}
