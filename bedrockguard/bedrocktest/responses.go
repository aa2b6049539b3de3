package bedrocktest

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// stored has the conversations of stored responses, by id: their input and their output. It is safe for concurrent use.
type stored struct {
	mu     sync.Mutex
	items  map[string][]*jsonnode.Node
	bodies map[string]map[string]any
}

func (s *stored) put(id string, items []*jsonnode.Node, body map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil {
		s.items, s.bodies = map[string][]*jsonnode.Node{}, map[string]map[string]any{}
	}
	s.items[id], s.bodies[id] = items, body
}

func (s *stored) get(id string) ([]*jsonnode.Node, map[string]any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items, ok := s.items[id]
	return items, s.bodies[id], ok
}

func noResponse(id string) *refusal.Error {
	return refusal.New(404, "ResourceNotFoundException", "Response with id '"+id+"' not found.")
}

// storedResponse serves the routes of one response that was stored.
func (s *Server) storedResponse(w http.ResponseWriter, r *http.Request, id string) *refusal.Error {
	_, body, ok := s.stored.get(id)
	switch {
	case !ok:
		return noResponse(id)
	case r.Method == http.MethodGet:
		return answer(w, body)
	case r.Method == http.MethodDelete:
		s.stored.mu.Lock()
		defer s.stored.mu.Unlock()
		delete(s.stored.items, id)
		delete(s.stored.bodies, id)
		return answer(w, map[string]any{"id": id, "object": "response", "deleted": true})
	default:
		return refusal.NotServed()
	}
}

// parseResponses parses a request of OpenAI's Responses API. It is stateful unless it says otherwise: the content of a previous response is
// input again, and is billed again.
func (s *Server) parseResponses(n *jsonnode.Node, in *inference) *refusal.Error {
	if n.Get("background").Is("true") {
		return refusal.Invalid("background: only synchronous responses are served")
	}
	in.sent = n
	if err := in.limit(n.Get("max_output_tokens")); err != nil {
		return err
	}
	in.askTier(tierOf(n.Get("service_tier")))
	in.outputSchema(s, n.Get("text").Get("format"))
	for _, t := range n.Get("tools").List() {
		in.addJSON(s, tools, t.Raw)
		in.tool(s, t)
	}
	if instructions := n.Get("instructions"); instructions.Text() != "" {
		in.addText(s, system, instructions, instructions)
	}
	var items []*jsonnode.Node
	if previous := n.Get("previous_response_id").Text(); previous != "" {
		before, _, ok := s.stored.get(previous)
		if !ok {
			return noResponse(previous)
		}
		items = append(items, before...)
	}
	switch input := n.Get("input"); {
	case input.Text() != "":
		items = append(items, &jsonnode.Node{Raw: `{"role":"user","content":` + input.Raw + `}`, Keys: []string{"role", "content"}, Items: []*jsonnode.Node{{Raw: `"user"`}, input}})
	case len(input.List()) > 0:
		items = append(items, input.List()...)
	default:
		return refusal.Invalid("input: a non-empty string or list is required")
	}
	in.request.Messages = len(items)
	for _, item := range items {
		s.responseItem(item, in)
	}
	if !n.Get("store").Is("false") {
		in.store, in.storedItems = s, items
	}
	return nil
}

// responseItem reads one item of an input.
func (s *Server) responseItem(item *jsonnode.Node, in *inference) {
	kind := item.Get("type").Text()
	speaks := kind != "function_call_output" && kind != "item_reference"
	if kind == "" || kind == "message" {
		speaks = item.Get("role").Text() == assistant
	}
	if speaks && !in.speaking { // several items in a row are one turn
		in.request.Turn++
	}
	in.speaking = speaks
	switch kind {
	case "function_call_output":
		in.open("tool")
		in.request.ToolResults = append(in.request.ToolResults, ToolResult{ID: item.Get("call_id").Text(), Content: textsOf(item.Get("output"))})
		in.add(s, messages, item.Raw, s.count(in.model, textsOf(item.Get("output"))))
		return
	case "function_call":
		in.open(assistant)
		in.add(s, messages, item.Raw, s.count(in.model, item.Get("name").Text()+" "+item.Get("arguments").Text())+callTokens)
		return
	case "reasoning":
		in.open(assistant)
		n := s.count(in.model, jsonnode.RawOf(item.Get("content"))+jsonnode.RawOf(item.Get("summary")))
		in.add(s, messages, item.Raw, n+len(item.Get("encrypted_content").Text())/bytesOfHiddenToken)
		return
	case "", "message":
	default: // references, and uses of tools that the service runs
		in.open(assistant)
		in.addJSON(s, messages, item.Raw)
		return
	}
	role := item.Get("role").Text()
	in.request.ToolResults = nil
	in.open(role)
	content := item.Get("content")
	if content.Kind() == '"' {
		in.request.LastText = content.Text()
		in.addText(s, messages, item, content)
		return
	}
	for _, part := range content.List() {
		s.chatPart(part, in)
	}
	if len(content.List()) == 0 {
		in.addJSON(s, messages, item.Raw)
	}
}

