package inputs

import "github.com/bedrockguard/bedrockguard-go/internal/request/cost"

// Form is the JSON dialect of a route's requests, answers and refusals.
type Form uint8

// The forms.
const (
	FormConverse  Form = iota + 1 // /model/{id}/converse and converse-stream
	FormInvoke                    // /model/{id}/invoke and invoke-with-response-stream: the dialect of the model's maker
	FormMessages                  // Anthropic's messages, the model in the body
	FormChat                      // OpenAI's chat completions
	FormResponses                 // OpenAI's responses
	FormNative                    // other operations of bedrock-runtime
)

// IsAWS reports whether a form's errors are those of AWS's services, and not those of OpenAI or Anthropic. A request without a form, the zero
// value, is answered as AWS would.
func (f Form) IsAWS() bool { return f != FormMessages && f != FormChat && f != FormResponses }

// Dialect is that of a form's requests.
func (f Form) Dialect() cost.Dialect {
	switch f {
	case FormConverse:
		return cost.Converse
	case FormMessages:
		return cost.Messages
	case FormChat:
		return cost.Chat
	case FormResponses:
		return cost.Responses
	default:
		return cost.OfModel
	}
}

// HTTP is the body of a request that came over HTTP. Changes are made to a copy.
type HTTP struct {
	Model  string
	Body   []byte
	Form   Form
	Signed bool // it must not be changed
}

// IsSigned reports whether a request must not be changed.
func IsSigned(input any) bool {
	in, ok := input.(*HTTP)
	return ok && in.Signed
}
