package dialects

import "unicode/utf8"

// guarded adds a text's characters to those that guardrails evaluate, if there are any. Guardrails bill by the text: each message is one (role is
// set at its first block), and so is the system prompt.
func (in *Prompt) guarded(section, text string) {
	if len(in.Guardrails) == 0 {
		return
	}
	if n := len(in.GuardedTexts); n == 0 || in.role != "" || in.guardedIn != section {
		in.GuardedTexts, in.guardedIn = append(in.GuardedTexts, 0), section
	}
	in.GuardedTexts[len(in.GuardedTexts)-1] += utf8.RuneCountInString(text)
}
