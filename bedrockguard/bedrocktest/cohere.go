package bedrocktest

import (
	"encoding/json"
	"strconv"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// In answers, r.chosen and r.stop return the stop reason: in the family's words, or in Converse's. chunk makes an event of a stream, and usageChunk
// one with token counts, which the fault MissingUsage takes out. tracedAs adds to the last event what guardrails report, and metrics the counts that
// Bedrock itself adds.

// cohereFinish returns the reply's stop reason in Cohere's words. Unlike other families, Cohere has a word for a stop sequence.
func (r Reply) cohereFinish() string {
	if r.stop() == "stop_sequence" {
		return "STOP_SEQUENCE"
	}
	return r.chosen(cohereWords)
}

// cohereChatAnswer returns an answer, which has no token counts: only the response headers have them. Tool uses are in a field of their own.
// in.History is the chat history of the request, which the answer repeats with the two turns that are new.
func cohereChatAnswer(in *inference, _ promptcache.Split, r Reply) any {
	id := "cohere-" + strconv.Itoa(r.seq)
	// The slice has no room behind its end, so that append copies the history and does not change it.
	history := append(in.History[:len(in.History):len(in.History)],
		map[string]any{"role": "USER", "message": in.request.LastText}, map[string]any{"role": "CHATBOT", "message": r.Text})
	body := map[string]any{"response_id": id, "generation_id": id, "text": r.Text, "finish_reason": r.cohereFinish(), "chat_history": history}
	if calls := cohereCalls(r); calls != nil {
		body["tool_calls"] = calls
	}
	return body
}

// cohereCalls returns the reply's uses of tools, or nil.
func cohereCalls(r Reply) (calls []any) {
	for _, b := range r.Blocks {
		if b.Tool != nil {
			calls = append(calls, map[string]any{"name": b.Tool.Name, "parameters": json.RawMessage(b.Tool.Input)})
		}
	}
	return calls
}

// cohereChatEvents streams an answer: the pieces of its text, its uses of tools, and a last event with the whole answer and Bedrock's metrics.
func cohereChatEvents(in *inference, split promptcache.Split, r Reply) []event {
	events := r.chunks(func(piece string) map[string]any {
		return map[string]any{"event_type": "text-generation", "is_finished": false, "text": piece}
	})
	if calls := cohereCalls(r); calls != nil {
		events = append(events, chunk(map[string]any{"event_type": "tool-calls-generation", "is_finished": false, "tool_calls": calls}))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"event_type": "stream-end", "is_finished": true, "finish_reason": r.cohereFinish(), "response": cohereChatAnswer(in, split, r),
		"amazon-bedrock-invocationMetrics": metrics(in.Model, split, r.OutputTokens),
	}, r)))
}

// cohereTextAnswer returns the answer of Command, with the text once for each generation that the request asks for. It has no token counts.
func cohereTextAnswer(in *inference, _ promptcache.Split, r Reply) any {
	id := "cohere-" + strconv.Itoa(r.seq)
	generations := []any{}
	for i := range max(in.Choices, 1) {
		generations = append(generations, map[string]any{"id": id + "-" + strconv.Itoa(i), "text": r.Text, "finish_reason": r.cohereFinish()})
	}
	return map[string]any{"id": id, "prompt": in.request.LastText, "generations": generations}
}

// cohereTextEvents streams one generation: the pieces of its text, then an event with the finish reason and Bedrock's metrics. Unlike
// cohereTextAnswer it does not repeat the text for num_generations.
func cohereTextEvents(in *inference, split promptcache.Split, r Reply) []event {
	events := r.chunks(func(piece string) map[string]any { return map[string]any{"is_finished": false, "text": piece} })
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"is_finished": true, "finish_reason": r.cohereFinish(), "amazon-bedrock-invocationMetrics": metrics(in.Model, split, r.OutputTokens),
	}, r)))
}
