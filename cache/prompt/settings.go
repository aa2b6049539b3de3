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
	ToolChoice uint64
	Thinking   uint64 // how the model thinks, and how hard
	AnswerForm uint64
	Pace       uint64
	Citations  uint64
	Other      uint64
	// Images says that the request has an image.
	Images bool
}

// ofKind returns the hash to which a setting counts, by its name in a request.
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
	for _, sum := range [...]*uint64{&s.All, kind} {
		*sum = hash.Mix(hash.Mix(*sum, hash.String(name)), hash.String(value))
	}
	p.Final = p.Final || kind == &s.ToolChoice && namesTool(value)
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
