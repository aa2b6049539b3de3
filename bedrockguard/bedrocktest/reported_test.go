package bedrocktest

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The models and the parts of requests of the reports.
const (
	repSonnet = sonnet45
	repNova   = "us.amazon.nova-pro-v1:0"
	repPNG    = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	repAsk    = `{"role":"user","content":[{"text":"hi"}]}`
	repHead   = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":3000,"messages":[`
	repThinks = `"inferenceConfig":{"maxTokens":4000},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000}}`
)

// conversed is a Converse body of messages and of more members.
func conversed(messages string, more ...string) string {
	return `{` + strings.Join(append([]string{`"messages":[` + messages + `]`}, more...), ",") + `}`
}

// asking is a Converse body of one short question and of more members.
func asking(more ...string) string { return conversed(repAsk, more...) }

func askingAbout(blocks string) string {
	return conversed(`{"role":"user","content":[{"text":"a"},` + blocks + `]}`)
}

func offering(name, more string) string {
	return `"toolConfig":{"tools":[{"toolSpec":{"name":"` + name + `","inputSchema":{"json":{"type":"object","properties":{"city":{"type":"string"}}}}` + more + `}}]}`
}

// looked is a conversation in which a tool was used once, under an id, with a result.
func looked(id, name, result string) string {
	return repAsk + `,` + lookedAgain(id, name, result)
}

func lookedAgain(id, name, result string) string {
	return `{"role":"assistant","content":[{"toolUse":{"toolUseId":"` + id + `","name":"` + name + `","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"` + id + `",` + result + `}}]}`
}

func attached(name string) string {
	return `{"document":{"name":"` + name + `","format":"txt","source":{"bytes":"aGVsbG8="}}}`
}

type reported struct {
	what, model, operation, body string
	status                       int
}

