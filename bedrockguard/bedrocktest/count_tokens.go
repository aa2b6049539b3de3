package bedrocktest

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// countTokens serves CountTokens, which is free. It only accepts model ids without a profile, of those Anthropic models for which the
// runtime counts.
func (s *Server) countTokens(w http.ResponseWriter, n *node, in *inference, profile string) *refusal {
	if profile != "" || !countable(in.model) {
		return invalid("The provided model doesn't support counting tokens.")
	}
	refused := n.only("the request", "input")
	if refused == nil {
		refused = n.get("input").only("input", "converse", "invokeModel")
	}
	if refused == nil {
		refused = s.countInput(n.get("input"), in)
	}
	if refused == nil {
		refused = in.finish()
	}
	if refused != nil {
		return refused
	}
	return answer(w, map[string]any{"inputTokens": in.request.InputTokens})
}

// countInput parses either of the two forms of a prompt.
func (s *Server) countInput(input *node, in *inference) *refusal {
	converse, invoke := input.get("converse"), input.get("invokeModel")
	switch {
	case (converse == nil) == (invoke == nil):
		return invalid("input must have exactly one of converse and invokeModel")
	case converse != nil:
		if err := converse.only("converse", "messages", "system", "toolConfig", "additionalModelRequestFields"); err != nil {
			return err
		}
		return s.parseConverse(converse, in)
	}
	if err := invoke.only("invokeModel", "body"); err != nil {
		return err
	}
	body, err := base64.StdEncoding.DecodeString(invoke.get("body").text())
	if err != nil {
		return invalid("invokeModel.body is not base64")
	}
	parsed, refused := parseJSON(body)
	if refused != nil {
		return refused
	}
	for _, t := range parsed.get("tools").list() {
		if kind := t.get("type").text(); runsAtProvider(kind) && !slices.Contains(s.opts.Without, RuleServerToolCounted) {
			return invalid("tools: %s is not supported here", kind)
		}
	}
	return s.parseAnthropic(parsed, in)
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

// countable reports whether the runtime counts for a model: generations 3.5 to 4.6 of Claude, as observed up to November 2026. Another
// endpoint counts for later ones.
func countable(m *model) bool {
	for _, family := range []string{
		"claude-3-5-", "claude-3-7-", "claude-opus-4-2025", "claude-opus-4-1-", "claude-opus-4-5-", "claude-opus-4-6-",
		"claude-sonnet-4-2025", "claude-sonnet-4-5-", "claude-sonnet-4-6", "claude-haiku-4-5-",
	} {
		if strings.HasPrefix(m.ID, "anthropic."+family) {
			return true
		}
	}
	return false
}
