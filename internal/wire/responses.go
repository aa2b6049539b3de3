package wire

// routing reads what a body says of its model and of how the answer comes, as OpenAI's and Anthropic's routes have it.
func (w *walker) routing(key string) error {
	c := w.Peek()
	switch {
	case key == "background" && c != 'f' && c != 'n':
		w.unseen(key) // the answer is kept, and does not come with its usage
	case w.inner:
	case key == "stream":
		w.req.Stream = c == 't'
	case key == "model" && c == '"':
		w.other += keyBytes(key)
		t, err := w.Text()
		if err == nil {
			w.req.Model = printable(t.String())
			w.addString(key, t)
		}
		return err
	}
	return w.field(key, inConfig)
}

// ModelOf is what ParseRequest tells as Model, at a fraction of its cost: nothing else is looked into.
func ModelOf(body []byte) (model string, err error) {
	var p scanner
	err = p.scanObject(body, func(key string) error {
		if key != "model" || p.Peek() != '"' {
			return p.Skip()
		}
		t, err := p.Text()
		model = printable(t.String())
		return err
	})
	return model, err
}

// input reads the input of Responses: a text, or a list of items.
func (w *walker) input() error {
	if w.Peek() != '[' {
		w.req.Prompt.Messages++
		return w.field("input", inContent)
	}
	return w.Array(func() error {
		w.req.Prompt.Messages++
		if w.Peek() != '{' {
			return w.value("", inContent)
		}
		var f blockFrame
		err := w.blockOf(&f)
		if kept := f.kept(); kept != "" {
			w.addUnseen(kept)
		}
		return err
	})
}

const itemReference = "item_reference"

// itemFrame is what an item of the input tells of itself, whatever its type.
type itemFrame struct {
	id   bool
	role bool
	told bool // it brings what it stands for, in words or sealed
}

// itemField reads a field of a block that may be an item of the input.
func (w *walker) itemField(f *blockFrame, key string) error {
	c, before := w.Peek(), len(w.req.Prompt.Blocks)
	err := w.field(key, inContent)
	switch key {
	case "id":
		f.item.id = c == '"'
	case "role":
		f.item.role = c == '"'
	case "content", "encrypted_content":
		f.item.told = f.item.told || len(w.req.Prompt.Blocks) > before
	}
	return err
}

// kept names an item that stands for something that the service keeps under its id: one that has nothing else, reasoning that comes neither
// sealed nor in words, and what tools of the service did. It returns nothing for an item that is whole.
func (f *blockFrame) kept() string {
	whole := false
	switch f.kind {
	case "":
		whole = f.item.role
	case "reasoning":
		if f.item.id && !f.item.told {
			return f.kind
		}
		return ""
	case "compaction":
		whole = f.item.told
	case "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "computer_call", "computer_call_output",
		"local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output",
		"mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "input_text", "input_image", "input_file":
		whole = true
	case itemReference:
		whole = true // noted where its type was read
	}
	if whole || !f.item.id {
		return ""
	}
	return itemReference
}
