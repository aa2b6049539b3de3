package bedrocktest

import (
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// dialect is the form of a model family's requests and answers in InvokeModel.
type dialect struct {
	parse  func(*Server, *jsonnode.Node, *inference) *refusal.Error
	answer func(*inference, served, Reply) any
	events func(*inference, served, Reply) []event
}

// dialectOf returns the dialect of a model, or the zero value if the simulator does not serve the model through InvokeModel.
func dialectOf(m *modeltable.Model) dialect {
	id := m.ID
	switch {
	case m.Provider == "anthropic":
		return dialect{(*Server).parseAnthropic, anthropicAnswer, anthropicEvents}
	case m.Mode == "rerank":
		return dialect{(*Server).parseRerank, rerankAnswer, nil}
	case strings.HasPrefix(id, "amazon.nova") && m.Embeds():
		return dialect{(*Server).parseNovaEmbed, novaEmbedAnswer, nil}
	case strings.HasPrefix(id, "amazon.nova"):
		return dialect{(*Server).parseNova, novaAnswer, novaEvents}
	case strings.HasPrefix(id, "amazon.titan-embed"):
		return dialect{(*Server).parseTitanEmbed, titanEmbedAnswer, nil}
	case strings.HasPrefix(id, "amazon.titan-text"):
		return dialect{plain([]string{"inputText", "textGenerationConfig"}, "textGenerationConfig", "maxTokenCount"), titanTextAnswer, titanTextEvents}
	case strings.HasPrefix(id, "cohere.embed"):
		return dialect{(*Server).parseCohereEmbed, cohereEmbedAnswer, nil}
	case strings.HasPrefix(id, "cohere.command-r"):
		return dialect{(*Server).parseCohereChat, cohereChatAnswer, cohereChatEvents}
	case strings.HasPrefix(id, "cohere.command"):
		return dialect{(*Server).parseCohereText, cohereTextAnswer, cohereTextEvents}
	case m.Provider == "meta":
		return dialect{plain([]string{"prompt", "max_gen_len", "temperature", "top_p", "images"}, "max_gen_len"), llamaAnswer, llamaEvents}
	case promptOnlyMistral(m):
		return dialect{plain([]string{"prompt", "max_tokens", "stop", "temperature", "top_p", "top_k"}, "max_tokens"), mistralAnswer, mistralEvents}
	case m.Embeds():
		return dialect{}
	default:
		return dialect{(*Server).parseChat, chatAnswer, chatEvents}
	}
}

// promptOnlyMistral reports whether a model is one of Mistral's of 2023 and 2024, which take one prompt instead of messages.
func promptOnlyMistral(m *modeltable.Model) bool {
	if m.Provider == "mistral" && strings.Contains(m.ID, "instruct-v0") {
		return true
	}
	return strings.HasPrefix(m.ID, "mistral.mistral-small-2402") || strings.HasPrefix(m.ID, "mistral.mistral-large-24")
}

// The stop reasons of families (their pages in the Bedrock user guide, read 2026-11).
var (
	chatWords   = words{"stop", "length", "tool_calls", "content_filter"}
	promptWords = words{"stop", "length", "stop", "stop"}
	titanWords  = words{"FINISH", "LENGTH", "FINISH", "CONTENT_FILTERED"}
	cohereWords = words{"COMPLETE", "MAX_TOKENS", "COMPLETE", "ERROR_TOXIC"}
)

// plain returns a parser of bodies whose prompt is one string. members are the names that a body may have, the prompt's first; limit is the path
// of names to the output limit.
func plain(members []string, limit ...string) func(*Server, *jsonnode.Node, *inference) *refusal.Error {
	return func(s *Server, n *jsonnode.Node, in *inference) *refusal.Error {
		if err := n.Only("the request", members...); err != nil {
			return err
		}
		prompt := members[0]
		text := n.Get(prompt)
		if text.Text() == "" {
			return refusal.Invalid("%s: a non-empty string is required", prompt)
		}
		in.request.Messages, in.request.LastText, in.hidden.raw = 1, text.Text(), true
		in.addText(s, messages, text, text)
		if len(limit) == 0 {
			return nil
		}
		at := n
		for _, key := range limit {
			at = at.Get(key)
		}
		return in.limit(at)
	}
}

// limit reads an output limit. Without one, n is nil and the model's own limit applies.
func (in *inference) limit(n *jsonnode.Node) *refusal.Error {
	if n == nil {
		return nil
	}
	v, ok := n.Number()
	if !ok || v <= 0 {
		return refusal.Invalid("the maximum of output tokens must be an integer of at least 1")
	}
	in.maxTokens = v
	return nil
}

func (s *Server) parseNova(n *jsonnode.Node, in *inference) *refusal.Error {
	if err := n.Only("the request", "schemaVersion", "messages", "system", "inferenceConfig", "toolConfig"); err != nil {
		return err
	}
	config := n.Get("inferenceConfig")
	limit := config.Get("maxTokens")
	if limit == nil {
		limit = config.Get("max_new_tokens")
	}
	if err := in.limit(limit); err != nil {
		return err
	}
	choice := n.Get("toolConfig").Get("toolChoice")
	in.hidden.forced = choice.Get("any") != nil || choice.Get("tool") != nil
	for _, t := range n.Get("toolConfig").Get("tools").List() {
		in.addJSON(s, tools, t.Raw)
		in.tool(s, t)
	}
	for _, b := range n.Get("system").List() {
		if err := s.novaText(system, b, in); err != nil {
			return err
		}
	}
	list := n.Get("messages").List()
	if len(list) == 0 {
		return refusal.Invalid("messages must not be empty")
	}
	in.request.Messages = len(list)
	want := "user"
	for i, m := range list {
		role := m.Get("role").Text()
		if role != want {
			return refusal.Invalid("Malformed input request: #/messages/%d/role: roles alternate between user and assistant, please reformat your input and try again.", i)
		}
		if len(m.Get("content").List()) == 0 {
			return refusal.Invalid("Malformed input request: #/messages/%d/content: expected minimum item count: 1, found: 0, please reformat your input and try again.", i)
		}
		want = map[string]string{"user": "assistant", "assistant": "user"}[want]
		in.open(role)
		for j, b := range m.Get("content").List() {
			in.message, in.block = i, j
			if err := s.novaBlock(b, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// novaBlock reads a block of a message.
func (s *Server) novaBlock(b *jsonnode.Node, in *inference) *refusal.Error {
	switch {
	case b.Get("image") != nil:
		in.image(s, b.Raw, b.Get("image").Get("source").Get("bytes"))
	case b.Get("document") != nil:
		in.document(s, b, b.Get("document"))
	case b.Get("toolUse") != nil, b.Get("toolResult") != nil:
		in.addJSON(s, messages, b.Raw)
	default:
		return s.novaText(messages, b, in)
	}
	return nil
}

// novaText parses a block that may contain its cache point, as Nova's own bodies do.
func (s *Server) novaText(section string, b *jsonnode.Node, in *inference) *refusal.Error {
	text := b.Get("text")
	if text.Text() == "" {
		what := "required key [text] not found"
		for _, key := range b.KeyNames() {
			if key != "text" && key != "cachePoint" {
				what = "extraneous key [" + key[:min(len(key), 40)] + "] is not permitted"
			}
		}
		return refusal.Invalid("Malformed input request: #/%s/%d/content/%d: %s, please reformat your input and try again.", section, in.message, in.block, what)
	}
	in.request.LastText = text.Text()
	in.addText(s, section, text, text)
	if point := b.Get("cachePoint"); point != nil {
		return in.conversePoint(section, point)
	}
	return nil
}

func novaUsage(sv served, output int) map[string]any {
	return map[string]any{
		"inputTokens": sv.input, "outputTokens": output, "totalTokens": sv.input + sv.read + sv.write5m + sv.write1h + output,
		"cacheReadInputTokenCount": sv.read, "cacheWriteInputTokenCount": sv.write5m + sv.write1h,
	}
}

func novaAnswer(_ *inference, sv served, r Reply) any {
	return map[string]any{
		"output":     map[string]any{"message": map[string]any{"role": "assistant", "content": converseContent(r)}},
		"stopReason": r.stop(), "usage": novaUsage(sv, r.OutputTokens),
	}
}

func novaEvents(in *inference, sv served, r Reply) []event {
	events := []event{chunk(map[string]any{"messageStart": map[string]any{"role": "assistant"}})}
	for i, b := range r.Blocks {
		for _, e := range blockEvents(i, b) {
			if events = append(events, chunk(map[string]any{e.kind: e.body})); e.kind == "contentBlockDelta" { // each is followed by a stop event
				events = append(events, chunk(map[string]any{"contentBlockStop": map[string]any{"contentBlockIndex": i}}))
			}
		}
		if n := len(events); n > 2 && events[n-2].body["contentBlockStop"] != nil {
			events = events[:n-1]
		}
	}
	usage := novaUsage(sv, r.OutputTokens)
	delete(usage, "totalTokens")
	return append(events,
		chunk(map[string]any{"messageStop": map[string]any{"stopReason": r.stop()}}),
		usageChunk(in.tracedAs(map[string]any{"metadata": map[string]any{"usage": usage, "metrics": map[string]any{}, "trace": map[string]any{}}, "amazon-bedrock-invocationMetrics": metrics(in.model, sv, r.OutputTokens)}, r)))
}

func titanTextAnswer(_ *inference, sv served, r Reply) any {
	return map[string]any{"inputTextTokenCount": sv.input, "results": []any{map[string]any{"tokenCount": r.OutputTokens, "outputText": r.Text, "completionReason": r.chosen(titanWords)}}}
}

func titanTextEvents(in *inference, sv served, r Reply) []event {
	var events []event
	for _, piece := range r.pieces() {
		events = append(events, chunk(map[string]any{"outputText": piece, "index": 0, "completionReason": nil}))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"outputText": "", "index": 0, "completionReason": r.chosen(titanWords), "inputTextTokenCount": sv.input, "totalOutputTextTokenCount": r.OutputTokens,
		"amazon-bedrock-invocationMetrics": metrics(in.model, sv, r.OutputTokens),
	}, r)))
}

func llamaAnswer(_ *inference, sv served, r Reply) any {
	return map[string]any{"generation": r.Text, "prompt_token_count": sv.input, "generation_token_count": r.OutputTokens, "stop_reason": r.chosen(promptWords)}
}

func llamaEvents(in *inference, sv served, r Reply) []event {
	var events []event
	for i, piece := range r.pieces() {
		body := map[string]any{"generation": piece, "prompt_token_count": nil, "generation_token_count": min(i+1, r.OutputTokens), "stop_reason": nil}
		if i == 0 {
			body["prompt_token_count"] = sv.input
		}
		events = append(events, usageChunk(body))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"generation": "", "prompt_token_count": nil, "generation_token_count": r.OutputTokens, "stop_reason": r.chosen(promptWords),
		"amazon-bedrock-invocationMetrics": metrics(in.model, sv, r.OutputTokens),
	}, r)))
}