const (
	assistant = "assistant"
	// the tokens around a tool use, besides those of its message (recorded on GPT-5.5: 27 for a use and its result)
	callTokens = 4
)

// bytesOfHiddenToken is how many bytes of encrypted reasoning count as one token: 700 to 800 bytes were recorded for 10 to 14 tokens on
// GPT-5.5 and 5.6 (2026-08).
const bytesOfHiddenToken = 16

// responseItems returns the items of an answer.
func responseItems(r Reply) []map[string]any {
	var items []map[string]any
	id := func(kind string, i int) string { return kind + "_" + strconv.Itoa(r.seq) + "_" + strconv.Itoa(i) }
	for i, b := range r.Blocks {
		item := map[string]any{"status": "completed"}
		switch {
		case b.Raw != "":
			item = map[string]any{}
			_ = json.Unmarshal([]byte(b.Raw), &item) // if it is not an object it is an empty one
		case b.Tool != nil:
			item["type"], item["id"], item["call_id"] = "function_call", id("fc", i), b.Tool.ID
			item["name"], item["arguments"] = b.Tool.Name, b.Tool.Input
		case b.Reasoning != nil:
			item["type"], item["id"], item["summary"] = "reasoning", id("rs", i), []any{}
			if b.Reasoning.Redacted != nil {
				item["encrypted_content"] = string(b.Reasoning.Redacted)
			} else {
				item["content"] = []any{map[string]any{"type": "reasoning_text", "text": b.Reasoning.Text}}
			}
		case b.Result != nil:
			item["type"], item["id"], item["output"] = b.Result.Type, id("rt", i), json.RawMessage(b.Result.Content)
		default:
			item["type"], item["id"], item["role"] = "message", id("msg", i), assistant
			item["content"] = []any{map[string]any{"type": "output_text", "text": b.Text, "annotations": []any{}, "logprobs": []any{}}}
		}
		items = append(items, item)
	}
	return items
}

// responsesUsage returns the usage. Cached tokens are a part of the input tokens, as in OpenAI's API.
func responsesUsage(in *inference, sv served, r Reply) map[string]any {
	input := sv.input + sv.read + sv.write5m + sv.write1h
	thought := 0
	for _, b := range r.Blocks {
		if b.Reasoning != nil {
			thought += modeltable.CountTokens(b.Reasoning.Text)
		}
	}
	details := map[string]any{"cached_tokens": sv.read}
	if !strings.Contains(in.model.ID, "gpt-oss") { // it was recorded without them
		details["cache_write_tokens"] = sv.write5m + sv.write1h
	}
	return map[string]any{
		"input_tokens": input, "input_tokens_details": details, "output_tokens": r.OutputTokens,
		"output_tokens_details": map[string]any{"reasoning_tokens": min(thought, r.OutputTokens)}, "total_tokens": input + r.OutputTokens,
	}
}

// echoed returns the settings of a request that its response repeats, with the defaults for missing ones (as recorded, 2026-08).
func (in *inference) echoed() map[string]any {
	settings := map[string]any{
		"instructions": nil, "metadata": map[string]any{}, "parallel_tool_calls": true, "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto", "tools": []any{},
		"truncation": "disabled", "text": map[string]any{"format": map[string]any{"type": "text"}, "verbosity": "medium"},
	}
	if !strings.Contains(in.model.ID, "gpt-oss") {
		for _, key := range []string{
			"max_output_tokens", "max_tool_calls", "moderation", "previous_response_id", "prompt_cache_key", "safety_identifier", "user",
		} {
			settings[key] = nil
		}
		maps.Copy(settings, map[string]any{
			"billing": map[string]any{"payer": "developer"}, "completed_at": epoch, "frequency_penalty": 0.0, "presence_penalty": 0.0, "prompt_cache_retention": "in_memory",
			"reasoning": map[string]any{"effort": "medium", "summary": nil, "context": "all_turns"}, "store": true, "top_logprobs": 0,
		})
	}
	for key := range settings {
		if given := in.sent.Get(key); given != nil && key != "completed_at" && key != "billing" {
			settings[key] = json.RawMessage(given.Raw)
		}
	}
	return settings
}

