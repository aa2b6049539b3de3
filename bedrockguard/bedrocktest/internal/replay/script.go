package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// script converts the recorded answer into a Reply, with which the simulator then answers, as far as a Reply can express it. In the names here,
// held is the JSON object that is read.
func script(a answer) bedrocktest.Reply {
	r := bedrocktest.Reply{OutputTokens: max(a.output(), 1)}
	if a.body != nil {
		r.Blocks = blocksOf(a.body)
		r.StopReason = stopOf(a.body)
		r.Fields = rawOf(a.body["additionalModelResponseFields"])
		readGuardrail(&r, at(a.body, "trace", "guardrail"))
		readGuardrail(&r, at(a.body, "amazon-bedrock-trace", "guardrail"))
	} else {
		r.Blocks = streamed(a.chunks)
		for _, held := range a.chunks {
			if whole, ok := held["response"].(object); ok && held["type"] == "response.completed" {
				r.Blocks = blocksOf(whole)
			}
		}
		for _, held := range a.chunks {
			if stop := stopOf(held); stop != "" {
				r.StopReason = stop
			}
			readGuardrail(&r, at(held, "metadata", "trace", "guardrail"))
			readGuardrail(&r, at(held, "trace", "guardrail"))
			readGuardrail(&r, at(held, "amazon-bedrock-trace", "guardrail"))
		}
	}
	if r.Blocks == nil {
		r.Text = "-"
	}
	return r
}

