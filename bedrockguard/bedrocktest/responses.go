package bedrocktest

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// r.stop returns the stop reason of a reply, in Converse's words, among them intervened for an answer that a guardrail changed. chunk makes an event
// of a stream. bodyName and tierName are what an answer calls the model and the service tier. answer writes a body and returns nil, which means that
// there is no refusal to write.

// stored has the conversations of stored responses, by the id of the response: input and output as items, from which a later request goes on, and
// the body of the response itself. It is safe for concurrent use.
type stored struct {
	mu     sync.Mutex
	items  map[string][]*jsonnode.Node
	bodies map[string]map[string]any
}

// put stores a response under its id: its input and output as items, and its body.
func (s *stored) put(id string, items []*jsonnode.Node, body map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil {
		s.items, s.bodies = map[string][]*jsonnode.Node{}, map[string]map[string]any{}
	}
	s.items[id], s.bodies[id] = items, body
}

// get returns what put has stored under an id, and false if there is nothing.
func (s *stored) get(id string) ([]*jsonnode.Node, map[string]any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items, ok := s.items[id]
	return items, s.bodies[id], ok
}

// conversation returns the input and the output of a stored response as items, from which a request of the Responses API that names it goes on.
func (s *stored) conversation(id string) ([]*jsonnode.Node, bool) {
	items, _, ok := s.get(id)
	return items, ok
}

