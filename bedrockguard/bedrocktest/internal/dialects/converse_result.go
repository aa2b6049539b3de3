package dialects

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
)

// notedDocument is how many tokens the short note has that replaces a document which a model does not get (recorded on Pixtral: some 20).
const notedDocument = 24

// unread returns what the model reads of a tool result with documents, if its family gets none of these: the other content, and a note that is as
// long as the service's. It returns "" for a result without documents, and for Anthropic's and Amazon's models. Recorded: documents in tool results
// do not reach Llama and Pixtral.
func (in *Prompt) unread(result *jsonnode.Node) string {
	if in.Model.Provider == "anthropic" || in.Model.Provider == "amazon" {
		return ""
	}
	var text strings.Builder
	documents := false
	for _, c := range result.Get("content").List() {
		if c.Get("document").Get("source").Get("bytes") != nil {
			documents = true
			continue
		}
		text.WriteString(c.Raw)
	}
	if !documents {
		return ""
	}
	return text.String() + strings.Repeat(" document", notedDocument)
}
