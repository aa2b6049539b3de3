// Package rules has the rules that the service only has for some models.
package rules

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Asked is what rules check of a request: what Read finds in its body, and what the server knows of it. The methods of a nil node, which stands for
// an absent field, return nothing: nil, an empty text, or false.
type Asked struct {
	Model      *modeltable.Model
	Profile    string // the inference profile of the id that is called: "us", "global"; empty for none
	Region     string // where the request was sent
	Now        time.Time
	EndsByTest bool           // a test has set when the model ends, so that endOfLife does not apply
	Added      bool           // the test has added the id, so that no profile is needed
	converse   bool           // the body is Converse's, else one of Anthropic's dialect
	request    *jsonnode.Node // the whole body

	temperature, topP, stop *jsonnode.Node // as they are in the body; nil if they are not
	thinking                *jsonnode.Node // the thinking settings, if thinking is on
	maxTokens               int            // 0 if the body has none
	forced                  bool           // a tool has to be used
	messages                []*jsonnode.Node
	tools                   []*jsonnode.Node
}

// Read reads the parts that rules check from a body of Converse, or else of InvokeModel. The caller sets the rest.
func Read(n *jsonnode.Node, converse bool) *Asked {
	a := &Asked{converse: converse, request: n, messages: n.Get("messages").List()}
	if converse {
		a.readConverse(n)
	} else {
		a.readAnthropic(n)
	}
	if t := a.thinking.Get("type").Text(); t != "enabled" && t != "adaptive" {
		a.thinking = nil // it is off
	}
	return a
}

// readConverse reads the settings and tools of a body of Converse.
func (a *Asked) readConverse(n *jsonnode.Node) {
	config := n.Get("inferenceConfig")
	a.temperature, a.topP, a.stop = config.Get("temperature"), config.Get("topP"), config.Get("stopSequences")
	a.maxTokens, _ = config.Get("maxTokens").Number()
	a.thinking = n.Get("additionalModelRequestFields").Get("thinking")
	choice := n.Get("toolConfig").Get("toolChoice")
	a.forced = choice.Get("any") != nil || choice.Get("tool") != nil
	a.tools = n.Get("toolConfig").Get("tools").List()
}

// readAnthropic reads the settings and tools of a body in Anthropic's dialect.
func (a *Asked) readAnthropic(n *jsonnode.Node) {
	a.temperature, a.topP, a.stop = n.Get("temperature"), n.Get("top_p"), n.Get("stop_sequences")
	a.maxTokens, _ = n.Get("max_tokens").Number()
	a.thinking = n.Get("thinking")
	choice := n.Get("tool_choice").Get("type").Text()
	a.forced = choice == "any" || choice == "tool"
	a.tools = n.Get("tools").List()
}

// claude reports whether the model is Anthropic's. Most rules apply to these only.
func (a *Asked) claude() bool { return a.Model.Provider == "anthropic" }

// named reports whether the model belongs to one of these families.
func (a *Asked) named(families ...string) bool {
	return slices.ContainsFunc(families, func(f string) bool { return strings.Contains(a.Model.ID, f) })
}

// prefill returns the last message if the assistant wrote it, so that the answer goes on from it; else nil.
func (a *Asked) prefill() *jsonnode.Node {
	if len(a.messages) == 0 {
		return nil
	}
	m := a.messages[len(a.messages)-1]
	if m.Get("role").Text() != "assistant" {
		return nil
	}
	return m
}

// blocks calls f with each content block of each message, until it returns false.
func (a *Asked) blocks(f func(m, b *jsonnode.Node) bool) {
	for _, m := range a.messages {
		for _, b := range m.Get("content").List() {
			if !f(m, b) {
				return
			}
		}
	}
}

// Rule is one rule. Broken returns the service's refusal if a request breaks the rule, and else nil.
type Rule struct {
	Name   string // by which Options.Without switches it off
	Broken func(*Asked) *refusal.Error
}

// All returns the rules in the order in which the service seems to check them.
func All() []Rule {
	return []Rule{
		{"end-of-life", endOfLife},
		{"region-of-profile", regionOfProfile},
		{"profile-only", profileOnly},
		{"document-name", documentName},
		{"media-of-model", mediaOfModel},
		{"image-bytes", imageBytes},
		{"point-behind-text", pointBehindText},
		{"system-of-model", systemOfModel},
		{"tools-without-config", toolsWithoutConfig},
		{"property-keys", propertyKeys},
		{"tool-schema", toolSchema},
		{"tools-of-model", toolsOfModel},
		{"stop-of-model", stopOfModel},
		{"additional-fields", additionalFields},
		{"empty-result", emptyResult},
		{"tool-use-ids", toolUseIDs},
		{"sampling", sampling},
		{"thinking-budget", thinkingBudget},
		{"thinking-sampling", thinkingSampling},
		{"thinking-tools", thinkingTools},
		{"thinking-first", thinkingFirst},
		{"prefill", prefill},
		{"trailing-blank", trailingBlank},
	}
}

