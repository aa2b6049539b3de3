package dialects

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/document"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// The functions here read a part of a request each, and append it to the Prompt as blocks: addText as text (it takes two nodes: the one that
// identifies the block in the cache, and the text in it, which may be the same), addJSON as JSON, add with tokens that are counted already. in.open
// begins a message, in.cited counts citations, for which the service adds text, and in.guarded what guardrails evaluate. in.Hidden collects why the
// service adds text that is not in the request; in.tool, in.outputSchema and in.compaction add the reasons that tools, schemas and the shortening of
// the history give. Methods of a nil node, which stands for an absent field, return nothing.

// ParseAnthropic parses a body in Anthropic's dialect, in InvokeModel or on Anthropic's own route (in.Form). n is the body, in the Prompt that is
// filled. The cache reads tools first, then the system prompt and the messages; Variant has the settings whose change invalidates the cached
// messages.
func (r *Reader) ParseAnthropic(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if err := anthropicMembers(n, in.Form); err != nil {
		return err
	}
	if err := in.anthropicLimit(n); err != nil {
		return err
	}
	in.outputSchema(r, n.Get("output_config").Get("format"), n.Get("output_format"))
	in.compaction(n)
	in.Hidden.forced = slices.Contains([]string{"any", "tool"}, n.Get("tool_choice").Get("type").Text())
	// Is compares the JSON text, so that the quotes belong to it.
	in.Hidden.thinking = n.Get("thinking").Get("type").Is(`"enabled"`)
	in.Variant = jsonnode.RawOf(n.Get("tool_choice")) + "\x00" + jsonnode.RawOf(n.Get("thinking"))
	if err := r.anthropicTools(n, in); err != nil {
		return err
	}
	if err := r.anthropicSystem(n.Get("system"), in); err != nil {
		return err
	}
	return r.anthropicMessages(n, in)
}

// anthropicMembers checks which members a body has, and its version. form is the route if the body came by Anthropic's own, which has the version and
// the beta features in headers, and empty in InvokeModel.
func anthropicMembers(n *jsonnode.Node, form string) *refusal.Error {
	members := []string{
		"max_tokens", "messages", "system", "temperature", "top_p", "top_k", "tools", "tool_choice", "stop_sequences", "thinking", "metadata",
		"output_config", "output_format", "context_management", "compaction",
	}
	if form != "" {
		return n.Only("the request", append(members, "model", "stream", "service_tier", "container", "inference_geo", "speed", "cache_control")...)
	}
	if err := n.Only("the request", append(members, "anthropic_version", "anthropic_beta")...); err != nil {
		return err
	}
	if !slices.Contains([]string{"bedrock-2023-05-31", "2026-10-21"}, n.Get("anthropic_version").Text()) {
		return refusal.Invalid("anthropic_version: must be bedrock-2023-05-31 or 2026-10-21")
	}
	return nil
}

// anthropicLimit sets the output limit, which must be larger than the budget of thinking. A limit of zero only reads the prompt into the cache.
func (in *Prompt) anthropicLimit(n *jsonnode.Node) *refusal.Error {
	limit, ok := n.Get("max_tokens").Number()
	if !ok || limit < 0 {
		return refusal.Invalid("max_tokens: an integer of at least 0 is required")
	}
	in.MaxTokens, in.NoOutput = limit, limit == 0
	if budget, ok := n.Get("thinking").Get("budget_tokens").Number(); ok && budget >= limit {
		return refusal.Invalid("max_tokens must be greater than thinking.budget_tokens")
	}
	return nil
}

// anthropicTools reads the tools, each of which may have a cache point after it.
func (r *Reader) anthropicTools(n *jsonnode.Node, in *Prompt) *refusal.Error {
	for _, t := range n.Get("tools").List() {
		if t.Get("name").Text() == "" {
			return refusal.Invalid("tools: a name is required")
		}
		in.addJSON(r, tools, withoutMarker(t))
		in.tool(r, t)
		if err := in.cacheControl(tools, t); err != nil {
			return err
		}
	}
	return nil
}

