package bedrocktest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const notes = `{"document":{"name":"notes","format":"txt","source":{"bytes":"aGVsbG8="}}}`

// Each rule: a request that breaks it and nothing else, its healthy twin, and that the rule can be switched off.
func TestRulesOfModels(t *testing.T) {
	const (
		user     = `{"role":"user","content":[{"text":"hi"}]}`
		tool     = `{"toolSpec":{"name":"look","inputSchema":{"json":{"type":"object"}}}}`
		png      = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
		llama    = "us.meta.llama3-1-70b-instruct-v1:0"
		opus47   = "us.anthropic.claude-opus-4-7"
		haiku45  = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
		nova     = "us.amazon.nova-pro-v1:0"
		thinking = `"inferenceConfig":{"maxTokens":4000},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":%d}}`
	)
	body := func(messages, rest string) string {
		if rest != "" {
			rest = "," + rest
		}
		return `{"messages":[` + messages + `]` + rest + `}`
	}
	used := func(id string) string {
		return `{"role":"assistant","content":[{"toolUse":{"toolUseId":"` + id + `","name":"look","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"` + id + `","content":[{"text":"ok"}]}}]}`
	}
	tools := `"toolConfig":{"tools":[` + tool + `]}`
	document := func(name string) string {
		return `{"document":{"name":"` + name + `","format":"txt","source":{"bytes":"aGVsbG8="}}}`
	}
	says := func(content string) string { return `{"role":"user","content":[` + content + `]}` }
	budget := func(n int) string { return fmt.Sprintf(thinking, n) }
	claude := func(rest string) string {
		return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":3000,"messages":[{"role":"user","content":"hi"}]` + rest + `}`
	}
	type request struct{ model, operation, body string }
	converse := func(model, body string) request { return request{model, "converse", body} }
	for _, tc := range []struct {
		rule            Rule
		broken, healthy request
		status          int
	}{
		{RuleProfileOnly, converse(bare(sonnet45), body(user, "")), converse(sonnet45, body(user, "")), 400},
		{RuleProfileOnly, request{bare(sonnet45), "invoke", claude("")}, request{sonnet45, "invoke", claude("")}, 400},
		{RuleEndOfLife, converse("us.anthropic.claude-3-5-haiku-20241022-v1:0", body(user, "")), converse(haiku45, body(user, "")), 404},
		{RuleRegionOfProfile, converse("eu."+bare(haiku45), body(user, "")), converse("global."+bare(haiku45), body(user, "")), 400},
		{RuleDocumentName, converse(sonnet45, body(says(`{"text":"a"},`+document("report.pdf")), "")), converse(sonnet45, body(says(`{"text":"a"},`+document("report (1) [a-b]")), "")), 400},
		{RuleDocumentName, converse(sonnet45, body(says(`{"text":"a"},`+document("my  report")), "")), converse(sonnet45, body(says(`{"text":"a"},`+document("my report")), "")), 400},
		{RuleDocumentName, converse(sonnet45, body(says(`{"text":"a"},`+document("r")+`,`+document("r")), "")), converse(sonnet45, body(says(`{"text":"a"},`+document("r")+`,`+document("s")), "")), 400},
		{RuleDocumentName, converse(sonnet45, body(says(document("r")), "")), converse(sonnet45, body(says(document("r")+`,{"text":"a"}`), "")), 400},
		{RuleThinkingBudget, converse(sonnet45, body(user, budget(100))), converse(sonnet45, body(user, budget(1024))), 400},
		{RuleThinkingBudget, converse(sonnet45, body(user, budget(4000))), converse(sonnet45, body(user, budget(3999))), 400},
		{
			RuleThinkingSampling, converse(sonnet45, body(user, `"inferenceConfig":{"maxTokens":4000,"temperature":0.5},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000}}`)),
			converse(sonnet45, body(user, `"inferenceConfig":{"maxTokens":4000,"temperature":1},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000}}`)), 400,
		},
		{RuleThinkingTools, converse(sonnet45, body(user, budget(2000)+`,"toolConfig":{"tools":[`+tool+`],"toolChoice":{"any":{}}}`)), converse(sonnet45, body(user, budget(2000)+`,"toolConfig":{"tools":[`+tool+`],"toolChoice":{"auto":{}}}`)), 400},
		{RuleThinkingFirst, converse(sonnet45, body(user+`,`+used("t1"), budget(2000)+`,`+tools)), converse(sonnet45, body(user+`,`+used("t1"), tools)), 400},
		{RuleTrailingBlank, converse(sonnet45, body(user+`,{"role":"assistant","content":[{"text":"b "}]}`, "")), converse(sonnet45, body(user+`,{"role":"assistant","content":[{"text":"b"}]}`, "")), 400},
		{RulePrefill, converse(opus46, body(user+`,{"role":"assistant","content":[{"text":"b"}]}`, "")), converse(opus46, body(user+`,{"role":"assistant","content":[{"text":"b"}]},`+user, "")), 400},
		{RuleMediaOfModel, converse("meta.llama3-8b-instruct-v1:0", body(says(`{"text":"a"},{"image":{"format":"png","source":{"bytes":"`+png+`"}}}`), "")), converse(nova, body(says(`{"text":"a"},{"image":{"format":"png","source":{"bytes":"`+png+`"}}}`), "")), 400},
		{RuleMediaOfModel, converse(sonnet45, body(says(`{"text":"a"},{"image":{"format":"png","source":{"s3Location":{"uri":"s3://bucket/k.png"}}}}`), "")), converse(nova, body(says(`{"text":"a"},{"image":{"format":"png","source":{"s3Location":{"uri":"s3://bucket/k.png"}}}}`), "")), 400},
		{RuleSystemOfModel, converse("mistral.mistral-7b-instruct-v0:2", body(user, `"system":[{"text":"s"}]`)), converse("mistral.mistral-7b-instruct-v0:2", body(user, "")), 400},
		{RuleToolSchema, request{sonnet45, "invoke", claude(`,"tools":[{"name":"a"}]`)}, request{sonnet45, "invoke", claude(`,"tools":[{"name":"a","input_schema":{"type":"object"}}]`)}, 400},
		{RuleToolsWithoutConfig, converse(sonnet45, body(user+`,`+used("t1"), "")), converse(sonnet45, body(user+`,`+used("t1"), tools)), 400},
		{RulePropertyKeys, converse(sonnet45, body(user, `"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{"type":"object","properties":{"Account Number":{}}}}}}]}`)), converse(sonnet45, body(user, `"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{"type":"object","properties":{"Account-Number":{}}}}}}]}`)), 400},
		{
			RuleEmptyResult, converse(sonnet45, body(user+`,{"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"look","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[],"status":"error"}}]}`, tools)),
			converse(sonnet45, body(user+`,{"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"look","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[],"status":"success"}}]}`, tools)), 400,
		},
		{RuleSampling, converse(sonnet45, body(user, `"inferenceConfig":{"temperature":0.5,"topP":0.9}`)), converse(sonnet45, body(user, `"inferenceConfig":{"temperature":0.5}`)), 400},
		{RuleSampling, converse(opus47, body(user, `"inferenceConfig":{"temperature":0.5}`)), converse(opus47, body(user, "")), 400},
		{RuleSampling, request{sonnet45, "invoke", claude(`,"temperature":7`)}, request{sonnet45, "invoke", claude(`,"temperature":0.7`)}, 400},
		{RuleToolsOfModel, converse(llama, body(user, `"toolConfig":{"tools":[`+tool+`],"toolChoice":{"any":{}}}`)), converse(llama, body(user, tools)), 400},
		{RuleStopOfModel, converse(gptOSS, body(user, `"inferenceConfig":{"stopSequences":["x"]}`)), converse(nova, body(user, `"inferenceConfig":{"stopSequences":["x"]}`)), 400},
		{RuleAdditionalFields, converse(sonnet45, body(user, `"additionalModelRequestFields":{"reasoning":{}}`)), converse(sonnet45, body(user, `"additionalModelRequestFields":{"top_k":5}`)), 400},
		{RuleImageBytes, converse(sonnet45, body(`{"role":"user","content":[{"text":"q"},{"image":{"format":"png","source":{"bytes":"bm9wZQ=="}}}]}`, "")), converse(sonnet45, body(`{"role":"user","content":[{"text":"q"},{"image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}}]}`, "")), 400},
		{RulePointBehindText, converse(sonnet45, body(`{"role":"user","content":[{"text":"q"},`+notes+`,{"cachePoint":{"type":"default"}}]}`, "")), converse(sonnet45, body(`{"role":"user","content":[`+notes+`,{"text":"q"},{"cachePoint":{"type":"default"}}]}`, "")), 400},
		{RuleToolUseIDs, converse(sonnet45, body(user+`,`+used("t1")+`,`+used("t1"), tools)), converse(sonnet45, body(user+`,`+used("t1")+`,`+used("t2"), tools)), 400},
	} {
		t.Run(string(tc.rule), func(t *testing.T) {
			send := func(without []Rule, r request) answered {
				server := New(t, Options{Without: without, Clock: func() time.Time { return time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC) }})
				got, err := post(t, server, r.model, r.operation, r.body)
				require.NoError(t, err)
				return got
			}
			require.Equal(t, tc.status, send(nil, tc.broken).status, tc.broken.body)
			healthy := send(nil, tc.healthy)
			require.Equal(t, 200, healthy.status, healthy.body)
			off := send([]Rule{tc.rule}, tc.broken)
			require.Equal(t, 200, off.status, off.body)
		})
	}
	named := map[Rule]bool{}
	for _, r := range Rules() {
		named[r] = true
	}
	require.Len(t, named, 24)
	require.Subset(t, Rules(), ReportedRules())
}