// ends says when models ended (AWS's model lifecycle page, and refusals that users reported, read 2026-11).
var ends = map[string]string{
	"anthropic.claude-3-5-haiku-20241022-v1:0": "2026-08-01", "anthropic.claude-3-7-sonnet-20250219-v1:0": "2026-04-28",
	"anthropic.claude-3-5-sonnet-20241022-v2:0": "2026-03-01", "anthropic.claude-3-5-sonnet-20240620-v1:0": "2026-03-01",
	"anthropic.claude-3-haiku-20240307-v1:0": "2026-09-10",
}

// endOfLife refuses a model after the end in the table. If a test sets the end itself (EndsByTest), the server checks it before the rules.
func endOfLife(a *Asked) *refusal.Error {
	end, known := ends[a.Model.ID]
	if !known || a.EndsByTest {
		return nil
	}
	if at, err := time.Parse(time.DateOnly, end); err != nil || a.Now.Before(at) {
		return nil
	}
	return refusal.AtEnd()
}

// regionOfProfile refuses a geographic profile that is called from outside of its geography. Calls without a profile, and those of the global one,
// have no geography.
func regionOfProfile(a *Asked) *refusal.Error {
	of, geographic := Geographies[a.Profile]
	if !geographic || slices.ContainsFunc(of, func(prefix string) bool { return strings.HasPrefix(a.Region, prefix) }) {
		return nil
	}
	return refusal.Invalid("The provided model identifier is invalid.")
}

// profileOnly refuses the bare id of a model that can only be called through an inference profile.
func profileOnly(a *Asked) *refusal.Error {
	if a.Profile != "" || a.Added || !a.Model.ThroughProfiles() {
		return nil
	}
	return refusal.Invalid("Invocation of model ID %s with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile that contains this model.", a.Model.ID)
}

// documentNames also allows underscores, which are not in the API reference: recorded on Sonnet 4.5 and 5 (2026).
var documentNames = regexp.MustCompile(`^[A-Za-z0-9_()\[\]-]+( [A-Za-z0-9_()\[\]-]+)*$`)

// documentName checks the documents of each message.
func documentName(a *Asked) *refusal.Error {
	if !a.converse {
		return nil
	}
	for _, m := range a.messages {
		if refused := documentsOf(m); refused != nil {
			return refused
		}
	}
	return nil
}

// documentsOf checks the names of the documents in a message: their characters, and that no name is twice. A message with documents also needs a
// text.
func documentsOf(m *jsonnode.Node) *refusal.Error {
	names, text := map[string]bool{}, false
	for _, b := range m.Get("content").List() {
		text = text || b.Get("text") != nil
		d := b.Get("document")
		if d == nil {
			continue
		}
		name := d.Get("name").Text()
		switch {
		case !documentNames.MatchString(name):
			return refusal.Invalid("The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character.")
		case names[name]:
			return refusal.Invalid("Messages can not contain multiple documents with the same name.")
		}
		names[name] = true
	}
	if len(names) > 0 && !text {
		return refusal.Invalid("A text block is required in a message that holds documents.")
	}
	return nil
}

// systemOfModel refuses a system prompt for models that take none.
func systemOfModel(a *Asked) *refusal.Error {
	if a.request.Get("system") != nil && a.named("titan-text", "mistral-7b", "mixtral-8x7b") {
		return refusal.Invalid("This model doesn't support system messages. Try again without a system message or use a model that supports system messages.")
	}
	return nil
}