// cacheControl puts a cache point after the last block if b, from which that block was made, has the marker cache_control.
func (in *Prompt) cacheControl(section string, b *jsonnode.Node) *refusal.Error {
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

// anthropicSystem reads the system prompt: absent, a string, or a list of text blocks.
func (r *Reader) anthropicSystem(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if n.Kind() == '"' {
		if n.Text() == "" {
			return refusal.Invalid("system: text content blocks must be non-empty")
		}
		in.addText(r, System, n, n)
		return nil
	}
	if n != nil && n.Kind() != '[' {
		return refusal.Invalid("system is neither a string nor a list")
	}
	for _, b := range n.List() {
		if err := r.anthropicText(System, b, in); err != nil {
			return err
		}
	}
	return nil
}

// anthropicText reads a block of text, in the system prompt or in a message.
func (r *Reader) anthropicText(section string, b *jsonnode.Node, in *Prompt) *refusal.Error {
	if err := b.Only(section, "type", "text", "cache_control", "citations"); err != nil {
		return err
	}
	text := b.Get("text")
	if b.Get("type").Text() != "text" || text.Text() == "" {
		return refusal.Invalid("%s: text content blocks must be non-empty", section)
	}
	in.addText(r, section, text, text)
	return in.cacheControl(section, b)
}

// anthropicMessages reads the messages, and checks that each message answers the tools that the one before it used: open are the ids of those uses.
// spoken checks that only the assistant uses tools and only the user answers them, and paired that each use has exactly one result.
func (r *Reader) anthropicMessages(n *jsonnode.Node, in *Prompt) *refusal.Error {
	list := n.Get("messages").List()
	if len(list) == 0 {
		return refusal.Invalid("messages: at least one message is required")
	}
	in.MessageCount = len(list)
	var open []string
	for i, m := range list {
		if err := m.Only("messages", "role", "content"); err != nil {
			return err
		}
		role := m.Get("role").Text()
		if !in.roleFits(role, i) {
			return refusal.Invalid("messages: roles are user and assistant, beginning with user")
		}
		in.open(role)
		used, answered, err := r.anthropicContent(m.Get("content"), in)
		if err != nil {
			return err
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

// roleFits reports whether the message with index i may have a role. The first one is the user's. A newer Claude (TakesInsertedSystem) also accepts
// system messages between the others.
func (in *Prompt) roleFits(role string, i int) bool {
	inserted := role == System && in.Model.TakesInsertedSystem()
	return role == "user" || i > 0 && (role == Assistant || inserted)
}

// anthropicContent reads the content of a message: a text, or a list of blocks. It returns the ids of the tool uses in it, and the ids to which its
// tool results belong.
func (r *Reader) anthropicContent(content *jsonnode.Node, in *Prompt) (used, answered []string, err *refusal.Error) {
	if content.Text() != "" {
		in.LastText = content.Text()
		in.addText(r, Messages, content, content)
		return nil, nil, nil
	}
	if len(content.List()) == 0 {
		return nil, nil, refusal.Invalid("messages: content must not be empty")
	}
	for _, b := range content.List() {
		if err := r.anthropicBlock(b, in, &used, &answered); err != nil {
			return nil, nil, err
		}
	}
	return used, answered, nil
}

// anthropicBlock reads one block of a message. It adds the id of a tool use to used, and the id to which a tool result belongs to answered. A block
// whose case does not return is added as JSON, after the switch: tool uses and search results.
func (r *Reader) anthropicBlock(b *jsonnode.Node, in *Prompt, used, answered *[]string) *refusal.Error {
	switch b.Get("type").Text() {
	case "text":
		in.LastText = b.Get("text").Text()
		return r.anthropicText(Messages, b, in)
	case "tool_use":
		if err := b.Only("messages: tool_use", "type", "id", "name", "input", "cache_control", "caller"); err != nil {
			return err
		}
		*used = append(*used, b.Get("id").Text())
	case "tool_result":
		*answered = append(*answered, b.Get("tool_use_id").Text())
		return r.anthropicResult(b, in)
	case "thinking", "redacted_thinking":
		if b.Get("cache_control") != nil {
			return refusal.Invalid("cache_control cannot be set on thinking blocks")
		}
		// No cache point may follow such a block.
		in.addJSON(r, Messages, b.Raw).reasoning = true
		return nil
	case "image":
		in.image(r, withoutMarker(b), b.Get("source").Get("data"))
		return in.cacheControl(Messages, b)
	case "document":
		r.anthropicDocument(b, in)
		return in.cacheControl(Messages, b)
	case "search_result":
		in.cited(b, 0)
	default:
		return refusal.Invalid("messages: unknown type of content block")
	}
	in.addJSON(r, Messages, withoutMarker(b))
	return in.cacheControl(Messages, b)
}

// anthropicResult reads a tool result. With images in it the parts are counted one by one; without any, the whole result counts as JSON.
func (r *Reader) anthropicResult(b *jsonnode.Node, in *Prompt) *refusal.Error {
	if tokens, ok := r.anthropicResultImages(b.Get("content"), in); ok {
		in.guarded(Messages, withoutMarker(b))
		in.add(r, Messages, withoutMarker(b), tokens)
	} else {
		in.addJSON(r, Messages, withoutMarker(b))
	}
	return in.cacheControl(Messages, b)
}

// anthropicResultImages returns the tokens of a tool result's content, an image counted by its size and every other part by its JSON, and reports
// whether there are images. If there are none, the caller counts the whole result as JSON, and does not use the tokens.
func (r *Reader) anthropicResultImages(content *jsonnode.Node, in *Prompt) (tokens int, ok bool) {
	for _, c := range content.List() {
		if c.Get("type").Text() == "image" {
			ok = true
			tokens += modeltable.ImageTokens(in.Model, c.Get("source").Get("data").Text())
			in.Images++
		} else {
			tokens += r.count(in.Model, c.Raw)
		}
	}
	if ok {
		in.seeImages() // which cached messages can be read depends on whether there are images
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

// anthropicDocument counts a document by its media type. Plain text, and blocks of it, are in the request as text. marks are the tokens of the
// marks that the service puts into the text of a PDF with citations.
func (r *Reader) anthropicDocument(b *jsonnode.Node, in *Prompt) {
	source := b.Get("source")
	format := document.Format(source.Get("media_type").Text())
	if source.Get("type").Text() != "base64" || format == "" {
		in.cited(b, 0)
		in.addJSON(r, Messages, withoutMarker(b))
		return
	}
	n, marks := r.documentTokens(in.Model, format, source.Get("data").Text())
	in.cited(b, marks)
	for _, key := range []string{"title", "context"} {
		n += r.count(in.Model, b.Get(key).Text())
	}
	in.add(r, Messages, withoutMarker(b), n)
}
