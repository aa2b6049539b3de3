package dialects

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// The functions here read a part of a Converse request each, and append it to the Prompt as blocks: addText as text (it takes two nodes: the one that
// identifies the block in the cache, and the text in it, which may be the same), addJSON as JSON, add with tokens that are counted already. in.open
// begins a message, in.cited counts citations, for which the service adds text, and in.guarded what guardrails evaluate. in.Hidden collects why the
// service adds text that is not in the request, and in.tool and in.outputSchema add the reasons that tools and schemas give. Methods of a nil node,
// which stands for an absent field, return nothing.

// ParseConverse parses a body of Converse. n is the body, in the Prompt that is filled. The cache reads tools first, then the system prompt and
// the messages; Variant and, on Amazon's models, WholeVariant have the settings whose change invalidates what was cached.
func (r *Reader) ParseConverse(n *jsonnode.Node, in *Prompt) *refusal.Error {
	fields := n.Get("additionalModelRequestFields") // passed to the model unchanged
	// Converse has cache points instead of Anthropic's marker.
	for _, key := range []string{"cacheControl", "cache_control"} {
		if fields.Get(key) != nil {
			return refusal.Invalid("extraneous key [%s] is not permitted in additionalModelRequestFields", key)
		}
	}
	in.Tier, in.Latency = n.Get("serviceTier").Get("type").Text(), n.Get("performanceConfig").Get("latency").Text()
	in.outputSchema(r, n.Get("outputConfig"))
	choice := n.Get("toolConfig").Get("toolChoice")
	in.Hidden.forced = choice.Get("any") != nil || choice.Get("tool") != nil
	if in.Model.Provider == "amazon" {
		in.WholeVariant = jsonnode.RawOf(choice)
	}
	in.Variant = jsonnode.RawOf(choice) + "\x00" + jsonnode.RawOf(fields.Get("thinking"))
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
		if err := r.converseTool(tool, in); err != nil {
			return err
		}
	}
	return nil
}

// converseTool reads one entry of the list of tools.
func (r *Reader) converseTool(tool *jsonnode.Node, in *Prompt) *refusal.Error {
	if err := tool.Only("toolConfig.tools", "toolSpec", "cachePoint", "systemTool"); err != nil {
		return err
	}
	if tool.Get("systemTool") != nil {
		return r.systemTool(tool, in)
	}
	if point := tool.Get("cachePoint"); point != nil {
		return in.conversePoint(tools, point)
	}
	if err := tool.Get("toolSpec").Only("toolSpec", "name", "description", "inputSchema", "strict"); err != nil {
		return err
	}
	if tool.Get("toolSpec").Get("name").Text() == "" || tool.Get("toolSpec").Get("inputSchema").Get("json").Kind() != '{' {
		return refusal.Invalid("a toolSpec needs a name and an inputSchema")
	}
	in.addJSON(r, tools, tool.Raw)
	in.tool(r, tool)
	return nil
}

