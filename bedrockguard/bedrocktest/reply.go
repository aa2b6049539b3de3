package bedrocktest

import (
	"fmt"
	"strings"
)

// Reply is what the model answers. The zero value answers a short text.
type Reply struct {
	Text         string
	OutputTokens int    // what is billed; zero counts Text. More than the request's maximum is cut to it
	ToolName     string // also asks for this tool
	ToolInput    string // JSON object; empty stands for {}
	StopReason   string // empty is worked out
}

const defaultText = "Understood. The change looks right, and the next step follows from it."

// complete fills in what the user left open, within the request's maximum.
func (r Reply) complete(s *Server, in *inference) Reply {
	if r.Text == "" {
		r.Text = defaultText
	}
	if r.OutputTokens <= 0 {
		r.OutputTokens = s.opts.count(r.Text)
	}
	if in.maxTokens > 0 && r.OutputTokens >= in.maxTokens {
		r.OutputTokens = in.maxTokens
		r.StopReason = "max_tokens"
	}
	r.OutputTokens *= max(in.choices, 1)
	return r
}

func (r Reply) stop() string {
	switch {
	case r.StopReason != "":
		return r.StopReason
	case r.ToolName != "":
		return "tool_use"
	default:
		return "end_turn"
	}
}

func (r Reply) toolID() string { return fmt.Sprintf("tooluse_%s_%d", r.ToolName, len(r.Text)) }

func (r Reply) toolInput() string {
	if r.ToolInput == "" {
		return "{}"
	}
	return r.ToolInput
}

// maxPieces bounds the deltas of a stream.
const maxPieces = 64

// pieces cuts the text into the deltas of a stream.
func (r Reply) pieces() []string {
	words := strings.SplitAfter(r.Text, " ")
	per := (len(words) + maxPieces - 1) / maxPieces
	var pieces []string
	for len(words) > 0 {
		n := min(per, len(words))
		pieces = append(pieces, strings.Join(words[:n], ""))
		words = words[n:]
	}
	return pieces
}