// rawOf returns a value as JSON; empty for nil.
func rawOf(v any) string {
	if v == nil {
		return ""
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// readGuardrail copies into a Reply what the trace of a guardrail says: what it found in the request and in the answer, and the texts of the
// model that it withheld. Converse and InvokeModel have different names and shapes for the findings; a trace has those of one of the two:
//
//	Converse:    {"inputAssessment": {id: findings}, "outputAssessments": {id: [findings]}, "modelOutput": [text]}
//	InvokeModel: {"input":           {id: findings}, "outputs":          [{id: findings}]}
//
// id is that of the guardrail, and findings is an object with the fields contentPolicy, topicPolicy and so on, and others.
func readGuardrail(r *bedrocktest.Reply, trace any) {
	if trace == nil {
		return
	}
	r.FoundInRequest = policies(at(trace, "inputAssessment")) + policies(at(trace, "input")) // only one of the two is there
	r.FoundInAnswer = policies(at(trace, "outputAssessments")) + policies(at(trace, "outputs"))
	if r.FoundInRequest+r.FoundInAnswer != "" && r.StopReason == "" {
		r.StopReason = "guardrail_intervened"
	}
	withheld, _ := at(trace, "modelOutput").([]any)
	for _, w := range withheld {
		r.Withheld = append(r.Withheld, text(w))
	}
}

// policies returns the findings of one guardrail as JSON, without the fields that are not named for a policy, or "" if there are none. byID is
// an object of findings by the guardrail's id, in any of the shapes that readGuardrail describes.
func policies(byID any) string {
	if all := list(byID); len(all) > 0 {
		byID = all[0]
	}
	held, _ := byID.(object)
	for _, v := range held {
		if all := list(v); len(all) > 0 {
			v = all[0]
		}
		findings, _ := v.(object)
		out := object{}
		for name, finding := range findings {
			if strings.HasSuffix(name, "Policy") {
				out[name] = finding
			}
		}
		if len(out) > 0 {
			return rawOf(out)
		}
	}
	return ""
}

func text(v any) string { s, _ := v.(string); return s }

// stopOf returns why the model has stopped, as any of the dialects says it, or "" if the object does not say it.
func stopOf(held object) string {
	for _, path := range [][]string{{"stopReason"}, {"stop_reason"}, {"delta", "stop_reason"}, {"messageStop", "stopReason"}} {
		if s := text(at(held, path...)); s != "" {
			return s
		}
	}
	return ""
}

// blocksOf reads the blocks of an answer that is not streamed.
func blocksOf(body object) (blocks []bedrocktest.Block) {
	if items, ok := body["output"].([]any); ok {
		return itemsOf(items)
	}
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

// itemsOf reads the items of a response.
func itemsOf(items []any) (blocks []bedrocktest.Block) {
	for _, item := range items {
		switch kind := text(at(item, "type")); {
		case kind == "function_call":
			blocks = append(blocks, bedrocktest.Uses(text(at(item, "name")), text(at(item, "arguments"))))
		case kind == "reasoning" && at(item, "content") == nil:
			blocks = append(blocks, bedrocktest.Block{Reasoning: &bedrocktest.Reasoning{Redacted: []byte(text(at(item, "encrypted_content")))}})
		default:
			said := ""
			for _, part := range list(at(item, "content")) {
				said += text(at(part, "text"))
			}
			if kind == "reasoning" {
				blocks = append(blocks, bedrocktest.Thinks(said, ""))
			} else {
				blocks = append(blocks, bedrocktest.Says(said))
			}
		}
	}
	return blocks
}

// block converts one block of content, as Converse or Claude writes it. held is the block's JSON object.
func block(held object) bedrocktest.Block {
	switch {
	case at(held, "toolUse", "type") != nil:
		return bedrocktest.Runs(text(at(held, "toolUse", "name")), rawOf(at(held, "toolUse", "input")))
	case held["toolUse"] != nil:
		return bedrocktest.Uses(text(at(held, "toolUse", "name")), rawOf(at(held, "toolUse", "input")))
	case held["toolResult"] != nil:
		return bedrocktest.Block{Result: &bedrocktest.ServerResult{Type: text(at(held, "toolResult", "type")), Content: rawOf(at(held, "toolResult", "content")), Failed: at(held, "toolResult", "status") == "error"}}
	case held["citationsContent"] != nil:
		b := bedrocktest.Block{Citations: []bedrocktest.Citation{}}
		for _, c := range list(at(held, "citationsContent", "content")) {
			b.Text += text(at(c, "text"))
		}
		for _, c := range list(at(held, "citationsContent", "citations")) {
			b.Citations = append(b.Citations, citation(c))
		}
		return b
	case held["type"] == "tool_use":
		return bedrocktest.Uses(text(held["name"]), rawOf(held["input"]))
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

func list(v any) []any { l, _ := v.([]any); return l }

func citation(v any) bedrocktest.Citation {
	c := bedrocktest.Citation{Title: text(at(v, "title")), Source: text(at(v, "source")), Location: rawOf(at(v, "location"))}
	for _, part := range list(at(v, "sourceContent")) {
		c.Quote += text(at(part, "text"))
	}
	return c
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

// piece returns what one event adds to a block; nil if it adds nothing.
func piece(held object) *bedrocktest.Block {
	start, delta := at(held, "start"), at(held, "delta")
	switch {
	case at(start, "toolUse") != nil:
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Name: text(at(start, "toolUse", "name")), Server: at(start, "toolUse", "type") != nil}}
	case at(start, "toolResult") != nil:
		return &bedrocktest.Block{Result: &bedrocktest.ServerResult{Type: text(at(start, "toolResult", "type")), Failed: at(start, "toolResult", "status") == "error"}}
	case at(delta, "toolResult") != nil:
		return &bedrocktest.Block{Result: &bedrocktest.ServerResult{Content: rawOf(at(delta, "toolResult"))}}
	case at(delta, "citation") != nil:
		return &bedrocktest.Block{Citations: []bedrocktest.Citation{citation(at(delta, "citation"))}}
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

// join adds to a block what piece has read from one more event.
func join(b *bedrocktest.Block, part *bedrocktest.Block) {
	b.Text += part.Text
	b.Citations = append(b.Citations, part.Citations...)
	if part.Result != nil {
		if b.Result == nil {
			b.Result = new(bedrocktest.ServerResult)
		}
		b.Result.Type += part.Result.Type
		b.Result.Content += part.Result.Content
		b.Result.Failed = b.Result.Failed || part.Result.Failed
	}
	if part.Tool != nil {
		if b.Tool == nil {
			b.Tool = new(bedrocktest.ToolUse)
		}
		b.Tool.Name += part.Tool.Name
		b.Tool.Server = b.Tool.Server || part.Tool.Server
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
