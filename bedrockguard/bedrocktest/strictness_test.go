package bedrocktest

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
)

// sendRaw posts a body that no typed client would build, and returns the status and the answer.
func sendRaw(t *testing.T, s *Server, model, operation, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/model/"+model+"/"+operation, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer simulated")
	client := &http.Client{Transport: s.transport}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(answer)
}

const (
	strictClaude = "us.anthropic.claude-haiku-4-5-20251001-v1%3A0"
	strictOSS    = "openai.gpt-oss-120b-1%3A0"
	strictAsk    = `{"role":"user","content":[{"text":"q"}]}`
	strictTools  = `"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]}`
	strictHead   = `"anthropic_version":"bedrock-2023-05-31","max_tokens":100`
)

// twoTools is a conversation in which the assistant used tools a and b and the user answers with results.
func twoTools(results ...string) string {
	return fmt.Sprintf(`{%s,"messages":[%s,{"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"f","input":{}}},`+
		`{"toolUse":{"toolUseId":"b","name":"f","input":{}}}]},{"role":"user","content":[%s]}]}`, strictTools, strictAsk, strings.Join(results, ","))
}

func rawResult(id, text string) string {
	return fmt.Sprintf(`{"toolResult":{"toolUseId":%q,"content":[{"text":%q}]}}`, id, text)
}

func TestStrictness(t *testing.T) {
	tests := []struct{ name, model, operation, body, want string }{
		{"each use answered once", strictClaude, "converse", twoTools(rawResult("a", "x"), rawResult("a", "y")), "toolResult blocks at messages.2.content contain duplicate Ids: a"},
		{"no empty text in a result", strictClaude, "converse", twoTools(rawResult("a", "x"), rawResult("b", "")), "messages.2.content.1 is blank"},
		{"tools are used by the assistant", strictClaude, "converse", `{"messages":[{"role":"user","content":[{"toolUse":{"toolUseId":"a","name":"f","input":{}}}]}]}`, "belong to the assistant"},
		{"a use has an id", strictClaude, "converse", `{"messages":[` + strictAsk + `,{"role":"assistant","content":[{"toolUse":{"name":"f","input":{}}}]}]}`, "toolUseId' failed to satisfy constraint: Member must not be null"},
		{"members of a toolSpec", strictClaude, "converse", `{"messages":[` + strictAsk + `],"toolConfig":{"tools":[{"toolSpec":{"name":"f","cache_control":{},"inputSchema":{"json":{}}}}]}}`, "cache_control"},
		{"no marker among the additional fields", strictClaude, "converse", `{"messages":[` + strictAsk + `],"additionalModelRequestFields":{"cacheControl":{}}}`, "cacheControl"},
		{"members of a text block", strictClaude, "invoke", `{` + strictHead + `,"messages":[{"role":"user","content":[{"type":"text","text":"x","ttl":"1h"}]}]}`, "extraneous key"},
		{"roles of a chat", strictOSS, "invoke", `{"messages":[{"role":"oracle","content":"x"}]}`, "roles are"},
		{"a duplicate key among many", strictClaude, "converse", manyKeys(2 * jsonnode.ScanLimit), "duplicate key"},
		{"counting for a model that is counted elsewhere", "anthropic.claude-opus-5", "count-tokens", `{"input":{"converse":{"messages":[` + strictAsk + `]}}}`, "doesn't support counting"},
		{"counting in one form", strictClaude, "count-tokens", `{"input":{}}`, "exactly one"},
		{"counting a body in base64", strictClaude, "count-tokens", `{"input":{"invokeModel":{"body":"*"}}}`, "base64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := New(t, Options{})
			status, answer := sendRaw(t, s, tt.model, tt.operation, tt.body)
			assert.Equal(t, http.StatusBadRequest, status)
			assert.Contains(t, answer, tt.want)
			assert.Zero(t, s.Bill().Inferences, "a refused request is not billed")
		})
	}
}

// manyKeys is an object of n keys whose last one repeats the first.
func manyKeys(n int) string {
	var keys strings.Builder
	for i := range n {
		fmt.Fprintf(&keys, `"k%d":1,`, i)
	}
	return `{` + keys.String() + `"k0":2}`
}

func TestBothFormsOfAPromptAreCounted(t *testing.T) {
	s := New(t, Options{})
	body := base64.StdEncoding.EncodeToString([]byte(`{` + strictHead + `,"messages":[{"role":"user","content":"q"}]}`))
	for _, input := range []string{`{"converse":{"messages":[` + strictAsk + `]}}`, `{"invokeModel":{"body":"` + body + `"}}`} {
		status, answer := sendRaw(t, s, bare(strictClaude), "count-tokens", `{"input":`+input+`}`)
		require.Equal(t, http.StatusOK, status, answer)
		require.JSONEq(t, `{"inputTokens":12}`, answer, "one word of two tokens, the frame of a message and what ends the prompt")
	}
	require.Zero(t, s.Bill().Inferences, "counting is free")
}

// Clients tell refusals apart by the service's sentences, and find the place by its indexes.
func TestRefusalsNameTheirPlace(t *testing.T) {
	server := New(t, Options{})
	const use = `{"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"f","input":{}}}]}`
	for want, tc := range map[string][2]string{
		"A conversation must start with a user message.":                                                        {novaPro, `{"messages":[{"role":"assistant","content":[{"text":"a"}]}]}`},
		"A conversation must alternate between user and assistant roles.":                                       {strictClaude, `{"messages":[` + strictAsk + `,` + strictAsk + `]}`},
		"The content field in the Message object at messages.0 is empty.":                                       {strictClaude, `{"messages":[{"role":"user","content":[]}]}`},
		"The text field in the ContentBlock object at messages.0.content.1 is blank.":                           {strictClaude, `{"messages":[{"role":"user","content":[{"text":"a"},{"text":""}]}]}`},
		"Expected toolResult blocks at messages.2.content for the following Ids: a":                             {strictClaude, `{` + strictTools + `,"messages":[` + strictAsk + `,` + use + `,` + strictAsk + `]}`},
		"The number of toolResult blocks at messages.0.content exceeds the number of toolUse blocks":            {strictClaude, `{` + strictTools + `,"messages":[{"role":"user","content":[` + rawResult("a", "x") + `]}]}`},
		"messages.2.content: unexpected `tool_use_id` found in `tool_result` blocks: b.":                        {strictClaude, `{` + strictTools + `,"messages":[` + strictAsk + `,` + use + `,{"role":"user","content":[` + rawResult("b", "x") + `]}]}`},
		"messages.0.content.1.document.source.type: Field required":                                             {strictClaude, `{"messages":[{"role":"user","content":[{"text":"a"},{"document":{"name":"d","format":"pdf","source":{"s3Location":{"uri":"s3://bucket/key"}}}}]}]}`},
		"The toolResult blocks at messages.1.content belong to the user: a message of the assistant can't hold": {strictClaude, `{` + strictTools + `,"messages":[` + strictAsk + `,{"role":"assistant","content":[` + rawResult("a", "x") + `]}]}`},
	} {
		status, body := sendRaw(t, server, tc[0], "converse", tc[1])
		require.Equal(t, http.StatusBadRequest, status, want)
		assert.Contains(t, body, want)
	}
	status, body := sendRaw(t, server, novaPro, "invoke", `{"messages":[{"role":"user","content":[{"text":"a"},{"inputText":"b"}]}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "Malformed input request: #/messages/0/content/1: extraneous key [inputText] is not permitted")
}
