package bedrocktest

import (
	"net/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// inference is one request while it is served: its prompt, as a dialect's parser has read it, and what else its answer and its bill depend on.
type inference struct {
	dialects.Prompt
	region  string // of the ARN that was called; empty for an id
	request Request
	// guardrailVersion is the version of the guardrail that the request names.
	guardrailVersion string
	traced           int         // how many of the guardrails the answer reports; they come first
	by               answering   // the model, tier and mode that answer, set when the request is billed
	steps            []iteration // the compactions of the history and the message after them; nil without compaction
	usageAsked       bool        // a stream of chat completions asks for usage
	stored           *stored     // where a response is stored
}

// finish makes the checks that need the whole prompt, and copies into the Request what a test is shown of the prompt.
func (in *inference) finish() *refusal.Error {
	if refused := in.Prompt.Finish(); refused != nil {
		return refused
	}
	r := &in.request
	r.ModelID, r.InputTokens, r.MaxTokens = in.Model.ID, in.InputTokens, in.MaxTokens
	// in.Turns is 0 in all dialects but that of the Responses API: describe counts their turns later.
	r.Messages, r.LastText, r.Turn = in.MessageCount, in.LastText, in.Turns
	for _, result := range in.Results {
		r.ToolResults = append(r.ToolResults, ToolResult{ID: result.ID, Content: result.Content})
	}
	return nil
}

// Request is what a Reply function gets of a request.
type Request struct {
	Seq         int    // counted from 1
	Operation   string // such as "converse-stream" or "invoke"; or a route such as "chat/completions"
	ModelID     string // the foundation model
	AskedID     string // the id or ARN that the request names
	Turn        int    // how many turns the assistant had before it, not counting a prefill
	Header      http.Header
	MaxTokens   int    // the model's maximum if the request has none
	InputTokens int    // including cached ones
	Messages    int    // how many there are; documents to rank and texts to embed count as one each
	LastText    string // the last text block of the last message that has one
	System      string
	Tools       []string     // names of the offered tools
	ToolResults []ToolResult // of the last message; a tool loop can use these
	Body        []byte       // as it was sent
	Refused     string       // why it was refused, for Received; empty if it was answered
}
