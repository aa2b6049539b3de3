package bedrocktest

import (
	"slices"
	"strings"
	"time"
)

// Reply is what the model answers. The zero value answers a short text.
type Reply struct {
	Text         string
	OutputTokens int    // what is billed; zero counts what is answered. More than the request's maximum is cut to it
	ToolName     string // also asks for this tool
	ToolInput    string // JSON object; empty stands for {}
	StopReason   string // in Converse's words, which each family has its own for; empty is worked out
	StopSequence string // that ended the answer; StopReason is stop_sequence then
	// Blocks are the answer block by block, in the place of Text and ToolName: several texts, several uses of tools, with or without text,
	// reasoning, citations. Families that have no such blocks answer the texts alone.
	Blocks []Block
	Fields string // JSON of Converse's additionalModelResponseFields; empty is none

	// FoundInRequest and FoundInAnswer are what guardrails found, as JSON objects of their policies: {"wordPolicy":{...}}. Answers tell it
	// where a trace is asked for. An answer that a guardrail put in the place of the model's has the stop reason guardrail_intervened.
	FoundInRequest, FoundInAnswer string
	Withheld                      []string // what the model had said before guardrails changed it
	Trace                         string   // JSON of the whole trace, which the answer tells in the place of one of its own; empty is its own

	Latency    time.Duration // until the answer begins, beside Options.FirstByteDelay
	EventDelay time.Duration // between the events of a stream; zero is Options.EventDelay
	StallAfter int           // the events of a stream behind which it pauses for Stall
	Stall      time.Duration
	Fault      FaultKind // what goes wrong with this answer, where Options has nothing go wrong
	FaultAfter int       // the events behind which an exception ends a stream; zero is half of them

	seq int  // of the request
	cut bool // by the request's maximum
}

// Answer is a reply of these blocks. Its methods add to it.
func Answer(blocks ...Block) Reply { return Reply{Blocks: append([]Block{}, blocks...)} }

// Stopping gives the answer a stop reason in Converse's words.
func (r Reply) Stopping(reason string) Reply {
	r.StopReason = reason
	return r
}

// After lets the answer wait before it begins.
func (r Reply) After(latency time.Duration) Reply {
	r.Latency = latency
	return r
}

// Stalling pauses a stream behind so many events.
func (r Reply) Stalling(events int, pause time.Duration) Reply {
	r.StallAfter, r.Stall = events, pause
	return r
}

// Failing has something go wrong with the answer. An exception ends a stream behind so many events; none is half of them.
func (r Reply) Failing(kind FaultKind, events int) Reply {
	r.Fault, r.FaultAfter = kind, events
	return r
}

// Blocked says that a guardrail put the answer in the place of the model's, for what it found in the request: policies as a JSON object.
func (r Reply) Blocked(policies string) Reply {
	r.FoundInRequest, r.StopReason = policies, intervened
	return r
}

// Masked says that a guardrail changed the answer, for what it found in it. withheld is what the model had said.
func (r Reply) Masked(policies string, withheld ...string) Reply {
	r.FoundInAnswer, r.Withheld, r.StopReason = policies, withheld, intervened
	return r
}

// Tracing gives the answer a trace, as JSON, in the place of one of its own.
func (r Reply) Tracing(trace string) Reply {
	r.Trace = trace
	return r
}

// intervened is the stop reason of answers that a guardrail changed.
const intervened = "guardrail_intervened"

// Turns answers each conversation turn by turn: its first request with the first reply, and the request that follows so many messages of
// the assistant with the reply behind as many others. A request that is sent again is answered alike, and the last reply stands for all
// further turns.
func Turns(replies ...Reply) func(Request) Reply {
	return func(r Request) Reply {
		if len(replies) == 0 {
			return Reply{}
		}
		return replies[min(r.Turn, len(replies)-1)]
	}
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
		r.StopReason, r.StopSequence, r.cut = "max_tokens", "", true
	}
	r.OutputTokens *= max(in.choices, 1)
	return r
}

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

// words are a family's stop reasons: of a whole answer, of one that was cut, of one that asks for a tool, and of one that was filtered.
type words struct{ whole, cut, uses, filtered string }

// chosen returns the stop reason in a family's words. One that Converse has no word for stands as it was scripted.
func (r Reply) chosen(w words) string {
	switch reason := r.stop(); reason {
	case "end_turn", "stop_sequence":
		return w.whole
	case "max_tokens", "model_context_window_exceeded":
		return w.cut
	case "tool_use":
		return w.uses
	case intervened, "content_filtered", "refusal":
		return w.filtered
	default:
		return reason
	}
}

// stopSequence is what ended the answer, as Anthropic tells it.
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
