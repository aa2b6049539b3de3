package bedrocktest

import (
	"slices"
	"strings"
)

// parseConverse validates a Converse body and turns it into an inference.
func (s *Server) parseConverse(n *node, in *inference) *refusal {
	for _, key := range []string{"cacheControl", "cache_control"} {
		if n.get("additionalModelRequestFields").get(key) != nil {
			return invalid("extraneous key [%s] is not permitted in additionalModelRequestFields", key)
		}
	}
	in.tier, in.latency = n.get("serviceTier").get("type").text(), n.get("performanceConfig").get("latency").text()
	in.outputSchema(s, n.get("outputConfig"))
	choice := n.get("toolConfig").get("toolChoice")
	in.hidden.forced = choice.get("any") != nil || choice.get("tool") != nil
	if in.model.Provider == "amazon" {
		in.wholeVariant = rawOf(n.get("toolConfig").get("toolChoice"))
	}
	in.variant = rawOf(n.get("toolConfig").get("toolChoice")) + "\x00" + rawOf(n.get("additionalModelRequestFields").get("thinking"))
	for _, step := range []func(*node, *inference) *refusal{s.converseConfig, s.converseTools, s.converseExtra, s.converseSystem, s.converseMessages} {
		if err := step(n, in); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) converseExtra(n *node, in *inference) *refusal {
	return s.additional(n.get("additionalModelRequestFields"), in)
}

func rawOf(n *node) string {
	if n == nil {
		return ""
	}
	return n.raw
}

func (s *Server) converseConfig(n *node, in *inference) *refusal {
	config := n.get("inferenceConfig")
	if err := config.only("inferenceConfig", "maxTokens", "temperature", "topP", "stopSequences"); err != nil {
		return err
	}
	if m := config.get("maxTokens"); m != nil {
		v, ok := m.number()
		if !ok || v <= 0 {
			return invalid("maxTokens must be an integer of at least 1")
		}
		in.maxTokens = v
	}
	return nil
}

func (s *Server) converseTools(n *node, in *inference) *refusal {
	config := n.get("toolConfig")
	if err := config.only("toolConfig", "tools", "toolChoice"); err != nil {
		return err
	}
	if config != nil && len(config.get("tools").list()) == 0 {
		return invalid("toolConfig.tools must not be empty")
	}
	for _, tool := range config.get("tools").list() {
		if err := tool.only("toolConfig.tools", "toolSpec", "cachePoint", "systemTool"); err != nil {
			return err
		}
		if system := tool.get("systemTool"); system != nil {
			if !strings.Contains(in.model.ID, "nova-2") && !strings.Contains(in.model.ID, "nova-premier") {
				return invalid("This model doesn't support the system tool that you provided.")
			}
			in.hidden.tools++
			in.addJSON(s, tools, tool.raw)
			continue
		}
		if point := tool.get("cachePoint"); point != nil {
			if err := in.conversePoint(tools, point); err != nil {
				return err
			}
			continue
		}
		if err := tool.get("toolSpec").only("toolSpec", "name", "description", "inputSchema", "strict"); err != nil {
			return err
		}
		if tool.get("toolSpec").get("name").text() == "" || tool.get("toolSpec").get("inputSchema").get("json").kind() != '{' {
			return invalid("a toolSpec needs a name and an inputSchema")
		}
		in.addJSON(s, tools, tool.raw)
		in.tool(s, tool)
	}
	return nil
}

func (in *inference) conversePoint(section string, point *node) *refusal {
	if err := point.only("cachePoint", "type", "ttl"); err != nil {
		return err
	}
	if point.get("type").text() != "default" {
		return invalid("the type of a cachePoint must be default")
	}
	return in.point(section, point.get("ttl").text())
}

func (s *Server) converseSystem(n *node, in *inference) *refusal {
	if list := n.get("system"); list != nil && list.kind() != '[' {
		return invalid("system is not a list")
	}
	for i, b := range n.get("system").list() {
		if err := b.only("system", "text", "cachePoint", "guardContent"); err != nil {
			return err
		}
		if point := b.get("cachePoint"); point != nil {
			if err := in.conversePoint(system, point); err != nil {
				return err
			}
			continue
		}
		text := b.get("text")
		if guarded := b.get("guardContent"); guarded != nil {
			if image := guarded.get("image"); image != nil {
				in.images++
				in.add(s, system, b.raw, imageTokens(in.model, image.get("source").get("bytes").text()))
				continue
			}
			text = guarded.get("text").get("text")
		}
		if text.text() == "" {
			return invalid("The text field in the SystemContentBlock object at system.%d is blank. Add text to the text field, and try again.", i)
		}
		in.addText(s, system, b, text)
	}
	return nil
}

func (s *Server) converseMessages(n *node, in *inference) *refusal {
	list := n.get("messages").list()
	if len(list) == 0 {
		return invalid("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	var open []string // tool uses without a result yet
	want := "user"
	if list[0].get("role").text() == "assistant" && in.model.Provider == "anthropic" { // as recorded
		want, in.hidden.leading = "assistant", true
	}
	for i, m := range list {
		in.message = i
		if err := m.only("messages", "role", "content"); err != nil {
			return err
		}
		if m.get("role").text() == system && in.request.Messages > 0 && in.model.takesInsertedSystem() {
			if err := s.insertedSystem(m, in); err != nil {
				return err
			}
			continue
		}
		in.request.Messages++
		if m.get("role").text() != want {
			return outOfTurn(i)
		}
		content := m.get("content").list()
		if len(content) == 0 {
			return invalid("The content field in the Message object at messages.%d is empty. Add a ContentBlock object to the content field and try again.", i)
		}
		in.open(want)
		used, answered := []string(nil), []string(nil)
		for j, b := range content {
			in.block = j
			if err := s.converseBlock(b, in, &used, &answered); err != nil {
				return err
			}
		}
		if err := spoken(want, i, used, answered); err != nil {
			return err
		}
		if err := paired(i, open, answered); err != nil {
			return err
		}
		open = used
		want = map[string]string{"user": "assistant", "assistant": "user"}[want]
	}
	in.request.Messages = len(list)
	return nil
}

// outOfTurn refuses a message with the wrong role, in the service's words.
func outOfTurn(message int) *refusal {
	if message == 0 {
		return invalid("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	return invalid("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.")
}

// blank refuses an empty text.
func (in *inference) blank() *refusal {
	return invalid("The text field in the ContentBlock object at messages.%d.content.%d is blank. Add text to the text field, and try again.", in.message, in.block)
}

// paired checks that the next message has exactly one result for each tool that is used in a message.
func paired(message int, used, answered []string) *refusal {
	for i, id := range answered {
		switch {
		case contains(answered[:i], id):
			return invalid("The toolResult blocks at messages.%d.content contain duplicate Ids: %s", message, id)
		case len(answered) > len(used):
			return invalid("The number of toolResult blocks at messages.%d.content exceeds the number of toolUse blocks of previous turn.", message)
		case !contains(used, id):
			return modelError("messages." + itoa(message) + ".content: unexpected `tool_use_id` found in `tool_result` blocks: " + id + ". Each `tool_result` block must have a corresponding `tool_use` block in the previous message.")
		}
	}
	if missing := slices.DeleteFunc(slices.Clone(used), func(id string) bool { return contains(answered, id) }); len(missing) > 0 {
		return invalid("Expected toolResult blocks at messages.%d.content for the following Ids: %s", message, strings.Join(missing, ", "))
	}
	return nil
}

// spoken checks that tools are used by the assistant and answered by the user, with ids that are set and differ.
func spoken(role string, message int, used, answered []string) *refusal {
	if role == "user" && len(used) > 0 {
		return invalid("The toolUse blocks at messages.%d.content belong to the assistant: a user message can't hold them.", message)
	}
	if role == assistant && len(answered) > 0 {
		return invalid("The toolResult blocks at messages.%d.content belong to the user: a message of the assistant can't hold them.", message)
	}
	for i, id := range used {
		if id == "" || contains(used[:i], id) {
			return invalid("The toolUse blocks at messages.%d.content contain duplicate Ids: %s", message, id)
		}
	}
	return nil
}

func (s *Server) converseBlock(b *node, in *inference, used, answered *[]string) *refusal {
	if b.kind() != '{' || len(b.keys) != 1 {
		return invalid("a content block must have exactly one member")
	}
	v := b.items[0]
	switch b.keys[0] {
	case "text":
		if v.text() == "" {
			return in.blank()
		}
		in.request.LastText = v.text()
		in.addText(s, messages, b, v)
	case "cachePoint":
		if in.model.Provider == "amazon" && !in.lastIsText {
			return invalid("extraneous key [cachePoint] is not permitted")
		}
		return in.conversePoint(messages, v)
	case "video":
		in.add(s, messages, b.raw, film(v))
	case "audio":
		in.add(s, messages, b.raw, sound(v))
	case "toolUse":
		if v.get("type").text() != serverToolUse {
			*used = append(*used, v.get("toolUseId").text())
		}
		in.addJSON(s, messages, b.raw)
	case "toolResult":
		return s.converseToolResult(b, v, in, answered)
	case "reasoningContent":
		in.addJSON(s, messages, b.raw).reasoning = true
	case "image":
		in.image(s, b.raw, v.get("source").get("bytes"))
	case "document":
		in.document(s, b, v)
	case "guardContent", "citationsContent", "searchResult":
		in.cited(v, 0)
		in.addJSON(s, messages, b.raw)
	default:
		return invalid("extraneous key [%.40s] is not permitted in content", b.keys[0])
	}
	in.lastIsText = b.keys[0] == "text"
	return nil
}

// serverToolUse is the type of the use of a tool that the service runs.
const serverToolUse = "server_tool_use"

func (s *Server) converseToolResult(b, v *node, in *inference, answered *[]string) *refusal {
	if err := v.only("toolResult", "toolUseId", "content", "status", "type"); err != nil {
		return err
	}
	if v.get("type") == nil { // results of tools that the service runs are in the assistant's own message
		*answered = append(*answered, v.get("toolUseId").text())
	}
	media := 0
	for _, c := range v.get("content").list() {
		if err := c.only("toolResult.content", "text", "json", "image", "document", "video", "searchResult"); err != nil {
			return err
		}
		if text := c.get("text"); text != nil && text.text() == "" {
			return in.blank()
		}
		if image := c.get("image"); image != nil {
			media += imageTokens(in.model, image.get("source").get("bytes").text())
			in.images++
			in.seeImages()
		}
		if video := c.get("video"); video != nil {
			media += film(video)
		}
	}
	in.lastIsText = false
	for _, c := range v.get("content").list() {
		in.cited(c.get("searchResult"), 0)
		if d := c.get("document"); d.get("source").get("bytes") != nil {
			n, marks := s.documentTokens(in.model, d.get("format").text(), d.get("source").get("bytes").text())
			media += n + s.count(in.model, d.get("name").text())
			in.cited(d, marks)
		}
	}
	if unread := in.unread(v); unread != "" {
		in.guarded(messages, unread)
		in.add(s, messages, b.raw, s.count(in.model, unread))
		return nil
	}
	if media > 0 {
		for _, c := range v.get("content").list() {
			if c.get("image") == nil && c.get("video") == nil && c.get("document").get("source").get("bytes") == nil {
				media += s.count(in.model, c.raw)
			}
		}
		in.guarded(messages, b.raw)
		in.add(s, messages, b.raw, media)
		return nil
	}
	in.addJSON(s, messages, b.raw)
	return nil
}

func (in *inference) image(s *Server, raw string, data *node) {
	in.images++
	in.seeImages()
	in.add(s, messages, raw, imageTokens(in.model, data.text()))
}

// seeImages records that there are images: adding the first or removing the last one changes the whole message level.
func (in *inference) seeImages() {
	if !in.hasImages {
		in.hasImages = true
		in.variant += "\x00images"
	}
}

// document counts the document v of the block b by its format.
func (in *inference) document(s *Server, b, v *node) {
	if data := v.get("source").get("bytes"); data != nil {
		n, marks := s.documentTokens(in.model, v.get("format").text(), data.text())
		in.cited(v, marks)
		in.add(s, messages, b.raw, n+s.count(in.model, v.get("name").text())+s.count(in.model, v.get("context").text()))
		return
	}
	in.cited(v, 0)
	if v.get("source").get("s3Location") != nil {
		in.add(s, messages, b.raw, unopenedDocument)
		return
	}
	in.addJSON(s, messages, b.raw)
}
