package bedrocktest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
)

// The answers of Converse, and of Nova in InvokeModel, are made by converse and blockEvents; those of Anthropic's dialect by anthropic and
// anthropicBlock. In both, an answer that is not streamed has each block as one object, and a stream has a start, deltas and a stop for each block.

// Block is one block of an answer. Exactly one of its fields is set, except that Citations may be beside a Text.
type Block struct {
	Text      string
	Tool      *ToolUse
	Reasoning *Reasoning
	Result    *ServerResult
	Citations []Citation
	// Raw is a block in the JSON of the dialect, for blocks without a field here. A stream has it in one event; in Converse that is the
	// block's start event.
	Raw string
}

// ToolUse asks for a tool.
type ToolUse struct {
	Name   string
	Input  string // a JSON object; empty means {}
	ID     string // empty means an id that no other answer of the server has
	Server bool   // the service runs the tool, and a ServerResult follows

	bare bool // streamed without any input, as Nova does where there is none
}

// Reasoning is a model's reasoning.
type Reasoning struct {
	Text      string
	Signature string // empty if the family has none
	Redacted  []byte // replaces both
}

// ServerResult is the result of a tool that the service ran.
type ServerResult struct {
	ID      string // id of the tool use; empty means that of the use before it
	Type    string // empty means the tool's name followed by _result
	Content string // a JSON list of contents; empty means none
	Failed  bool
}

// Citation says where a text comes from.
type Citation struct {
	Title, Source string
	Quote         string // the cited words; empty means that they are not given
	Location      string // a JSON object, such as {"documentChar":{...}} or {"web":{...}}; empty means the beginning of the first document
}

// Says returns a text block.
func Says(text string) Block { return Block{Text: text} }

// Uses returns a block that asks for a tool with a JSON object; empty means {}.
func Uses(name, input string) Block { return Block{Tool: &ToolUse{Name: name, Input: input}} }

// Thinks returns a block of reasoning.
func Thinks(text, signature string) Block {
	return Block{Reasoning: &Reasoning{Text: text, Signature: signature}}
}

// Cites returns a text with its sources.
func Cites(text string, sources ...Citation) Block { return Block{Text: text, Citations: sources} }

// Runs returns the use of a tool that the service runs; Returns has to follow it.
func Runs(name, input string) Block {
	return Block{Tool: &ToolUse{Name: name, Input: input, Server: true}}
}

// Returns returns the result of the tool in the Runs before it: a JSON list of contents.
func Returns(content string) Block { return Block{Result: &ServerResult{Content: content}} }

// named fills in the empty fields of tool uses and their results: ids, types and contents. amazon says that the model is Nova, which streams a tool
// use without input as a start alone (bare). It returns copies: the blocks of the test stay as they are.
func (r Reply) named(amazon bool) []Block {
	if !slices.ContainsFunc(r.Blocks, func(b Block) bool { return b.Tool != nil || b.Result != nil }) {
		return r.Blocks
	}
	all := slices.Clone(r.Blocks)
	last := &ToolUse{} // the use before; empty at first, so that a result without a use before it gets an empty id
	for i, b := range all {
		switch {
		case b.Tool != nil:
			tool := *b.Tool
			if tool.ID == "" {
				tool.ID = fmt.Sprintf("tooluse_%012d%02d", r.seq, i)
			}
			if tool.Input == "" {
				tool.Input, tool.bare = "{}", amazon
			}
			all[i].Tool, last = &tool, &tool
		case b.Result != nil:
			result := *b.Result
			if result.ID == "" {
				result.ID = last.ID
			}
			if result.Type == "" {
				result.Type = last.Name + "_result"
			}
			if result.Content == "" {
				result.Content = "[]"
			}
			all[i].Result = &result
		}
	}
	return all
}

// counted returns the text that is counted to bill a block.
func (b Block) counted() string {
	switch {
	case b.Tool != nil:
		return b.Tool.Name + b.Tool.Input
	case b.Reasoning != nil:
		return b.Reasoning.Text + string(b.Reasoning.Redacted)
	case b.Result != nil:
		return b.Result.Content
	default:
		return b.Text + b.Raw
	}
}

// json returns a citation in Converse's form.
func (c Citation) json() map[string]any {
	out := map[string]any{}
	location := c.Location
	if location == "" {
		location = fmt.Sprintf(`{"documentChar":{"documentIndex":0,"start":0,"end":%d}}`, len([]rune(c.Quote)))
	}
	out["location"] = json.RawMessage(location)
	if c.Title != "" {
		out["title"] = c.Title
	}
	if c.Source != "" {
		out["source"] = c.Source
	}
	if c.Quote != "" {
		out["sourceContent"] = []any{map[string]any{"text": c.Quote}}
	}
	return out
}