// systemTool reads a tool that the service runs, which only some of Nova's models have. It counts as a tool (Hidden.tools); in.tool, which the
// caller's own tools go through, also looks for a strict schema.
func (r *Reader) systemTool(tool *jsonnode.Node, in *Prompt) *refusal.Error {
	if !strings.Contains(in.Model.ID, "nova-2") && !strings.Contains(in.Model.ID, "nova-premier") {
		return refusal.Invalid("This model doesn't support the system tool that you provided.")
	}
	in.Hidden.tools++
	in.addJSON(r, tools, tool.Raw)
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

// converseSystem reads the system prompt.
func (r *Reader) converseSystem(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if list := n.Get("system"); list != nil && list.Kind() != '[' {
		return refusal.Invalid("system is not a list")
	}
	for i, b := range n.Get("system").List() {
		if err := r.systemBlock(i, b, in); err != nil {
			return err
		}
	}
	return nil
}

// systemBlock reads the block with index i of the system prompt: a text, a text or an image that is marked for guardrails (guardContent), or a cache
// point. An image leaves Variant as it is, without a call of seeImages: Variant is about the cache of the messages.
func (r *Reader) systemBlock(i int, b *jsonnode.Node, in *Prompt) *refusal.Error {
	if err := b.Only("system", "text", "cachePoint", "guardContent"); err != nil {
		return err
	}
	if point := b.Get("cachePoint"); point != nil {
		return in.conversePoint(System, point)
	}
	text, guarded := b.Get("text"), b.Get("guardContent")
	if image := guarded.Get("image"); image != nil {
		in.Images++
		in.add(r, System, b.Raw, modeltable.ImageTokens(in.Model, image.Get("source").Get("bytes").Text()))
		return nil
	}
	if guarded != nil {
		text = guarded.Get("text").Get("text")
	}
	if text.Text() == "" {
		return refusal.Invalid("The text field in the SystemContentBlock object at system.%d is blank. Add text to the text field, and try again.", i)
	}
	in.addText(r, System, b, text)
	return nil
}

// converseMessages reads the messages. It checks that user and assistant alternate, and that each message has the results of the tools that the
// message before it uses. A system message between the others is no turn: whose turn is next, and which tools lack a result, stays as it is.
func (r *Reader) converseMessages(n *jsonnode.Node, in *Prompt) *refusal.Error {
	list := n.Get("messages").List()
	if len(list) == 0 {
		return outOfTurn(0)
	}
	next := "user" // whose turn the next message has to be
	// Recordings show that the service accepts conversations of Claude that begin with the assistant.
	if list[0].Get("role").Text() == Assistant && in.Model.Provider == "anthropic" {
		next, in.Hidden.leading = Assistant, true
	}
	var open []string // ids of the tool uses in the turn before, which have no result yet
	turns := 0
	for i, m := range list {
		in.message = i // only for the texts of refusals
		if err := m.Only("messages", "role", "content"); err != nil {
			return err
		}
		// A system message can't be the first.
		if m.Get("role").Text() == System && turns > 0 && in.Model.TakesInsertedSystem() {
			if err := r.insertedSystem(m, in); err != nil {
				return err
			}
			continue
		}
		used, err := r.converseTurn(i, m, next, open, in)
		if err != nil {
			return err
		}
		turns++
		open, next = used, map[string]string{"user": Assistant, Assistant: "user"}[next]
	}
	in.MessageCount = len(list)
	return nil
}

// converseTurn reads the message with index i, which has to be role's, and has to answer the tool uses whose ids are open. It returns the ids of the
// tool uses in the message. spoken checks that only the assistant uses tools and only the user answers them, and paired that each use has exactly one
// result.
func (r *Reader) converseTurn(i int, m *jsonnode.Node, role string, open []string, in *Prompt) ([]string, *refusal.Error) {
	if m.Get("role").Text() != role {
		return nil, outOfTurn(i)
	}
	content := m.Get("content").List()
	if len(content) == 0 {
		return nil, refusal.Invalid("The content field in the Message object at messages.%d is empty. Add a ContentBlock object to the content field and try again.", i)
	}
	in.open(role)
	var used, answered []string
	for j, b := range content {
		in.block = j // only for the texts of refusals
		if err := r.converseBlock(b, in, &used, &answered); err != nil {
			return nil, err
		}
	}
	if err := spoken(role, i, used, answered); err != nil {
		return nil, err
	}
	return used, paired(i, open, answered)
}

// outOfTurn refuses a message with the wrong role, or a conversation without any message, in the service's words. message is its index.
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
// ids to which the results in this message belong. ModelError is the form in which Bedrock passes on what the model's maker refuses.
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

// converseBlock reads one block of a message: an object whose only member says what it is. It adds the id of a tool use to used, and the id to which
// a tool result belongs to answered. Uses of tools that the service runs need no answer. in.lastIsText says that the last block is text, after which
// alone Nova accepts a cache point; a point itself, being no content, leaves it as it is.
func (r *Reader) converseBlock(b *jsonnode.Node, in *Prompt, used, answered *[]string) *refusal.Error {
	if b.Kind() != '{' || len(b.Keys) != 1 {
		return refusal.Invalid("a content block must have exactly one member")
	}
	kind, content := b.Keys[0], b.Items[0]
	if kind == "cachePoint" {
		if in.Model.Provider == "amazon" && !in.lastIsText {
			return refusal.Invalid("extraneous key [cachePoint] is not permitted")
		}
		return in.conversePoint(Messages, content)
	}
	in.lastIsText = kind == "text"
	switch kind {
	case "text":
		if content.Text() == "" {
			return in.blank()
		}
		in.LastText = content.Text()
		in.addText(r, Messages, b, content)
	case "toolUse":
		if content.Get("type").Text() != ServerToolUse {
			*used = append(*used, content.Get("toolUseId").Text())
		}
		in.addJSON(r, Messages, b.Raw)
	case "toolResult":
		return r.converseToolResult(b, content, in, answered)
	case "reasoningContent":
		// No cache point may follow such a block.
		in.addJSON(r, Messages, b.Raw).reasoning = true
	case "guardContent", "citationsContent", "searchResult":
		in.cited(content, 0)
		in.addJSON(r, Messages, b.Raw)
	default:
		return r.converseMedia(b, kind, content, in)
	}
	return nil
}

// converseMedia reads a block of media or of a document, and refuses any other kind of block. film and sound return the tokens of a video and of
// audio.
func (r *Reader) converseMedia(b *jsonnode.Node, kind string, content *jsonnode.Node, in *Prompt) *refusal.Error {
	switch kind {
	case "image":
		in.image(r, b.Raw, content.Get("source").Get("bytes"))
	case "video":
		in.add(r, Messages, b.Raw, film(content))
	case "audio":
		in.add(r, Messages, b.Raw, sound(content))
	case "document":
		in.document(r, b, content)
	default:
		return refusal.Invalid("extraneous key [%.40s] is not permitted in content", kind)
	}
	return nil
}

// converseToolResult reads the tool result in the block b. With media or documents it counts each part by its kind; some families get no documents
// in tool results: for these in.unread returns what they read of the result instead, and for all others, and for results without documents, it
// returns an empty text. Any other result counts as JSON.
func (r *Reader) converseToolResult(b, result *jsonnode.Node, in *Prompt, answered *[]string) *refusal.Error {
	if err := result.Only("toolResult", "toolUseId", "content", "status", "type"); err != nil {
		return err
	}
	if result.Get("type") == nil { // results of tools that the service runs are in the assistant's own message
		*answered = append(*answered, result.Get("toolUseId").Text())
	}
	parts := result.Get("content").List()
	tokens, err := in.resultMedia(parts)
	if err != nil {
		return err
	}
	tokens += r.resultDocuments(parts, in)
	if unread := in.unread(result); unread != "" {
		in.guarded(Messages, unread)
		in.add(r, Messages, b.Raw, r.count(in.Model, unread))
		return nil
	}
	if tokens == 0 { // neither media nor documents with any text
		in.addJSON(r, Messages, b.Raw)
		return nil
	}
	for _, c := range parts {
		if c.Get("image") == nil && c.Get("video") == nil && c.Get("document").Get("source").Get("bytes") == nil {
			tokens += r.count(in.Model, c.Raw)
		}
	}
	in.guarded(Messages, b.Raw)
	in.add(r, Messages, b.Raw, tokens)
	return nil
}

// resultMedia checks all parts of a tool result, and returns the tokens of the images and videos among them: 0 if there are none, and more if there
// is one.
func (in *Prompt) resultMedia(parts []*jsonnode.Node) (tokens int, err *refusal.Error) {
	for _, c := range parts {
		if err := c.Only("toolResult.content", "text", "json", "image", "document", "video", "searchResult"); err != nil {
			return 0, err
		}
		if text := c.Get("text"); text != nil && text.Text() == "" {
			return 0, in.blank()
		}
		if image := c.Get("image"); image != nil {
			tokens += modeltable.ImageTokens(in.Model, image.Get("source").Get("bytes").Text())
			in.Images++
			in.seeImages()
		}
		if video := c.Get("video"); video != nil {
			tokens += film(video)
		}
	}
	return tokens, nil
}

// resultDocuments returns the tokens of the documents in a tool result, and counts the citations of documents and search results. marks are the
// tokens of the marks in a PDF with citations. A document in S3 has no bytes, and is not among them.
func (r *Reader) resultDocuments(parts []*jsonnode.Node, in *Prompt) (tokens int) {
	for _, c := range parts {
		in.cited(c.Get("searchResult"), 0)
		if d := c.Get("document"); d.Get("source").Get("bytes") != nil {
			n, marks := r.documentTokens(in.Model, d.Get("format").Text(), d.Get("source").Get("bytes").Text())
			tokens += n + r.count(in.Model, d.Get("name").Text())
			in.cited(d, marks)
		}
	}
	return tokens
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
