package bedrocktest

import "strings"

// Tokens that the service adds to a prompt, in tokens. None of them stands in a request. The figures are the largest that were
// recorded or published until 2026-11-28; a model of which nothing is known gets none.
const (
	// firstCitation is billed once where citations of a document or a search result are asked for, furtherCitation for each one more.
	// Recorded on Claude Sonnet 5 with ConverseStream: a text document whose own text and framing is 98 tokens was billed at 887, a
	// request of two with 128 tokens of its own at 1,606. Two cost less than twice one, so that 689 for each one more is an upper
	// reading.
	firstCitation   = 789
	furtherCitation = 689
	// schemaPrompt is billed for each schema of a structured output and for each strict tool, and the schema once more. Recorded on
	// Claude with outputConfig: 317 tokens for a request whose own text is 17.
	schemaPrompt = 300
	// nova2Tools is billed on Nova 2 where tools are offered. Recorded on Nova 2 Lite: 901 tokens for a request of 410.
	nova2Tools = 491
	// firstBuiltin is billed for the first tool whose definition the provider supplies, furtherBuiltin for each one more. Published by
	// Anthropic for computer use with its system text and two companions: 2,146 tokens in all. The split is this package's own.
	firstBuiltin   = 2146
	furtherBuiltin = 700
)

// familyPrompt is the text that a family of models begins each prompt with, in tokens: gpt-oss names its channels and the date, Llama
// two dates, Nova 2 an instruction, the chat models of Cohere a preamble. Recorded as the difference between billed and own tokens
// of short prompts, until 2026-11.
func familyPrompt(m *model) int {
	switch id := m.ID; {
	case m.Mode != "":
		return 0
	case strings.HasPrefix(id, "openai.gpt-oss"):
		return 70
	case m.Provider == "meta":
		return 30
	case strings.HasPrefix(id, "amazon.nova-2"):
		return 120
	case strings.HasPrefix(id, "cohere.command-r"):
		return 300
	default:
		return 0
	}
}

// hidden is what makes the service add text to a prompt. The zero value is a plain prompt.
type hidden struct {
	citations    int // documents and search results whose citations are asked for
	schemas      int // structured outputs and strict tools
	schemaTokens int // of those schemas
	builtins     int // tools that the provider defines
	tools        int // tools of any kind
	compacts     bool
}

// tokens are the tokens that are added to a prompt of the model.
func (h *hidden) tokens(m *model) int {
	n := familyPrompt(m) + h.schemas*schemaPrompt + h.schemaTokens
	n += series(h.citations, firstCitation, furtherCitation) + series(h.builtins, firstBuiltin, furtherBuiltin)
	if h.tools > 0 && strings.HasPrefix(m.ID, "amazon.nova-2") {
		n += nova2Tools
	}
	return n
}

// series is the cost of n things of which the first costs something else than the others.
func series(n, first, further int) int {
	if n == 0 {
		return 0
	}
	return first + (n-1)*further
}

// hide adds the hidden text to the prompt, at its beginning: where it can be cached with everything behind it.
func (in *inference) hide() {
	n := in.hidden.tokens(in.model)
	if len(in.blocks) == 0 {
		in.framing += n
		return
	}
	in.blocks[0].tokens += n
}

// cited notes a document or search result that may be cited.
func (in *inference) cited(b *node) {
	if b.get("citations").get("enabled").is("true") {
		in.hidden.citations++
	}
}

// schema notes a schema that the service writes into the prompt.
func (in *inference) schema(s *Server, raw string) {
	in.hidden.schemas++
	in.hidden.schemaTokens += s.opts.count(raw)
}

// outputSchema notes the schema of a structured output, wherever a dialect has it, and counts it as text of the prompt.
func (in *inference) outputSchema(s *Server, settings ...*node) {
	for _, n := range settings {
		if n == nil || !strings.Contains(n.raw, "schema") {
			continue
		}
		in.schema(s, n.raw)
		in.hidden.schemaTokens += s.opts.count(n.raw)
	}
}

// tool notes a tool definition in any dialect.
func (in *inference) tool(s *Server, t *node) {
	in.hidden.tools++
	if builtin(t.get("type").text()) {
		in.hidden.builtins++
	}
	for _, definition := range []*node{t, t.get("toolSpec"), t.get("function")} {
		if definition.get("strict").is("true") {
			in.schema(s, t.raw)
			return
		}
	}
}

// builtin reports whether a tool's type says that the provider defines it and the caller runs it.
func builtin(kind string) bool {
	for _, prefix := range []string{"computer_", "bash_", "text_editor_", "memory_"} {
		if strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return false
}

// additional reads the fields of a Converse request that are handed on to the model as they are.
func (s *Server) additional(n *node, in *inference) *refusal {
	for _, t := range n.get("tools").list() {
		in.offerTools()
		in.addJSON(s, tools, withoutMarker(t))
		in.tool(s, t)
	}
	for _, key := range []string{"max_tokens", "max_completion_tokens", "max_new_tokens"} {
		if limit, ok := n.get(key).number(); ok {
			in.extraTokens = max(in.extraTokens, limit)
		}
	}
	if budget, ok := n.get("thinking").get("budget_tokens").number(); ok {
		in.extraTokens = max(in.extraTokens, budget)
	}
	if tier := n.get("service_tier"); tier != nil {
		in.askTier(tierOf(tier))
	}
	in.outputSchema(s, n.get("output_config"), n.get("output_format"), n.get("response_format"))
	in.compaction(n)
	return nil
}

// tierOf reads a tier given as a string or as {"type": tier}.
func tierOf(n *node) string {
	if n.kind() == '{' {
		n = n.get("type")
	}
	switch tier := strings.ToLower(n.text()); tier {
	case "auto", "standard_only":
		return "default"
	default:
		return tier
	}
}
