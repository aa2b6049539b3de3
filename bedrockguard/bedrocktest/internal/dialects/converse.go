package dialects

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// The functions here read a part of a Converse request each, and append it to the Prompt as blocks: addText as text, addJSON as JSON, add with tokens
// that are counted already. in.open begins a message, in.cited counts citations, for which the service adds text, and in.guarded what guardrails
// evaluate. in.Hidden collects why the service adds text that is not in the request, and in.tool and in.outputSchema add the reasons that tools and
// schemas give. Methods of a nil node, which stands for an absent field, return nothing.

// ParseConverse parses a body of Converse. n is the body, in the Prompt that is filled. The cache reads tools first, then the system prompt and
// the messages; Variant and, on Amazon's models, WholeVariant have the settings whose change invalidates what was cached.
func (r *Reader) ParseConverse(n *jsonnode.Node, in *Prompt) *refusal.Error {
	// Converse has cache points instead of Anthropic's marker.
	for _, key := range []string{"cacheControl", "cache_control"} {
		if n.Get("additionalModelRequestFields").Get(key) != nil {
			return refusal.Invalid("extraneous key [%s] is not permitted in additionalModelRequestFields", key)
		}
	}
	in.Tier, in.Latency = n.Get("serviceTier").Get("type").Text(), n.Get("performanceConfig").Get("latency").Text()
	in.outputSchema(r, n.Get("outputConfig"))
	choice := n.Get("toolConfig").Get("toolChoice")
	in.Hidden.forced = choice.Get("any") != nil || choice.Get("tool") != nil
	if in.Model.Provider == "amazon" {
		in.WholeVariant = jsonnode.RawOf(n.Get("toolConfig").Get("toolChoice"))
	}
	in.Variant = jsonnode.RawOf(n.Get("toolConfig").Get("toolChoice")) + "\x00" + jsonnode.RawOf(n.Get("additionalModelRequestFields").Get("thinking"))
	// Tools come before the system prompt, and that before the messages: the order in which the blocks are cached.
	for _, step := range []func(*jsonnode.Node, *Prompt) *refusal.Error{r.converseConfig, r.converseTools, r.converseExtra, r.converseSystem, r.converseMessages} {
		if err := step(n, in); err != nil {
			return err
		}
	}
	return nil
}

// converseExtra reads the fields that are passed to the model unchanged.
func (r *Reader) converseExtra(n *jsonnode.Node, in *Prompt) *refusal.Error {
	return r.additional(n.Get("additionalModelRequestFields"), in)
}

// converseConfig reads the output limit. If it is missing, the model's own applies.
func (r *Reader) converseConfig(n *jsonnode.Node, in *Prompt) *refusal.Error {
	config := n.Get("inferenceConfig")
	if err := config.Only("inferenceConfig", "maxTokens", "temperature", "topP", "stopSequences"); err != nil {
		return err
	}
	if m := config.Get("maxTokens"); m != nil {
		v, ok := m.Number()
		if !ok || v <= 0 {
			return refusal.Invalid("maxTokens must be an integer of at least 1")
		}
		in.MaxTokens = v
	}
	return nil
}

// converseTools reads the tools: the caller's own, Nova's system tools, which the service runs, and cache points between them.
func (r *Reader) converseTools(n *jsonnode.Node, in *Prompt) *refusal.Error {
	config := n.Get("toolConfig")
	if err := config.Only("toolConfig", "tools", "toolChoice"); err != nil {
		return err
	}
	if config != nil && len(config.Get("tools").List()) == 0 {
		return refusal.Invalid("toolConfig.tools must not be empty")
	}
	for _, tool := range config.Get("tools").List() {
		if err := tool.Only("toolConfig.tools", "toolSpec", "cachePoint", "systemTool"); err != nil {
			return err
		}
		// A system tool is only counted (Hidden.tools). in.tool, which the caller's own tools go through, also looks for a strict schema.
		if system := tool.Get("systemTool"); system != nil {
			if !strings.Contains(in.Model.ID, "nova-2") && !strings.Contains(in.Model.ID, "nova-premier") {
				return refusal.Invalid("This model doesn't support the system tool that you provided.")
			}
			in.Hidden.tools++
			in.addJSON(r, tools, tool.Raw)
			continue
		}
		if point := tool.Get("cachePoint"); point != nil {
			if err := in.conversePoint(tools, point); err != nil {
				return err
			}
			continue
		}
		if err := tool.Get("toolSpec").Only("toolSpec", "name", "description", "inputSchema", "strict"); err != nil {
			return err
		}
		if tool.Get("toolSpec").Get("name").Text() == "" || tool.Get("toolSpec").Get("inputSchema").Get("json").Kind() != '{' {
			return refusal.Invalid("a toolSpec needs a name and an inputSchema")
		}
		in.addJSON(r, tools, tool.Raw)
		in.tool(r, tool)
	}
	return nil
}

