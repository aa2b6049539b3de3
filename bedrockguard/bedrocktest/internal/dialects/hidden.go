package dialects

import (
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Hidden text is what the service adds to a prompt without a trace in the request. While a request is parsed, Prompt.Hidden collects the reasons
// for it; at the end hide adds its tokens. Framing, from the package modeltable, has the figures of each family.

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
func familyPrompt(m *modeltable.Model, templated bool) int {
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

// hidden counts the properties of a request for which the service adds text to the prompt. With the zero value only the family's text is added.
type hidden struct {
	citations    int  // documents and search results with citations enabled
	schemas      int  // structured outputs
	schemaTokens int  // of the schemas of structured outputs, and of strict tools
	builtins     int  // tools that the provider defines
	tools        int  // tools of any kind
	Compacts     bool // the service may shorten the history, which is an inference of its own
	forced       bool // a tool has to be used
	thinking     bool // thinking is enabled with a budget
	leading      bool // the conversation begins with the assistant
	marks        int  // tokens of the marks in PDFs with citations
	raw          bool // the prompt is one string, without a template
}

// tokens returns how many tokens are added at the beginning of a prompt of the model. Framing's Tools are billed once if there is any tool.
func (h *hidden) tokens(m *modeltable.Model) int {
	n := familyPrompt(m, !h.raw) + h.schemaTokens + h.marks
	if m.Provider == "anthropic" {
		n += h.schemas * schemaPrompt
	}
	n += series(h.citations, firstCitation, furtherCitation) + series(h.builtins, firstBuiltin, furtherBuiltin)
	if h.tools > 0 {
		n += modeltable.FramingOf(m).Tools
	}
	return n
}

// atMessages returns how many tokens are added where the messages begin. They are not at the beginning of the prompt, because a change of
// these settings does not invalidate a cached prefix of tools and system prompts.
func (h *hidden) atMessages(m *modeltable.Model) (n int) {
	f := modeltable.FramingOf(m)
	if h.tools > 0 && h.forced {
		// Forced replaces Tools, which the function tokens has added already.
		n += f.Forced - f.Tools
	}
	if h.thinking {
		n += f.Thinking
	}
	if h.leading {
		n += f.Leading
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

// hide adds the hidden text at the beginning of the prompt, so that it is cached together with the blocks that follow. The end of the template
// (Frame.Request) stays in framing, which Finish counts after the last block: recordings show that a few uncached tokens are billed after the last
// cache point, too.
func (in *Prompt) hide() {
	first, later := in.Hidden.tokens(in.Model), in.Hidden.atMessages(in.Model)
	if !in.Hidden.raw {
		in.framing += in.Frame.Request
	}
	if len(in.Blocks) == 0 {
		in.framing += first + later
		return
	}
	in.Blocks[0].Tokens += first
	if later > 0 {
		// at is -1 if there are no messages: then the first block gets these tokens, too.
		at := slices.IndexFunc(in.Blocks, func(b Block) bool { return b.Section == Messages })
		in.Blocks[max(at, 0)].Tokens += later
	}
}

// cited counts a document or search result if its citations are enabled. marks are the tokens of the marks that the service then puts into the
// text of a PDF; 0 for all others.
func (in *Prompt) cited(b *jsonnode.Node, marks int) {
	if b.Get("citations").Get("enabled").Is("true") {
		in.Hidden.citations++
		in.Hidden.marks += marks
	}
}

// outputSchema counts the schema of a structured output, if the model reads it as text. settings are the fields in which the dialect may have one;
// those that are absent are nil. A setting without a schema, such as one that only asks for JSON, adds nothing.
func (in *Prompt) outputSchema(r *Reader, settings ...*jsonnode.Node) {
	if in.Model.Provider != "anthropic" && in.Model.Provider != "openai" { // the others were recorded with nothing for their schemas
		return
	}
	for _, n := range settings {
		if n != nil && strings.Contains(n.Raw, "schema") {
			in.Hidden.schemas++
			in.Hidden.schemaTokens += r.count(in.Model, n.Raw)
		}
	}
}

// tool counts what a tool definition hides, in any dialect. The definition itself is a block that the caller adds; a strict one has its schema
// counted once more.
func (in *Prompt) tool(r *Reader, t *jsonnode.Node) {
	in.Hidden.tools++
	if builtin(t.Get("type").Text()) {
		in.Hidden.builtins++
	}
	for _, definition := range []*jsonnode.Node{t, t.Get("toolSpec"), t.Get("function")} {
		if definition.Get("strict").Is("true") {
			in.Hidden.schemaTokens += r.count(in.Model, t.Raw)
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

// additional parses the fields of a Converse request that are passed to the model unchanged, of which tools, limits, thinking, tier and schemas
// are billed.
func (r *Reader) additional(n *jsonnode.Node, in *Prompt) *refusal.Error {
	for _, t := range n.Get("tools").List() {
		// withoutMarker returns the tool's JSON without the mark of a cache point, which is no part of what is cached.
		in.addJSON(r, tools, withoutMarker(t))
		in.tool(r, t)
	}
	for _, key := range []string{"max_tokens", "max_completion_tokens", "max_new_tokens"} {
		if limit, ok := n.Get(key).Number(); ok {
			in.extraTokens = max(in.extraTokens, limit)
		}
	}
	for _, key := range []string{"thinking", "reasoning_config", "reasoningConfig"} {
		if budget, ok := n.Get(key).Get("budget_tokens").Number(); ok {
			in.extraTokens = max(in.extraTokens, budget) // thinking is billed as output
		}
		// Is compares the JSON text, so that the quotes belong to it.
		in.Hidden.thinking = in.Hidden.thinking || n.Get(key).Get("type").Is(`"enabled"`)
	}
	if tier := n.Get("service_tier"); tier != nil {
		in.askTier(tierOf(tier))
	}
	in.outputSchema(r, n.Get("output_config"), n.Get("output_format"), n.Get("response_format"))
	in.compaction(n)
	return nil
}

// tierOf reads a tier given as a string or as {"type": tier}. The names that the makers' own APIs have for the usual tier become Bedrock's.
func tierOf(n *jsonnode.Node) string {
	if n.Kind() == '{' {
		n = n.Get("type")
	}
	switch tier := strings.ToLower(n.Text()); tier {
	case "auto", "standard_only":
		return "default"
	default:
		return tier
	}
}

// compaction sets whether the service may shorten the history: if context_management has an edit whose type begins with compact_, or if the field
// compaction, which the API has since 2026-09-04, is set.
func (in *Prompt) compaction(n *jsonnode.Node) {
	if in.Model.Provider != "anthropic" {
		return
	}
	for _, edit := range n.Get("context_management").Get("edits").List() {
		if strings.HasPrefix(edit.Get("type").Text(), "compact_") {
			in.Hidden.Compacts = true
		}
	}
	// An absent field, false and an empty object mean that it is not set.
	switch jsonnode.RawOf(n.Get("compaction")) {
	case "", "false", "{}":
	default:
		in.Hidden.Compacts = true
	}
}

// askTier sets a requested tier; an empty one means none. If a request has two, the more expensive one counts. TierFactor returns the factor of a
// tier on all prices; for an empty region, the factor that holds where no higher one is published.
func (in *Prompt) askTier(tier string) {
	if tier == "" {
		return
	}
	if in.Tier == "" || in.Model.TierFactor(tier, "") > in.Model.TierFactor(in.Tier, "") {
		in.Tier = tier
	}
}