// storedResponse serves GET and DELETE of one response that was stored.
func (s *Server) storedResponse(w http.ResponseWriter, r *http.Request, id string) *refusal.Error {
	_, body, ok := s.stored.get(id)
	switch {
	case !ok:
		return refusal.NoResponse(id)
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

// responseItems returns the blocks of an answer as items of the Responses API, which has an item for each message, tool use and piece of reasoning.
func responseItems(r Reply) []map[string]any {
	var items []map[string]any
	id := func(kind string, i int) string { return kind + "_" + strconv.Itoa(r.seq) + "_" + strconv.Itoa(i) }
	for i, b := range r.Blocks {
		item := map[string]any{"status": "completed"}
		switch {
		case b.Raw != "": // an item that the test gives in JSON
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
			item["type"], item["id"], item["role"] = "message", id("msg", i), dialects.Assistant
			item["content"] = []any{map[string]any{"type": "output_text", "text": b.Text, "annotations": []any{}, "logprobs": []any{}}}
		}
		items = append(items, item)
	}
	return items
}

// responsesUsage returns the usage. Cached tokens are a part of the input tokens, as in OpenAI's API, and reasoning tokens a part of the output
// tokens.
func responsesUsage(in *inference, split promptcache.Split, r Reply) map[string]any {
	input := split.Input + split.Read + split.Write5m + split.Write1h
	thought := 0
	for _, b := range r.Blocks {
		if b.Reasoning != nil {
			thought += modeltable.CountTokens(b.Reasoning.Text)
		}
	}
	details := map[string]any{"cached_tokens": split.Read}
	if !strings.Contains(in.Model.ID, "gpt-oss") { // gpt-oss was recorded without these tokens
		details["cache_write_tokens"] = split.Write5m + split.Write1h
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
	if !strings.Contains(in.Model.ID, "gpt-oss") {
		// gpt-oss was recorded without the following settings.
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
	// completed_at and billing are the service's own, and no settings of the request.
	for key := range settings {
		if given := in.Sent.Get(key); given != nil && key != "completed_at" && key != "billing" {
			settings[key] = json.RawMessage(given.Raw)
		}
	}
	return settings
}

// responsesAnswer returns the body of a response. If the request does not forbid storing, its input and the items of the answer are stored under
// the response's id.
func responsesAnswer(in *inference, split promptcache.Split, r Reply) any {
	body := in.echoed()
	for key, value := range map[string]any{
		"id": "resp_" + strconv.Itoa(r.seq), "object": "response", "created_at": epoch, "model": in.bodyName(), "status": "completed", "background": false,
		"error": nil, "incomplete_details": nil, "output": responseItems(r), "service_tier": in.by.tierName(), "usage": responsesUsage(in, split, r),
	} {
		body[key] = value
	}
	switch r.stop() {
	case "max_tokens":
		body["status"], body["incomplete_details"] = "incomplete", map[string]any{"reason": "max_output_tokens"}
	case intervened, "content_filtered", "refusal":
		body["status"], body["incomplete_details"] = "incomplete", map[string]any{"reason": "content_filter"}
	}
	if in.Stores {
		items := in.StoredItems[:len(in.StoredItems):len(in.StoredItems)] // the whole input; without room behind it, so that append copies it
		for _, item := range responseItems(r) {
			raw, _ := json.Marshal(item) // maps, strings and numbers
			if n, refused := jsonnode.Parse(raw); refused == nil {
				items = append(items, n)
			}
		}
		in.stored.put(body["id"].(string), items, body)
	}
	return body
}

// responsesEvents returns the events of a streamed response, in the order of the recordings (2026-08).
func responsesEvents(in *inference, split promptcache.Split, r Reply) []event {
	// responsesAnswer also stores the response, if the request does not forbid that.
	whole := responsesAnswer(in, split, r).(map[string]any)
	begun := maps.Clone(whole)
	begun["status"], begun["output"], begun["usage"] = "in_progress", []any{}, nil
	// gpt-oss does not report when a response was completed.
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
	// The last event has the usage, which the fault MissingUsage takes out of events of this kind.
	events[len(events)-1].kind = usageChunkEvent
	return events
}

// responseItemEvents passes the events of the item with index i to add: one that shows the item as it begins, those of its content, if that is
// streamed, and one with the whole item. Each event says by index, and those of the content also by id, to which item it belongs.
func responseItemEvents(i int, item map[string]any, b Block, add func(string, map[string]any)) {
	begun := maps.Clone(item)
	switch streamedKind(item, b) {
	case "function_call":
		begun["arguments"], begun["status"] = "", "in_progress"
	case "message", "reasoning":
		begun["content"], begun["status"] = []any{}, "in_progress"
	}
	add("output_item.added", map[string]any{"output_index": i, "item": begun})
	for _, e := range contentEvents(item, b) {
		e.body["output_index"], e.body["item_id"] = i, item["id"]
		add(e.kind, e.body)
	}
	add("output_item.done", map[string]any{"output_index": i, "item": item})
}

// streamedKind returns the type of an item whose content is streamed: function_call, message or reasoning. It returns "" for an item of any other
// kind, for encrypted reasoning, and for a raw item, which is complete in its first event.
func streamedKind(item map[string]any, b Block) string {
	kind, _ := item["type"].(string)
	readable := kind == "message" || kind == "reasoning" && item["content"] != nil // encrypted reasoning has no content
	if b.Raw == "" && (kind == "function_call" || readable) {
		return kind
	}
	return ""
}

// contentEvents returns the events by which an item's content is streamed, without what says to which item they belong. Messages and reasoning have
// one part.
func contentEvents(item map[string]any, b Block) []event {
	part := func(kind string, body map[string]any) event {
		body["content_index"] = 0
		return event{kind, body}
	}
	var events []event
	switch streamedKind(item, b) {
	case "function_call":
		events = append(events, event{"function_call_arguments.delta", map[string]any{"delta": b.Tool.Input}},
			event{"function_call_arguments.done", map[string]any{"arguments": b.Tool.Input}})
	case "message":
		empty := map[string]any{"type": "output_text", "text": "", "annotations": []any{}, "logprobs": []any{}}
		events = append(events, part("content_part.added", map[string]any{"part": empty}))
		for _, piece := range pieces(b.Text) {
			events = append(events, part("output_text.delta", map[string]any{"delta": piece, "logprobs": []any{}}))
		}
		events = append(events, part("output_text.done", map[string]any{"text": b.Text, "logprobs": []any{}}),
			part("content_part.done", map[string]any{"part": item["content"].([]any)[0]}))
	case "reasoning":
		events = append(events, part("reasoning_part.added", map[string]any{"part": map[string]any{"type": "reasoning_text", "text": ""}}))
		for _, piece := range pieces(b.Reasoning.Text) {
			events = append(events, part("reasoning_text.delta", map[string]any{"delta": piece}))
		}
		events = append(events, part("reasoning_text.done", map[string]any{"text": b.Reasoning.Text}),
			part("reasoning_part.done", map[string]any{"part": item["content"].([]any)[0]}))
	}
	return events
}
