package bedrocktest

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// The answers of a dialect are made by two functions: ...Answer returns the body of an answer that is not streamed, ...Events the events of a
// stream. Their parameters are the request (in), how its input is billed (split: not cached, read from the cache, or written to it for either
// lifetime), and the completed Reply. tracedAs adds what the guardrails report, metrics the counts that Bedrock itself reports in every dialect.

// dialect is the form of requests and answers of a model family in InvokeModel, of Converse, or of a route. parse reads a body into a Prompt;
// answer returns the body of an answer, events those of a stream. events is nil where nothing is streamed.
type dialect struct {
	parse  func(*dialects.Reader, *jsonnode.Node, *dialects.Prompt) *refusal.Error
	answer func(*inference, promptcache.Split, Reply) any
	events func(*inference, promptcache.Split, Reply) []event
}

// dialectOf returns the dialect of a model, or the zero value if the simulator does not serve the model through InvokeModel. Plain parses bodies with
// one prompt: it takes the members that a body may have, the prompt first, and the path of names to the output limit.
func dialectOf(m *modeltable.Model) dialect {
	id := m.ID
	switch {
	case m.Provider == "anthropic":
		return dialect{(*dialects.Reader).ParseAnthropic, anthropicAnswer, anthropicEvents}
	case m.Mode == "rerank":
		return dialect{(*dialects.Reader).ParseRerank, rerankAnswer, nil}
	case strings.HasPrefix(id, "amazon.nova") && m.Embeds():
		return dialect{(*dialects.Reader).ParseNovaEmbed, novaEmbedAnswer, nil}
	case strings.HasPrefix(id, "amazon.nova"):
		return dialect{(*dialects.Reader).ParseNova, novaAnswer, novaEvents}
	case strings.HasPrefix(id, "amazon.titan-embed"):
		return dialect{(*dialects.Reader).ParseTitanEmbed, titanEmbedAnswer, nil}
	case strings.HasPrefix(id, "amazon.titan-text"):
		return dialect{dialects.Plain([]string{"inputText", "textGenerationConfig"}, "textGenerationConfig", "maxTokenCount"), titanTextAnswer, titanTextEvents}
	case strings.HasPrefix(id, "cohere.embed"):
		return dialect{(*dialects.Reader).ParseCohereEmbed, cohereEmbedAnswer, nil}
	case strings.HasPrefix(id, "cohere.command-r"): // before the models whose ids begin with cohere.command alone
		return dialect{(*dialects.Reader).ParseCohereChat, cohereChatAnswer, cohereChatEvents}
	case strings.HasPrefix(id, "cohere.command"):
		return dialect{(*dialects.Reader).ParseCohereText, cohereTextAnswer, cohereTextEvents}
	case m.Provider == "meta":
		return dialect{dialects.Plain([]string{"prompt", "max_gen_len", "temperature", "top_p", "images"}, "max_gen_len"), llamaAnswer, llamaEvents}
	case m.TakesOnePrompt():
		return dialect{dialects.Plain([]string{"prompt", "max_tokens", "stop", "temperature", "top_p", "top_k"}, "max_tokens"), mistralAnswer, mistralEvents}
	case m.Embeds(): // other embeddings are not served
		return dialect{}
	default:
		return dialect{(*dialects.Reader).ParseChat, chatAnswer, chatEvents}
	}
}

// The stop reasons of families (their pages in the Bedrock user guide, read 2026-11): of a complete answer, one that was cut, one that asks for
// a tool, and one that was filtered.
var (
	chatWords = stopWords{"stop", "length", "tool_calls", "content_filter"}
	// The dialects of one prompt have no words for tool uses and filtered answers; both count as complete.
	promptWords = stopWords{"stop", "length", "stop", "stop"}
	titanWords  = stopWords{"FINISH", "LENGTH", "FINISH", "CONTENT_FILTERED"}
	cohereWords = stopWords{"COMPLETE", "MAX_TOKENS", "COMPLETE", "ERROR_TOXIC"}
)