// refusedForms are requests that AWS was recorded refusing, that users reported as refused, or that its documentation or service model rules
// out (read until 2026-11), in groups of those.
func refusedForms() []reported {
	const ok, long = `"content":[{"text":"ok"}]`, 65
	look := offering("look", "")
	forced := strings.Replace(look, `]}`, `],"toolChoice":{"any":{}}}`, 1)
	many := strings.Builder{}
	for i := range 17 {
		many.WriteString(`,"k` + strconv.Itoa(i) + `":"v"`)
	}
	serverTool := base64.StdEncoding.EncodeToString([]byte(repHead + `{"role":"user","content":"hi"}],"tools":[{"type":"web_search_20250305","name":"web_search"}]}`))
	on := func(model, body string) reported {
		return reported{model: model, operation: "converse", body: body, status: 400}
	}
	sonnet := func(body string) reported { return on(repSonnet, body) }
	return []reported{
		named("bare id of a model for profiles alone", on(bare(repSonnet), asking())),
		named("tool name of 65", sonnet(asking(offering(strings.Repeat("a", long), "")))),
		named("tool name with a blank", sonnet(asking(offering("look up", "")))),
		named("empty description of a tool", sonnet(asking(offering("a", `,"description":""`)))),
		named("name of 65 of a tool that was used", sonnet(conversed(looked("t1", strings.Repeat("a", long), ok), look))),
		named("tools used without toolConfig", sonnet(conversed(looked("t1", "look", ok)))),
		named("blank in a key of a schema", sonnet(asking(strings.Replace(look, "city", "Account Number", 1)))),
		named("failed result without content", sonnet(conversed(looked("t1", "look", `"content":[],"status":"error"`), look))),
		named("temperature and topP on 4.5", sonnet(asking(`"inferenceConfig":{"temperature":0.5,"topP":0.9}`))),
		named("temperature on Opus 4.7", on("us.anthropic.claude-opus-4-7", asking(`"inferenceConfig":{"temperature":0.5}`))),
		named("temperature on Opus 5", on("us.anthropic.claude-opus-5", asking(`"inferenceConfig":{"temperature":0.5}`))),
		named("temperature with thinking", sonnet(asking(strings.Replace(repThinks, `4000`, `4000,"temperature":0.5`, 1)))),
		named("thinking and a forced tool", sonnet(asking(repThinks, forced))),
		named("thinking, and a turn that begins with a tool", sonnet(conversed(looked("t1", "look", ok), look, repThinks))),
		named("budget above maxTokens", sonnet(asking(strings.Replace(repThinks, "4000", "1000", 1)))),
		named("budget of 100", sonnet(asking(strings.Replace(repThinks, "2000", "100", 1)))),
		named("prefill on Opus 4.6", on("us.anthropic.claude-opus-4-6-v1", conversed(repAsk+`,{"role":"assistant","content":[{"text":"b"}]}`))),
		named("prefill that ends in a blank", sonnet(conversed(repAsk+`,{"role":"assistant","content":[{"text":"b "}]}`))),
		named("document name with a dot", sonnet(askingAbout(attached("report.pdf")))),
		named("document name with two blanks", sonnet(askingAbout(attached("my  report")))),
		named("two documents of one name", sonnet(askingAbout(attached("r")+`,`+attached("r")))),
		named("document without a text beside it", sonnet(conversed(`{"role":"user","content":[`+attached("r")+`]}`))),
		named("cache point behind a document of text", sonnet(askingAbout(attached("r")+`,{"cachePoint":{"type":"default"}}`))),
		named("image that is none", sonnet(askingAbout(`{"image":{"format":"png","source":{"bytes":"bm9wZQ=="}}}`))),
		named("image to a model of text", on("meta.llama3-8b-instruct-v1:0", askingAbout(`{"image":{"format":"png","source":{"bytes":"`+repPNG+`"}}}`))),
		named("system prompt to Titan Text", on("amazon.titan-text-express-v1", asking(`"system":[{"text":"s"}]`))),
		named("tools to DeepSeek R1", on("us.deepseek.r1-v1:0", asking(look))),
		named("forced tool on Llama", on("us.meta.llama3-1-70b-instruct-v1:0", asking(forced))),
		named("stop sequences on Qwen", on("qwen.qwen3-32b-v1:0", asking(`"inferenceConfig":{"stopSequences":["x"]}`))),
		named("stop sequences on gpt-oss", on("openai.gpt-oss-120b-1:0", asking(`"inferenceConfig":{"stopSequences":["x"]}`))),
		named("unknown additional field", sonnet(asking(`"additionalModelRequestFields":{"reasoning":{}}`))),
		named("system prompt among the additional fields", sonnet(asking(`"additionalModelRequestFields":{"system":"x"}`))),
		named("image in S3 to Claude", sonnet(askingAbout(`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k.png"}}}}`))),
		named("video in a result to Claude", sonnet(conversed(looked("t1", "look", `"content":[{"video":{"format":"mp4","source":{"bytes":"JVBERi0xLjQgeA=="}}}]`), look))),
		named("server tool that is counted", reported{model: "anthropic.claude-sonnet-4-20250514-v1:0", operation: "count-tokens", body: `{"input":{"invokeModel":{"body":"` + serverTool + `"}}}`, status: 400}),
		named("unknown model", on("us.does-not-exist-model-v1:0", asking())),
		named("profile of another geography", on("eu.anthropic.claude-haiku-4-5-20251001-v1:0", asking())),
		named("temperature of 1.5", sonnet(asking(`"inferenceConfig":{"temperature":1.5}`))),
		named("17 entries of metadata", sonnet(asking(`"requestMetadata":{`+many.String()[1:]+`}`))),
		named("one tool id twice", sonnet(conversed(looked("t1", "look", ok)+`,`+lookedAgain("t1", "look", ok), look))),
		named("tool id of 65", sonnet(conversed(looked(strings.Repeat("x", long), "look", ok), look))),
		named("tool id with a pipe", sonnet(conversed(looked("a|b", "look", ok), look))),
		named("flex tier on Claude", sonnet(asking(`"serviceTier":{"type":"flex"}`))),
	}
}

func named(what string, r reported) reported {
	r.what = what
	return r
}

