package bedrocktest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
)

// webEvent is one event of a stream of the web's own.
type webEvent struct{ kind, data string }

// route sends a request to one of the OpenAI and Anthropic routes; host empty is the server's own.
func route(t *testing.T, server *Server, method, host, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL()+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Api-Key", "simulated")
	if strings.HasPrefix(path, "/model/") {
		r.Header.Set("Authorization", "Bearer simulated")
	}
	if host != "" {
		r.Host = host
	}
	return read(t, server, r)
}

// read sends a request and reads the answer.
func read(t *testing.T, server *Server, r *http.Request) (int, string) {
	t.Helper()
	response, err := server.transport.RoundTrip(r)
	require.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NotEmpty(t, response.Header.Get("X-Amzn-Requestid"))
	return response.StatusCode, string(raw)
}

func webEvents(t *testing.T, body string) (all []webEvent) {
	t.Helper()
	for _, part := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		var e webEvent
		for line := range strings.Lines(part) {
			if kind, ok := strings.CutPrefix(line, "event: "); ok {
				e.kind = strings.TrimSpace(kind)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				e.data = data
			}
		}
		require.NotEmpty(t, e.data, part)
		all = append(all, e)
	}
	return all
}

const (
	mantle         = "bedrock-mantle.us-east-1.api.aws"
	completionBody = `{"model":"openai.gpt-oss-120b","messages":[{"role":"user","content":"q"}]`
	responsesBody  = `{"model":"openai.gpt-5.6-luna","input":"q"`
	messagesBody   = `{"model":"anthropic.claude-sonnet-4-5-20250929-v1:0","max_tokens":100,"messages":[{"role":"user","content":"q"}]`
)

// One script is told in the words of each route, in one piece and as a stream, and billed as it tells.
func TestRoutesOfOpenAIAndAnthropic(t *testing.T) {
	reply := Answer(Thinks("hm", "c2ln"), Says("a b"), Uses("look", `{"at":1}`))
	for path, tc := range map[string]struct{ body, want, events string }{
		"/v1/chat/completions": {
			completionBody, `{"object":"chat.completion","choices":[{"finish_reason":"tool_calls","message":{"content":"a b","reasoning":"hm","tool_calls":[{"function":{"name":"look"}}]}}],"usage":{}}`, "",
		},
		"/openai/v1/responses": {
			responsesBody, `{"object":"response","status":"completed","output":[{"type":"reasoning","content":[{"type":"reasoning_text"}]},{"type":"message","content":[{"type":"output_text","text":"a b"}]},{"type":"function_call","name":"look"}],"usage":{"input_tokens_details":{"cached_tokens":0}}}`,
			"created in_progress output_item.added reasoning_part.added reasoning_text.delta reasoning_text.done reasoning_part.done output_item.done output_item.added content_part.added " +
				"output_text.delta output_text.delta output_text.done content_part.done output_item.done output_item.added function_call_arguments.delta function_call_arguments.done output_item.done completed",
		},
		"/anthropic/v1/messages": {
			messagesBody, `{"type":"message","stop_reason":"tool_use","content":[{"type":"thinking"},{"type":"text","text":"a b"},{"type":"tool_use","name":"look"}],"usage":{}}`,
			"message_start content_block_start content_block_delta content_block_delta content_block_stop content_block_start content_block_delta content_block_delta content_block_stop content_block_start content_block_delta content_block_stop message_delta message_stop",
		},
	} {
		t.Run(path, func(t *testing.T) {
			server := New(t, Options{Record: true, Reply: Turns(reply)})
			status, body := route(t, server, http.MethodPost, mantle, path, tc.body+`}`)
			require.Equal(t, 200, status, body)
			requireHolds(t, tc.want, body)
			require.NotContains(t, body, "amazon-bedrock")

			status, body = route(t, server, http.MethodPost, mantle, path, tc.body+`,"stream":true}`)
			require.Equal(t, 200, status, body)
			require.NotContains(t, body, "amazon-bedrock")
			var kinds []string
			for _, e := range webEvents(t, body) {
				kinds = append(kinds, strings.TrimPrefix(e.kind, "response."))
			}
			if tc.events != "" {
				require.Equal(t, tc.events, strings.Join(kinds, " "))
			} else {
				require.True(t, strings.HasSuffix(body, "data: [DONE]\n\n"))
			}
			require.Equal(t, 2, server.Bill().Inferences)
			require.Equal(t, server.Inferences()[0].NanoUSD, server.Inferences()[1].NanoUSD)
			require.Equal(t, "q", server.Received()[0].LastText)
		})
	}
}

