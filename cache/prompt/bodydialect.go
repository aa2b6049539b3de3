package prompt

import "github.com/bedrockguard/bedrockguard-go/internal/request"

// dialect is a form of request body.
type dialect uint8

const (
	noDialect     dialect = iota // none of the others, or no body
	anthropicBody                // InvokeModel's for Claude
	novaBody                     // InvokeModel's for Amazon's Nova
	converseBody                 // a Converse request as JSON
)

// form returns the form of cache point that a dialect has. It is not asked of noDialect.
func (d dialect) form() request.Marker {
	switch d {
	case anthropicBody:
		return request.Control
	case novaBody:
		return request.Property
	default:
		return request.Element
	}
}

// signs are what a body shows of its dialect.
type signs uint16

const (
	hasMessages    signs = 1 << iota
	anthropicField       // a field that Claude's bodies alone have
	novaField            // one that Nova's bodies alone have
	converseField        // one that Converse alone has
	openAIShape          // a field, role or block of the shape that OpenAI and many others share
	systemMessage        // a message of the system: usual in OpenAI's shape, and rare in Claude's bodies
	bedrockShape         // a field that Nova's bodies and Converse share
	typedBlock           // a block that tells its kind by its type
	keyedBlock           // a block that tells its kind by its key
	propertyMarker       // cachePoint in a block
	elementMarker        // cachePoint in the place of a block
	topMarker            // cache_control outside of any block
)

// dialect tells the dialect from the signs, the surest first; the provider decides where they leave it open. No body may stop being understood when
// its cache points are taken away, so cache points never decide alone, except that a block of nothing but a cache point is Converse's.
func (s signs) dialect(provider string) dialect {
	has := func(oneOf signs) bool { return s&oneOf != 0 }
	keysAlone := has(keyedBlock|elementMarker) && !has(typedBlock) // blocks tell their kinds by keys, and none by a type
	switch {
	case !has(hasMessages):
		return noDialect
	case has(anthropicField):
		return anthropicBody
	case has(novaField):
		return novaBody
	case has(openAIShape):
		return noDialect
	case has(converseField):
		return converseBody
	case has(bedrockShape), keysAlone:
		return s.bedrockDialect(provider)
	// Without a provider, blocks with a type are Claude's, but not beside a message of the system, which is usual in OpenAI's shape.
	case provider == "anthropic", provider == "" && has(typedBlock) && !has(systemMessage):
		return anthropicBody
	case provider == "amazon" && !has(typedBlock):
		return novaBody
	default:
		return noDialect
	}
}

// bedrockDialect tells Nova's bodies from Converse, which differ in their cache points only.
func (s signs) bedrockDialect(provider string) dialect {
	switch {
	case s&propertyMarker != 0:
		return novaBody
	case s&elementMarker != 0:
		return converseBody
	case provider == "amazon":
		return novaBody
	default:
		return converseBody
	}
}

// signOfField tells what a field at the top level is a sign of.
func signOfField(key string) signs {
	switch key {
	case "messages":
		return hasMessages
	case "anthropic_version":
		return anthropicField
	case "schemaVersion":
		return novaField
	case "inferenceConfig", "toolConfig":
		return bedrockShape
	case "modelId", "additionalModelRequestFields", "additionalModelResponseFieldPaths", "guardrailConfig", "performanceConfig",
		"promptVariables", "requestMetadata":
		return converseField
	case "max_completion_tokens", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "response_format",
		"parallel_tool_calls", "n", "seed", "stream_options", "reasoning_effort", "functions", "function_call":
		return openAIShape
	default:
		return 0
	}
}

// signOfMessageField tells what a field of a message is a sign of.
func signOfMessageField(key string) signs {
	switch key {
	case "tool_calls", "tool_call_id", "function_call", "refusal", "reasoning_content":
		return openAIShape
	default:
		return 0
	}
}

// signOfRole tells what the role of a message is a sign of.
func signOfRole(role string) signs {
	switch role {
	case "tool", "function", "developer":
		return openAIShape
	case "system":
		return systemMessage
	default:
		return 0
	}
}

// signOfType tells what a block's type is a sign of.
func signOfType(name string) signs {
	switch name {
	case "image_url", "input_text", "output_text", "input_image", "input_audio", "input_file", "refusal":
		return typedBlock | openAIShape
	default:
		return typedBlock
	}
}
