package bedrocktest

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/rules"
)

// Rule names a rule that the service only has for some models. Options.Without switches rules off.
type Rule string

// The rules. Those of the first group are in the documentation of AWS or the models' makers, or were recorded. The others come from one user
// report each, and may have changed.
const (
	RuleProfileOnly       Rule = "profile-only"        // no on-demand throughput under the bare id: Claude since 3.7, Nova Premier, Llama since 3.1 (2025)
	RuleEndOfLife         Rule = "end-of-life"         // no models after their end of life
	RuleRegionOfProfile   Rule = "region-of-profile"   // a geographic profile is only called from its own geography
	RuleDocumentName      Rule = "document-name"       // letters, digits, hyphens, brackets and single spaces; each name once; with a text in the message
	RuleThinkingBudget    Rule = "thinking-budget"     // at least 1,024 tokens and below maxTokens
	RuleThinkingSampling  Rule = "thinking-sampling"   // no temperature but 1 with thinking
	RuleThinkingTools     Rule = "thinking-tools"      // no forced tool with thinking
	RuleTrailingBlank     Rule = "trailing-blank"      // a prefill does not end with white space
	RuleMediaOfModel      Rule = "media-of-model"      // images, video and S3 locations only for models that take them
	RuleSystemOfModel     Rule = "system-of-model"     // a system prompt only for models that take one
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

// asked returns what the rules check of a request: body is Converse's if converse is set, and else Anthropic's. If a test gives a model an end of
// life of its own, the table's does not apply (EndsByTest); a model that a test adds (with a Like) needs no inference profile (Added).
func (s *Server) asked(body *jsonnode.Node, in *inference, converse bool) *rules.Asked {
	a := rules.Read(body, converse)
	a.Model, a.Profile, a.Region, a.Now = in.Model, in.Profile, s.opts.Region, s.opts.Clock()
	// An entry of Options.Models is for the id that the request names, which it may add, or for the model that this id stands for.
	if known := s.models[in.request.AskedID]; known != nil {
		a.EndsByTest, a.Added = !known.Ends.IsZero(), known.Like != ""
	} else if known := s.models[in.Model.ID]; known != nil {
		a.EndsByTest = !known.Ends.IsZero()
	}
	// The routes of OpenAI and Anthropic (Form) accept model ids without a profile, as if the test had added them.
	a.Added = a.Added || in.Form != ""
	return a
}

// obeys checks a body of Converse, or else of Anthropic's dialect, against all rules, and returns the first refusal.
func (s *Server) obeys(body *jsonnode.Node, in *inference, converse bool) *refusal.Error {
	a := s.asked(body, in, converse)
	for _, r := range s.rules {
		if refused := r.Broken(a); refused != nil {
			return refused
		}
	}
	return nil
}

// Rules returns all rules.
func Rules() []Rule {
	all := []Rule{RuleServerToolCounted} // CountTokens checks this one, which therefore is not in rules.All
	for _, r := range rules.All() {
		all = append(all, Rule(r.Name))
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