// mistralAnswer returns an answer, which has no token counts: only the response headers have them.
func mistralAnswer(_ *inference, _ served, r Reply) any {
	return map[string]any{"outputs": []any{map[string]any{"text": r.Text, "stop_reason": r.chosen(promptWords)}}}
}

func mistralEvents(in *inference, sv served, r Reply) []event {
	var events []event
	for _, piece := range r.pieces() {
		events = append(events, chunk(map[string]any{"outputs": []any{map[string]any{"text": piece, "stop_reason": nil}}}))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"outputs": []any{map[string]any{"text": "", "stop_reason": r.chosen(promptWords)}}, "amazon-bedrock-invocationMetrics": metrics(in.model, sv, r.OutputTokens),
	}, r)))
}

// parseChat reads bodies in the shape of OpenAI's chat completions, which many families share.
func (s *Server) parseChat(n *jsonnode.Node, in *inference) *refusal.Error {
	limit := n.Get("max_completion_tokens")
	if limit == nil {
		limit = n.Get("max_tokens")
	}
	if err := in.limit(limit); err != nil {
		return err
	}
	list := n.Get("messages").List()
	if len(list) == 0 {
		return refusal.Invalid("messages must not be empty")
	}
	in.request.Messages = len(list)
	in.askTier(tierOf(n.Get("service_tier")))
	if choices, ok := n.Get("n").Number(); ok {
		if choices < 1 || choices > maxChoices {
			return refusal.Invalid("n must be between 1 and %d", maxChoices)
		}
		in.choices = choices
	}
	in.outputSchema(s, n.Get("response_format"))
	for _, m := range list {
		role := m.Get("role").Text()
		if !slices.Contains([]string{"system", "developer", "user", "assistant", "tool"}, role) {
			return refusal.Invalid("messages: roles are system, developer, user, assistant and tool")
		}
		in.open(role)
		content := m.Get("content")
		if content.Kind() == '"' {
			in.request.LastText = content.Text()
			in.addText(s, messages, content, content)
			if calls := m.Get("tool_calls"); calls != nil {
				in.addJSON(s, messages, calls.Raw)
			}
			continue
		}
		if len(content.List()) == 0 {
			in.addJSON(s, messages, m.Raw)
		}
		for _, part := range content.List() {
			s.chatPart(part, in)
		}
	}
	for _, t := range n.Get("tools").List() {
		in.addJSON(s, messages, t.Raw)
		in.tool(s, t)
	}
	return nil
}

