package jsonbody

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// metered reads, for a meter, a field of the body or of additionalModelRequestFields that is none of tools, system prompt and messages. Fields of all
// dialects are read by the same rules, because the dialect is not known. Any field without a case of its own may be a setting or content.
func (w *walk) metered(key string) error {
	c := w.Peek()
	switch key {
	case "input":
		return w.input(key)
	case "prompt":
		if c == '[' { // anything else is left to setting, below
			return w.prompts(key)
		}
	case "chat_history":
		return w.history(key)
	case "functions":
		return w.tools(key)
	case "tool_config":
		return w.toolConfig(key)
	case "documents", "search_results":
		return w.documents(key)
	case "texts", "inputs", "inputText", "inputImage", "singleEmbeddingParams", "images":
		return w.embedded(key)
	case "previous_response_id", "conversation":
		return w.kept(key) // history that the service keeps, and bills again
	case "guardrailConfig", "guardrail_config", "amazon-bedrock-guardrailConfig", "context_management", "contextManagement", "compaction",
		"web_search_options", "search_parameters", "mcp_servers", "container", "plugins", "service_tier", "serviceTier", "speed",
		"prompt_cache_retention", "prompt_cache_options":
		return w.simple()
	case "performanceConfig":
		if c == '{' {
			return w.simple()
		}
		return w.beside(key) // anything but an object names no mode, and may be content
	}
	return w.setting(key, true)
}

// simple reads a field without looking into it: fieldOf calls the sink's Field with the value, which is all that the meter needs to know. The value's
// bytes count as text.
func (w *walk) simple() error {
	raw, err := w.Value()
	w.bytes(len(raw))
	return err
}

// setting reads a field outside of the prompt: a limit of the answer, the form of the answer, an object of further settings, or content. sure says
// that the field stands where a field with the name of a limit can only be a limit, and not in an object of unknown purpose.
func (w *walk) setting(key string, sure bool) error {
	if request.MarkerOf(key) != request.NoMarker { // a cache point outside of the prompt
		return w.beside(key)
	}
	w.bytes(keyBytes(key))
	if l := request.LimitOf(key); l != request.NoLimit {
		return w.limit(l, key, sure)
	}
	c := w.Peek()
	switch key {
	case "response_format", "responseFormat", "output_format", "outputFormat", "output_config", "outputConfig", "json_schema":
		return w.form()
	case additional:
		if sure && c == '{' {
			return w.ofModel()
		}
	}
	if c != '{' || isContent(key) {
		return w.part(key)
	}
	return w.settings(key, sure && hasSettings(key))
}

// settings reads an object of further settings, under a key. sure is that of setting, for each of its members.
func (w *walk) settings(key string, sure bool) error {
	outer := w.inside
	w.inside = strings.TrimPrefix(outer+"/"+key, "/")
	err := w.Object(func(k string) error { return w.setting(k, sure) })
	w.inside = outer
	return err
}

// ofModel reads the object additionalModelRequestFields, which has the model's own dialect inside of Converse's: each member is read as one of a
// body.
func (w *walk) ofModel() error {
	outer := w.within
	w.within = true
	err := w.Object(func(k string) error { return w.fieldOf(additional, k, w.top) })
	w.within = outer
	return err
}

// limit reads a field that limits the answer, and tells the meter of it. sure is that of setting.
func (w *walk) limit(l request.Limit, key string, sure bool) error {
	w.Peek() // skips white space, so that at is where the value begins
	at := w.Pos()
	raw, err := w.Value()
	if err == nil {
		w.meter.Limit(l, Value{Key: key, Raw: raw, Offset: at, Inside: w.inside}, sure, w.within)
	}
	return err
}

// hasSettings reports whether an object under this key is known to hold settings and nothing else.
func hasSettings(key string) bool {
	switch key {
	case "inferenceConfig", "inference_config", "textGenerationConfig", "generationConfig", "generation_config", "thinking",
		"reasoning", "reasoningConfig", "reasoning_config", "parameters", additional:
		return true
	default:
		return false
	}
}

// isContent reports whether an object under this key is read by the model, wherever it stands.
func isContent(key string) bool {
	switch key {
	case "system", "message", "content", "prompt", "input", "metadata", "tool_choice", "text", "image", "document", "video", "audio",
		"image_url", "video_url", "audio_url", "input_audio":
		return true
	default:
		return false
	}
}

