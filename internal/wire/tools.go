package wire

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// toolConfig reads Converse's way to wrap the tools, which Nova shares.
func (w *walker) toolConfig(key string) error {
	if w.Peek() != '{' {
		return w.field(key, inContent)
	}
	return w.Object(func(k string) error {
		if k == "tools" {
			return w.tools()
		}
		return w.field(k, inContent)
	})
}

// tools reads tool definitions, each a block of JSON as it stands.
func (w *walker) tools() error {
	if w.Peek() != '[' {
		return w.jsonBlock()
	}
	return w.Array(func() error {
		if w.Peek() != '{' {
			return w.jsonBlock()
		}
		return w.tool()
	})
}

func (w *walker) tool() error {
	start := w.Pos()
	kind, strict := "", false
	spec, hasSpec := "", false // the schema of a toolSpec
	fields, points := 0, 0
	err := w.Object(func(key string) error {
		fields++
		switch c := w.Peek(); {
		case key == "type" && c == '"':
			t, err := w.Text()
			kind = t.String()
			return err
		case key == "strict" && c == 't', key == "format" && c == '{':
			strict = true // a custom tool's format is a grammar
		case key == "toolSpec" && c == '{':
			hasSpec = true
			return w.toolSpec(&strict, &spec)
		case key == "function" && c == '{':
			return w.Object(func(k string) error {
				strict = strict || k == "strict" && w.Peek() == 't'
				return w.schemaField()
			})
		case key == "cache_control" || key == "cachePoint":
			if key == "cachePoint" && c == '{' {
				points++
			}
			return w.cachePoint(key)
		case key == "systemTool":
			return w.unpricedField("system_tool")
		}
		return w.schemaField()
	})
	if err != nil {
		return err
	}
	w.req.Prompt.Tools++
	if points == 1 && fields == 1 {
		w.req.ToolPoints++
	}
	switch {
	case strict && !hasSpec:
		w.schema(int64(w.Pos() - start))
	case strict && spec != "":
		w.schema(tokens.WideText(spec))
	}
	if feature, builtin := toolFeature(kind); builtin {
		w.req.Prompt.BuiltinTools++
	} else if feature != "" {
		w.unpriced(feature)
	}
	w.add(tokens.Block{Kind: tokens.JSON, Text: w.From(start)})
	return nil
}

// toolSpec reads Converse's and Nova's definition of a tool: whether its input has to fit the schema, and the schema as it stands.
func (w *walker) toolSpec(strict *bool, schema *string) error {
	return w.Object(func(key string) error {
		switch c := w.Peek(); {
		case key == "strict" && c == 't':
			*strict = true
		case key == "inputSchema" && c == '{':
			return w.Object(func(k string) (err error) {
				if k != "json" {
					return w.schemaField()
				}
				*schema, err = w.Verbatim()
				return err
			})
		}
		return w.schemaField()
	})
}

// schemaField passes over a field of a tool. Schemas are text to whoever sends them on, and keys may come twice in them.
func (w *walker) schemaField() error {
	_, err := w.Verbatim()
	return err
}

// toolFeature sorts tools by their type: those that the caller defines cost tokens only, and so do those that the provider
// defines and the caller runs. Any other runs at the provider and is billed by its own meter.
func toolFeature(kind string) (feature string, builtin bool) {
	switch kind {
	case "", "function", "custom":
		return "", false
	}
	if strings.HasPrefix(kind, "computer_use") {
		return "computer_use", false // OpenAI's, which comes with text of its own that nobody has published
	}
	for _, prefix := range [...]string{"bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"} {
		if strings.HasPrefix(kind, prefix) {
			return "", true
		}
	}
	for _, name := range [...]string{
		"web_search", "web_fetch", "code_execution", "code_interpreter", "file_search",
		"image_generation", "mcp", "advisor",
	} {
		if strings.HasPrefix(kind, name) {
			return name, false
		}
	}
	return "unknown tool type", false
}

// schema notes a schema that the service writes into the prompt as a grammar.
func (w *walker) schema(bytes int64) {
	w.req.Prompt.Hidden.Add(tokens.Hidden{Schemas: 1, SchemaBytes: bytes})
}

// grammar reads how the output has to look. Settings without a schema, such as an effort, add nothing.
func (w *walker) grammar() error {
	raw, err := w.Value()
	if err != nil || raw == "null" {
		return err
	}
	w.add(tokens.Block{Kind: tokens.JSON, Text: raw})
	if schema, ok := converseSchema(raw); ok {
		w.schema(tokens.WideText(schema))
		return nil
	}
	if strings.Contains(raw, "schema") || strings.Contains(raw, `\u`) {
		w.schema(int64(len(raw)))
	}
	return nil
}