// converse returns a block in Converse's form.
func (b Block) converse() any {
	switch {
	case b.Raw != "":
		return json.RawMessage(b.Raw)
	case b.Tool != nil:
		use := map[string]any{"toolUseId": b.Tool.ID, "name": b.Tool.Name, "input": json.RawMessage(b.Tool.Input)}
		if b.Tool.Server {
			use["type"] = dialects.ServerToolUse
		}
		return map[string]any{"toolUse": use}
	case b.Result != nil:
		result := b.Result.converseStart()
		result["content"] = json.RawMessage(b.Result.Content)
		return map[string]any{"toolResult": result}
	case b.Reasoning != nil:
		return map[string]any{"reasoningContent": b.Reasoning.converse()}
	case b.Citations != nil:
		cited := []any{}
		for _, c := range b.Citations {
			cited = append(cited, c.json())
		}
		content := map[string]any{"citations": cited}
		if b.Text != "" {
			content["content"] = []any{map[string]any{"text": b.Text}}
		}
		return map[string]any{"citationsContent": content}
	default:
		return map[string]any{"text": b.Text}
	}
}

// converse returns reasoning in Converse's form.
func (r *Reasoning) converse() map[string]any {
	switch {
	case r.Redacted != nil:
		return map[string]any{"redactedContent": r.Redacted}
	case r.Text == "" && r.Signature == "":
		return map[string]any{}
	}
	text := map[string]any{"text": r.Text}
	if r.Signature != "" {
		text["signature"] = r.Signature
	}
	return map[string]any{"reasoningText": text}
}

// converseStart returns a result without its content.
func (r *ServerResult) converseStart() map[string]any {
	status := "success"
	if r.Failed {
		status = "error"
	}
	return map[string]any{"toolUseId": r.ID, "type": r.Type, "status": status}
}

// converseContent returns the answer's blocks in Converse's form.
func converseContent(r Reply) []any {
	content := []any{}
	for _, b := range r.Blocks {
		content = append(content, b.converse())
	}
	return content
}

// blockEvents returns the events of the block with index i in Converse's form.
func blockEvents(i int, b Block) (events []event) {
	if start := b.converseStart(); start != nil {
		events = append(events, event{"contentBlockStart", map[string]any{"contentBlockIndex": i, "start": start}})
	}
	for _, delta := range b.converseDeltas() {
		events = append(events, event{"contentBlockDelta", map[string]any{"contentBlockIndex": i, "delta": delta}})
	}
	return append(events, event{"contentBlockStop", map[string]any{"contentBlockIndex": i}})
}

// converseStart returns what the start event of a block shows in Converse's form. It returns nil for a block without such an event: only tool uses,
// their results and raw blocks have one.
func (b Block) converseStart() any {
	switch {
	case b.Raw != "":
		return json.RawMessage(b.Raw)
	case b.Tool != nil:
		use := map[string]any{"toolUseId": b.Tool.ID, "name": b.Tool.Name}
		if b.Tool.Server {
			use["type"] = dialects.ServerToolUse
		}
		return map[string]any{"toolUse": use}
	case b.Result != nil:
		return map[string]any{"toolResult": b.Result.converseStart()}
	}
	return nil
}

// converseDeltas returns the deltas of a block in Converse's form; none for a raw block, which is complete in its start event.
func (b Block) converseDeltas() (deltas []map[string]any) {
	add := func(kind string, v any) { deltas = append(deltas, map[string]any{kind: v}) }
	switch {
	case b.Raw != "":
	case b.Tool != nil:
		if !b.Tool.bare {
			add("toolUse", map[string]any{"input": b.Tool.Input})
		}
	case b.Result != nil:
		add("toolResult", json.RawMessage(b.Result.Content))
	case b.Reasoning != nil && b.Reasoning.Redacted != nil:
		add("reasoningContent", map[string]any{"redactedContent": b.Reasoning.Redacted})
	case b.Reasoning != nil:
		for _, piece := range pieces(b.Reasoning.Text) {
			add("reasoningContent", map[string]any{"text": piece})
		}
		if b.Reasoning.Signature != "" {
			add("reasoningContent", map[string]any{"signature": b.Reasoning.Signature})
		}
	default:
		// A block of citations alone has no text; any other has one, even if it is empty.
		if b.Text != "" || b.Citations == nil {
			for _, piece := range pieces(b.Text) {
				add("text", piece)
			}
		}
		for _, c := range b.Citations {
			add("citation", c.json())
		}
	}
	return deltas
}