// history reads Cohere's chat_history: a list of messages, each read as any content, or anything else in its place.
func (w *walk) history(key string) error {
	if w.Peek() != '[' {
		return w.beside(key)
	}
	return w.Array(func() error {
		w.sink.Message(0) // a meter only counts messages, so that their index does not matter
		return w.value("")
	})
}

// documents reads documents that stand beside the conversation, and tells the meter of the size of each.
func (w *walk) documents(key string) error {
	if w.Peek() != '[' {
		return w.beside(key)
	}
	return w.Array(func() error {
		c := w.Peek() // skips white space, so that start is where the document begins
		start := w.Pos()
		var err error
		if c == '{' || c == '[' { // the service renders it as text, so it is told of as JSON, whatever its keys are called
			err = w.own()
		} else {
			err = w.value(key)
		}
		w.meter.Document(w.Pos() - start)
		return err
	})
}

// embedded reads what an embedding model is given, and tells the meter of each text or other input: the elements of a list, or the one value.
func (w *walk) embedded(key string) error {
	if w.Peek() != '[' {
		w.meter.Input()
		return w.setting(key, true) // counts the key, and reads an object, which can hold settings beside the input
	}
	w.bytes(keyBytes(key))
	return w.Array(func() error {
		w.meter.Input()
		return w.value(key)
	})
}

// prompts reads several prompts, each a text or a list of tokens. Anything else in the list is a part of one prompt.
func (w *walk) prompts(key string) error {
	w.bytes(keyBytes(key))
	return w.Array(func() error {
		if c := w.Peek(); c == '"' || c == '[' {
			w.meter.Prompt()
		}
		return w.value(key)
	})
}

// input reads the input of Responses: a text, or a list of items.
func (w *walk) input(key string) error {
	if w.Peek() != '[' {
		w.sink.Message(0) // one turn; a meter only counts them, so that the index does not matter
		return w.beside(key)
	}
	return w.Array(func() error {
		w.sink.Message(0)
		if w.Peek() != '{' {
			return w.value("")
		}
		return w.item()
	})
}

// item reads an item of the input of Responses. If it only names something that the service keeps, the meter is told that its content is not in the
// body.
func (w *walk) item() error {
	var o Object
	var i item // what kept has to know of the object besides its type
	err := w.object(&o, func(key string) error {
		isString := w.Peek() == '"'
		ofPrompt := o.Name() == "prompt" // the id of a prompt template is not that of an item: member tells the meter of it
		before := w.meter.Blocks()       // if the meter has counted more blocks behind the member, this one held content
		err := w.member(&o, key)
		switch key {
		case "id":
			i.id = i.id || isString && !ofPrompt
		case "role":
			i.role = isString
		case "content", "encrypted_content":
			i.hasContent = i.hasContent || w.meter.Blocks() > before
		}
		return err
	})
	if name := i.kept(o.Type); err == nil && name != "" {
		w.meter.Unseen(name)
	}
	return err
}

// ItemReference is the type of an item that stands for one that the service keeps.
const ItemReference = "item_reference"

// item is which fields an item of the input has, whatever its type.
type item struct {
	id         bool // it has an id, under which the service may keep the item
	role       bool // it has a role, as messages do
	hasContent bool // its content is in the body, as text or encrypted
}

// kept returns a name for an item that stands for something that the service keeps under the item's id: its type for reasoning, else ItemReference.
// It returns nothing for an item that is whole, which means that its content is in the body. Types that are not known, among them those of tools that
// the service runs, are not whole if they have an id.
func (i *item) kept(kind string) string {
	whole := false
	switch kind {
	case "":
		whole = i.role // it is a message
	case "reasoning":
		if i.id && !i.hasContent {
			return kind
		}
		return ""
	case "compaction":
		whole = i.hasContent
	case "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "computer_call", "computer_call_output",
		"local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output",
		"mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "input_text", "input_image", "input_file":
		whole = true // these come with all that they hold, whether they have an id or not
	case ItemReference:
		whole = true // it is not, but the meter has noted it already, when it was told of the type
	}
	if whole || !i.id {
		return ""
	}
	return ItemReference
}
