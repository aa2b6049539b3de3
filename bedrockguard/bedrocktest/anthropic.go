package bedrocktest

import (
	"fmt"
	"strings"
)

// parseAnthropic validates an InvokeModel body in Anthropic's dialect.
func (s *Server) parseAnthropic(n *node, in *inference) *refusal {
	known := []string{
		"anthropic_version", "anthropic_beta", "max_tokens", "messages", "system", "temperature", "top_p",
		"top_k", "tools", "tool_choice", "stop_sequences", "thinking", "metadata", "output_config", "output_format", "context_management", "compaction",
	}
	if in.form != "" { // Anthropic's own route has the version in a header
		known = append(known[2:], "model", "stream", "service_tier", "container", "inference_geo", "speed", "cache_control")
	}
	err := n.only("the request", known...)
	switch {
	case err != nil:
		return err
	case in.form == "" && !contains([]string{"bedrock-2023-05-31", "2026-10-21"}, n.get("anthropic_version").text()):
		return invalid("anthropic_version: must be bedrock-2023-05-31 or 2026-10-21")
	}
	limit, ok := n.get("max_tokens").number()
	if !ok || limit < 0 {
		return invalid("max_tokens: an integer of at least 0 is required")
	}
	in.maxTokens, in.noOutput = limit, limit == 0 // a limit of zero only reads the prompt into the cache
	if budget, ok := n.get("thinking").get("budget_tokens").number(); ok && budget >= limit {
		return invalid("max_tokens must be greater than thinking.budget_tokens")
	}
	in.outputSchema(s, n.get("output_config").get("format"), n.get("output_format"))
	in.compaction(n)
	in.hidden.forced = contains([]string{"any", "tool"}, n.get("tool_choice").get("type").text())
	in.hidden.thinking = n.get("thinking").get("type").is(`"enabled"`)
	in.variant = rawOf(n.get("tool_choice")) + "\x00" + rawOf(n.get("thinking"))
	for _, t := range n.get("tools").list() {
		if t.get("name").text() == "" {
			return invalid("tools: a name is required")
		}
		in.addJSON(s, tools, withoutMarker(t))
		in.tool(s, t)
		if err := in.cacheControl(tools, t); err != nil {
			return err
		}
	}
	if err := s.anthropicSystem(n.get("system"), in); err != nil {
		return err
	}
	return s.anthropicMessages(n, in)
}

func (in *inference) cacheControl(section string, b *node) *refusal {
	control := b.get("cache_control")
	if control == nil {
		return nil
	}
	if err := control.only("cache_control", "type", "ttl"); err != nil {
		return err
	}
	if control.get("type").text() != "ephemeral" {
		return invalid("the type of cache_control must be ephemeral")
	}
	return in.point(section, control.get("ttl").text())
}

