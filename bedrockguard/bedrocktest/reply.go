package bedrocktest

import (
	"fmt"
	"slices"
	"strings"
)

// Reply is what the model answers. The zero value answers a short text.
type Reply struct {
	Text         string
	OutputTokens int    // what is billed; zero counts what is answered. More than the request's maximum is cut to it
	ToolName     string // also asks for this tool
	ToolInput    string // JSON object; empty stands for {}
	StopReason   string // empty is worked out
	// Blocks are the answer block by block, in the place of Text and ToolName: several texts, several uses of tools, with or without text,
	// reasoning. Families that have no such blocks answer the texts alone.
	Blocks []Block

	seq int  // of the request
	cut bool // by the request's maximum
}

// Block is one block of an answer: exactly one of its fields is set.
type Block struct {
	Text      string
	Tool      *ToolUse
	Reasoning *Reasoning
}

// ToolUse asks for a tool.
type ToolUse struct {
	Name  string
	Input string // JSON object; empty stands for {}
	ID    string // empty is one that no other answer of the server has

	bare bool // streamed without any input, as Nova does where there is none
}

// Reasoning is what a model tells of its thoughts.
type Reasoning struct {
	Text      string
	Signature string
	Redacted  []byte // in the place of both
}

// Says is a text block.
func Says(text string) Block { return Block{Text: text} }

// Uses is a block that asks for a tool with a JSON object; empty stands for {}.
func Uses(name, input string) Block { return Block{Tool: &ToolUse{Name: name, Input: input}} }

// Thinks is a block of reasoning.
func Thinks(text, signature string) Block {
	return Block{Reasoning: &Reasoning{Text: text, Signature: signature}}
}

const defaultText = "Understood. The change looks right, and the next step follows from it."

// complete fills in what the user left open, within the request's maximum.
func (r Reply) complete(s *Server, in *inference) Reply {
	r.seq = in.request.Seq
	if r.Blocks == nil {
		if r.Text == "" {
			r.Text = defaultText
		}
		r.Blocks = []Block{{Text: r.Text}}
		if r.ToolName != "" {
			r.Blocks = append(r.Blocks, Uses(r.ToolName, r.ToolInput))
		}
		if r.OutputTokens <= 0 {
			r.OutputTokens = s.opts.count(r.Text)
		}
	} else {
		r.Text = r.texts()
	}
	r.Blocks = r.named(in.model.Provider == "amazon")
	if r.OutputTokens <= 0 {
		for _, b := range r.Blocks {
			r.OutputTokens += s.opts.count(b.counted())
		}
	}
	if in.maxTokens > 0 && r.OutputTokens >= in.maxTokens {
		r.OutputTokens = in.maxTokens
		r.StopReason, r.cut = "max_tokens", true
	}
	r.OutputTokens *= max(in.choices, 1)
	return r
}

func (r Reply) stop() string {
	switch {
	case r.StopReason != "":
		return r.StopReason
	case r.uses():
		return "tool_use"
	default:
		return "end_turn"
	}
}

// uses reports whether the answer asks for a tool.
func (r Reply) uses() bool {
	return slices.ContainsFunc(r.Blocks, func(b Block) bool { return b.Tool != nil })
}

// chosen returns one of three words: for a whole answer, for one that was cut, and for one that asks for a tool.
func (r Reply) chosen(whole, cut, uses string) string {
	switch {
	case r.cut:
		return cut
	case r.uses():
		return uses
	default:
		return whole
	}
}

// texts joins the texts of the answer, for families without blocks.
func (r Reply) texts() string {
	var all []string
	for _, b := range r.Blocks {
		if b.Text != "" {
			all = append(all, b.Text)
		}
	}
	return strings.Join(all, "\n")
}

// named fills in what uses of tools leave open.
func (r Reply) named(amazon bool) []Block {
	all := slices.Clone(r.Blocks)
	for i, b := range all {
		if b.Tool == nil {
			continue
		}
		tool := *b.Tool
		if tool.ID == "" {
			tool.ID = fmt.Sprintf("tooluse_%012d%02d", r.seq, i)
		}
		if tool.Input == "" {
			tool.Input, tool.bare = "{}", amazon
		}
		all[i].Tool = &tool
	}
	return all
}

// counted is the text by which a block is billed.
func (b Block) counted() string {
	switch {
	case b.Tool != nil:
		return b.Tool.Name + b.Tool.Input
	case b.Reasoning != nil:
		return b.Reasoning.Text + string(b.Reasoning.Redacted)
	default:
		return b.Text
	}
}

// maxPieces bounds the deltas of a stream.
const maxPieces = 64

// pieces cuts the text into the deltas of a stream.
func (r Reply) pieces() []string { return pieces(r.Text) }

func pieces(text string) []string {
	words := strings.SplitAfter(text, " ")
	per := (len(words) + maxPieces - 1) / maxPieces
	var all []string
	for len(words) > 0 {
		n := min(per, len(words))
		all = append(all, strings.Join(words[:n], ""))
		words = words[n:]
	}
	return all
}
