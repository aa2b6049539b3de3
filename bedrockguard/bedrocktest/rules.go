package bedrocktest

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Rule names a rule that the service only has for some models. Options.Without switches rules off.
type Rule string

// The rules. Those of the first group are in the documentation of AWS or the models' makers, or were recorded. The others come from one user
// report each, and may have changed.
const (
	RuleProfileOnly       Rule = "profile-only"        // no on-demand throughput under the bare id: Claude since 3.7, Nova Premier, Llama since 3.1 (2025)
	RuleEndOfLife         Rule = "end-of-life"         // models after their end of life
	RuleRegionOfProfile   Rule = "region-of-profile"   // a geographic profile is only called from its own geography
	RuleDocumentName      Rule = "document-name"       // letters, digits, hyphens, brackets and single spaces; each name once; with a text in the message
	RuleThinkingBudget    Rule = "thinking-budget"     // at least 1,024 tokens and below maxTokens
	RuleThinkingSampling  Rule = "thinking-sampling"   // no temperature but 1 with thinking
	RuleThinkingTools     Rule = "thinking-tools"      // no forced tool with thinking
	RuleTrailingBlank     Rule = "trailing-blank"      // a prefill does not end with white space
	RuleMediaOfModel      Rule = "media-of-model"      // images, video and S3 locations for models that take them
	RuleSystemOfModel     Rule = "system-of-model"     // a system prompt for models that take one
	RuleServerToolCounted Rule = "server-tool-counted" // CountTokens accepts no tools that run at the provider
	RuleImageBytes        Rule = "image-bytes"         // an image begins with the signature of a format
	RuleToolSchema        Rule = "tool-schema"         // a tool of Claude has an input_schema

	RuleToolsWithoutConfig Rule = "tools-without-config" // blocks of tools need a toolConfig (reported, 2024 to 2026)
	RulePropertyKeys       Rule = "property-keys"        // keys of schemas: letters, digits, _, . and - (reported, 2026)
	RuleEmptyResult        Rule = "empty-result"         // a failed tool result has content (reported, 2026)
	RuleSampling           Rule = "sampling"             // not both of temperature and topP on Claude 4.5; neither since Opus 4.7 (reported, 2025, 2026)
	RuleThinkingFirst      Rule = "thinking-first"       // the last turn of the assistant begins with its thinking (reported, 2025)
	RulePrefill            Rule = "prefill"              // no prefill since Opus 4.6 (reported, 2026)
	RuleToolsOfModel       Rule = "tools-of-model"       // no tools on DeepSeek R1, no forced ones on Llama (reported, 2025)
	RuleStopOfModel        Rule = "stop-of-model"        // no stop sequences on Qwen and gpt-oss (reported, 2025)
	RuleAdditionalFields   Rule = "additional-fields"    // Claude takes only its own fields (reported, 2025)
	RulePointBehindText    Rule = "point-behind-text"    // no cache point directly after a text document on Claude (reported, 2026)
	RuleToolUseIDs         Rule = "tool-use-ids"         // all tool uses in the history have different ids (reported, 2026)
)

// asked is the part of a request that rules check, from either form of a request.
type asked struct {
	model      *modeltable.Model
	profile    string
	region     string // where the request was sent
	now        time.Time
	endsByTest bool // a test has set when the model ends, so that endOfLife does not apply
	added      bool // the test has added the id, so that no profile is needed
	converse   bool
	request    *jsonnode.Node

	temperature, topP, stop *jsonnode.Node
	thinking                *jsonnode.Node // the thinking settings, if thinking is on
	maxTokens               int
	forced                  bool // a tool has to be used
	messages                []*jsonnode.Node
	tools                   []*jsonnode.Node
}

func (s *Server) asked(n *jsonnode.Node, in *inference, converse bool) *asked {
	a := &asked{model: in.model, profile: in.profile, region: s.opts.Region, now: s.opts.Clock(), converse: converse, request: n, messages: n.Get("messages").List()}
	if known := s.models[in.request.AskedID]; known != nil {
		a.endsByTest, a.added = !known.Ends.IsZero(), known.Like != ""
	} else if known := s.models[in.model.ID]; known != nil {
		a.endsByTest = !known.Ends.IsZero()
	}
	a.added = a.added || in.form != "" // these routes accept model ids without a profile
	if converse {
		config := n.Get("inferenceConfig")
		a.temperature, a.topP, a.stop = config.Get("temperature"), config.Get("topP"), config.Get("stopSequences")
		a.maxTokens, _ = config.Get("maxTokens").Number()
		a.thinking = n.Get("additionalModelRequestFields").Get("thinking")
		choice := n.Get("toolConfig").Get("toolChoice")
		a.forced = choice.Get("any") != nil || choice.Get("tool") != nil
		a.tools = n.Get("toolConfig").Get("tools").List()
	} else {
		a.temperature, a.topP, a.stop = n.Get("temperature"), n.Get("top_p"), n.Get("stop_sequences")
		a.maxTokens, _ = n.Get("max_tokens").Number()
		a.thinking = n.Get("thinking")
		choice := n.Get("tool_choice").Get("type").Text()
		a.forced = choice == "any" || choice == "tool"
		a.tools = n.Get("tools").List()
	}
	if t := a.thinking.Get("type").Text(); t != "enabled" && t != "adaptive" {
		a.thinking = nil
	}
	return a
}

