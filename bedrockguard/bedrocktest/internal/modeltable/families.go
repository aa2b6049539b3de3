package modeltable

import (
	"slices"
	"strings"
)

// Chats reports whether a model accepts OpenAI's dialects.
func (m *Model) Chats() bool {
	return m.Mode == "" && !slices.Contains([]string{"anthropic", "amazon", "meta", "cohere", "ai21"}, m.Provider)
}

// CountsTokens reports whether the runtime has CountTokens for a model: for generations 3.5 to 4.6 of Claude, as observed up to November 2026.
// Another endpoint counts for later ones.
func (m *Model) CountsTokens() bool {
	for _, family := range []string{
		"claude-3-5-", "claude-3-7-", "claude-opus-4-2025", "claude-opus-4-1-", "claude-opus-4-5-", "claude-opus-4-6-",
		"claude-sonnet-4-2025", "claude-sonnet-4-5-", "claude-sonnet-4-6", "claude-haiku-4-5-",
	} {
		if strings.HasPrefix(m.ID, "anthropic."+family) {
			return true
		}
	}
	return false
}

// TakesOnePrompt reports whether a model is one of Mistral's of 2023 and 2024, which take one prompt instead of messages.
func (m *Model) TakesOnePrompt() bool {
	if m.Provider == "mistral" && strings.Contains(m.ID, "instruct-v0") {
		return true
	}
	return strings.HasPrefix(m.ID, "mistral.mistral-small-2402") || strings.HasPrefix(m.ID, "mistral.mistral-large-24")
}

// MantlePrefix is the prefix of the paths under which bedrock-mantle, the endpoint beside bedrock-runtime, serves a model (recordings of 2026-08).
func (m *Model) MantlePrefix() string {
	for _, family := range []string{"google.gemma-4", "openai.gpt-5", "xai."} {
		if strings.HasPrefix(m.ID, family) {
			return "openai/v1/"
		}
	}
	return "v1/"
}

// TakesVideo reports whether a model accepts video in messages (AWS's pages of the models, 2026-11).
func (m *Model) TakesVideo() bool {
	nova := strings.HasPrefix(m.ID, "amazon.nova") && !strings.Contains(m.ID, "micro")
	return nova || strings.Contains(m.ID, "twelvelabs") || strings.Contains(m.ID, "palmyra-vision")
}

// TakesAudio reports whether a model accepts audio in messages.
func (m *Model) TakesAudio() bool {
	return strings.Contains(m.ID, "voxtral") || strings.HasPrefix(m.ID, "amazon.nova-2") || strings.HasPrefix(m.ID, "amazon.nova-premier")
}

// Burndown is how many tokens of a quota one token of output uses (Amazon Bedrock user guide, read 2026-11).
func (m *Model) Burndown() int {
	has := func(families ...string) bool {
		for _, f := range families {
			if strings.Contains(m.ID, f) {
				return true
			}
		}
		return false
	}
	switch {
	case has("claude-opus-4-8"):
		return 15
	case has("claude-sonnet-5", "claude-opus-5", "claude-fable", "claude-haiku-5", "gpt-5.6"):
		return 10
	case has("claude-3-haiku", "claude-3-sonnet", "claude-3-opus", "claude-3-5", "claude-v2", "claude-instant"):
		return 1
	case m.Provider == "anthropic":
		return 5
	default:
		return 1
	}
}

// TakesInsertedSystem reports whether system messages may stand between the other messages (Claude since Opus 4.8, 2026).
func (m *Model) TakesInsertedSystem() bool {
	for _, family := range []string{"opus-4-8", "opus-5", "sonnet-5", "fable", "haiku-5-5"} {
		if strings.Contains(m.ID, family) {
			return true
		}
	}
	return false
}

// profileFamilies are the models that can only be called with a profile.
var profileFamilies = []string{
	"claude-3-7", "claude-sonnet", "claude-opus", "claude-haiku-4", "claude-haiku-5", "claude-fable", "nova-premier", "nova-2", "llama3-1", "llama3-2-3b", "llama3-2-11b", "llama3-2-90b", "llama3-3", "llama4", "deepseek.r1", "pixtral-large", "palmyra",
}

// ThroughProfiles reports whether a model can only be called with a profile.
func (m *Model) ThroughProfiles() bool {
	return slices.ContainsFunc(profileFamilies, func(f string) bool { return strings.Contains(m.ID, f) })
}
