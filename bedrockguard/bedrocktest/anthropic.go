package bedrocktest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/document"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// parseAnthropic validates an InvokeModel body in Anthropic's dialect.
func (s *Server) parseAnthropic(n *jsonnode.Node, in *inference) *refusal.Error {
	known := []string{
		"anthropic_version", "anthropic_beta", "max_tokens", "messages", "system", "temperature", "top_p",
		"top_k", "tools", "tool_choice", "stop_sequences", "thinking", "metadata", "output_config", "output_format", "context_management", "compaction",
	}
	if in.form != "" { // Anthropic's own route has the version in a header
		known = append(known[2:], "model", "stream", "service_tier", "container", "inference_geo", "speed", "cache_control")
	}
	err := n.Only("the request", known...)
	switch {
	case err != nil:
		return err
	case in.form == "" && !slices.Contains([]string{"bedrock-2023-05-31", "2026-10-21"}, n.Get("anthropic_version").Text()):
		return refusal.Invalid("anthropic_version: must be bedrock-2023-05-31 or 2026-10-21")
	}
	limit, ok := n.Get("max_tokens").Number()
	if !ok || limit < 0 {
		return refusal.Invalid("max_tokens: an integer of at least 0 is required")
	}
	in.maxTokens, in.noOutput = limit, limit == 0 // a limit of zero only reads the prompt into the cache
	if budget, ok := n.Get("thinking").Get("budget_tokens").Number(); ok && budget >= limit {
		return refusal.Invalid("max_tokens must be greater than thinking.budget_tokens")
	}
	in.outputSchema(s, n.Get("output_config").Get("format"), n.Get("output_format"))
	in.compaction(n)
	in.hidden.forced = slices.Contains([]string{"any", "tool"}, n.Get("tool_choice").Get("type").Text())
	in.hidden.thinking = n.Get("thinking").Get("type").Is(`"enabled"`)
	in.variant = jsonnode.RawOf(n.Get("tool_choice")) + "\x00" + jsonnode.RawOf(n.Get("thinking"))
	for _, t := range n.Get("tools").List() {
		if t.Get("name").Text() == "" {
			return refusal.Invalid("tools: a name is required")
		}
		in.addJSON(s, tools, withoutMarker(t))
		in.tool(s, t)
		if err := in.cacheControl(tools, t); err != nil {
			return err
		}
	}
	if err := s.anthropicSystem(n.Get("system"), in); err != nil {
		return err
	}
	return s.anthropicMessages(n, in)
}

func (in *inference) cacheControl(section string, b *jsonnode.Node) *refusal.Error {
	control := b.Get("cache_control")
	if control == nil {
		return nil
	}
	if err := control.Only("cache_control", "type", "ttl"); err != nil {
		return err
	}
	if control.Get("type").Text() != "ephemeral" {
		return refusal.Invalid("the type of cache_control must be ephemeral")
	}
	return in.point(section, control.Get("ttl").Text())
}