// An item that a test gives in JSON is complete in its first event, whatever its type.
func TestStreamOfARawFunctionCall(t *testing.T) {
	server := New(t, Options{Reply: Turns(Answer(Block{Raw: `{"type":"function_call","call_id":"c1","name":"look","arguments":"{}"}`}))})
	status, body := route(t, server, http.MethodPost, mantle, "/openai/v1/responses", responsesBody+`,"stream":true}`)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, `"call_id":"c1"`)
	require.Contains(t, body, "response.completed")
}

// A stream of chat completions tells usage to who asks for it.
func TestStreamOfChatCompletionsTellsUsageWhenAsked(t *testing.T) {
	server := New(t, Options{})
	_, body := route(t, server, http.MethodPost, "", "/openai/v1/chat/completions", completionBody+`,"stream":true}`)
	require.NotContains(t, body, "usage")
	_, body = route(t, server, http.MethodPost, "", "/openai/v1/chat/completions", completionBody+`,"stream":true,"stream_options":{"include_usage":true}}`)
	events := webEvents(t, body)
	var last struct {
		Choices []any
		Usage   struct {
			Prompt int64 `json:"prompt_tokens"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(events[len(events)-2].data), &last))
	require.Empty(t, last.Choices)
	require.Equal(t, server.Inferences()[1].InputTokens, last.Usage.Prompt)
}

// A response is stored unless it says otherwise, and one that follows it is billed for all that it held.
func TestResponsesAreStoredAndBilledAgain(t *testing.T) {
	server := New(t, Options{CountTokens: perByte, Reply: Turns(Answer(Says(sized("a", 200))))})
	send := func(more string) (int, string) {
		return route(t, server, http.MethodPost, "", "/openai/v1/responses", responsesBody+more+`}`)
	}
	status, body := send("")
	require.Equal(t, 200, status)
	var first struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(body), &first))
	status, _ = send(`,"previous_response_id":"` + first.ID + `"`)
	require.Equal(t, 200, status)
	all := server.Inferences()
	require.Equal(t, all[0].InputTokens+200+1+2*4, all[1].InputTokens, "its answer, the question again, and their frames")

	status, body = route(t, server, http.MethodGet, "", "/openai/v1/responses/"+first.ID, "")
	require.Equal(t, 200, status)
	requireHolds(t, `{"object":"response","id":"`+first.ID+`"}`, body)
	status, _ = route(t, server, http.MethodDelete, "", "/openai/v1/responses/"+first.ID, "")
	require.Equal(t, 200, status)
	status, body = send(`,"previous_response_id":"` + first.ID + `"`)
	require.Equal(t, 404, status)
	requireHolds(t, `{"error":{"type":"not_found_error"}}`, body)
	status, body = send(`,"store":false`)
	require.Equal(t, 200, status)
	require.NoError(t, json.Unmarshal([]byte(body), &first))
	status, _ = route(t, server, http.MethodGet, "", "/openai/v1/responses/"+first.ID, "")
	require.Equal(t, 404, status)
	status, _ = route(t, server, http.MethodPatch, "", "/openai/v1/responses/x", "")
	require.Equal(t, 404, status)
}

// Items of a conversation are read as what they are.
func TestItemsOfResponses(t *testing.T) {
	server := New(t, Options{Record: true})
	status, body := route(t, server, http.MethodPost, "", "/openai/v1/responses", `{"model":"openai.gpt-5.6-luna","instructions":"be brief","tools":[{"type":"function","name":"look","parameters":{}}],`+
		`"max_output_tokens":5,"input":[{"role":"user","content":[{"type":"input_text","text":"q"}]},{"type":"reasoning","summary":[],"encrypted_content":"`+strings.Repeat("x", 800)+`"},{"role":"assistant","content":[]},`+
		`{"type":"function_call","call_id":"c1","name":"look","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"snow"},{"type":"item_reference","id":"x"}]}`)
	require.Equal(t, 200, status, body)
	requireHolds(t, `{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}`, body)
	r := server.Received()[0]
	require.Equal(t, []ToolResult{{ID: "c1", Content: "snow"}}, r.ToolResults)
	require.Equal(t, []string{"look"}, r.Tools)
	require.Equal(t, 1, r.Turn)
	require.Equal(t, "be brief", r.System)
	require.GreaterOrEqual(t, r.InputTokens, 800/dialects.BytesOfHiddenToken)
}

// What a route refuses it tells in its own words.
func TestRoutesRefuseInTheirOwnWords(t *testing.T) {
	server := New(t, Options{FaultFor: When(func(r Request) bool { return r.LastText == "fail" }, Throttle, Unavailable, StreamError)})
	for name, tc := range map[string]struct {
		host, path, body string
		status           int
		want             string
	}{
		"no JSON":                       {"", "/v1/responses", `{`, 400, `{"error":{"type":"invalid_request_error"}}`},
		"no model":                      {"", "/v1/responses", `{"input":"q"}`, 400, `{"error":{}}`},
		"an unknown model":              {"", "/v1/responses", `{"model":"x","input":"q"}`, 404, `{"error":{"type":"not_found_error"}}`},
		"Claude as a chat":              {"", "/v1/chat/completions", `{"model":"anthropic.claude-opus-5","messages":[]}`, 400, `{"error":{}}`},
		"a chat as Claude":              {"", "/anthropic/v1/messages", `{"model":"openai.gpt-5.5","messages":[]}`, 400, `{"type":"error","error":{"type":"invalid_request_error"}}`},
		"the wrong prefix of mantle":    {mantle, "/openai/v1/chat/completions", completionBody + `}`, 400, `{"error":{}}`},
		"no input":                      {"", "/v1/responses", `{"model":"openai.gpt-5.5","input":[]}`, 400, `{"error":{}}`},
		"in the background":             {"", "/v1/responses", responsesBody + `,"background":true}`, 400, `{"error":{}}`},
		"a rule of the model":           {"", "/anthropic/v1/messages", messagesBody + `,"temperature":0.5,"top_p":0.5}`, 400, `{"type":"error"}`},
		"a version in the body":         {"", "/anthropic/v1/messages", messagesBody + `,"anthropic_version":"x"}`, 400, `{"type":"error"}`},
		"counting outside of mantle":    {"", "/anthropic/v1/messages/count_tokens", messagesBody + `}`, 404, `{"type":"error"}`},
		"counting on mantle":            {mantle, "/anthropic/v1/messages/count_tokens", messagesBody + `}`, 200, `{"input_tokens":12}`},
		"an output of no tokens":        {"", "/v1/responses", responsesBody + `,"max_output_tokens":0}`, 400, `{"error":{}}`},
		"a path behind chat completion": {"", "/v1/chat/completions/x", completionBody + `}`, 404, `{"error":{}}`},
	} {
		status, body := route(t, server, http.MethodPost, tc.host, tc.path, tc.body)
		require.Equal(t, tc.status, status, "%s: %s", name, body)
		requireHolds(t, tc.want, body)
	}
	fail := strings.Replace(messagesBody, `"q"`, `"fail"`, 1)
	status, body := route(t, server, http.MethodPost, "", "/anthropic/v1/messages", fail+`}`)
	require.Equal(t, 429, status)
	requireHolds(t, `{"error":{"type":"rate_limit_error"}}`, body)
	status, body = route(t, server, http.MethodPost, "", "/anthropic/v1/messages", fail+`}`)
	require.Equal(t, 503, status)
	requireHolds(t, `{"error":{"type":"overloaded_error"}}`, body)
	_, body = route(t, server, http.MethodPost, "", "/anthropic/v1/messages", fail+`,"stream":true}`)
	events := webEvents(t, body)
	require.Equal(t, "error", events[len(events)-1].kind)
	requireHolds(t, `{"type":"error","error":{"type":"api_error"}}`, events[len(events)-1].data)

	status, body = route(t, server, http.MethodGet, "", "/v1/models", "")
	require.Equal(t, 200, status)
	require.Contains(t, body, `"id":"openai.gpt-5.6-luna"`)

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/v1/responses", strings.NewReader(responsesBody+`}`))
	require.NoError(t, err)
	response, err := server.transport.RoundTrip(r)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, 401, response.StatusCode)
}