// anthropic returns a block in Anthropic's form.
func (b Block) anthropic() map[string]any {
	switch {
	case b.Raw != "":
		out := map[string]any{}
		_ = json.Unmarshal([]byte(b.Raw), &out) // if it is not an object it is reported as an empty one
		return out
	case b.Tool != nil:
		kind := "tool_use"
		if b.Tool.Server {
			kind = dialects.ServerToolUse
		}
		return map[string]any{"type": kind, "id": b.Tool.ID, "name": b.Tool.Name, "input": json.RawMessage(b.Tool.Input)}
	case b.Result != nil:
		return map[string]any{"type": b.Result.Type, "tool_use_id": b.Result.ID, "content": json.RawMessage(b.Result.Content)}
	case b.Reasoning != nil && b.Reasoning.Redacted != nil:
		return map[string]any{"type": "redacted_thinking", "data": base64.StdEncoding.EncodeToString(b.Reasoning.Redacted)}
	case b.Reasoning != nil:
		return map[string]any{"type": "thinking", "thinking": b.Reasoning.Text, "signature": b.Reasoning.Signature}
	case b.Citations != nil:
		cited := []any{}
		for _, c := range b.Citations {
			cited = append(cited, c.anthropic())
		}
		return map[string]any{"type": "text", "text": b.Text, "citations": cited}
	default:
		return map[string]any{"type": "text", "text": b.Text}
	}
}

// anthropic returns a citation in Anthropic's form: as a place on the web if the location has its URL, and else as characters of a document. A
// location of another kind is reported as the beginning of the first document.
func (c Citation) anthropic() map[string]any {
	at := struct {
		DocumentChar struct{ DocumentIndex, Start, End int }
		Web          struct{ URL string }
	}{}
	_ = json.Unmarshal([]byte(c.Location), &at)
	if at.Web.URL != "" {
		return map[string]any{"type": "web_search_result_location", "url": at.Web.URL, "title": c.Title, "cited_text": c.Quote, "encrypted_index": "-"}
	}
	end := at.DocumentChar.End
	if end == 0 {
		end = len([]rune(c.Quote))
	}
	return map[string]any{
		"type": "char_location", "cited_text": c.Quote, "document_index": at.DocumentChar.DocumentIndex, "document_title": c.Title,
		"start_char_index": at.DocumentChar.Start, "end_char_index": end,
	}
}

// anthropicBlock returns the events of the block with index i in Anthropic's form. The start event has the block with its content left empty, which
// the deltas then fill; a block without deltas is complete in its start event.
func anthropicBlock(i int, b Block) []event {
	first, deltas := b.anthropic(), b.anthropicDeltas()
	if deltas != nil {
		for key, empty := range map[string]any{"input": map[string]any{}, "thinking": "", "signature": "", "text": "", "citations": []any{}} {
			if first[key] != nil {
				first[key] = empty
			}
		}
	}
	events := []event{chunk(map[string]any{"type": "content_block_start", "index": i, "content_block": first})}
	for _, d := range deltas {
		events = append(events, chunk(map[string]any{"type": "content_block_delta", "index": i, "delta": d}))
	}
	return append(events, chunk(map[string]any{"type": "content_block_stop", "index": i}))
}

// anthropicDeltas returns the deltas of a block in Anthropic's form, the citations of a text before the text; nil for a block that is sent in one
// piece.
func (b Block) anthropicDeltas() (deltas []map[string]any) {
	add := func(kind, key string, v any) { deltas = append(deltas, map[string]any{"type": kind, key: v}) }
	switch {
	case b.Raw != "", b.Result != nil, b.Reasoning != nil && b.Reasoning.Redacted != nil:
	case b.Tool != nil:
		add("input_json_delta", "partial_json", b.Tool.Input)
	case b.Reasoning != nil:
		for _, piece := range pieces(b.Reasoning.Text) {
			add("thinking_delta", "thinking", piece)
		}
		add("signature_delta", "signature", b.Reasoning.Signature)
	default:
		for _, c := range b.Citations {
			add("citations_delta", "citation", c.anthropic())
		}
		for _, piece := range pieces(b.Text) {
			add("text_delta", "text", piece)
		}
	}
	return deltas
}
