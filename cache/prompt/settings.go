package prompt

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/hash"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// Settings are hashes of the settings on which what is cached depends without their being part of the prompt: of all of them, and by kind,
// because each kind invalidates another part of the cache. Zero is a kind that the request does not set.
type Settings struct {
	All        uint64
	ToolChoice uint64 // whether and which tools have to be used
	Thinking   uint64 // how the model thinks, and how hard
	AnswerForm uint64 // the form or schema of the answer
	Pace       uint64 // the speed mode
	Citations  uint64 // whether citations are asked for
	Other      uint64 // all that are of none of these kinds
	// Images says that the request has an image.
	Images bool
}

// ofKind returns the field of Settings in which a setting counts, by the setting's name in a request up to its first dot.
func (s *Settings) ofKind(name string) *uint64 {
	switch name, _, _ = strings.Cut(name, "."); name {
	case "tool_choice", "toolChoice":
		return &s.ToolChoice
	case "thinking", "reasoning", "reasoning_config", "reasoningConfig", "reasoning_effort", "reasoningEffort", "effort":
		return &s.Thinking
	case "output_config", "outputConfig":
		return &s.AnswerForm
	case "speed":
		return &s.Pace
	case "citations":
		return &s.Citations
	default:
		return &s.Other
	}
}

// Setting records a setting on which the cache depends without being part of the prompt, such as the tool choice. What a change of it
// invalidates depends on its name and the model's maker.
func (p *Prompt) Setting(name, value string) {
	s := &p.Settings
	kind := s.ofKind(name)
	with := func(sum uint64) uint64 { return hash.Mix(hash.Mix(sum, hash.String(name)), hash.String(value)) }
	s.All, *kind = with(s.All), with(*kind)
	p.Final = p.Final || kind == &s.ToolChoice && namesTool(value) // with a single tool demanded, the request asks for one answer
}

// namesTool reports whether a tool choice demands one particular tool, in Converse's form or in Anthropic's.
func namesTool(choice string) bool {
	s, names := jsonscan.New(choice), false
	if s.Peek() != '{' {
		return false
	}
	_ = s.Object(func(key string) error { // a choice that can't be read names no tool
		raw, err := s.Value()
		names = names || key == "tool" || key == "type" && raw == `"tool"` // {"tool":{"name":"f"}}, or {"type":"tool","name":"f"}
		return err
	})
	return names
}