// toolsWithoutConfig refuses uses and results of tools in a Converse request that defines no tools.
func toolsWithoutConfig(a *Asked) (refused *refusal.Error) {
	if !a.converse || a.request.Get("toolConfig") != nil {
		return nil
	}
	a.blocks(func(_, b *jsonnode.Node) bool {
		if b.Get("toolUse") != nil || b.Get("toolResult") != nil {
			refused = refusal.Invalid("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
		}
		return refused == nil
	})
	return refused
}

// propertyKey is the form of the keys that Claude accepts in a tool's schema.
var propertyKey = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// propertyKeys checks the names of the properties of each tool's schema, at the first level only.
func propertyKeys(a *Asked) *refusal.Error {
	if !a.claude() {
		return nil
	}
	for i, t := range a.tools {
		schema := t.Get("input_schema")
		if a.converse {
			schema = t.Get("toolSpec").Get("inputSchema").Get("json")
		}
		if properties := schema.Get("properties"); properties != nil {
			for _, key := range properties.Keys {
				if !propertyKey.MatchString(key) {
					return refusal.ModelError("tools." + strconv.Itoa(i) + ".custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'")
				}
			}
		}
	}
	return nil
}

// toolSchema refuses a tool of the caller's own without a schema, in Anthropic's dialect. In Converse the schema is checked when the body is
// parsed.
func toolSchema(a *Asked) *refusal.Error {
	if a.converse || !a.claude() {
		return nil
	}
	for i, t := range a.tools {
		if kind := t.Get("type").Text(); (kind == "" || kind == "custom") && t.Get("input_schema") == nil {
			return refusal.Invalid("tools.%d.custom.input_schema: Field required", i)
		}
	}
	return nil
}

// toolsOfModel refuses tools on DeepSeek R1, and on Llama a choice that forces a tool.
func toolsOfModel(a *Asked) *refusal.Error {
	switch {
	case len(a.tools) > 0 && a.named("deepseek.r1"):
		return refusal.Invalid("This model doesn't support tool use.")
	case a.forced && a.named("llama"):
		return refusal.Invalid("This model doesn't support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any and try again.")
	}
	return nil
}

// stopOfModel refuses stop sequences on models that take none.
func stopOfModel(a *Asked) *refusal.Error {
	if a.converse && len(a.stop.List()) > 0 && a.named("qwen.", "gpt-oss") {
		return refusal.Invalid("This model doesn't support the stopSequences field. Remove stopSequences and try again.")
	}
	return nil
}

// claudeFields are the fields that Claude accepts in additionalModelRequestFields, besides Converse's own (the Messages API, 2026-11).
var claudeFields = []string{
	"thinking", "anthropic_beta", "anthropic_version", "tools", "tool_choice", "top_k", "output_config", "output_format", "context_management", "compaction",
	"metadata", "max_tokens", "service_tier", "reasoning_config", "speed", "temperature", "top_p", "stop_sequences",
}

// additionalFields refuses fields in additionalModelRequestFields that Claude does not have.
func additionalFields(a *Asked) *refusal.Error {
	fields := a.request.Get("additionalModelRequestFields")
	if !a.converse || !a.claude() || fields == nil {
		return nil
	}
	for _, key := range fields.Keys {
		if !slices.Contains(claudeFields, key) {
			return refusal.ModelError(key + ": Extra inputs are not permitted")
		}
	}
	return nil
}

// emptyResult refuses the result of a failed tool without content.
func emptyResult(a *Asked) (refused *refusal.Error) {
	if !a.converse || !a.claude() {
		return nil
	}
	a.blocks(func(_, b *jsonnode.Node) bool {
		if r := b.Get("toolResult"); r.Get("status").Text() == "error" && len(r.Get("content").List()) == 0 {
			refused = refusal.ModelError("messages: content cannot be empty if is_error is true")
		}
		return refused == nil
	})
	return refused
}

// toolUseIDs refuses a conversation in which two tool uses have the same id.
func toolUseIDs(a *Asked) (refused *refusal.Error) {
	if !a.claude() {
		return nil
	}
	seen := map[string]bool{}
	a.blocks(func(_, b *jsonnode.Node) bool {
		id := b.Get("toolUse").Get("toolUseId").Text()
		if b.Get("type").Text() == "tool_use" {
			id = b.Get("id").Text()
		}
		if id != "" && seen[id] {
			refused = refusal.ModelError("messages: `tool_use` ids must be unique")
		}
		seen[id] = true
		return refused == nil
	})
	return refused
}

// sampling checks the sampling settings of Claude: newer models take none, some take only one of temperature and top_p, and temperature is at
// most 1.
func sampling(a *Asked) *refusal.Error {
	if !a.claude() {
		return nil
	}
	set := a.temperature != nil || a.topP != nil
	switch {
	case set && a.named("opus-4-7", "opus-4-8", "opus-5", "sonnet-5", "fable", "haiku-5-5"):
		return refusal.ModelError("`temperature` is deprecated for this model.")
	case a.temperature != nil && a.topP != nil && a.named("-4-5", "opus-4-1", "-4-6"):
		return refusal.ModelError("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
	}
	if v, ok := a.temperature.Decimal(); ok && (v < 0 || v > 1) {
		return refusal.Invalid("temperature: range: 0..1")
	}
	return nil
}

// thinkingBudget checks that the budget of thinking is at least 1,024 tokens and leaves room for an answer.
func thinkingBudget(a *Asked) *refusal.Error {
	budget, ok := a.thinking.Get("budget_tokens").Number()
	switch {
	case !ok || !a.claude():
		return nil
	case budget < 1024:
		return refusal.ModelError("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
	case a.maxTokens > 0 && budget >= a.maxTokens:
		return refusal.ModelError("`max_tokens` must be greater than `thinking.budget_tokens`.")
	}
	return nil
}

// thinkingSampling refuses thinking with another temperature than 1.
func thinkingSampling(a *Asked) *refusal.Error {
	if v, ok := a.temperature.Decimal(); ok && v != 1 && a.thinking != nil && a.claude() {
		return refusal.ModelError("`temperature` may only be set to 1 when thinking is enabled.")
	}
	return nil
}

// thinkingTools refuses thinking with a choice that forces a tool.
func thinkingTools(a *Asked) *refusal.Error {
	if a.forced && a.thinking != nil && a.claude() {
		return refusal.ModelError("Thinking may not be enabled when tool_choice forces tool use.")
	}
	return nil
}

// thinkingFirst checks, if thinking is on, that the assistant's last message begins with its thinking if it uses tools.
func thinkingFirst(a *Asked) *refusal.Error {
	last := a.lastOfAssistant()
	if a.thinking == nil || !a.claude() || last < 0 {
		return nil
	}
	blocks := a.messages[last].Get("content").List()
	uses := slices.ContainsFunc(blocks, func(b *jsonnode.Node) bool { return b.Get("toolUse") != nil || b.Get("type").Text() == "tool_use" })
	if !uses || thinks(blocks[0]) {
		return nil
	}
	return refusal.ModelError("messages." + strconv.Itoa(last) + ".content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block.")
}

// lastOfAssistant returns the index of the assistant's last message; -1 if there is none.
func (a *Asked) lastOfAssistant() int {
	for i := len(a.messages) - 1; i >= 0; i-- {
		if a.messages[i].Get("role").Text() == "assistant" {
			return i
		}
	}
	return -1
}

// thinks reports whether a block is thinking, in Converse's form or in Anthropic's.
func thinks(b *jsonnode.Node) bool {
	kind := b.Get("type").Text()
	return b.Get("reasoningContent") != nil || kind == "thinking" || kind == "redacted_thinking"
}

// prefill refuses, on Claude since 4.6, a conversation that ends with the assistant.
func prefill(a *Asked) *refusal.Error {
	if a.prefill() != nil && a.claude() && a.named("opus-4-6", "opus-4-7", "opus-4-8", "opus-5", "sonnet-4-6", "sonnet-5", "fable", "haiku-5-5") {
		return refusal.ModelError("This model does not support assistant message prefill. The conversation must end with a user message.")
	}
	return nil
}

// trailingBlank refuses a prefill, the beginning of the answer in a last message of the assistant, that ends with white space.
func trailingBlank(a *Asked) *refusal.Error {
	m := a.prefill()
	if m == nil || !a.claude() {
		return nil
	}
	text := m.Get("content").Text()
	if blocks := m.Get("content").List(); len(blocks) > 0 {
		text = blocks[len(blocks)-1].Get("text").Text()
	}
	if text != strings.TrimRight(text, " \t\r\n") {
		return refusal.ModelError("messages: final assistant content cannot end with trailing whitespace")
	}
	return nil
}

// Geographies are the prefixes of the regions from which a geography's profiles can be called. Some also serve a neighbour, as those of the US serve
// Canada.
var Geographies = map[string][]string{
	"us": {"us-", "ca-"}, "eu": {"eu-", "il-"}, "apac": {"ap-", "me-"}, "jp": {"ap-northeast-"}, "au": {"ap-southeast-"}, "ca": {"ca-", "us-"}, "in": {"ap-south-"},
	"us-gov": {"us-gov-"},
}

// ProfileRegions holds the regions to which the profiles of a geography send requests (AWS's page of inference profiles, read 2026-11, in
// part). A model's ARN for the global profile names no region.
var ProfileRegions = map[string][]string{
	"us": {"us-east-1", "us-east-2", "us-west-2"}, "eu": {"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3"}, "apac": {"ap-northeast-1", "ap-south-1", "ap-southeast-2"},
	"jp": {"ap-northeast-1", "ap-northeast-3"}, "au": {"ap-southeast-2", "ap-southeast-4"}, "ca": {"ca-central-1", "us-east-1"}, "in": {"ap-south-1", "ap-south-2"},
	"us-gov": {"us-gov-east-1", "us-gov-west-1"}, "global": {""},
}

// GeographyOf returns the geography whose profiles a region lists, or us if the region is in none.
func GeographyOf(region string) string {
	// us-gov comes before us, because its regions begin with us-, too. The other geographies are parts of these four.
	for _, geography := range []string{"us-gov", "us", "eu", "apac"} {
		if slices.ContainsFunc(Geographies[geography], func(prefix string) bool { return strings.HasPrefix(region, prefix) }) {
			return geography
		}
	}
	return "us"
}