func (s *Server) anthropicSystem(n *jsonnode.Node, in *inference) *refusal.Error {
	if n.Kind() == '"' {
		if n.Text() == "" {
			return refusal.Invalid("system: text content blocks must be non-empty")
		}
		in.addText(s, system, n, n)
		return nil
	}
	if n != nil && n.Kind() != '[' {
		return refusal.Invalid("system is neither a string nor a list")
	}
	for _, b := range n.List() {
		if err := s.anthropicText(system, b, in); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) anthropicText(section string, b *jsonnode.Node, in *inference) *refusal.Error {
	if err := b.Only(section, "type", "text", "cache_control", "citations"); err != nil {
		return err
	}
	text := b.Get("text")
	if b.Get("type").Text() != "text" || text.Text() == "" {
		return refusal.Invalid("%s: text content blocks must be non-empty", section)
	}
	in.addText(s, section, text, text)
	return in.cacheControl(section, b)
}

func (s *Server) anthropicMessages(n *jsonnode.Node, in *inference) *refusal.Error {
	list := n.Get("messages").List()
	if len(list) == 0 {
		return refusal.Invalid("messages: at least one message is required")
	}
	in.request.Messages = len(list)
	var open []string
	for i, m := range list {
		if err := m.Only("messages", "role", "content"); err != nil {
			return err
		}
		role := m.Get("role").Text()
		inserted := role == "system" && i > 0 && in.model.TakesInsertedSystem()
		if i == 0 && role != "user" || role != "user" && role != "assistant" && !inserted {
			return refusal.Invalid("messages: roles are user and assistant, beginning with user")
		}
		in.open(role)
		used, answered := []string(nil), []string(nil)
		content := m.Get("content")
		if content.Kind() == '"' && content.Text() != "" {
			in.request.LastText = content.Text()
			in.addText(s, messages, content, content)
		} else if len(content.List()) == 0 {
			return refusal.Invalid("messages: content must not be empty")
		}
		for _, b := range content.List() {
			if err := s.anthropicBlock(b, in, &used, &answered); err != nil {
				return err
			}
		}
		if err := spoken(role, i, used, answered); err != nil {
			return err
		}
		if err := paired(i, open, answered); err != nil {
			return err
		}
		open = used
	}
	return nil
}

func (s *Server) anthropicBlock(b *jsonnode.Node, in *inference, used, answered *[]string) *refusal.Error {
	switch b.Get("type").Text() {
	case "text":
		in.request.LastText = b.Get("text").Text()
		return s.anthropicText(messages, b, in)
	case "tool_use":
		if err := b.Only("messages: tool_use", "type", "id", "name", "input", "cache_control", "caller"); err != nil {
			return err
		}
		*used = append(*used, b.Get("id").Text())
	case "tool_result":
		*answered = append(*answered, b.Get("tool_use_id").Text())
		if media, ok := s.anthropicResultImages(b.Get("content"), in); ok {
			in.guarded(messages, withoutMarker(b))
			in.add(s, messages, withoutMarker(b), media)
			return in.cacheControl(messages, b)
		}
	case "thinking", "redacted_thinking":
		if b.Get("cache_control") != nil {
			return refusal.Invalid("cache_control cannot be set on thinking blocks")
		}
		in.addJSON(s, messages, b.Raw).reasoning = true
		return nil
	case "image":
		in.image(s, withoutMarker(b), b.Get("source").Get("data"))
		return in.cacheControl(messages, b)
	case "document":
		s.anthropicDocument(b, in)
		return in.cacheControl(messages, b)
	case "search_result":
		in.cited(b, 0)
	default:
		return refusal.Invalid("messages: unknown type of content block")
	}
	in.addJSON(s, messages, withoutMarker(b))
	return in.cacheControl(messages, b)
}

// anthropicResultImages counts the content of a tool result with images in it, and reports whether there are any.
func (s *Server) anthropicResultImages(content *jsonnode.Node, in *inference) (tokens int, ok bool) {
	for _, c := range content.List() {
		if c.Get("type").Text() == "image" {
			ok = true
			tokens += modeltable.ImageTokens(in.model, c.Get("source").Get("data").Text())
			in.images++
		} else {
			tokens += s.count(in.model, c.Raw)
		}
	}
	if ok {
		in.seeImages()
	}
	return tokens, ok
}

// withoutMarker returns a block's content without its cache_control, and in the same form for a block that has none. The marker is not part
// of the prefix: if it moves to a later block, what was written before must still be found.
func withoutMarker(b *jsonnode.Node) string {
	if b.Kind() != '{' {
		return jsonnode.RawOf(b)
	}
	var out strings.Builder
	for i, k := range b.Keys {
		if k != "cache_control" {
			fmt.Fprintf(&out, `,"%s":%s`, k, b.Items[i].Raw)
		}
	}
	return "{" + strings.TrimPrefix(out.String(), ",") + "}"
}

// anthropicDocument counts a document by its media type. Plain text, and blocks of it, are in the request as text.
func (s *Server) anthropicDocument(b *jsonnode.Node, in *inference) {
	source := b.Get("source")
	format := document.Format(source.Get("media_type").Text())
	if source.Get("type").Text() != "base64" || format == "" {
		in.cited(b, 0)
		in.addJSON(s, messages, withoutMarker(b))
		return
	}
	n, marks := s.documentTokens(in.model, format, source.Get("data").Text())
	in.cited(b, marks)
	for _, key := range []string{"title", "context"} {
		n += s.count(in.model, b.Get(key).Text())
	}
	in.add(s, messages, withoutMarker(b), n)
}

func anthropicUsage(in *inference, sv served, output int) map[string]any {
	usage := modelSplitJSON(in.model, sv, output)
	if in.model.TakesInsertedSystem() && output > 0 { // only the models of 2026 report these
		tier := in.by.tier
		if tier == "" || tier == "default" {
			tier = "standard"
		}
		usage["service_tier"], usage["output_tokens_details"] = tier, map[string]any{"thinking_tokens": 0}
	}
	if in.steps != nil {
		usage["iterations"] = iterationsJSON(in.steps)
	}
	return usage
}

// splitJSON reports how an input was split into the classes that are billed separately, with Anthropic's field names.
func splitJSON(sv served, output int) map[string]any {
	return map[string]any{
		"input_tokens": sv.input, "output_tokens": output, "cache_read_input_tokens": sv.read,
		"cache_creation_input_tokens": sv.write5m + sv.write1h,
		"cache_creation":              map[string]any{"ephemeral_5m_input_tokens": sv.write5m, "ephemeral_1h_input_tokens": sv.write1h},
	}
}

func anthropicAnswer(in *inference, sv served, r Reply) any {
	content := []any{}
	for _, b := range r.Blocks {
		content = append(content, b.anthropic())
	}
	told := map[string]any{
		"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": in.bodyName(), "content": content,
		"stop_reason": r.stop(), "stop_sequence": r.stopSequence(), "usage": anthropicUsage(in, sv, r.OutputTokens),
	}
	if in.model.TakesInsertedSystem() {
		told["stop_details"] = nil
	}
	return told
}

func anthropicEvents(in *inference, sv served, r Reply) []event {
	start := modelSplitJSON(in.model, sv, 1)
	if in.form != "" {
		start = anthropicUsage(in, sv, 1)
	}
	events := []event{
		usageChunk(map[string]any{"type": "message_start", "message": map[string]any{
			"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": in.bodyName(), "content": []any{}, "stop_reason": nil, "stop_sequence": nil, "usage": start,
		}}),
	}
	for i, b := range r.Blocks {
		events = append(events, anthropicBlock(i, b)...)
	}
	usage := map[string]any{"output_tokens": r.OutputTokens}
	if in.steps != nil {
		usage["iterations"] = iterationsJSON(in.steps)
	}
	return append(events,
		usageChunk(map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": r.stop(), "stop_sequence": r.stopSequence()}, "usage": usage}),
		usageChunk(in.tracedAs(map[string]any{"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics(in.model, sv, r.OutputTokens)}, r)))
}

// modelSplitJSON is splitJSON without the fields of the cache, if the model has none.
func modelSplitJSON(m *modeltable.Model, sv served, output int) map[string]any {
	usage := splitJSON(sv, output)
	if m.Cache == nil {
		for _, key := range []string{"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"} {
			delete(usage, key)
		}
	}
	return usage
}

// metrics is what Bedrock itself adds to the last chunk of every dialect.
func metrics(m *modeltable.Model, sv served, output int) map[string]any {
	told := map[string]any{
		"inputTokenCount": sv.input, "outputTokenCount": output, "invocationLatency": 2, "firstByteLatency": 1,
	}
	if m.Cache != nil {
		told["cacheReadInputTokenCount"], told["cacheWriteInputTokenCount"] = sv.read, sv.write5m+sv.write1h
	}
	return told
}