// conversePoint puts a cache point after the last block.
func (in *Prompt) conversePoint(section string, point *jsonnode.Node) *refusal.Error {
	if err := point.Only("cachePoint", "type", "ttl"); err != nil {
		return err
	}
	if point.Get("type").Text() != "default" {
		return refusal.Invalid("the type of a cachePoint must be default")
	}
	return in.point(section, point.Get("ttl").Text())
}

// converseSystem reads the system prompt: texts, texts and images that are marked for guardrails (guardContent), and cache points.
func (r *Reader) converseSystem(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if list := n.Get("system"); list != nil && list.Kind() != '[' {
		return refusal.Invalid("system is not a list")
	}
	for i, b := range n.Get("system").List() {
		if err := b.Only("system", "text", "cachePoint", "guardContent"); err != nil {
			return err
		}
		if point := b.Get("cachePoint"); point != nil {
			if err := in.conversePoint(System, point); err != nil {
				return err
			}
			continue
		}
		text := b.Get("text")
		if guarded := b.Get("guardContent"); guarded != nil {
			if image := guarded.Get("image"); image != nil {
				// A guardrail's image in the system prompt has no part in Variant, which is about the cache of the messages: so seeImages is not
				// called.
				in.Images++
				in.add(r, System, b.Raw, modeltable.ImageTokens(in.Model, image.Get("source").Get("bytes").Text()))
				continue
			}
			text = guarded.Get("text").Get("text")
		}
		if text.Text() == "" {
			return refusal.Invalid("The text field in the SystemContentBlock object at system.%d is blank. Add text to the text field, and try again.", i)
		}
		in.addText(r, System, b, text)
	}
	return nil
}

