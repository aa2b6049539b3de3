package bedrocktest

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Functions that serve a request return the refusal that their caller has to write, or nil if they have written the answer. answer writes a body with
// status 200, and returns nil.

// countTokens serves CountTokens, which is free. It only accepts model ids without a profile, of those Anthropic models for which the runtime counts.
func (s *Server) countTokens(w http.ResponseWriter, n *jsonnode.Node, in *inference, profile string) *refusal.Error {
	if profile != "" || !in.Model.CountsTokens() {
		return refusal.Invalid("The provided model doesn't support counting tokens.")
	}
	refused := n.Only("the request", "input")
	if refused == nil {
		refused = n.Get("input").Only("input", "converse", "invokeModel")
	}
	if refused == nil {
		refused = s.countInput(n.Get("input"), in)
	}
	if refused == nil {
		refused = in.finish()
	}
	if refused != nil {
		return refused
	}
	return answer(w, map[string]any{"inputTokens": in.request.InputTokens})
}

// countInput parses what is counted: a prompt in the form of Converse, or the base64 of a body for Claude in InvokeModel.
func (s *Server) countInput(input *jsonnode.Node, in *inference) *refusal.Error {
	converse, invoke := input.Get("converse"), input.Get("invokeModel")
	switch {
	case (converse == nil) == (invoke == nil):
		return refusal.Invalid("input must have exactly one of converse and invokeModel")
	case converse != nil:
		if err := converse.Only("converse", "messages", "system", "toolConfig", "additionalModelRequestFields"); err != nil {
			return err
		}
		return s.reader.ParseConverse(converse, &in.Prompt)
	}
	if err := invoke.Only("invokeModel", "body"); err != nil {
		return err
	}
	body, err := base64.StdEncoding.DecodeString(invoke.Get("body").Text())
	if err != nil {
		return refusal.Invalid("invokeModel.body is not base64")
	}
	parsed, refused := jsonnode.Parse(body)
	if refused != nil {
		return refused
	}
	for _, t := range parsed.Get("tools").List() {
		if kind := t.Get("type").Text(); runsAtProvider(kind) && !slices.Contains(s.opts.Without, RuleServerToolCounted) {
			return refusal.Invalid("tools: %s is not supported here", kind)
		}
	}
	return s.reader.ParseAnthropic(parsed, &in.Prompt)
}

// runsAtProvider reports whether a tool of Claude is run by Anthropic.
func runsAtProvider(kind string) bool {
	for _, prefix := range []string{"web_search_", "web_fetch_", "code_execution_", "advisor_"} {
		if strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return false
}
