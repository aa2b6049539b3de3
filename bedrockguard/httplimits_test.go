package bedrockguard_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// A limit that another dialect knows by its name does not bound an answer: a service that ignores fields that it does not know writes as much
// as the model can. So all of that is reserved.
func TestHTTPLimitsOfAnotherDialectDoNotCount(t *testing.T) {
	routes := routesOfModels()
	for name, tc := range map[string]struct{ route, body string }{
		"Converse, zero beside the messages":      {"Converse", `{"max_tokens":0,"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`},
		"Converse, zero among the settings":       {"Converse", `{"inferenceConfig":{"max_tokens":0},"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`},
		"Converse, zero among the model's fields": {"Converse", `{"additionalModelRequestFields":{"max_tokens":0},"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`},
		"Converse, Anthropic's name":              {"Converse", `{"max_tokens":50,"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`},
		"Converse, beside the settings":           {"Converse", `{"maxTokens":50,"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`},
		"Converse, null":                          {"Converse", `{"maxTokens":50,"inferenceConfig":{"maxTokens":null},"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`},
		"chat, Converse's name":                   {"Chat", `{"model":"` + webGPT + `","maxTokens":50,"messages":[{"role":"user","content":"hello there"}]}`},
		"chat, the name of Responses":             {"Chat", `{"model":"` + webGPT + `","max_output_tokens":50,"messages":[{"role":"user","content":"hello there"}]}`},
		"chat, in an object":                      {"Chat", `{"model":"` + webGPT + `","metadata":{"max_tokens":50},"options":{"max_tokens":50},"messages":[{"role":"user","content":"hello there"}]}`},
		"chat, a thinking budget":                 {"Chat", `{"model":"` + webGPT + `","thinking":{"budget_tokens":50},"messages":[{"role":"user","content":"hello there"}]}`},
		"Responses, the name of chat":             {"Responses", `{"model":"` + webGPT + `","max_completion_tokens":50,"input":"hello there"}`},
		"Messages, Converse's name":               {"Messages", `{"model":"` + webClaude + `","maxTokens":50,"messages":[{"role":"user","content":"hello there"}]}`},
		"InvokeModel, the name of Responses":      {"Invoke of OpenAI's", `{"max_output_tokens":50,"messages":[{"role":"user","content":"hello there"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{limits: []budget.Limit{{Name: "output", Max: budget.OutputTokens(100), Window: budget.Lifetime}}})
			path := routes[tc.route][0]
			if path == "" {
				path = "/model/" + webGPT + "/invoke"
			}
			resp, body := w.post(t, path, tc.body)
			require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, body)
			require.Zero(t, w.server.Requests())
		})
	}
}
