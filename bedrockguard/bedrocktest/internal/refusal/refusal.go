// Package refusal has the answers that end a request, in AWS's form and in that of the OpenAI and Anthropic routes.
package refusal

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Error is an answer in AWS's form that ends a request.
type Error struct {
	Status  int
	Type    string
	Message string
}

func (r *Error) Error() string { return r.Message }

// New returns a refusal with a status, the type of the error and its text.
func New(status int, errType, message string) *Error {
	return &Error{status, errType, message}
}

// Invalid returns the refusal of a request that makes no sense to the service.
func Invalid(format string, args ...any) *Error {
	return New(400, "ValidationException", fmt.Sprintf(format, args...))
}

// ModelError returns the service's error for a request that the model's maker refuses.
func ModelError(text string) *Error {
	return Invalid("The model returned the following errors: %s", text)
}

// NoAccess refuses a model that the account may not use.
func NoAccess() *Error {
	return New(403, "AccessDeniedException", "You don't have access to the model with the specified model ID.")
}

// TooManyRequests throttles a request.
func TooManyRequests() *Error {
	return New(429, "ThrottlingException", "Too many requests, please wait before trying again.")
}

// AtEnd refuses a model that is retired.
func AtEnd() *Error {
	return New(404, "ResourceNotFoundException", "This model version has reached the end of its life. Please refer to the AWS documentation for more details.")
}

// NotServed refuses an operation that the simulator does not serve.
func NotServed() *Error {
	return New(404, "UnknownOperationException", "The operation is not served here.")
}

// NoResponse refuses to go on from a response that is not stored.
func NoResponse(id string) *Error {
	return New(404, "ResourceNotFoundException", "Response with id '"+id+"' not found.")
}

// ErrorNamespace follows the type of each error that Bedrock itself answers with (as recorded, 2024 to 2026).
const ErrorNamespace = ":http://internal.amazon.com/coral/com.amazon.bedrock/"

// Write answers with a refusal in AWS's form.
func (r *Error) Write(w http.ResponseWriter) {
	w.Header().Set("x-amzn-errortype", r.Type+ErrorNamespace)
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(r.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": r.Message})
}

// WriteAs answers with a refusal in the form of Anthropic's route if anthropic is set, and else in that of OpenAI's.
func (r *Error) WriteAs(anthropic bool, w http.ResponseWriter) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(r.Status)
	_ = json.NewEncoder(w).Encode(r.Told(anthropic))
}

// Told returns the JSON of a refusal in the form of Anthropic's route if anthropic is set, and else in that of OpenAI's.
func (r *Error) Told(anthropic bool) map[string]any {
	kinds := map[int][2]string{ // the type of the error by its status: OpenAI's name, and Anthropic's
		400: {"invalid_request_error", "invalid_request_error"}, 401: {"authentication_error", "authentication_error"}, 403: {"permission_error", "permission_error"},
		404: {"not_found_error", "not_found_error"}, 429: {"rate_limit_error", "rate_limit_error"}, 503: {"server_error", "overloaded_error"},
	}
	kind, known := kinds[r.Status]
	if !known {
		kind = [2]string{"server_error", "api_error"}
	}
	if anthropic {
		return map[string]any{"type": "error", "error": map[string]any{"type": kind[1], "message": r.Message}}
	}
	return map[string]any{"error": map[string]any{"type": kind[0], "message": r.Message, "code": nil, "param": nil}}
}