// novaUsage returns the usage of an answer. An answer in one body has totalTokens; a stream leaves that out.
func novaUsage(split promptcache.Split, output int) map[string]any {
	return map[string]any{
		"inputTokens": split.Input, "outputTokens": output, "totalTokens": split.Input + split.Read + split.Write5m + split.Write1h + output,
		"cacheReadInputTokenCount": split.Read, "cacheWriteInputTokenCount": split.Write5m + split.Write1h,
	}
}

// novaAnswer returns an answer, which has Converse's content with a usage of Nova's own.
func novaAnswer(_ *inference, split promptcache.Split, r Reply) any {
	return map[string]any{
		"output":     map[string]any{"message": map[string]any{"role": "assistant", "content": converseContent(r)}},
		"stopReason": r.stop(), "usage": novaUsage(split, r.OutputTokens),
	}
}

// novaEvents returns Converse's events as chunks. Nova sends a stop event after each delta, so the stop event that ends a block anyway is left out
// after that of its last delta.
func novaEvents(in *inference, split promptcache.Split, r Reply) []event {
	const stop = "contentBlockStop"
	events, last := []event{chunk(map[string]any{"messageStart": map[string]any{"role": "assistant"}})}, ""
	send := func(kind string, body map[string]any) {
		if kind == stop && last == stop {
			return
		}
		events, last = append(events, chunk(map[string]any{kind: body})), kind
	}
	for i, b := range r.Blocks {
		for _, e := range blockEvents(i, b) {
			send(e.kind, e.body)
			if e.kind == "contentBlockDelta" {
				send(stop, map[string]any{"contentBlockIndex": i})
			}
		}
	}
	usage := novaUsage(split, r.OutputTokens)
	delete(usage, "totalTokens")
	metadata := map[string]any{"usage": usage, "metrics": map[string]any{}, "trace": map[string]any{}}
	return append(events, chunk(map[string]any{"messageStop": map[string]any{"stopReason": r.stop()}}),
		usageChunk(in.tracedAs(map[string]any{"metadata": metadata, "amazon-bedrock-invocationMetrics": metrics(in.Model, split, r.OutputTokens)}, r)))
}

// titanTextAnswer returns an answer with its token counts, those of the output beside the text.
func titanTextAnswer(_ *inference, split promptcache.Split, r Reply) any {
	return map[string]any{"inputTextTokenCount": split.Input, "results": []any{map[string]any{"tokenCount": r.OutputTokens, "outputText": r.Text, "completionReason": r.chosen(titanWords)}}}
}

// titanTextEvents streams an answer: the pieces of its text, and a last chunk with the token counts and Bedrock's metrics.
func titanTextEvents(in *inference, split promptcache.Split, r Reply) []event {
	events := r.chunks(func(piece string) map[string]any {
		return map[string]any{"outputText": piece, "index": 0, "completionReason": nil}
	})
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"outputText": "", "index": 0, "completionReason": r.chosen(titanWords), "inputTextTokenCount": split.Input, "totalOutputTextTokenCount": r.OutputTokens,
		"amazon-bedrock-invocationMetrics": metrics(in.Model, split, r.OutputTokens),
	}, r)))
}

// llamaAnswer returns an answer with its token counts.
func llamaAnswer(_ *inference, split promptcache.Split, r Reply) any {
	return map[string]any{"generation": r.Text, "prompt_token_count": split.Input, "generation_token_count": r.OutputTokens, "stop_reason": r.chosen(promptWords)}
}

// llamaEvents streams an answer. Each chunk counts the tokens generated so far, and only the first has those of the prompt.
func llamaEvents(in *inference, split promptcache.Split, r Reply) []event {
	var events []event
	for i, piece := range r.pieces() {
		body := map[string]any{"generation": piece, "prompt_token_count": nil, "generation_token_count": min(i+1, r.OutputTokens), "stop_reason": nil}
		if i == 0 {
			body["prompt_token_count"] = split.Input
		}
		// A chunk of this kind has token counts, which the fault MissingUsage takes out.
		events = append(events, usageChunk(body))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"generation": "", "prompt_token_count": nil, "generation_token_count": r.OutputTokens, "stop_reason": r.chosen(promptWords),
		"amazon-bedrock-invocationMetrics": metrics(in.Model, split, r.OutputTokens),
	}, r)))
}

