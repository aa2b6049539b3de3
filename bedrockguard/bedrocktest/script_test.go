package bedrocktest

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// recordedKinds are the kinds of answers that Converse was recorded giving (15 public repositories, 2024-01 to 2026-08), with what each
// has beside usage and metrics, and the events of its stream.
var recordedKinds = map[string]struct {
	reply  Reply
	want   string
	events string
}{
	"a text":         {Answer(Says("hi")), `{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn"}`, "start delta stop end metadata"},
	"several texts":  {Answer(Says("a"), Says("b")), `{"output":{"message":{"content":[{"text":"a"},{"text":"b"}]}}}`, "start delta stop delta stop end metadata"},
	"an empty text":  {Answer(Says("")), `{"output":{"message":{"content":[{"text":""}]}}}`, "start delta stop end metadata"},
	"no block":       {Answer(), `{"output":{"message":{"content":[]}}}`, "start end metadata"},
	"cut":            {Answer(Says("a")).Stopping("max_tokens"), `{"stopReason":"max_tokens"}`, "start delta stop end metadata"},
	"a tool alone":   {Answer(Uses("look", `{"at":1}`)), `{"output":{"message":{"content":[{"toolUse":{"name":"look","input":{"at":1}}}]}},"stopReason":"tool_use"}`, "start begin delta stop end metadata"},
	"text and tools": {Answer(Says("a"), Uses("look", ""), Uses("look", "{}")), `{"output":{"message":{"content":[{"text":"a"},{"toolUse":{"input":{}}},{"toolUse":{"input":{}}}]}}}`, "start delta stop begin delta stop begin delta stop end metadata"},
	"thought and text": {
		Answer(Thinks("hm", "c2ln"), Says("a")), `{"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln"}}},{"text":"a"}]}}}`,
		"start delta delta stop delta stop end metadata",
	},
	"thought without a signature": {Answer(Thinks("hm", "")), `{"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"hm"}}}]}}}`, "start delta stop end metadata"},
	"thought that is empty":       {Answer(Thinks("", ""), Says("a")), `{"output":{"message":{"content":[{"reasoningContent":{}},{"text":"a"}]}}}`, "start delta stop delta stop end metadata"},
	"redacted thought":            {Answer(Block{Reasoning: &Reasoning{Redacted: []byte("x")}}), `{"output":{"message":{"content":[{"reasoningContent":{"redactedContent":"eA=="}}]}}}`, "start delta stop end metadata"},
	"thought and tool":            {Answer(Thinks("hm", "c2ln"), Uses("look", "{}")), `{"stopReason":"tool_use"}`, "start delta delta stop begin delta stop end metadata"},
	"a cited document": {
		Answer(Says("a"), Cites("b", Citation{Title: "facts", Quote: "fact"})),
		`{"output":{"message":{"content":[{"text":"a"},{"citationsContent":{"content":[{"text":"b"}],"citations":[{"title":"facts","sourceContent":[{"text":"fact"}],"location":{"documentChar":{"documentIndex":0,"start":0,"end":4}}}]}}]}}}`,
		"start delta stop delta delta stop end metadata",
	},
	"a cited page": {
		Answer(Cites("b", Citation{Location: `{"documentPage":{"documentIndex":0,"start":1,"end":2}}`})),
		`{"output":{"message":{"content":[{"citationsContent":{"citations":[{"location":{"documentPage":{"documentIndex":0,"start":1,"end":2}}}]}}]}}}`, "start delta delta stop end metadata",
	},
	"a cited search result": {
		Answer(Cites("b", Citation{Source: "s", Location: `{"searchResultLocation":{"searchResultIndex":0,"start":0,"end":1}}`})),
		`{"output":{"message":{"content":[{"citationsContent":{"citations":[{"source":"s","location":{"searchResultLocation":{"searchResultIndex":0}}}]}}]}}}`, "start delta delta stop end metadata",
	},
	"a tool of the service, and a source without a text": {
		Answer(Runs("nova_grounding", `{"query":"q"}`), Returns(`[{"text":"found"}]`), Says("a"), Cites("", Citation{Location: `{"web":{"url":"https://example.com","domain":"example.com"}}`})),
		`{"output":{"message":{"content":[{"toolUse":{"type":"server_tool_use","name":"nova_grounding"}},{"toolResult":{"type":"nova_grounding_result","status":"success","content":[{"text":"found"}]}},` +
			`{"text":"a"},{"citationsContent":{"citations":[{"location":{"web":{"domain":"example.com"}}}]}}]}},"stopReason":"end_turn"}`,
		"start begin delta stop begin delta stop delta stop delta stop end metadata",
	},
	"a guardrail that masked": {
		Answer(Says("{ADDRESS}")).Masked(`{"sensitiveInformationPolicy":{"piiEntities":[{"type":"ADDRESS","match":"Oslo","action":"ANONYMIZED"}]}}`, "It is Oslo."),
		`{"stopReason":"guardrail_intervened","trace":{"guardrail":{"actionReason":"Guardrail masked.","modelOutput":["It is Oslo."],"outputAssessments":{"g1":[{"sensitiveInformationPolicy":{"piiEntities":[{"match":"Oslo"}]},"invocationMetrics":{"guardrailCoverage":{"textCharacters":{}}}}]}}}}`,
		"start delta stop end metadata",
	},
	"a guardrail that blocked": {
		Answer(Says("Sorry.")).Blocked(`{"topicPolicy":{"topics":[{"name":"stocks","type":"DENY","action":"BLOCKED"}]}}`),
		`{"stopReason":"guardrail_intervened","trace":{"guardrail":{"actionReason":"Guardrail blocked.","inputAssessment":{"g1":{"topicPolicy":{"topics":[{"name":"stocks"}]}}}}}}`, "start delta stop end metadata",
	},
	"a trace word for word": {
		Reply{Blocks: []Block{Says("a")}, Trace: `{"guardrail":{"inputAssessment":{}},"promptRouter":{"invokedModelId":"m"}}`},
		`{"trace":{"guardrail":{"inputAssessment":{}},"promptRouter":{"invokedModelId":"m"}}}`,
		"start delta stop end metadata",
	},
	"additional fields": {Reply{Blocks: []Block{Says("a")}, Fields: `{"stop_sequence":"x"}`, StopSequence: "x"}, `{"additionalModelResponseFields":{"stop_sequence":"x"},"stopReason":"stop_sequence"}`, "start delta stop end metadata"},
	"what has no field": {Answer(Block{Raw: `{"image":{"format":"png"}}`}), `{"output":{"message":{"content":[{"image":{"format":"png"}}]}}}`, "start begin stop end metadata"},
}