func (a *asked) claude() bool { return a.model.Provider == "anthropic" }

// named reports whether the model belongs to one of these families.
func (a *asked) named(families ...string) bool {
	return slices.ContainsFunc(families, func(f string) bool { return strings.Contains(a.model.ID, f) })
}

// prefill returns the last message if the assistant wrote it.
func (a *asked) prefill() *jsonnode.Node {
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
func (a *asked) blocks(f func(m, b *jsonnode.Node) bool) {
	for _, m := range a.messages {
		for _, b := range m.Get("content").List() {
			if !f(m, b) {
				return
			}
		}
	}
}

// modelRule is one rule. It returns why a request breaks it, or nothing.
type modelRule struct {
	name   Rule
	broken func(*asked) *refusal.Error
}

// modelRules returns the rules in the order in which the service seems to check them.
func modelRules() []modelRule {
	return []modelRule{
		{RuleEndOfLife, endOfLife},
		{RuleRegionOfProfile, regionOfProfile},
		{RuleProfileOnly, profileOnly},
		{RuleDocumentName, documentName},
		{RuleMediaOfModel, mediaOfModel},
		{RuleImageBytes, imageBytes},
		{RulePointBehindText, pointBehindText},
		{RuleSystemOfModel, systemOfModel},
		{RuleToolsWithoutConfig, toolsWithoutConfig},
		{RulePropertyKeys, propertyKeys},
		{RuleToolSchema, toolSchema},
		{RuleToolsOfModel, toolsOfModel},
		{RuleStopOfModel, stopOfModel},
		{RuleAdditionalFields, additionalFields},
		{RuleEmptyResult, emptyResult},
		{RuleToolUseIDs, toolUseIDs},
		{RuleSampling, sampling},
		{RuleThinkingBudget, thinkingBudget},
		{RuleThinkingSampling, thinkingSampling},
		{RuleThinkingTools, thinkingTools},
		{RuleThinkingFirst, thinkingFirst},
		{RulePrefill, prefill},
		{RuleTrailingBlank, trailingBlank},
	}
}

// obeys checks a request against the rules of its model.
func (s *Server) obeys(n *jsonnode.Node, in *inference, converse bool) *refusal.Error {
	a := s.asked(n, in, converse)
	for _, r := range s.rules {
		if refused := r.broken(a); refused != nil {
			return refused
		}
	}
	return nil
}

// ends says when models ended (AWS's model lifecycle page, and refusals that users reported, read 2026-11).
var ends = map[string]string{
	"anthropic.claude-3-5-haiku-20241022-v1:0": "2026-08-01", "anthropic.claude-3-7-sonnet-20250219-v1:0": "2026-04-28",
	"anthropic.claude-3-5-sonnet-20241022-v2:0": "2026-03-01", "anthropic.claude-3-5-sonnet-20240620-v1:0": "2026-03-01",
	"anthropic.claude-3-haiku-20240307-v1:0": "2026-09-10",
}

// endOfLife refuses a model after the end in the table. If a test sets the end itself, available checks that instead.
func endOfLife(a *asked) *refusal.Error {
	end, known := ends[a.model.ID]
	if !known || a.endsByTest {
		return nil
	}
	if at, err := time.Parse(time.DateOnly, end); err != nil || a.now.Before(at) {
		return nil
	}
	return refusal.AtEnd()
}

// geographies are the prefixes of the regions from which a geography's profiles can be called.
var geographies = map[string][]string{
	"us": {"us-", "ca-"}, "eu": {"eu-", "il-"}, "apac": {"ap-", "me-"}, "jp": {"ap-northeast-"}, "au": {"ap-southeast-"}, "ca": {"ca-", "us-"}, "in": {"ap-south-"},
	"us-gov": {"us-gov-"},
}

func regionOfProfile(a *asked) *refusal.Error {
	of, geographic := geographies[a.profile]
	if !geographic || slices.ContainsFunc(of, func(prefix string) bool { return strings.HasPrefix(a.region, prefix) }) {
		return nil
	}
	return refusal.Invalid("The provided model identifier is invalid.")
}

func profileOnly(a *asked) *refusal.Error {
	if a.profile != "" || a.added || !a.model.ThroughProfiles() {
		return nil
	}
	return refusal.Invalid("Invocation of model ID %s with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile that contains this model.", a.model.ID)
}

// documentNames also allows underscores, which are not in the API reference: recorded on Sonnet 4.5 and 5 (2026).
var documentNames = regexp.MustCompile(`^[A-Za-z0-9_()\[\]-]+( [A-Za-z0-9_()\[\]-]+)*$`)

func documentName(a *asked) (refused *refusal.Error) {
	if !a.converse {
		return nil
	}
	for _, m := range a.messages {
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
	}
	return nil
}

func systemOfModel(a *asked) *refusal.Error {
	if a.request.Get("system") != nil && a.named("titan-text", "mistral-7b", "mixtral-8x7b") {
		return refusal.Invalid("This model doesn't support system messages. Try again without a system message or use a model that supports system messages.")
	}
	return nil
}

func toolsWithoutConfig(a *asked) (refused *refusal.Error) {
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

var propertyKey = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

func propertyKeys(a *asked) *refusal.Error {
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
					return refusal.ModelError("tools." + itoa(i) + ".custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'")
				}
			}
		}
	}
	return nil
}