// maxChoices bounds the answers that one request can ask for.
const maxChoices = 8

// chatPart reads one part of a message: text, an image as a data URL, or JSON.
func (s *Server) chatPart(part *jsonnode.Node, in *inference) {
	if text := part.Get("text"); text.Text() != "" {
		in.request.LastText = text.Text()
		in.addText(s, messages, part, text)
		return
	}
	url := part.Get("image_url")
	if url.Kind() == '{' {
		url = url.Get("url")
	}
	if data, ok := dataOf(url.Text()); ok {
		in.images++
		in.seeImages()
		in.add(s, messages, part.Raw, modeltable.ImageTokens(in.model, data))
		return
	}
	if sounds := part.Get("input_audio").Get("data"); sounds != nil {
		in.add(s, messages, part.Raw, modeltable.SoundTokens(sounds.Text()))
		return
	}
	in.addJSON(s, messages, part.Raw)
}

// dataOf returns the base64 data of a data URL.
func dataOf(url string) (string, bool) {
	_, data, ok := strings.Cut(url, ";base64,")
	return data, ok && strings.HasPrefix(url, "data:")
}

func chatUsage(sv served, output int) map[string]any {
	return map[string]any{"prompt_tokens": sv.input, "completion_tokens": output, "total_tokens": sv.input + output}
}