// Each kind of answer that Converse was recorded giving can be scripted, in one piece and as a stream.
func TestRecordedKindsOfAnswersCanBeScripted(t *testing.T) {
	const body = `{"messages":[{"role":"user","content":[{"text":"q"}]}],"guardrailConfig":{"guardrailIdentifier":"g1","guardrailVersion":"1","trace":"enabled"}}`
	names := map[string]string{
		"messageStart": "start", "contentBlockStart": "begin", "contentBlockDelta": "delta", "contentBlockStop": "stop", "messageStop": "end", "metadata": "metadata",
	}
	for kind, tc := range recordedKinds {
		t.Run(kind, func(t *testing.T) {
			server := New(t, Options{Reply: Turns(tc.reply)})
			got, err := post(t, server, sonnet45, "converse", body)
			require.NoError(t, err)
			require.Equal(t, 200, got.status, got.body)
			requireHolds(t, tc.want, got.body)

			in := ask(sonnet45).user(say("q")).in
			stream, err := newClient(server).ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages})
			require.NoError(t, err, "the SDK reads it")
			for e := range stream.GetStream().Events() {
				require.NotNil(t, e)
			}
			require.NoError(t, stream.GetStream().Close())
			told := []string{}
			for _, e := range converseEvents(&inference{Prompt: dialects.Prompt{Model: &modeltable.Model{}}}, promptcache.Split{}, tc.reply.complete(server, &inference{Prompt: dialects.Prompt{Model: &modeltable.Model{}}})) {
				told = append(told, names[e.kind])
			}
			require.Equal(t, tc.events, strings.Join(told, " "))
		})
	}
}

// An agent's three turns in one script: a retry meets the same turn again.
func TestTurnsFollowTheConversation(t *testing.T) {
	server := New(t, Options{Record: true, Reply: Turns(
		Answer(Thinks("two of them", "c2ln"), Uses("weather", `{"city":"Oslo"}`), Uses("weather", `{"city":"Bergen"}`)),
		Answer(Says("one more"), Uses("weather", `{"city":"Bodo"}`)),
		Answer(Says("rain")),
	)})
	require.Equal(t, "rain", agent(newClient(server), "And in Norway?"))
	received := server.Received()
	require.Len(t, received, 3)
	for i, r := range received {
		require.Equal(t, i, r.Turn)
		require.Equal(t, sonnet45, r.AskedID)
		require.NotEmpty(t, r.Header.Get("Authorization"))
	}
	require.Len(t, received[1].ToolResults, 2)

	refused, err := post(t, server, sonnet45, "converse", `{"messages":[]}`)
	require.NoError(t, err)
	require.Equal(t, 400, refused.status)
	require.Contains(t, server.Received()[3].Refused, "ValidationException: ")
	require.Equal(t, sonnet45, server.Received()[3].AskedID)

	again, err := post(t, server, sonnet45, "converse", string(received[1].Body))
	require.NoError(t, err)
	requireHolds(t, `{"output":{"message":{"content":[{"text":"one more"},{"toolUse":{}}]}}}`, again.body)
	require.Equal(t, Reply{}, Turns()(Request{}), "an empty script answers as none does")
}

