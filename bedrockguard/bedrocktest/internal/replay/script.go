package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// script converts the recorded answer into a Reply, with which the simulator then answers, as far as a Reply can express it. In this file
// content is the JSON object that is read: a body, an event of a stream, or a block.
func script(a answer) bedrocktest.Reply {
	// With 0 output tokens the simulator would count the text itself.
	r := bedrocktest.Reply{OutputTokens: max(a.output(), 1)}
	if a.body != nil {
		scriptBody(&r, a.body)
	} else {
		scriptStream(&r, a.chunks)
	}
	// A Reply without blocks and without a text would get the simulator's default text.
	if r.Blocks == nil {
		r.Text = "-"
	}
	return r
}

// scriptBody sets what a Reply has of an answer in one body. Converse has the trace of a guardrail in trace, InvokeModel in amazon-bedrock-trace;
// readGuardrail does nothing for the one that is missing.
func scriptBody(r *bedrocktest.Reply, body object) {
	r.Blocks = blocksOf(body)
	r.StopReason = stopOf(body)
	r.Fields = rawOf(body["additionalModelResponseFields"])
	readGuardrail(r, at(body, "trace", "guardrail"))
	readGuardrail(r, at(body, "amazon-bedrock-trace", "guardrail"))
}

// scriptStream sets what a Reply has of a stream. Most of its events have neither a stop reason nor a trace.
func scriptStream(r *bedrocktest.Reply, chunks []object) {
	r.Blocks = streamed(chunks)
	for _, content := range chunks { // the last event of the Responses API has the whole answer
		if whole, ok := content["response"].(object); ok && content["type"] == "response.completed" {
			r.Blocks = blocksOf(whole)
		}
	}
	for _, content := range chunks {
		if stop := stopOf(content); stop != "" {
			r.StopReason = stop
		}
		readGuardrail(r, at(content, "metadata", "trace", "guardrail"))
		readGuardrail(r, at(content, "trace", "guardrail"))
		readGuardrail(r, at(content, "amazon-bedrock-trace", "guardrail"))
	}
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

// policies returns the findings of one guardrail as JSON: the fields whose names end with Policy, or "" if there are none. byID is an object of
// findings by the guardrail's id, in any of the shapes that readGuardrail describes: of a list, the first item is read.
func policies(byID any) string {
	guardrails, _ := firstOf(byID).(object)
	for _, v := range guardrails {
		findings, _ := firstOf(v).(object)
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

// firstOf returns the first item of a list that has one, and any other value as it is.
func firstOf(v any) any {
	if all := list(v); len(all) > 0 {
		return all[0]
	}
	return v
}

// text returns a string's value; empty for any other value.
func text(v any) string { s, _ := v.(string); return s }

// stopOf returns why the model has stopped, as any of the dialects says it, or "" if the object does not say it.
func stopOf(content object) string {
	for _, path := range [][]string{{"stopReason"}, {"stop_reason"}, {"delta", "stop_reason"}, {"messageStop", "stopReason"}} {
		if s := text(at(content, path...)); s != "" {
			return s
		}
	}
	return ""
}

// blocksOf reads the blocks of an answer that is not streamed: of the Responses API, of Converse and Nova, of Claude, or of chat completions. The
// field output is a list in the Responses API, and an object in Converse.
func blocksOf(body object) (blocks []bedrocktest.Block) {
	if items, ok := body["output"].([]any); ok {
		return itemsOf(items)
	}
	contents := list(at(body, "output", "message", "content")) // Converse's
	if contents == nil {
		contents = list(body["content"]) // Claude's
	}
	if contents == nil {
		return choiceOf(body)
	}
	for _, b := range contents {
		content, _ := b.(object)
		blocks = append(blocks, block(content))
	}
	return blocks
}

// choiceOf reads the blocks of the first choice of a chat completion: its text and its tool uses. It returns nil if the body has no choice.
func choiceOf(body object) (blocks []bedrocktest.Block) {
	choices := list(body["choices"])
	if len(choices) == 0 {
		return nil
	}
	if t := text(at(choices[0], "message", "content")); t != "" {
		blocks = append(blocks, bedrocktest.Says(t))
	}
	for _, c := range list(at(choices[0], "message", "tool_calls")) {
		blocks = append(blocks, bedrocktest.Uses(text(at(c, "function", "name")), text(at(c, "function", "arguments"))))
	}
	return blocks
}

// itemsOf reads the items of a response of the Responses API: tool uses, reasoning and messages.
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

// block converts one block of content, as Converse or Claude writes it.
func block(content object) bedrocktest.Block {
	switch content["type"] { // Claude's
	case "tool_use":
		return bedrocktest.Uses(text(content["name"]), rawOf(content["input"]))
	case "thinking":
		return bedrocktest.Thinks(text(content["thinking"]), text(content["signature"]))
	case "redacted_thinking":
		return redacted(text(content["data"]))
	}
	use, result, cited, reasoning := content["toolUse"], content["toolResult"], content["citationsContent"], content["reasoningContent"]
	switch { // Converse's
	case at(use, "type") != nil: // only the use of a tool that the service runs has a type
		return bedrocktest.Runs(text(at(use, "name")), rawOf(at(use, "input")))
	case use != nil:
		return bedrocktest.Uses(text(at(use, "name")), rawOf(at(use, "input")))
	case result != nil:
		return bedrocktest.Block{Result: &bedrocktest.ServerResult{Type: text(at(result, "type")), Content: rawOf(at(result, "content")), Failed: at(result, "status") == "error"}}
	case cited != nil:
		return citedText(cited)
	case at(reasoning, "redactedContent") != nil:
		return redacted(text(at(reasoning, "redactedContent")))
	case reasoning != nil:
		return bedrocktest.Thinks(text(at(reasoning, "reasoningText", "text")), text(at(reasoning, "reasoningText", "signature")))
	default:
		return bedrocktest.Says(text(content["text"]))
	}
}

// citedText converts a text with citations, as Converse writes it.
func citedText(v any) bedrocktest.Block {
	b := bedrocktest.Block{Citations: []bedrocktest.Citation{}}
	for _, c := range list(at(v, "content")) {
		b.Text += text(at(c, "text"))
	}
	for _, c := range list(at(v, "citations")) {
		b.Citations = append(b.Citations, citation(c))
	}
	return b
}

// list returns the items of a JSON array; nil for any other value.
func list(v any) []any { l, _ := v.([]any); return l }

// citation reads a citation of Converse.
func citation(v any) bedrocktest.Citation {
	c := bedrocktest.Citation{Title: text(at(v, "title")), Source: text(at(v, "source")), Location: rawOf(at(v, "location"))}
	for _, part := range list(at(v, "sourceContent")) {
		c.Quote += text(at(part, "text"))
	}
	return c
}

// redacted returns a block of reasoning that the service sent encrypted, in base64.
func redacted(data string) bedrocktest.Block {
	raw, _ := base64.StdEncoding.DecodeString(data)
	return bedrocktest.Block{Reasoning: &bedrocktest.Reasoning{Redacted: raw}}
}

// streamed reads the blocks of a stream of Converse or Claude: all events with the same index make one block, in the order in which the indexes
// are first seen.
func streamed(chunks []object) (blocks []bedrocktest.Block) {
	seen := map[string]int{}
	for _, content := range chunks {
		// Nova's events in InvokeModel have their content in a field with the event's name.
		for _, k := range []string{"contentBlockStart", "contentBlockDelta"} {
			if inner, ok := content[k].(object); ok {
				content = inner
			}
		}
		index := at(content, "contentBlockIndex")
		if index == nil {
			index = at(content, "index")
		}
		part := piece(content)
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

// piece returns what one event of Converse or Claude adds to a block; nil if it adds nothing. content is the event.
func piece(content object) *bedrocktest.Block {
	if b := startPiece(at(content, "start")); b != nil {
		return b
	}
	if b := claudeStart(at(content, "content_block")); b != nil {
		return b
	}
	return deltaPiece(at(content, "delta"))
}

// startPiece returns what the start of a block of Converse has of it; nil for anything else.
func startPiece(start any) *bedrocktest.Block {
	use, result := at(start, "toolUse"), at(start, "toolResult")
	switch {
	case use != nil:
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Name: text(at(use, "name")), Server: at(use, "type") != nil}}
	case result != nil:
		return &bedrocktest.Block{Result: &bedrocktest.ServerResult{Type: text(at(result, "type")), Failed: at(result, "status") == "error"}}
	}
	return nil
}

// claudeStart returns what the start of a block of Claude has of it; nil for a block whose content comes in deltas only, and for anything else.
func claudeStart(start any) *bedrocktest.Block {
	switch at(start, "type") {
	case "tool_use":
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Name: text(at(start, "name"))}}
	case "redacted_thinking":
		b := redacted(text(at(start, "data")))
		return &b
	}
	return nil
}

// deltaPiece returns what a delta adds to its block; nil for anything else.
func deltaPiece(delta any) *bedrocktest.Block {
	reasoning := at(delta, "reasoningContent")
	switch {
	case at(delta, "toolResult") != nil:
		return &bedrocktest.Block{Result: &bedrocktest.ServerResult{Content: rawOf(at(delta, "toolResult"))}}
	case at(delta, "citation") != nil:
		return &bedrocktest.Block{Citations: []bedrocktest.Citation{citation(at(delta, "citation"))}}
	case at(delta, "toolUse") != nil:
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Input: text(at(delta, "toolUse", "input"))}}
	case at(delta, "partial_json") != nil: // Claude's
		return &bedrocktest.Block{Tool: &bedrocktest.ToolUse{Input: text(at(delta, "partial_json"))}}
	case at(reasoning, "redactedContent") != nil:
		b := redacted(text(at(reasoning, "redactedContent")))
		return &b
	case reasoning != nil:
		return &bedrocktest.Block{Reasoning: &bedrocktest.Reasoning{Text: text(at(reasoning, "text")), Signature: text(at(reasoning, "signature"))}}
	case at(delta, "thinking") != nil, at(delta, "signature") != nil: // Claude's
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