// refusedBodies are those of InvokeModel, and models that have ended.
func refusedBodies() []reported {
	invoke := func(body string) reported {
		return reported{model: repSonnet, operation: "invoke", body: body, status: 400}
	}
	all := []reported{
		named("InvokeModel: temperature of 7", invoke(repHead+`{"role":"user","content":"hi"}],"temperature":7}`)),
		named("InvokeModel: tool without input_schema", invoke(repHead+`{"role":"user","content":"hi"}],"tools":[{"name":"a"}]}`)),
		named("InvokeModel: temperature and top_p", invoke(repHead+`{"role":"user","content":"hi"}],"temperature":0.5,"top_p":0.5}`)),
		named("InvokeModel: unknown member of a tool_use", invoke(repHead+`{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"x","input":{},"text":"z"}]},`+
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"r"}]}],"tools":[{"name":"x","input_schema":{"type":"object"}}]}`)),
		named("InvokeModel: bare id, streamed", reported{
			model: "anthropic.claude-sonnet-4-20250514-v1:0", operation: "invoke-with-response-stream", body: repHead + `{"role":"user","content":"hi"}]}`, status: 400,
		}),
	}
	for name, model := range map[string]string{
		"Claude 3.5 Haiku":  "us.anthropic.claude-3-5-haiku-20241022-v1:0",
		"Claude 3.7 Sonnet": "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
		"Claude 3.5 Sonnet": "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
		"Claude 3 Haiku":    "anthropic.claude-3-haiku-20240307-v1:0",
	} {
		all = append(all, reported{name, model, "converse", asking(), 404})
	}
	return all
}

// servedForms are requests of unusual form that AWS serves: recorded, or documented.
func servedForms() []reported {
	invoke := func(what, model, body string) reported { return reported{what, model, "invoke", body, 200} }
	const hi = `{"role":"user","content":"hi"}`
	return []reported{
		{"the assistant begins", repSonnet, "converse", conversed(`{"role":"assistant","content":[{"text":"b"}]},` + repAsk), 200},
		{"system tool of Nova 2", "us.amazon.nova-2-lite-v1:0", "converse", asking(`"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}`), 200},
		{"Titan Text streamed", "amazon.titan-text-express-v1", "invoke-with-response-stream", `{"inputText":"hi"}`, 200},
		{"Mistral streamed", "mistral.mistral-7b-instruct-v0:2", "invoke-with-response-stream", `{"prompt":"hi"}`, 200},
		invoke("two messages of the user in a row", repSonnet, repHead+hi+`,`+hi+`]}`),
		invoke("output_format and betas", repSonnet, repHead+hi+`],"anthropic_beta":["structured-outputs-2025-11-13"],"output_format":{"type":"json_schema","schema":{"type":"object"}}}`),
		invoke("context_management", repSonnet, repHead+hi+`],"anthropic_beta":["context-management-2025-06-27"],"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]}}`),
		invoke("result of a tool in Nova's form", repNova, conversed(looked("t1", "look", `"content":[{"text":"ok"}]`), offering("look", ""))),
		invoke("image in Nova's form", repNova, conversed(`{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"`+repPNG+`"}}},{"text":"a"}]}`)),
		invoke("Command R", "cohere.command-r-v1:0", `{"message":"hi"}`),
		invoke("Jamba", "ai21.jamba-1-5-mini-v1:0", `{"messages":[`+hi+`]}`),
		invoke("system between messages", "us.anthropic.claude-opus-4-8", repHead+hi+`,{"role":"assistant","content":"b"},`+hi+`,{"role":"system","content":"d"}]}`),
	}
}

// What users reported, recordings show or AWS documents is answered with the same status.
func TestReportedAnswers(t *testing.T) {
	server := New(t, Options{Clock: onDay(t, "2026-11-28")})
	all := slices.Concat(refusedForms(), refusedBodies(), servedForms())
	for _, r := range all {
		t.Run(r.what, func(t *testing.T) {
			got, err := post(t, server, r.model, r.operation, r.body)
			require.NoError(t, err)
			require.Equal(t, r.status, got.status, got.body)
		})
	}
	t.Logf("%d reports", len(all))
}

func onDay(t *testing.T, day string) func() time.Time {
	t.Helper()
	at, err := time.Parse(time.DateOnly, day)
	require.NoError(t, err)
	return func() time.Time { return at }
}

// Two reports are answered otherwise unless a test says more: which guardrails exist, and when it is.
func TestReportedRefusalsThatDependOnMore(t *testing.T) {
	const claude37 = "anthropic.claude-3-7-sonnet-20250219-v1:0"
	guarded := asking(`"guardrailConfig":{"guardrailIdentifier":"nosuch","guardrailVersion":"1"}`)
	for name, tc := range map[string]struct {
		opts        Options
		model, body string
		status      int
	}{
		"a bare id of a model for profiles alone, while it lived":     {Options{Clock: onDay(t, "2026-01-01")}, claude37, asking(), 400},
		"the same today: that it has ended is judged first":           {Options{Clock: onDay(t, "2026-11-28")}, claude37, asking(), 404},
		"an unknown guardrail, where the test says which exist":       {Options{Guardrails: []string{"mine"}}, sonnet45, guarded, 400},
		"the same where it does not: guardrails are made elsewhere":   {Options{}, sonnet45, guarded, 200},
		"an enforced guardrail exists without being listed once more": {Options{Guardrails: []string{}, EnforcedGuardrails: []string{"nosuch"}}, sonnet45, guarded, 200},
	} {
		t.Run(name, func(t *testing.T) {
			tc.opts.FirstByteDelay = -1
			got, err := post(t, New(t, tc.opts), tc.model, "converse", tc.body)
			require.NoError(t, err)
			require.Equal(t, tc.status, got.status, got.body)
		})
	}
}