// Every family tells a scripted stop reason in its own words.
func TestStopReasonsInTheWordsOfEachFamily(t *testing.T) {
	for model, tc := range map[string]struct {
		body, at string
		reasons  map[string]string
	}{
		sonnet45: {claudeBody, "stop_reason", map[string]string{"end_turn": "end_turn", "max_tokens": "max_tokens", "tool_use": "tool_use", "refusal": "refusal"}},
		novaPro:  {`{"messages":[{"role":"user","content":[{"text":"q"}]}]}`, "stopReason", map[string]string{"end_turn": "end_turn", "content_filtered": "content_filtered"}},
		gptOSS:   {`{"messages":[{"role":"user","content":"q"}]}`, "finish_reason", map[string]string{"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "content_filtered": "content_filter"}},

		"us.meta.llama3-1-70b-instruct-v1:0": {`{"prompt":"q"}`, "stop_reason", map[string]string{"end_turn": "stop", "max_tokens": "length"}},
		"amazon.titan-text-express-v1":       {`{"inputText":"q"}`, "completionReason", map[string]string{"end_turn": "FINISH", "max_tokens": "LENGTH", "content_filtered": "CONTENT_FILTERED"}},
		"mistral.mistral-7b-instruct-v0:2":   {`{"prompt":"q"}`, "stop_reason", map[string]string{"end_turn": "stop", "max_tokens": "length"}},
		"cohere.command-r-v1:0":              {`{"message":"q"}`, "finish_reason", map[string]string{"end_turn": "COMPLETE", "max_tokens": "MAX_TOKENS"}},
	} {
		for reason, want := range tc.reasons {
			server := New(t, Options{Reply: Turns(Answer(Says("a")).Stopping(reason))})
			raw, err := invoke(server, model, tc.body)
			require.NoError(t, err, model)
			require.Contains(t, string(raw.Body), `"`+tc.at+`":"`+want+`"`, model)
		}
	}
}

// Anthropic's own dialect has the same blocks, and its streams end where they began.
func TestBlocksInTheWordsOfAnthropic(t *testing.T) {
	server := New(t, Options{Reply: Turns(Answer(
		Runs("web_search", `{"query":"q"}`), Block{Result: &ServerResult{Type: "web_search_tool_result", Content: `[{"type":"web_search_result","url":"u"}]`}},
		Cites("b", Citation{Title: "t", Quote: "fact"}, Citation{Location: `{"web":{"url":"https://example.com"}}`}), Block{Raw: `{"type":"fallback"}`},
	).Tracing(`{"guardrail":{"input":{}}}`))})
	raw, err := invoke(server, sonnet45, claudeBody)
	require.NoError(t, err)
	requireHolds(t, `{"amazon-bedrock-trace":{"guardrail":{"input":{}}}}`, string(raw.Body))
	requireHolds(t, `{"content":[{"type":"server_tool_use","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","content":[{"url":"u"}]},`+
		`{"type":"text","text":"b","citations":[{"type":"char_location","cited_text":"fact","end_char_index":4},{"type":"web_search_result_location"}]},{"type":"fallback"}],"stop_reason":"end_turn"}`, string(raw.Body))
	kinds := map[string]int{}
	for _, c := range chunks(t, server, sonnet45, claudeBody) {
		var told struct{ Type string }
		require.NoError(t, json.Unmarshal(c, &told))
		kinds[told.Type]++
	}
	require.Equal(t, 4, kinds["content_block_start"])
	require.Equal(t, 4, kinds["content_block_stop"])
}

// A reply waits, stalls and fails by itself.
func TestRepliesHaveALatencyAndAStallOfTheirOwn(t *testing.T) {
	const pause = 30 * time.Millisecond
	server := New(t, Options{Reply: Turns(Answer(Says("a b c")).After(pause).Stalling(2, pause))})
	in := ask(sonnet45).user(say("q")).in
	began := time.Now()
	stream, err := newClient(server).ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages})
	require.NoError(t, err)
	var latency int64
	for e := range stream.GetStream().Events() {
		if m, ok := e.(*types.ConverseStreamOutputMemberMetadata); ok {
			latency = *m.Value.Metrics.LatencyMs
		}
	}
	require.NoError(t, stream.GetStream().Close())
	require.GreaterOrEqual(t, time.Since(began), 2*pause)
	require.Equal(t, pause.Milliseconds(), latency)
}

