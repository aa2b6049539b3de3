package dialects

import "unicode/utf8"

// guarded adds a text's characters to GuardedTexts, if there are guardrails. These bill by the text: each message is one text, and so is the system
// prompt. in.role is set until a message has its first block, so that a new text begins with that block.
func (in *Prompt) guarded(section, text string) {
	if len(in.Guardrails) == 0 {
		return
	}
	if n := len(in.GuardedTexts); n == 0 || in.role != "" || in.guardedIn != section {
		in.GuardedTexts, in.guardedIn = append(in.GuardedTexts, 0), section
	}
	in.GuardedTexts[len(in.GuardedTexts)-1] += utf8.RuneCountInString(text)
}
