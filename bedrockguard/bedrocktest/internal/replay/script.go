package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// script is the recorded answer as a Reply, as far as one can say it.
func script(a answer) bedrocktest.Reply {
	r := bedrocktest.Reply{OutputTokens: max(a.output(), 1)}
	if a.body != nil {
		r.Blocks = blocksOf(a.body)
		r.StopReason = stopOf(a.body)
	} else {
		r.Blocks = streamed(a.chunks)
		for _, held := range a.chunks {
			if stop := stopOf(held); stop != "" {
				r.StopReason = stop
			}
		}
	}
	if r.Blocks == nil {
		r.Text = "-"
	}
	return r
}

func text(v any) string { s, _ := v.(string); return s }

func stopOf(held object) string {
	for _, path := range [][]string{{"stopReason"}, {"stop_reason"}, {"delta", "stop_reason"}, {"messageStop", "stopReason"}} {
		if s := text(at(held, path...)); s != "" {
			return s
		}
	}
	return ""
}

// blocksOf reads the blocks of an answer in one piece.
func blocksOf(body object) (blocks []bedrocktest.Block) {
	list, _ := at(body, "output", "message", "content").([]any)
	if list == nil {
		list, _ = at(body, "content").([]any)
	}
	for _, b := range list {
		held, _ := b.(object)
		blocks = append(blocks, block(held))
	}
	if list != nil {
		return blocks
	}
	if choices, _ := at(body, "choices").([]any); len(choices) > 0 {
		calls, _ := at(choices[0], "message", "tool_calls").([]any)
		if t := text(at(choices[0], "message", "content")); t != "" {
			blocks = append(blocks, bedrocktest.Says(t))
		}
		for _, c := range calls {
			blocks = append(blocks, bedrocktest.Uses(text(at(c, "function", "name")), text(at(c, "function", "arguments"))))
		}
	}
	return blocks
}

func block(held object) bedrocktest.Block {
	raw := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	switch {
	case held["toolUse"] != nil:
		return bedrocktest.Uses(text(at(held, "toolUse", "name")), raw(at(held, "toolUse", "input")))
	case held["type"] == "tool_use":
		return bedrocktest.Uses(text(held["name"]), raw(held["input"]))
	case at(held, "reasoningContent", "redactedContent") != nil:
		return redacted(text(at(held, "reasoningContent", "redactedContent")))
	case held["reasoningContent"] != nil:
		return bedrocktest.Thinks(text(at(held, "reasoningContent", "reasoningText", "text")), text(at(held, "reasoningContent", "reasoningText", "signature")))
	case held["type"] == "thinking":
		return bedrocktest.Thinks(text(held["thinking"]), text(held["signature"]))
	case held["type"] == "redacted_thinking":
		return redacted(text(held["data"]))
	default:
		return bedrocktest.Says(text(held["text"]))
	}
}

func redacted(data string) bedrocktest.Block {
	raw, _ := base64.StdEncoding.DecodeString(data)
	return bedrocktest.Block{Reasoning: &bedrocktest.Reasoning{Redacted: raw}}
}

// streamed reads the blocks of a stream from its deltas.
func streamed(chunks []object) (blocks []bedrocktest.Block) {
	seen := map[string]int{}
	for _, held := range chunks {
		for _, k := range []string{"contentBlockStart", "contentBlockDelta"} {
			if inner, ok := held[k].(object); ok {
				held = inner
			}
		}
		index := at(held, "contentBlockIndex")
		if index == nil {
			index = at(held, "index")
		}
		part := piece(held)
		if part == nil {
			continue
		}
		key := fmt.Sprint(index)
		i, known := seen[key]
		if !known {
			i = len(blocks)
			seen[key] = i
			blocks = append(blocks, bedrocktest.Block{})
		}
		join(&blocks[i], part)
	}
	return blocks
}

// piece is what one event adds to a block; nil for one that adds nothing.
func piece(held object) *bedrocktest.Block {
	start, delta := at(held, "start"), at(held, "delta")
	switch {
	case at(start, "toolUse") != nil:
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Name: text(at(start, "toolUse", "name"))}}
	case at(held, "content_block", "type") == "tool_use":
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Name: text(at(held, "content_block", "name"))}}
	case at(held, "content_block", "type") == "redacted_thinking":
		b := redacted(text(at(held, "content_block", "data")))
		return &b
	case at(delta, "toolUse") != nil:
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Input: text(at(delta, "toolUse", "input"))}}
	case at(delta, "partial_json") != nil:
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Input: text(at(delta, "partial_json"))}}
	case at(delta, "reasoningContent", "redactedContent") != nil:
		b := redacted(text(at(delta, "reasoningContent", "redactedContent")))
		return &b
	case at(delta, "reasoningContent") != nil:
		return &bedrocktest.Block{Reasoning: &bedrocktest.Reasoning{Text: text(at(delta, "reasoningContent", "text")), Signature: text(at(delta, "reasoningContent", "signature"))}}
	case at(delta, "thinking") != nil, at(delta, "signature") != nil:
		return &bedrocktest.Block{Reasoning: &bedrocktest.Reasoning{Text: text(at(delta, "thinking")), Signature: text(at(delta, "signature"))}}
	case at(delta, "text") != nil:
		return &bedrocktest.Block{Text: text(at(delta, "text"))}
	}
	return nil
}

func join(b *bedrocktest.Block, part *bedrocktest.Block) {
	b.Text += part.Text
	if part.Tool != nil {
		if b.Tool == nil {
			b.Tool = new(bedrocktest.ToolUse)
		}
		b.Tool.Name += part.Tool.Name
		b.Tool.Input += part.Tool.Input
	}
	if part.Reasoning != nil {
		if b.Reasoning == nil {
			b.Reasoning = new(bedrocktest.Reasoning)
		}
		b.Reasoning.Text += part.Reasoning.Text
		b.Reasoning.Signature += part.Reasoning.Signature
		b.Reasoning.Redacted = append(b.Reasoning.Redacted, part.Reasoning.Redacted...)
	}
}