// mistralAnswer returns an answer, which has no token counts: only the response headers have them.
func mistralAnswer(_ *inference, _ promptcache.Split, r Reply) any {
	return map[string]any{"outputs": []any{map[string]any{"text": r.Text, "stop_reason": r.chosen(promptWords)}}}
}

// mistralEvents streams an answer: the pieces of its text, and a last chunk without token counts of its own, but with Bedrock's metrics.
func mistralEvents(in *inference, split promptcache.Split, r Reply) []event {
	events := r.chunks(func(piece string) map[string]any {
		return map[string]any{"outputs": []any{map[string]any{"text": piece, "stop_reason": nil}}}
	})
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"outputs": []any{map[string]any{"text": "", "stop_reason": r.chosen(promptWords)}}, "amazon-bedrock-invocationMetrics": metrics(in.Model, split, r.OutputTokens),
	}, r)))
}

// chatUsage returns the usage of an answer. No model of this dialect has a prompt cache, so that all input is plain.
func chatUsage(split promptcache.Split, output int) map[string]any {
	return map[string]any{"prompt_tokens": split.Input, "completion_tokens": output, "total_tokens": split.Input + output}
}

// chatAnswer returns a chat completion with one choice.
func chatAnswer(in *inference, split promptcache.Split, r Reply) any {
	return map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "created": epoch, "model": in.bodyName(), "usage": chatUsage(split, r.OutputTokens), "service_tier": in.by.tierName(),
		"choices": []any{map[string]any{"index": 0, "finish_reason": r.chosen(chatWords), "logprobs": nil, "message": chatMessage(r)}},
	}
}

// chatMessage returns the answer as one message: text, tool uses, and reasoning beside them.
func chatMessage(r Reply) map[string]any {
	message := map[string]any{"role": "assistant", "content": nil}
	if r.Text != "" {
		message["content"] = r.Text
	}
	var calls []any
	for _, b := range r.Blocks {
		switch {
		case b.Tool != nil:
			calls = append(calls, map[string]any{"id": b.Tool.ID, "type": "function", "index": len(calls), "function": map[string]any{"name": b.Tool.Name, "arguments": b.Tool.Input}})
		case b.Reasoning != nil:
			message["reasoning"] = b.Reasoning.Text
		}
	}
	if calls != nil {
		message["tool_calls"] = calls
	}
	return message
}

// chatEvents streams a chat completion through InvokeModel: the pieces of its text, its tool uses, and a last chunk with usage and metrics. On
// the OpenAI route chatStream does that.
func chatEvents(in *inference, split promptcache.Split, r Reply) []event {
	one := func(delta map[string]any) map[string]any {
		return map[string]any{"object": "chat.completion.chunk", "choices": []any{map[string]any{"index": 0, "delta": delta}}}
	}
	events := r.chunks(func(piece string) map[string]any { return one(map[string]any{"content": piece}) })
	if calls := chatMessage(r)["tool_calls"]; calls != nil {
		events = append(events, chunk(one(map[string]any{"tool_calls": calls})))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"object": "chat.completion.chunk", "choices": []any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": r.chosen(chatWords)}},
		"model": in.bodyName(), "usage": chatUsage(split, r.OutputTokens), "amazon-bedrock-invocationMetrics": metrics(in.Model, split, r.OutputTokens),
	}, r)))
}

// epoch is the creation time in answers, in Unix seconds. It is fixed, so that two runs of a test get the same bytes.
const epoch = 1_764_460_800

// chunks returns a chunk for each piece of the reply's text, with the body that the function body makes of the piece.
func (r Reply) chunks(body func(piece string) map[string]any) (events []event) {
	for _, piece := range r.pieces() {
		events = append(events, chunk(body(piece)))
	}
	return events
}

// chunk is an event of InvokeModelWithResponseStream. A usageChunk holds token counts, which the fault MissingUsage takes out.
func chunk(body map[string]any) event      { return event{chunkEvent, body} }
func usageChunk(body map[string]any) event { return event{usageChunkEvent, body} }
