package dialects

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
)

// TextsOf joins the texts in a string or a list of blocks. A block of JSON is added unchanged.
func TextsOf(n *jsonnode.Node) string {
	if n.Kind() == '"' {
		return n.Text()
	}
	var all []string
	for _, b := range n.List() {
		switch {
		case b.Kind() == '"':
			all = append(all, b.Text())
		case b.Get("text") != nil:
			all = append(all, b.Get("text").Text())
		case b.Get("json") != nil:
			all = append(all, b.Get("json").Raw)
		}
	}
	return strings.Join(all, "\n")
}