func toolSchema(a *asked) *refusal.Error {
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

func toolsOfModel(a *asked) *refusal.Error {
	switch {
	case len(a.tools) > 0 && a.named("deepseek.r1"):
		return refusal.Invalid("This model doesn't support tool use.")
	case a.forced && a.named("llama"):
		return refusal.Invalid("This model doesn't support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any and try again.")
	}
	return nil
}

func stopOfModel(a *asked) *refusal.Error {
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

func additionalFields(a *asked) *refusal.Error {
	fields := a.request.Get("additionalModelRequestFields")
	if !a.converse || !a.claude() || fields == nil {
		return nil
	}
	for _, key := range fields.Keys {
		if !contains(claudeFields, key) {
			return refusal.ModelError(key + ": Extra inputs are not permitted")
		}
	}
	return nil
}

func emptyResult(a *asked) (refused *refusal.Error) {
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

func toolUseIDs(a *asked) (refused *refusal.Error) {
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

func sampling(a *asked) *refusal.Error {
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

func thinkingBudget(a *asked) *refusal.Error {
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

func thinkingSampling(a *asked) *refusal.Error {
	if v, ok := a.temperature.Decimal(); ok && v != 1 && a.thinking != nil && a.claude() {
		return refusal.ModelError("`temperature` may only be set to 1 when thinking is enabled.")
	}
	return nil
}

func thinkingTools(a *asked) *refusal.Error {
	if a.forced && a.thinking != nil && a.claude() {
		return refusal.ModelError("Thinking may not be enabled when tool_choice forces tool use.")
	}
	return nil
}

func thinkingFirst(a *asked) *refusal.Error {
	if a.thinking == nil || !a.claude() {
		return nil
	}
	for i := len(a.messages) - 1; i >= 0; i-- {
		m := a.messages[i]
		if m.Get("role").Text() != "assistant" {
			continue
		}
		blocks := m.Get("content").List()
		if len(blocks) == 0 {
			return nil
		}
		first := blocks[0]
		kind := first.Get("type").Text()
		uses := slices.ContainsFunc(blocks, func(b *jsonnode.Node) bool { return b.Get("toolUse") != nil || b.Get("type").Text() == "tool_use" })
		if uses && first.Get("reasoningContent") == nil && kind != "thinking" && kind != "redacted_thinking" {
			return refusal.ModelError("messages." + itoa(i) + ".content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block.")
		}
		return nil
	}
	return nil
}

func prefill(a *asked) *refusal.Error {
	if a.prefill() != nil && a.claude() && a.named("opus-4-6", "opus-4-7", "opus-4-8", "opus-5", "sonnet-4-6", "sonnet-5", "fable", "haiku-5-5") {
		return refusal.ModelError("This model does not support assistant message prefill. The conversation must end with a user message.")
	}
	return nil
}

func trailingBlank(a *asked) *refusal.Error {
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

// Rules returns all rules.
func Rules() []Rule {
	all := []Rule{RuleServerToolCounted}
	for _, r := range modelRules() {
		all = append(all, r.name)
	}
	return all
}

// ReportedRules returns the rules that only come from user reports. A test that does not want them passes them to Options.Without.
func ReportedRules() []Rule {
	return []Rule{
		RuleToolsWithoutConfig, RulePropertyKeys, RuleEmptyResult, RuleSampling, RuleThinkingFirst, RulePrefill, RuleToolsOfModel, RuleStopOfModel,
		RuleAdditionalFields, RulePointBehindText, RuleToolUseIDs,
	}
}
