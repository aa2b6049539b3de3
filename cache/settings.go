package cache

import (
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/hash"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// messagesLevel returns the hash of all settings on which cached messages depend, which includes whether the request has an image. The lowest bit is
// set so that the hash is never 0, which levelOf returns for "no settings".
func messagesLevel(s *prompt.Settings) uint64 {
	if s.Images {
		return hash.Mix(s.All, 1) | 1
	}
	return s.All | 1
}

// levelOf returns the hash of the settings on which the cache of a section depends; 0 for a section that depends on none of the request's
// settings. According to Anthropic's documentation (2026-11) a change of speed and citations invalidates the system prompt and what follows,
// and one of the tool choice, thinking and images only the messages. On Nova a changed tool choice was seen to make the whole prefix be
// written again (2026-11).
func levelOf(s *prompt.Settings, section prompt.Section, provider string) uint64 {
	switch {
	case section == prompt.Messages:
		return messagesLevel(s)
	case provider == nova && s.ToolChoice != 0: // Amazon's own models
		return s.ToolChoice | 1
	case provider != nova && section == prompt.System && (s.Pace != 0 || s.Citations != 0):
		return hash.Mix(s.Pace, s.Citations) | 1
	default:
		return 0
	}
}

// sectionLevels are the results of levelOf for all sections.
type sectionLevels [prompt.Messages + 1]uint64

// levelsOf returns levelOf for each section.
func levelsOf(s *prompt.Settings, provider string) sectionLevels {
	var levels sectionLevels
	for section := range levels {
		levels[section] = levelOf(s, prompt.Section(section), provider)
	}
	return levels
}

// levelAt returns levelOf for the section of a block: the level of a cache entry that ends with that block of this call's prompt.
func (c *Call) levelAt(p *prompt.Prompt, block int) uint64 {
	return levelOf(&p.Settings, p.Records()[block].Section, c.Model.Provider)
}

// changedSettings returns the names of the kinds of settings that differ between two requests.
func changedSettings(old, now *prompt.Settings) []string {
	var names []string
	for _, kind := range [...]struct {
		name     string
		old, now uint64
	}{
		{"the tool choice", old.ToolChoice, now.ToolChoice},
		{"how the model thinks", old.Thinking, now.Thinking},
		{"the form of the answer", old.AnswerForm, now.AnswerForm},
		{"the speed", old.Pace, now.Pace},
		{"the citations of documents", old.Citations, now.Citations},
		{"a setting", old.Other, now.Other},
	} {
		if kind.old != kind.now {
			names = append(names, kind.name)
		}
	}
	return names
}

// forgetful has parts of the ids of those Claude models that drop earlier thinking at the next user turn: those before Opus 4.5 and Sonnet
// 4.6, and every Haiku (Anthropic's documentation, 2026-11). What is cached after the first dropped thinking can't be read then.
var forgetful = [...]string{"haiku", "claude-3-", "claude-opus-4-1", "claude-opus-4-2025", "claude-sonnet-4-2025", "claude-sonnet-4-5"}

// forgets reports whether a model drops thinking that a request has in common with the one before it. shared is how many blocks the two have in
// common from the start. The model drops it if the newest user turn has more than results of tools.
func (m *Model) forgets(p *prompt.Prompt, shared int) bool {
	if m.Provider != anthropic || !slices.ContainsFunc(forgetful[:], func(part string) bool { return strings.Contains(m.ID, part) }) {
		return false
	}
	asks := false // the newest user turn has more than results of tools: the user asks anew
	i := len(p.Blocks) - 1
	for ; i >= 0 && p.Blocks[i].Section == prompt.Messages && p.Blocks[i].User; i-- {
		asks = asks || p.Blocks[i].Kind != prompt.ToolResult
	}
	if !asks {
		return false
	}
	// i is the last block before the newest user turn. Only blocks that the request before had too can have been cached.
	for i = min(i, shared-1); i >= 0 && p.Blocks[i].Section == prompt.Messages; i-- {
		if p.Blocks[i].Kind == prompt.Reasoning {
			return true
		}
	}
	return false
}
