package inputs

import "github.com/bedrockguard/bedrockguard-go/internal/request/cost"

// Form is the JSON dialect of a route's requests, answers and refusals. A route is what the method and the path of an HTTP request ask for.
type Form uint8

// The forms.
const (
	FormConverse  Form = iota + 1 // /model/{id}/converse and converse-stream
	FormInvoke                    // /model/{id}/invoke and invoke-with-response-stream: the dialect of the model's maker
	FormMessages                  // Anthropic's messages, the model in the body
	FormChat                      // OpenAI's chat completions
	FormResponses                 // OpenAI's responses
	FormNative                    // other operations of bedrock-runtime, in AWS's JSON
)

// IsAWS reports whether a form's errors are those of AWS's services, and not those of OpenAI or Anthropic. A request without a form, the zero
// value, is answered as AWS would.
func (f Form) IsAWS() bool { return f != FormMessages && f != FormChat && f != FormResponses }

// Dialect returns the form of a body as package cost reads it. cost.OfModel says that the model's maker decides; it also stands for forms whose
// bodies are not read.
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

// HTTP is a request that came over HTTP, as the links of the guard get it: where a call of the SDK has an input, such a call has a *HTTP. It is
// never changed: who changes a request makes a copy.
type HTTP struct {
	Model  string // the model id that the path or the body names; may be empty
	Body   []byte // JSON in the dialect of Form
	Form   Form
	Signed bool // the body is signed, so that no changed copy of it can be sent
}

// IsSigned reports whether a request must be sent as it is, because it was signed before it came to the guard. The SDK signs behind the guard.
func IsSigned(input any) bool {
	in, ok := input.(*HTTP)
	return ok && in.Signed
}
