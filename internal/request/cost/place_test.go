package cost_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

// A limit under a name that the model's dialect does not have bounds nothing: the service may ignore it and write as much as the model can.
func TestLimitOfAnotherDialectBoundsNothing(t *testing.T) {
	const chat, prompt = `"messages":[{"role":"user","content":"hi"}]`, `"prompt":"hi"`
	for model, tt := range map[string]struct {
		body    string
		foreign []string
		own     []string
	}{
		"writer.palmyra-x5-v1:0":                {chat, []string{`"maxTokens":1`, `"max_gen_len":1`, `"max_new_tokens":1`, `"max_output_tokens":1`, `"inferenceConfig":{"maxTokens":1}`}, []string{`"max_tokens":1`}},
		"minimax.minimax-m2":                    {chat, []string{`"maxTokens":1`, `"max_new_tokens":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"moonshot.kimi-k2-thinking":             {chat, []string{`"maxTokens":1`, `"max_gen_len":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"moonshotai.kimi-k3":                    {chat, []string{`"maxTokens":1`, `"max_gen_len":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"nvidia.nemotron-nano-9b-v2":            {chat, []string{`"maxTokens":1`, `"max_new_tokens":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"zai.glm-5":                             {chat, []string{`"maxTokens":1`, `"max_new_tokens":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"google.gemma-3-27b-it":                 {chat, []string{`"maxOutputTokens":1`, `"max_new_tokens":1`, `"max_output_tokens":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"xai.grok-4.3":                          {chat, []string{`"maxTokens":1`, `"max_gen_len":1`, `"max_output_tokens":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"ai21.jamba-1-5-large-v1:0":             {chat, []string{`"maxTokens":1`}, []string{`"max_tokens":1`}},
		"ai21.j2-ultra-v1":                      {prompt, []string{`"max_tokens":1`}, []string{`"maxTokens":1`}},
		"amazon.titan-text-express-v1":          {`"inputText":"hi"`, []string{`"inferenceConfig":{"max_new_tokens":1}`, `"maxTokenCount":1`}, []string{`"textGenerationConfig":{"maxTokenCount":1}`}},
		"amazon.titan-tg1-large":                {`"inputText":"hi"`, []string{`"inferenceConfig":{"max_new_tokens":1}`, `"max_tokens":1`}, []string{`"textGenerationConfig":{"maxTokenCount":1}`}},
		"anthropic.claude-sonnet-5":             {chat, []string{`"max_tokens_to_sample":1`}, []string{`"max_tokens":1`}},
		"anthropic.claude-v2:1":                 {prompt, []string{`"max_tokens":1`}, []string{`"max_tokens_to_sample":1`}},
		"mistral.mistral-7b-instruct-v0:2":      {prompt, []string{`"max_completion_tokens":1`}, []string{`"max_tokens":1`}},
		"mistral.mistral-large-3-675b-instruct": {chat, []string{`"maxTokens":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"meta.llama3-3-70b-instruct-v1:0":       {prompt, []string{`"max_tokens":1`, `"max_completion_tokens":1`}, []string{`"max_gen_len":1`}},
		"deepseek.r1-v1:0":                      {prompt, []string{`"max_completion_tokens":1`}, []string{`"max_tokens":1`}},
		"qwen.qwen3-32b-v1:0":                   {chat, []string{`"max_new_tokens":1`}, []string{`"max_tokens":1`, `"max_completion_tokens":1`}},
		"cohere.command-r-plus-v1:0":            {`"message":"hi"`, []string{`"max_completion_tokens":1`, `"maxTokens":1`}, []string{`"max_tokens":1`}},
		"twelvelabs.pegasus-1-2-v1:0":           {`"inputPrompt":"hi"`, []string{`"max_tokens":1`}, []string{`"maxOutputTokens":1`}},
	} {
		for _, own := range tt.own {
			for _, body := range []string{fmt.Sprintf(`{%s,%s}`, own, tt.body), fmt.Sprintf(`{%s,%s}`, tt.body, own)} {
				r, err := cost.ParseRequest(model, []byte(body))
				require.NoError(t, err)
				require.Equal(t, int64(1), r.MaxTokens, "%s: %s", model, body)
			}
		}
		for _, foreign := range tt.foreign {
			for _, body := range []string{fmt.Sprintf(`{%s,%s}`, foreign, tt.body), fmt.Sprintf(`{%s,%s}`, tt.body, foreign)} {
				r, err := cost.ParseRequest(model, []byte(body))
				require.NoError(t, err)
				require.Zero(t, r.MaxTokens, "%s: %s", model, body)
			}
		}
	}
}
