package bedrocktest

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Reply is what the model answers. The zero value answers a short text.
type Reply struct {
	Text         string
	OutputTokens int    // billed output tokens; zero counts the content. At most the request's maximum
	ToolName     string // if set, the answer also asks for this tool
	ToolInput    string // a JSON object; empty means {}
	StopReason   string // in Converse's words, which are translated for each family; empty means that it follows from the answer
	StopSequence string // the sequence that ended the answer; then StopReason is stop_sequence
	// Blocks are the blocks of the answer, instead of Text and ToolName: several texts, several tool uses, with or without text, reasoning,
	// citations. Families without such blocks only answer the texts.
	Blocks []Block
	Fields string // JSON of Converse's additionalModelResponseFields; empty means none

	// FoundInRequest and FoundInAnswer are what guardrails found, as JSON objects with their policies: {"wordPolicy":{...}}. An answer has
	// them if the request asks for a trace. If a guardrail replaced the model's answer, the stop reason is guardrail_intervened.
	FoundInRequest, FoundInAnswer string
	Withheld                      []string // the model's texts before guardrails changed them
	Trace                         string   // JSON of the whole trace; empty means the one that the simulator makes

	Latency    time.Duration // until the answer begins, in addition to Options.FirstByteDelay
	EventDelay time.Duration // between the events of a stream; zero means Options.EventDelay
	StallAfter int           // after how many events a stream pauses for Stall
	Stall      time.Duration
	Fault      FaultKind // the fault of this answer, if Options gives the request none
	FaultAfter int       // after how many events an exception ends a stream; zero means half of them

	seq int // of the request
}

// Answer returns a reply with these blocks. The methods of Reply add to it.
func Answer(blocks ...Block) Reply { return Reply{Blocks: append([]Block{}, blocks...)} }

// Stopping sets the stop reason, in Converse's words.
func (r Reply) Stopping(reason string) Reply {
	r.StopReason = reason
	return r
}

// After sets how long the answer waits before it begins.
func (r Reply) After(latency time.Duration) Reply {
	r.Latency = latency
	return r
}

// Stalling makes a stream pause after this number of events.
func (r Reply) Stalling(events int, pause time.Duration) Reply {
	r.StallAfter, r.Stall = events, pause
	return r
}

// Failing gives the answer a fault. An exception ends a stream after this number of events; zero means half of them.
func (r Reply) Failing(kind FaultKind, events int) Reply {
	r.Fault, r.FaultAfter = kind, events
	return r
}

// Blocked says that a guardrail replaced the model's answer because of what it found in the request: policies as a JSON object.
func (r Reply) Blocked(policies string) Reply {
	r.FoundInRequest, r.StopReason = policies, intervened
	return r
}

// Masked says that a guardrail changed the answer because of what it found there. withheld are the model's own texts.
func (r Reply) Masked(policies string, withheld ...string) Reply {
	r.FoundInAnswer, r.Withheld, r.StopReason = policies, withheld, intervened
	return r
}

// Tracing sets the JSON of the whole trace.
func (r Reply) Tracing(trace string) Reply {
	r.Trace = trace
	return r
}

// intervened is the stop reason of answers that a guardrail changed.
const intervened = "guardrail_intervened"

// Turns scripts a conversation. A request gets the reply whose index is the number of assistant messages before it: the first request of a
// conversation gets the first reply. A repeated request gets the same reply again, and further turns get the last reply.
func Turns(replies ...Reply) func(Request) Reply {
	return func(r Request) Reply {
		if len(replies) == 0 {
			return Reply{}
		}
		return replies[min(r.Turn, len(replies)-1)]
	}
}

// defaultText is the answer where a test gives none.
const defaultText = "Understood. The change looks right, and the next step follows from it."

// complete fills in what the test left empty: the blocks, the ids of tool uses, and the output tokens, which are counted from the blocks, or from
// Text alone if the test gave no blocks. A reply of as many tokens as the request allows, or more, counts as cut there: it stops with max_tokens.
// Each of several choices (in.Choices) is billed.
func (r Reply) complete(s *Server, in *inference) Reply {
	r.seq = in.request.Seq
	if r.Blocks == nil {
		r = r.withBlocks()
		if r.OutputTokens <= 0 {
			r.OutputTokens = s.opts.count(r.Text)
		}
	} else {
		r.Text = r.texts()
	}
	r.Blocks = r.named(in.Model.Provider == "amazon")
	if r.OutputTokens <= 0 { // the test gave blocks, or the text has no tokens
		for _, b := range r.Blocks {
			r.OutputTokens += s.opts.count(b.counted())
		}
	}
	if in.MaxTokens > 0 && r.OutputTokens >= in.MaxTokens {
		r.OutputTokens = in.MaxTokens
		r.StopReason, r.StopSequence = "max_tokens", ""
	}
	r.OutputTokens *= max(in.Choices, 1)
	return r
}

// withBlocks makes the blocks of a reply that has none, from its text or the default one, and the tool for which it asks.
func (r Reply) withBlocks() Reply {
	r.Text = cmp.Or(r.Text, defaultText)
	r.Blocks = []Block{Says(r.Text)}
	if r.ToolName != "" {
		r.Blocks = append(r.Blocks, Uses(r.ToolName, r.ToolInput))
	}
	return r
}

// stop returns the stop reason, in Converse's words: the one that the test sets, or else the one that follows from the answer.
func (r Reply) stop() string {
	switch {
	case r.StopReason != "":
		return r.StopReason
	case r.StopSequence != "":
		return "stop_sequence"
	case r.uses():
		return "tool_use"
	default:
		return "end_turn"
	}
}

// uses reports whether the answer asks for a tool.
func (r Reply) uses() bool {
	return slices.ContainsFunc(r.Blocks, func(b Block) bool { return b.Tool != nil && !b.Tool.Server })
}

// stopWords are a family's stop reasons: for a complete answer, one that was cut, one that asks for a tool, and one that was filtered.
type stopWords struct{ whole, cut, uses, filtered string }

// chosen returns the stop reason in a family's words. One that is not Converse's is returned unchanged.
func (r Reply) chosen(words stopWords) string {
	switch reason := r.stop(); reason {
	case "end_turn", "stop_sequence":
		return words.whole
	case "max_tokens", "model_context_window_exceeded":
		return words.cut
	case "tool_use":
		return words.uses
	case intervened, "content_filtered", "refusal":
		return words.filtered
	default:
		return reason
	}
}

// stopSequence returns the sequence that ended the answer, in Anthropic's form.
func (r Reply) stopSequence() any {
	if r.StopSequence == "" {
		return nil
	}
	return r.StopSequence
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

// maxPieces bounds the deltas of a stream.
const maxPieces = 64

// pieces splits the text into the deltas of a stream.
func (r Reply) pieces() []string { return pieces(r.Text) }

// pieces splits a text at its spaces into at most maxPieces parts. An empty text is one empty piece.
func pieces(text string) []string {
	words := strings.SplitAfter(text, " ")
	perPiece := (len(words) + maxPieces - 1) / maxPieces
	var all []string
	for len(words) > 0 {
		n := min(perPiece, len(words))
		all = append(all, strings.Join(words[:n], ""))
		words = words[n:]
	}
	return all
}