// converseSchema returns the schema in Converse's outputConfig, which holds it as a text.
func converseSchema(config string) (schema string, ok bool) {
	p := jsonscan.New(config)
	path := []string{"textFormat", "structure", "jsonSchema", "schema"}
	var inside func(depth int) func(string) error
	inside = func(depth int) func(string) error {
		return func(key string) error {
			switch c := p.Peek(); {
			case key != path[depth]:
			case depth == len(path)-1 && c == '"':
				t, err := p.Text()
				schema, ok = t.String(), err == nil
				return err
			case depth < len(path)-1 && c == '{':
				return p.Object(inside(depth + 1))
			}
			return p.Skip()
		}
	}
	if p.Peek() != '{' || p.Object(inside(0)) != nil {
		return "", false
	}
	return schema, ok
}

// compaction notes that the service may shorten the history. Each time it does is an inference of its own.
func (w *walker) compaction(key string) error {
	raw, err := w.Value()
	w.other += int64(len(raw))
	switch raw {
	case "null", "false", "{}", "[]":
		return err
	}
	w.req.Compacts = w.req.Compacts || key == "compaction" || strings.Contains(raw, "compact") || strings.Contains(raw, `\u`)
	return err
}

// guardrailConfig notes a guardrail that the request names.
func (w *walker) guardrailConfig() error {
	raw, err := w.Value()
	w.other += int64(len(raw))
	w.req.Guardrail = w.req.Guardrail || err == nil && raw != "null"
	return err
}

// performanceConfig reads {"latency": "optimized"}.
func (w *walker) performanceConfig() error {
	if w.Peek() != '{' {
		return w.field("performanceConfig", inContent)
	}
	return w.Object(func(key string) error {
		raw, err := w.Value()
		w.other += int64(len(raw))
		if key == "latency" && err == nil && len(raw) > 2 && w.req.Latency != "optimized" {
			w.req.Latency = label(raw[1 : len(raw)-1])
		}
		return err
	})
}

// embedded reads what an embedding model is given, and counts the inputs.
func (w *walker) embedded(key string) error {
	if w.Peek() != '[' {
		w.req.Texts++
		return w.field(key, inConfig)
	}
	w.other += keyBytes(key)
	return w.Array(func() error {
		w.req.Texts++
		return w.value(key, inContent)
	})
}

// unpricedField notes a feature unless its value switches it off.
func (w *walker) unpricedField(feature string) error {
	raw, err := w.Value()
	w.other += int64(len(raw))
	switch raw {
	case "null", "false", "[]", `""`:
	default:
		w.unpriced(feature)
	}
	return err
}

// serviceTier reads a tier given as a string or as {"type": tier}. A tier without a known factor has no price.
func (w *walker) serviceTier() error {
	raw, err := w.Value()
	if err != nil {
		return err
	}
	w.other += int64(len(raw))
	tier := label(tierName(raw))
	switch tier {
	case "":
		return nil
	case "auto", "standard_only":
		tier = "default"
	}
	switch {
	case w.req.ServiceTier == "" || w.req.ServiceTier == tier:
		w.req.ServiceTier = tier
	case w.req.OtherTier == "" || w.req.OtherTier == tier:
		w.req.OtherTier = tier
	default:
		w.req.ServiceTier = "unknown" // three of them
	}
	return nil
}

// tierName returns the tier in a string or in {"type": tier}: empty for null, "unknown" when it has neither form.
func tierName(raw string) string {
	if raw == "null" {
		return ""
	}
	p, tier := jsonscan.New(raw), "unknown"
	read := func() error {
		t, err := p.Text()
		if err == nil {
			tier = strings.ToLower(t.String())
		}
		return err
	}
	if raw[0] == '"' {
		_ = read() // the value was checked already
		return tier
	}
	_ = p.Object(func(key string) error {
		if key == "type" && p.Peek() == '"' {
			return read()
		}
		return p.Skip()
	})
	return tier
}

// speed notes any speed but the standard one: the fast mode of Claude is billed at a multiple.
func (w *walker) speed() error {
	raw, err := w.Value()
	w.other += int64(len(raw))
	if raw != "null" && raw != `"standard"` {
		w.unpriced("speed")
	}
	return err
}
