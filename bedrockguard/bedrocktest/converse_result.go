package bedrocktest

import "strings"

// notedDocument is what stands in the place of a document that a model is not given, in tokens (recorded on Pixtral: some 20).
const notedDocument = 24

// unread is the text of a result of a tool with documents in it for a family that is not given them; empty for any other result.
// Recorded: documents in results of tools do not reach Llama and Pixtral.
func (in *inference) unread(result *node) string {
	if in.model.Provider == "anthropic" || in.model.Provider == "amazon" {
		return ""
	}
	var text strings.Builder
	documents := false
	for _, c := range result.get("content").list() {
		if c.get("document").get("source").get("bytes") != nil {
			documents = true
			continue
		}
		text.WriteString(c.raw)
	}
	if !documents {
		return ""
	}
	return text.String() + strings.Repeat(" document", notedDocument)
}
