package bedrocktest

import (
	"slices"
	"strings"
)

// Text that the service adds to a prompt and that is not in the request, in tokens. The figures are the largest that were recorded or
// published until 2026-11-28; a model without any gets zero.
const (
	// firstCitation is billed once if citations of a document or a search result are enabled, furtherCitation for each one more. Recorded on
	// Claude Sonnet 5 with ConverseStream: a text document with 98 tokens of text and framing was billed 887, a request with two and 128
	// tokens of its own 1,606. Two cost less than twice as much as one, so 689 for each further one is an upper bound.
	firstCitation   = 789
	furtherCitation = 689
	// schemaPrompt is billed on Claude for each schema of a structured output, in addition to the schema. Recorded with Sonnet 4.5 and 4.6
	// and Haiku 4.5: 174 to 317 tokens for requests with 10 to 20 tokens of text and schemas of 98 to 246. Gemma, Qwen, Mistral, MiniMax,
	// Nemotron and GLM were billed nothing for theirs. For a strict tool the schema is billed at most once more: one of 197 bytes was
	// recorded with 560 tokens, one of 130 bytes that is not strict with 558.
	schemaPrompt = 80
	// citedText is by how much, in thousandths, the text of a PDF with citations gets longer by the marks in it. Recorded on Haiku 4.5:
	// 4,248 tokens for a page of some 800 tokens that costs 2,690 without citations. The text has at most one mark for each byte.
	citedText = 1400
	// firstBuiltin is billed for the first tool that the provider defines, furtherBuiltin for each one more. Published by Anthropic for
	// computer use with its system text and two further tools: 2,146 tokens together; how they divide is an assumption.
	firstBuiltin   = 2146
	furtherBuiltin = 700
)

// familyPrompt is how many tokens the text has with which a family of models begins each prompt: gpt-oss names its channels and the date,
// Llama two dates, Nova 2 an instruction. Recorded as the difference between the billed tokens and those of short prompts, until 2026-08. A
// prompt that is passed as one string has no template around it.
func familyPrompt(m *model, templated bool) int {
	switch id := m.ID; {
	case m.Mode != "" || !templated:
		return 0
	case strings.HasPrefix(id, "openai.gpt-oss"):
		return 70
	case m.Provider == "meta":
		return 30
	case strings.HasPrefix(id, "amazon.nova-2"):
		return 50
	default:
		return 0
	}
}

// hidden has the properties of a request for which the service adds text to the prompt. With the zero value only the family's text is added.
type hidden struct {
	citations    int // documents and search results with citations enabled
	schemas      int // structured outputs and strict tools
	schemaTokens int // of those schemas
	builtins     int // tools that the provider defines
	tools        int // tools of any kind
	compacts     bool
	forced       bool // a tool has to be used
	thinking     bool // thinking is enabled with a budget
	leading      bool // the conversation begins with the assistant
	marks        int  // tokens of the marks in PDFs with citations
	raw          bool // the prompt is one string, without a template
}

// tokens returns how many tokens are added at the beginning of a prompt of the model.
func (h *hidden) tokens(m *model) int {
	f := framingOf(m)
	n := familyPrompt(m, !h.raw) + h.schemaTokens + h.marks
	if m.Provider == "anthropic" {
		n += h.schemas * schemaPrompt
	}
	n += series(h.citations, firstCitation, furtherCitation) + series(h.builtins, firstBuiltin, furtherBuiltin)
	if h.tools > 0 {
		n += f.tools
	}
	return n
}

// atMessages returns how many tokens are added where the messages begin. They are not at the beginning of the prompt, because a change of
// these settings does not invalidate a cached prefix of tools and system prompts.
func (h *hidden) atMessages(m *model) (n int) {
	f := framingOf(m)
	if h.tools > 0 && h.forced {
		n += f.forced - f.tools
	}
	if h.thinking {
		n += f.thinking
	}
	if h.leading {
		n += f.leading
	}
	return n
}

// series returns the cost of n things if the first one costs first, and each other one further.
func series(n, first, further int) int {
	if n == 0 {
		return 0
	}
	return first + (n-1)*further
}

// hide adds the hidden text at the beginning of the prompt, so that it is cached together with the blocks that follow. The end of the
// template comes after the last block, so that a few uncached tokens are billed after the last cache point too (as recorded).
func (in *inference) hide() {
	n := in.hidden.tokens(in.model)
	if !in.hidden.raw {
		in.framing += in.frame.request
	}
	if len(in.blocks) == 0 {
		in.framing += n + in.hidden.atMessages(in.model)
		return
	}
	in.blocks[0].tokens += n
	if later := in.hidden.atMessages(in.model); later > 0 {
		first := slices.IndexFunc(in.blocks, func(b block) bool { return b.section == messages })
		in.blocks[max(first, 0)].tokens += later
	}
}

// cited counts a document or search result with citations, and the marks in its text if it is a PDF.
func (in *inference) cited(b *node, marks int) {
	if b.get("citations").get("enabled").is("true") {
		in.hidden.citations++
		in.hidden.marks += marks
	}
}

// outputSchema counts the schema of a structured output, whatever its place in a dialect, if the model reads it as text.
func (in *inference) outputSchema(s *Server, settings ...*node) {
	for _, n := range settings {
		reads := in.model.Provider == "anthropic" || in.model.Provider == "openai"
		if n == nil || !reads || !strings.Contains(n.raw, "schema") {
			continue
		}
		in.hidden.schemas++
		in.hidden.schemaTokens += s.count(in.model, n.raw)
	}
}

// tool counts a tool definition in any dialect.
func (in *inference) tool(s *Server, t *node) {
	in.hidden.tools++
	if builtin(t.get("type").text()) {
		in.hidden.builtins++
	}
	for _, definition := range []*node{t, t.get("toolSpec"), t.get("function")} {
		if definition.get("strict").is("true") {
			in.hidden.schemaTokens += s.count(in.model, t.raw)
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

// additional parses the fields of a Converse request that are passed to the model unchanged.
func (s *Server) additional(n *node, in *inference) *refusal {
	for _, t := range n.get("tools").list() {
		in.addJSON(s, tools, withoutMarker(t))
		in.tool(s, t)
	}
	for _, key := range []string{"max_tokens", "max_completion_tokens", "max_new_tokens"} {
		if limit, ok := n.get(key).number(); ok {
			in.extraTokens = max(in.extraTokens, limit)
		}
	}
	for _, key := range []string{"thinking", "reasoning_config", "reasoningConfig"} {
		if budget, ok := n.get(key).get("budget_tokens").number(); ok {
			in.extraTokens = max(in.extraTokens, budget)
		}
		in.hidden.thinking = in.hidden.thinking || n.get(key).get("type").is(`"enabled"`)
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