func responsesAnswer(in *inference, sv served, r Reply) any {
	body := in.echoed()
	for key, value := range map[string]any{
		"id": "resp_" + strconv.Itoa(r.seq), "object": "response", "created_at": epoch, "model": in.bodyName(), "status": "completed", "background": false,
		"error": nil, "incomplete_details": nil, "output": responseItems(r), "service_tier": in.by.tierName(), "usage": responsesUsage(in, sv, r),
	} {
		body[key] = value
	}
	switch r.stop() {
	case "max_tokens":
		body["status"], body["incomplete_details"] = "incomplete", map[string]any{"reason": "max_output_tokens"}
	case intervened, "content_filtered", "refusal":
		body["status"], body["incomplete_details"] = "incomplete", map[string]any{"reason": "content_filter"}
	}
	if in.store != nil {
		items := in.storedItems[:len(in.storedItems):len(in.storedItems)]
		for _, item := range responseItems(r) {
			raw, _ := json.Marshal(item) // maps, strings and numbers
			if n, refused := jsonnode.Parse(raw); refused == nil {
				items = append(items, n)
			}
		}
		in.store.stored.put(body["id"].(string), items, body)
	}
	return body
}

// responsesEvents returns the events of a streamed response, in the order of the recordings (2026-08).
func responsesEvents(in *inference, sv served, r Reply) []event {
	whole := responsesAnswer(in, sv, r).(map[string]any)
	begun := maps.Clone(whole)
	begun["status"], begun["output"], begun["usage"] = "in_progress", []any{}, nil
	if _, ok := begun["completed_at"]; ok {
		begun["completed_at"] = nil
	}
	var events []event
	add := func(kind string, body map[string]any) {
		body["type"], body["sequence_number"] = "response."+kind, len(events)
		events = append(events, chunk(body))
	}
	add("created", map[string]any{"response": begun})
	add("in_progress", map[string]any{"response": begun})
	for i, item := range responseItems(r) {
		responseItemEvents(i, item, r.Blocks[i], add)
	}
	last := "completed"
	if whole["status"] != "completed" {
		last = "incomplete"
	}
	add(last, map[string]any{"response": whole})
	events[len(events)-1].kind = usageChunkEvent
	return events
}

// responseItemEvents returns the events of one item.
func responseItemEvents(i int, item map[string]any, b Block, add func(string, map[string]any)) {
	at := func(more map[string]any) map[string]any {
		more["output_index"] = i
		return more
	}
	inside := func(more map[string]any) map[string]any {
		more["item_id"] = item["id"]
		return at(more)
	}
	part := func(more map[string]any) map[string]any {
		more["content_index"] = 0
		return inside(more)
	}
	begun := maps.Clone(item)
	switch {
	case item["type"] == "function_call":
		begun["arguments"], begun["status"] = "", "in_progress"
		add("output_item.added", at(map[string]any{"item": begun}))
		add("function_call_arguments.delta", inside(map[string]any{"delta": b.Tool.Input}))
		add("function_call_arguments.done", inside(map[string]any{"arguments": b.Tool.Input}))
	case item["type"] == "message" && b.Raw == "":
		begun["content"], begun["status"] = []any{}, "in_progress"
		add("output_item.added", at(map[string]any{"item": begun}))
		empty := map[string]any{"type": "output_text", "text": "", "annotations": []any{}, "logprobs": []any{}}
		add("content_part.added", part(map[string]any{"part": empty}))
		for _, piece := range pieces(b.Text) {
			add("output_text.delta", part(map[string]any{"delta": piece, "logprobs": []any{}}))
		}
		add("output_text.done", part(map[string]any{"text": b.Text, "logprobs": []any{}}))
		add("content_part.done", part(map[string]any{"part": item["content"].([]any)[0]}))
	case item["type"] == "reasoning" && item["content"] != nil && b.Raw == "":
		begun["content"], begun["status"] = []any{}, "in_progress"
		add("output_item.added", at(map[string]any{"item": begun}))
		add("reasoning_part.added", part(map[string]any{"part": map[string]any{"type": "reasoning_text", "text": ""}}))
		for _, piece := range pieces(b.Reasoning.Text) {
			add("reasoning_text.delta", part(map[string]any{"delta": piece}))
		}
		add("reasoning_text.done", part(map[string]any{"text": b.Reasoning.Text}))
		add("reasoning_part.done", part(map[string]any{"part": item["content"].([]any)[0]}))
	default:
		add("output_item.added", at(map[string]any{"item": begun}))
	}
	add("output_item.done", at(map[string]any{"item": item}))
}
