package cost_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

func TestSetOutputLimit(t *testing.T) {
	const claude, nova, titan, llama, gpt = "anthropic.claude-sonnet-5", "amazon.nova-pro-v1:0", "amazon.titan-text-express-v1", "meta.llama3-3-70b-instruct-v1:0", "openai.gpt-oss-120b-1:0"
	for name, tt := range map[string]struct{ model, body, want string }{
		"lowered":                         {claude, `{"max_tokens": 4096 ,"messages":[]}`, `{"max_tokens": 100 ,"messages":[]}`},
		"lower already":                   {claude, `{"max_tokens":10,"messages":[]}`, `{"max_tokens":10,"messages":[]}`},
		"set where there is none":         {claude, `{"messages":[]}`, `{"max_tokens":100,"messages":[]}`},
		"into nothing":                    {claude, ` { } `, ` {"max_tokens":100 } `},
		"text that looks like a limit":    {claude, `{"max_tokens":200,"messages":[{"role":"user","content":"{\"max_tokens\":900}"}]}`, `{"max_tokens":100,"messages":[{"role":"user","content":"{\"max_tokens\":900}"}]}`},
		"Nova":                            {nova, `{"inferenceConfig":{"maxTokens":5000,"topP":1},"messages":[]}`, `{"inferenceConfig":{"maxTokens":100,"topP":1},"messages":[]}`},
		"Nova's other name":               {nova, `{"inferenceConfig":{"max_new_tokens":5000}}`, `{"inferenceConfig":{"max_new_tokens":100}}`},
		"Nova without":                    {nova, `{"messages":[]}`, `{"inferenceConfig":{"maxTokens":100},"messages":[]}`},
		"Nova with other settings":        {nova, `{"inferenceConfig":{"topP":1}}`, `{"inferenceConfig":{"maxTokens":100,"topP":1}}`},
		"Nova with empty settings":        {nova, `{"inferenceConfig":{}}`, `{"inferenceConfig":{"maxTokens":100}}`},
		"Titan":                           {titan, `{"inputText":"x"}`, `{"textGenerationConfig":{"maxTokenCount":100},"inputText":"x"}`},
		"Llama":                           {llama, `{"prompt":"x","max_gen_len":512}`, `{"prompt":"x","max_gen_len":100}`},
		"a name that is none of Nova's":   {nova, `{"messages":[],"maxTokens":5000,"max_tokens":null}`, `{"inferenceConfig":{"maxTokens":100},"messages":[],"maxTokens":100,"max_tokens":null}`},
		"OpenAI's, as Responses":          {gpt, `{"input":"x","max_output_tokens":500}`, `{"input":"x","max_output_tokens":100}`},
		"OpenAI's, the other name":        {gpt, `{"messages":[],"max_output_tokens":50}`, `{"max_completion_tokens":100,"messages":[],"max_output_tokens":50}`},
		"two names of the same":           {gpt, `{"max_tokens":300,"max_completion_tokens":400}`, `{"max_tokens":100,"max_completion_tokens":100}`},
		"null is none":                    {claude, `{"max_tokens":null}`, `{"max_tokens":100}`},
		"Jurassic":                        {"ai21.j2-ultra-v1", `{"prompt":"x"}`, `{"maxTokens":100,"prompt":"x"}`},
		"an old Claude's text":            {"anthropic.claude-v2:1", `{"prompt":"x","max_tokens":null}`, `{"max_tokens_to_sample":100,"prompt":"x","max_tokens":null}`},
		"a name of chats beside a text":   {"mistral.mistral-7b-instruct-v0:2", `{"prompt":"x","max_completion_tokens":50}`, `{"max_tokens":100,"prompt":"x","max_completion_tokens":50}`},
		"the same in a chat":              {"mistral.mistral-large-3-675b-instruct", `{"max_completion_tokens":500,"messages":[]}`, `{"max_completion_tokens":100,"messages":[]}`},
		"a chat with a maker's older one": {llama, `{"messages":[],"max_tokens":null}`, `{"messages":[],"max_tokens":100}`},
		"a thinking budget is left to be": {claude, `{"max_tokens":4096,"thinking":{"type":"enabled","budget_tokens":50}}`, `{"max_tokens":100,"thinking":{"type":"enabled","budget_tokens":50}}`},
	} {
		got, ok := cost.SetOutputLimit(cost.OfModel, tt.model, []byte(tt.body), 100)
		require.True(t, ok, name)
		require.Equal(t, tt.want, string(got), name)
	}
	for name, tt := range map[string]struct{ model, body string }{
		"no JSON":                       {claude, `max_tokens`},
		"no number":                     {claude, `{"max_tokens":"many"}`},
		"a model that takes none":       {"stability.sd3-5-large-v1:0", `{"prompt":"x"}`},
		"an unknown maker":              {"someone.model", `{"prompt":"x"}`},
		"a limit where none is changed": {claude, `{"max_tokens":50,"generation":{"max_tokens":900}}`},
		"a thinking budget beyond it":   {claude, `{"max_tokens":4096,"thinking":{"type":"enabled","budget_tokens":2048}}`},
	} {
		got, ok := cost.SetOutputLimit(cost.OfModel, tt.model, []byte(tt.body), 100)
		require.False(t, ok, "%s: %s", name, got)
		require.Equal(t, tt.body, string(got))
	}
}

// Whatever a body holds, one that is changed is understood, keeps all else, and sets no output limit beyond the one that was asked for.
func TestSetOutputLimitBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 1<<31-1).Draw(t, "n")
		model := rapid.SampledFrom([]string{"anthropic.claude-sonnet-5", "amazon.nova-pro-v1:0", "meta.llama4", "x.y"}).Draw(t, "model")
		body := []byte(`{`)
		for i, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"max_tokens", "maxTokens", "inferenceConfig", "messages", "thinking", "n"}), rapid.ID).Draw(t, "keys") {
			if i > 0 {
				body = append(body, ',')
			}
			value := map[string]string{
				"max_tokens": "700", "maxTokens": "1000000", "inferenceConfig": `{"maxTokens": 50}`, "messages": `[{"role":"user","content":[{"text":"max_tokens"}]}]`,
				"thinking": `{"budget_tokens":1024}`, "n": "2",
			}[key]
			body = append(body, `"`+key+`" : `+value...)
		}
		body = append(body, '}')
		before, err := cost.ParseRequest(model, body)
		require.NoError(t, err)
		got, ok := cost.SetOutputLimit(cost.OfModel, model, body, n)
		if !ok {
			require.Equal(t, body, got)
			return
		}
		after, err := cost.ParseRequest(model, got)
		require.NoError(t, err)
		require.LessOrEqual(t, after.MaxTokens, n)
		require.Equal(t, [2]int64{before.Choices, before.Thinking}, [2]int64{after.Choices, after.Thinking})
		require.Equal(t, before.Prompt.Messages, after.Prompt.Messages)
	})
}
