package cache

import (
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// settingKind is a kind of setting. Which part of the cache a change invalidates depends on it.
type settingKind uint8

const (
	toolChoice settingKind = iota
	thinking
	answerForm
	pace
	citations
	otherSetting
	numSettings
)

var settingKindNames = [numSettings]string{"the tool choice", "how the model thinks", "the form of the answer", "the speed", "the citations of documents", "a setting"}

// kindOfSetting returns the kind of a setting by its name in a request.
func kindOfSetting(name string) settingKind {
	switch name, _, _ = strings.Cut(name, "."); name {
	case "tool_choice", "toolChoice":
		return toolChoice
	case "thinking", "reasoning", "reasoning_config", "reasoningConfig", "reasoning_effort", "reasoningEffort", "effort":
		return thinking
	case "output_config", "outputConfig":
		return answerForm
	case "speed":
		return pace
	case "citations":
		return citations
	default:
		return otherSetting
	}
}

// Setting records a setting on which the cache depends without being part of the prompt, such as the tool choice. What a change of it
// invalidates depends on its name and the model's maker.
func (p *Prompt) Setting(name, value string) {
	p.settings = mix(mix(p.settings, hashString(name)), hashString(value))
	kind := kindOfSetting(name)
	l := &p.levels[kind]
	*l = mix(mix(*l, hashString(name)), hashString(value))
	p.Final = p.Final || kind == toolChoice && namesTool(value)
}

// namesTool reports whether a tool choice demands one particular tool, in Converse's form or in Anthropic's.
func namesTool(choice string) bool {
	s, names := jsonscan.New(choice), false
	if s.Peek() != '{' {
		return false
	}
	_ = s.Object(func(key string) error { // what can't be read names none
		raw, err := s.Value()
		names = names || key == "tool" || key == "type" && raw == `"tool"`
		return err
	})
	return names
}

// level returns the hash of all settings on which cached messages depend.
func (p *Prompt) level() uint64 {
	if p.images {
		return mix(p.settings, 1) | 1
	}
	return p.settings | 1
}

// levelOf returns the hash of the settings on which the cache of a section depends; 0 for a section that depends on none of the request's
// settings. According to Anthropic's documentation (2026-11) a change of speed and citations invalidates the system prompt and what follows,
// and one of the tool choice, thinking and images only the messages. On Nova a changed tool choice was seen to make the whole prefix be
// written again (2026-11).
func (p *Prompt) levelOf(s Section, provider string) uint64 {
	switch {
	case s == Messages:
		return p.level()
	case provider == nova && p.levels[toolChoice] != 0:
		return p.levels[toolChoice] | 1
	case provider != nova && s == System && (p.levels[pace] != 0 || p.levels[citations] != 0):
		return mix(p.levels[pace], p.levels[citations]) | 1
	default:
		return 0
	}
}

// sectionLevels returns levelOf for all sections.
func (p *Prompt) sectionLevels(provider string) [len(sectionNames)]uint64 {
	return [...]uint64{Tools: p.levelOf(Tools, provider), System: p.levelOf(System, provider), Messages: p.levelOf(Messages, provider)}
}

// forgetful has parts of the ids of those Claude models that drop earlier thinking at the next user turn: those before Opus 4.5 and Sonnet
// 4.6, and every Haiku (Anthropic's documentation, 2026-11). What is cached after the first dropped thinking can't be read then.
var forgetful = [...]string{"haiku", "claude-3-", "claude-opus-4-1", "claude-opus-4-2025", "claude-sonnet-4-2025", "claude-sonnet-4-5"}

// forgets reports whether a model drops thinking that a request has in common with the one before it. It does if the newest user turn has
// more than results of tools.
func (p *Prompt) forgets(m *Model, shared int) bool {
	if m.Provider != anthropic || !slices.ContainsFunc(forgetful[:], func(part string) bool { return strings.Contains(m.ID, part) }) {
		return false
	}
	asks := false
	i := len(p.Blocks) - 1
	for ; i >= 0 && p.Blocks[i].Section == Messages && p.Blocks[i].User; i-- {
		asks = asks || p.Blocks[i].Kind != ToolResult
	}
	if !asks {
		return false
	}
	for i = min(i, shared-1); i >= 0 && p.Blocks[i].Section == Messages; i-- {
		if p.Blocks[i].Kind == Reasoning {
			return true
		}
	}
	return false
}

// changedSettings returns the names of the kinds of settings that differ between two requests.
func changedSettings(a, b *[numSettings]uint64) string {
	var names []string
	for i := range a {
		if a[i] != b[i] {
			names = append(names, settingKindNames[i])
		}
	}
	if len(names) == 0 {
		return "a setting"
	}
	return strings.Join(names, " and ")
}