func (s *Server) anthropicSystem(n *node, in *inference) *refusal {
	if n.kind() == '"' {
		if n.text() == "" {
			return invalid("system: text content blocks must be non-empty")
		}
		in.addText(s, system, n, n)
		return nil
	}
	if n != nil && n.kind() != '[' {
		return invalid("system is neither a string nor a list")
	}
	for _, b := range n.list() {
		if err := s.anthropicText(system, b, in); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) anthropicText(section string, b *node, in *inference) *refusal {
	if err := b.only(section, "type", "text", "cache_control", "citations"); err != nil {
		return err
	}
	text := b.get("text")
	if b.get("type").text() != "text" || text.text() == "" {
		return invalid("%s: text content blocks must be non-empty", section)
	}
	in.addText(s, section, text, text)
	return in.cacheControl(section, b)
}

func (s *Server) anthropicMessages(n *node, in *inference) *refusal {
	list := n.get("messages").list()
	if len(list) == 0 {
		return invalid("messages: at least one message is required")
	}
	in.request.Messages = len(list)
	var open []string
	for i, m := range list {
		if err := m.only("messages", "role", "content"); err != nil {
			return err
		}
		role := m.get("role").text()
		inserted := role == "system" && i > 0 && in.model.takesInsertedSystem()
		if i == 0 && role != "user" || role != "user" && role != "assistant" && !inserted {
			return invalid("messages: roles are user and assistant, beginning with user")
		}
		in.open(role)
		used, answered := []string(nil), []string(nil)
		content := m.get("content")
		if content.kind() == '"' && content.text() != "" {
			in.request.LastText = content.text()
			in.addText(s, messages, content, content)
		} else if len(content.list()) == 0 {
			return invalid("messages: content must not be empty")
		}
		for _, b := range content.list() {
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

func (s *Server) anthropicBlock(b *node, in *inference, used, answered *[]string) *refusal {
	switch b.get("type").text() {
	case "text":
		in.request.LastText = b.get("text").text()
		return s.anthropicText(messages, b, in)
	case "tool_use":
		if err := b.only("messages: tool_use", "type", "id", "name", "input", "cache_control", "caller"); err != nil {
			return err
		}
		*used = append(*used, b.get("id").text())
	case "tool_result":
		*answered = append(*answered, b.get("tool_use_id").text())
		if media, ok := s.anthropicResultImages(b.get("content"), in); ok {
			in.guarded(messages, withoutMarker(b))
			in.add(s, messages, withoutMarker(b), media)
			return in.cacheControl(messages, b)
		}
	case "thinking", "redacted_thinking":
		if b.get("cache_control") != nil {
			return invalid("cache_control cannot be set on thinking blocks")
		}
		in.addJSON(s, messages, b.raw).reasoning = true
		return nil
	case "image":
		in.image(s, withoutMarker(b), b.get("source").get("data"))
		return in.cacheControl(messages, b)
	case "document":
		s.anthropicDocument(b, in)
		return in.cacheControl(messages, b)
	case "search_result":
		in.cited(b, 0)
	default:
		return invalid("messages: unknown type of content block")
	}
	in.addJSON(s, messages, withoutMarker(b))
	return in.cacheControl(messages, b)
}

// anthropicResultImages counts the content of a tool result with images in it, and reports whether there are any.
func (s *Server) anthropicResultImages(content *node, in *inference) (tokens int, ok bool) {
	for _, c := range content.list() {
		if c.get("type").text() == "image" {
			ok = true
			tokens += imageTokens(in.model, c.get("source").get("data").text())
			in.images++
		} else {
			tokens += s.count(in.model, c.raw)
		}
	}
	if ok {
		in.seeImages()
	}
	return tokens, ok
}

// withoutMarker returns a block's content without its cache_control, and in the same form for a block that has none. The marker is not part
// of the prefix: if it moves to a later block, what was written before must still be found.
func withoutMarker(b *node) string {
	if b.kind() != '{' {
		return rawOf(b)
	}
	var out strings.Builder
	for i, k := range b.keys {
		if k != "cache_control" {
			fmt.Fprintf(&out, `,"%s":%s`, k, b.items[i].raw)
		}
	}
	return "{" + strings.TrimPrefix(out.String(), ",") + "}"
}

// anthropicDocument counts a document by its media type. Plain text, and blocks of it, are in the request as text.
func (s *Server) anthropicDocument(b *node, in *inference) {
	source := b.get("source")
	format := documentFormat(source.get("media_type").text())
	if source.get("type").text() != "base64" || format == "" {
		in.cited(b, 0)
		in.addJSON(s, messages, withoutMarker(b))
		return
	}
	n, marks := s.documentTokens(in.model, format, source.get("data").text())
	in.cited(b, marks)
	for _, key := range []string{"title", "context"} {
		n += s.count(in.model, b.get(key).text())
	}
	in.add(s, messages, withoutMarker(b), n)
}

func anthropicUsage(in *inference, sv served, output int) map[string]any {
	usage := in.model.splitJSON(sv, output)
	if in.model.takesInsertedSystem() && output > 0 { // only the models of 2026 report these
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
	if in.model.takesInsertedSystem() {
		told["stop_details"] = nil
	}
	return told
}

func anthropicEvents(in *inference, sv served, r Reply) []event {
	start := in.model.splitJSON(sv, 1)
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
		usageChunk(in.tracedAs(map[string]any{"type": "message_stop", "amazon-bedrock-invocationMetrics": in.model.metrics(sv, r.OutputTokens)}, r)))
}

// splitJSON is the function splitJSON without the fields of the cache, if the model has none.
func (m *model) splitJSON(sv served, output int) map[string]any {
	usage := splitJSON(sv, output)
	if m.Cache == nil {
		for _, key := range []string{"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"} {
			delete(usage, key)
		}
	}
	return usage
}

// metrics is what Bedrock itself adds to the last chunk of every dialect.
func (m *model) metrics(sv served, output int) map[string]any {
	told := map[string]any{
		"inputTokenCount": sv.input, "outputTokenCount": output, "invocationLatency": 2, "firstByteLatency": 1,
	}
	if m.Cache != nil {
		told["cacheReadInputTokenCount"], told["cacheWriteInputTokenCount"] = sv.read, sv.write5m+sv.write1h
	}
	return told
}