func chatAnswer(in *inference, sv served, r Reply) any {
	return map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "created": epoch, "model": in.bodyName(), "usage": chatUsage(sv, r.OutputTokens), "service_tier": in.by.tierName(),
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

func chatEvents(in *inference, sv served, r Reply) []event {
	var events []event
	for _, piece := range r.pieces() {
		events = append(events, chunk(map[string]any{"object": "chat.completion.chunk", "choices": []any{map[string]any{"index": 0, "delta": map[string]any{"content": piece}}}}))
	}
	if calls := chatMessage(r)["tool_calls"]; calls != nil {
		events = append(events, chunk(map[string]any{"object": "chat.completion.chunk", "choices": []any{map[string]any{"index": 0, "delta": map[string]any{"tool_calls": calls}}}}))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"object": "chat.completion.chunk", "choices": []any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": r.chosen(chatWords)}},
		"model": in.bodyName(), "usage": chatUsage(sv, r.OutputTokens), "amazon-bedrock-invocationMetrics": metrics(in.model, sv, r.OutputTokens),
	}, r)))
}

// epoch is the creation time in answers, in Unix seconds. It is fixed, so that two runs of a test get the same bytes.
const epoch = 1_764_460_800

// chunk is an event of InvokeModelWithResponseStream. A usageChunk holds token counts, which the fault MissingUsage takes out.
func chunk(body map[string]any) event      { return event{chunkEvent, body} }
func usageChunk(body map[string]any) event { return event{usageChunkEvent, body} }