// An exception frame ends a stream where the script says, with the type that clients branch on.
func TestExceptionsInsideOfStreams(t *testing.T) {
	for kind, want := range map[FaultKind]any{
		StreamError: new(*types.ModelStreamErrorException), ThrottledMidStream: new(*types.ThrottlingException),
		UnavailableMidStream: new(*types.ServiceUnavailableException), InternalMidStream: new(*types.InternalServerException),
	} {
		server := New(t, Options{Reply: Turns(Answer(Says("a b c d")).Failing(kind, 3))})
		in := ask(sonnet45).user(say("q")).in
		stream, err := newClient(server).ConverseStream(context.Background(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages})
		require.NoError(t, err)
		events := 0
		for range stream.GetStream().Events() {
			events++
		}
		require.ErrorAs(t, stream.GetStream().Err(), want, kind)
		require.Equal(t, 3, events)
		require.Equal(t, 1, server.Bill().Inferences)
	}
}

// Faults go by what is asked, and are used up.
func TestFaultsGoByTheRequest(t *testing.T) {
	haiku := "us.anthropic.claude-haiku-4-5-20251001-v1:0"
	server := New(t, Options{FaultFor: When(func(r Request) bool { return strings.Contains(r.ModelID, "haiku") && r.LastText == "fail" }, Throttle, Denied, NotReady, OverQuota, Expired)})
	send := func(model, text string) answered {
		got, err := post(t, server, model, "converse", `{"messages":[{"role":"user","content":[{"text":"`+text+`"}]}]}`)
		require.NoError(t, err)
		return got
	}
	require.Equal(t, 200, send(sonnet45, "fail").status)
	require.Equal(t, 200, send(haiku, "pass").status)
	for _, want := range []string{"429 ThrottlingException", "403 AccessDeniedException", "429 ModelNotReadyException", "400 ServiceQuotaExceededException", "403 ExpiredTokenException"} {
		got := send(haiku, "fail")
		require.Equal(t, want, strconv.Itoa(got.status)+" "+got.errType)
	}
	require.Equal(t, 200, send(haiku, "fail").status, "the script is used up")
	require.Equal(t, 3, server.Bill().Inferences)
}

// ApplyGuardrail tells what the test says that it finds.
func TestGuardrailsFindWhatATestSays(t *testing.T) {
	server := New(t, Options{Assess: func(source, text string) Finding {
		if source != "INPUT" || !strings.Contains(text, "secret") {
			return Finding{}
		}
		return Finding{Policies: `{"wordPolicy":{"customWords":[{"match":"secret","action":"BLOCKED"}]}}`, Output: "no"}
	}})
	apply := func(source types.GuardrailContentSource) *bedrockruntime.ApplyGuardrailOutput {
		out, err := newClient(server).ApplyGuardrail(t.Context(), &bedrockruntime.ApplyGuardrailInput{
			GuardrailIdentifier: aws.String("g1"), GuardrailVersion: aws.String("1"), Source: source,
			Content: []types.GuardrailContentBlock{&types.GuardrailContentBlockMemberText{Value: types.GuardrailTextBlock{Text: aws.String("a secret")}}},
		})
		require.NoError(t, err)
		return out
	}
	out := apply(types.GuardrailContentSourceInput)
	require.Equal(t, types.GuardrailActionGuardrailIntervened, out.Action)
	require.Equal(t, "no", *out.Outputs[0].Text)
	require.Equal(t, "secret", *out.Assessments[0].WordPolicy.CustomWords[0].Match)
	require.EqualValues(t, 8, *out.GuardrailCoverage.TextCharacters.Guarded)
	require.Equal(t, types.GuardrailActionNone, apply(types.GuardrailContentSourceOutput).Action)
}

// A turn is what the assistant said before, in every dialect; what it is made to begin with is none, and neither is a part of one.
func TestTurnsInEveryDialect(t *testing.T) {
	server := New(t, Options{Record: true})
	for path, body := range map[string]string{
		"/model/" + sonnet45 + "/converse":    `{"messages":[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[{"text":"a"}]},{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[{"text":"pre"}]}]}`,
		"/model/" + gptOSS + "/invoke":        `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"}]}`,
		"/model/cohere.command-r-v1:0/invoke": `{"message":"q","chat_history":[{"role":"USER","message":"q"},{"role":"CHATBOT","message":"a"}]}`,
		"/openai/v1/responses":                `{"model":"openai.gpt-5.5","input":[{"role":"user","content":"q"},{"type":"reasoning","summary":[]},{"type":"function_call","call_id":"1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"r"}]}`,
	} {
		status, answer := route(t, server, "POST", "", path, body)
		require.Equal(t, 200, status, answer)
		all := server.Received()
		require.Equal(t, 1, all[len(all)-1].Turn, path)
	}
}