// converseMessages reads the messages. It checks that user and assistant alternate, and that each message has the results of the tools that the
// message before it uses. A system message between the others is no turn: whose turn is next, and which tools lack a result, stays as it is.
func (r *Reader) converseMessages(n *jsonnode.Node, in *Prompt) *refusal.Error {
	list := n.Get("messages").List()
	if len(list) == 0 {
		return refusal.Invalid("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	var open []string // tool uses without a result yet
	want := "user"
	// Recordings show that the service accepts conversations of Claude that begin with the assistant.
	if list[0].Get("role").Text() == "assistant" && in.Model.Provider == "anthropic" {
		want, in.Hidden.leading = "assistant", true
	}
	for i, m := range list {
		// The numbers of the message and the block are only for the texts of refusals.
		in.message = i
		if err := m.Only("messages", "role", "content"); err != nil {
			return err
		}
		if m.Get("role").Text() == System && in.MessageCount > 0 && in.Model.TakesInsertedSystem() {
			if err := r.insertedSystem(m, in); err != nil {
				return err
			}
			continue
		}
		// Until the last line MessageCount counts turns only, for the condition above: a system message can't be the first.
		in.MessageCount++
		if m.Get("role").Text() != want {
			return outOfTurn(i)
		}
		content := m.Get("content").List()
		if len(content) == 0 {
			return refusal.Invalid("The content field in the Message object at messages.%d is empty. Add a ContentBlock object to the content field and try again.", i)
		}
		in.open(want)
		used, answered := []string(nil), []string(nil)
		for j, b := range content {
			in.block = j
			if err := r.converseBlock(b, in, &used, &answered); err != nil {
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
	// Inserted system messages count as messages, too.
	in.MessageCount = len(list)
	return nil
}

// outOfTurn refuses a message with the wrong role, in the service's words.
func outOfTurn(message int) *refusal.Error {
	if message == 0 {
		return refusal.Invalid("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	return refusal.Invalid("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.")
}

// blank refuses an empty text.
func (in *Prompt) blank() *refusal.Error {
	return refusal.Invalid("The text field in the ContentBlock object at messages.%d.content.%d is blank. Add text to the text field, and try again.", in.message, in.block)
}

// paired checks that a message has exactly one result for each tool use of the message before it: used are the ids of those uses, answered the
// ids to which the results in this message belong.
func paired(message int, used, answered []string) *refusal.Error {
	for i, id := range answered {
		switch {
		case slices.Contains(answered[:i], id):
			return refusal.Invalid("The toolResult blocks at messages.%d.content contain duplicate Ids: %s", message, id)
		case len(answered) > len(used):
			return refusal.Invalid("The number of toolResult blocks at messages.%d.content exceeds the number of toolUse blocks of previous turn.", message)
		case !slices.Contains(used, id):
			return refusal.ModelError("messages." + strconv.Itoa(message) + ".content: unexpected `tool_use_id` found in `tool_result` blocks: " + id + ". Each `tool_result` block must have a corresponding `tool_use` block in the previous message.")
		}
	}
	if missing := slices.DeleteFunc(slices.Clone(used), func(id string) bool { return slices.Contains(answered, id) }); len(missing) > 0 {
		return refusal.Invalid("Expected toolResult blocks at messages.%d.content for the following Ids: %s", message, strings.Join(missing, ", "))
	}
	return nil
}

// spoken checks that tools are used by the assistant and answered by the user, and that the ids of the uses are set and differ. used and answered
// are the ids in this message.
func spoken(role string, message int, used, answered []string) *refusal.Error {
	if role == "user" && len(used) > 0 {
		return refusal.Invalid("The toolUse blocks at messages.%d.content belong to the assistant: a user message can't hold them.", message)
	}
	if role == Assistant && len(answered) > 0 {
		return refusal.Invalid("The toolResult blocks at messages.%d.content belong to the user: a message of the assistant can't hold them.", message)
	}
	for i, id := range used {
		if id == "" || slices.Contains(used[:i], id) {
			return refusal.Invalid("The toolUse blocks at messages.%d.content contain duplicate Ids: %s", message, id)
		}
	}
	return nil
}

// converseBlock reads one block of a message: an object whose only member, v, says what it is. It adds the id of a tool use to used, and the id to
// which a tool result belongs to answered. Uses of tools that the service runs need no answer. film and sound return the tokens of a video and of
// audio.
func (r *Reader) converseBlock(b *jsonnode.Node, in *Prompt, used, answered *[]string) *refusal.Error {
	if b.Kind() != '{' || len(b.Keys) != 1 {
		return refusal.Invalid("a content block must have exactly one member")
	}
	v := b.Items[0]
	switch b.Keys[0] {
	case "text":
		if v.Text() == "" {
			return in.blank()
		}
		in.LastText = v.Text()
		in.addText(r, Messages, b, v)
	case "cachePoint":
		if in.Model.Provider == "amazon" && !in.lastIsText {
			return refusal.Invalid("extraneous key [cachePoint] is not permitted")
		}
		// lastIsText stays as it is: the point is no content.
		return in.conversePoint(Messages, v)
	case "video":
		in.add(r, Messages, b.Raw, film(v))
	case "audio":
		in.add(r, Messages, b.Raw, sound(v))
	case "toolUse":
		if v.Get("type").Text() != ServerToolUse {
			*used = append(*used, v.Get("toolUseId").Text())
		}
		in.addJSON(r, Messages, b.Raw)
	case "toolResult":
		return r.converseToolResult(b, v, in, answered)
	case "reasoningContent":
		// No cache point may follow such a block.
		in.addJSON(r, Messages, b.Raw).reasoning = true
	case "image":
		in.image(r, b.Raw, v.Get("source").Get("bytes"))
	case "document":
		in.document(r, b, v)
	case "guardContent", "citationsContent", "searchResult":
		in.cited(v, 0)
		in.addJSON(r, Messages, b.Raw)
	default:
		return refusal.Invalid("extraneous key [%.40s] is not permitted in content", b.Keys[0])
	}
	in.lastIsText = b.Keys[0] == "text"
	return nil
}

// converseToolResult reads v, the tool result in the block b. With media or documents it counts each part by its kind; some families get no documents
// in tool results: for these in.unread returns what they read of the result instead, and for all others, and for results without documents, it
// returns an empty text. Any other result counts as JSON.
func (r *Reader) converseToolResult(b, v *jsonnode.Node, in *Prompt, answered *[]string) *refusal.Error {
	if err := v.Only("toolResult", "toolUseId", "content", "status", "type"); err != nil {
		return err
	}
	if v.Get("type") == nil { // results of tools that the service runs are in the assistant's own message
		*answered = append(*answered, v.Get("toolUseId").Text())
	}
	media := 0 // tokens of the images, videos and documents in it
	for _, c := range v.Get("content").List() {
		if err := c.Only("toolResult.content", "text", "json", "image", "document", "video", "searchResult"); err != nil {
			return err
		}
		if text := c.Get("text"); text != nil && text.Text() == "" {
			return in.blank()
		}
		// An image or a video makes media positive, which below means that the parts are counted one by one.
		if image := c.Get("image"); image != nil {
			media += modeltable.ImageTokens(in.Model, image.Get("source").Get("bytes").Text())
			in.Images++
			in.seeImages()
		}
		if video := c.Get("video"); video != nil {
			media += film(video)
		}
	}
	in.lastIsText = false
	// Documents are counted in a second pass, after all parts have been checked. marks are the tokens of the marks in a PDF with citations.
	for _, c := range v.Get("content").List() {
		in.cited(c.Get("searchResult"), 0)
		if d := c.Get("document"); d.Get("source").Get("bytes") != nil {
			n, marks := r.documentTokens(in.Model, d.Get("format").Text(), d.Get("source").Get("bytes").Text())
			media += n + r.count(in.Model, d.Get("name").Text())
			in.cited(d, marks)
		}
	}
	if unread := in.unread(v); unread != "" {
		in.guarded(Messages, unread)
		in.add(r, Messages, b.Raw, r.count(in.Model, unread))
		return nil
	}
	if media > 0 { // everything else counts as text
		for _, c := range v.Get("content").List() {
			if c.Get("image") == nil && c.Get("video") == nil && c.Get("document").Get("source").Get("bytes") == nil {
				media += r.count(in.Model, c.Raw)
			}
		}
		in.guarded(Messages, b.Raw)
		in.add(r, Messages, b.Raw, media)
		return nil
	}
	in.addJSON(r, Messages, b.Raw)
	return nil
}

// image counts an image by its size. data is its base64; raw is the block, of which the hash is made.
func (in *Prompt) image(r *Reader, raw string, data *jsonnode.Node) {
	in.Images++
	in.seeImages()
	in.add(r, Messages, raw, modeltable.ImageTokens(in.Model, data.Text()))
}

// seeImages records in Variant that there are images: adding the first or removing the last one invalidates all cached messages.
func (in *Prompt) seeImages() {
	if !in.hasImages {
		in.hasImages = true
		in.Variant += "\x00images"
	}
}

// document counts the document v of the block b by its format, or as JSON if it is text in the request. A document in S3 is not opened.
func (in *Prompt) document(r *Reader, b, v *jsonnode.Node) {
	if data := v.Get("source").Get("bytes"); data != nil {
		n, marks := r.documentTokens(in.Model, v.Get("format").Text(), data.Text())
		in.cited(v, marks)
		in.add(r, Messages, b.Raw, n+r.count(in.Model, v.Get("name").Text())+r.count(in.Model, v.Get("context").Text()))
		return
	}
	in.cited(v, 0)
	if v.Get("source").Get("s3Location") != nil {
		in.add(r, Messages, b.Raw, modeltable.UnopenedDocument)
		return
	}
	in.addJSON(r, Messages, b.Raw)
}

// ServerToolUse is the type of the use of a tool that the service runs.
const ServerToolUse = "server_tool_use"
