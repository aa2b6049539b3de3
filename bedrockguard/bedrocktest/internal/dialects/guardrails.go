package dialects

import "unicode/utf8"

// guarded counts a text for the guardrails, if there are any. Each message and the system prompt is one text.
func (in *Prompt) guarded(section, text string) {
	if len(in.Guardrails) == 0 {
		return
	}
	if n := len(in.GuardedTexts); n == 0 || in.role != "" || in.guardedIn != section {
		in.GuardedTexts, in.guardedIn = append(in.GuardedTexts, 0), section
	}
	in.GuardedTexts[len(in.GuardedTexts)-1] += utf8.RuneCountInString(text)
}
