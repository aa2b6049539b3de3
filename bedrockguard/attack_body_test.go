package bedrockguard_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
)

// object is JSON in the making.
type object = map[string]any

// dialectModels are models for each dialect of InvokeModel, by the name that a failure tells.
func dialectModels() map[string][]string {
	return map[string][]string{
		"Anthropic":        {"anthropic.claude-sonnet-5", bareSonnet, "anthropic.claude-opus-4-8", "anthropic.claude-haiku-5-5", "anthropic.claude-fable-5", "anthropic.claude-sonnet-4-5-20250929-v1:0"},
		"Nova":             {"amazon.nova-pro-v1:0", "amazon.nova-2-lite-v1:0", "amazon.nova-micro-v1:0"},
		"OpenAI":           {gptOSS, "openai.gpt-oss-20b-1:0"},
		"chat":             {"deepseek.v3.2", "qwen.qwen3-32b-v1:0", "mistral.mistral-large-3-675b-instruct", "minimax.minimax-m2"},
		"Llama":            {"meta.llama3-1-8b-instruct-v1:0", "meta.llama3-70b-instruct-v1:0"},
		"Mistral":          {"mistral.mistral-7b-instruct-v0:2", "mistral.mistral-large-2402-v1:0"},
		"Titan text":       {"amazon.titan-text-express-v1"},
		"Cohere chat":      {"cohere.command-r-v1:0", "cohere.command-r-plus-v1:0"},
		"Cohere text":      {"cohere.command-text-v14"},
		"Titan embeddings": {"amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1", "amazon.titan-embed-image-v1"},
		"Nova embeddings":  {"amazon.nova-2-multimodal-embeddings-v1:0"},
		"Cohere embed":     {"cohere.embed-english-v3", "cohere.embed-multilingual-v3", "cohere.embed-v4:0"},
		"rerank":           {"cohere.rerank-v3-5:0", "amazon.rerank-v1:0"},
	}
}

// streams reports whether the simulator streams a dialect.
func streams(dialect string) bool {
	switch dialect {
	case "Anthropic", "Nova", "OpenAI", "chat", "Llama", "Mistral", "Titan text", "Cohere chat", "Cohere text":
		return true
	default:
		return false
	}
}

// body draws the body of an InvokeModel request.
func (d *draws) body(dialect, model string) []byte {
	var o object
	switch dialect {
	case "Anthropic":
		o = d.anthropicBody(model)
	case "Nova":
		o = d.novaBody()
	case "OpenAI", "chat":
		o = d.chatBody()
	case "Llama":
		o = object{"prompt": d.text()}
		d.maximum(o, "max_gen_len")
	case "Mistral", "Cohere text":
		o = object{"prompt": d.text()}
		d.maximum(o, "max_tokens")
		if dialect == "Cohere text" && d.feature("several generations", 40) {
			o["num_generations"] = one(d, 2, 5)
		}
	case "Titan text":
		config := object{}
		d.maximum(config, "maxTokenCount")
		o = object{"inputText": d.text(), "textGenerationConfig": config}
	case "Cohere chat":
		o = d.cohereChatBody()
	default:
		o = d.embeddingBody(dialect, model)
	}
	raw, _ := json.Marshal(o) // maps, strings and numbers
	return raw
}

// maximum draws the output limit under a key, or leaves it out.
func (d *draws) maximum(o object, key string) {
	if n, set := d.maxTokens(); set {
		o[key] = n
	}
}

// maxTokens draws an output limit: unset, tiny, 100, which is what interceptors raise, or larger.
func (d *draws) maxTokens() (n int, set bool) {
	switch d.even.IntN(10) {
	case 0:
		d.note("no maximum")
		return 0, false
	case 1:
		d.note("a tiny maximum")
		return d.size(1, 4), true
	case 2, 3, 4, 5:
		return 100, true
	default:
		return d.size(100, 3000), true
	}
}

func (d *draws) schemaJSON() object {
	properties := object{}
	for range d.size(1, 5) {
		properties[one(d, "path", "query", "amount", "when", "who", "why")] = object{"type": one(d, "string", "number", "boolean"), "description": one(d, "what is meant", "where it lies", "")}
	}
	return object{"type": "object", "properties": properties}
}

func (d *draws) anthropicBody(model string) object {
	n, set := d.maxTokens()
	if !set {
		n = 64_000 // a maximum is required
	}
	n = min(n, 8000)
	o := object{"anthropic_version": "bedrock-2023-05-31", "max_tokens": n}
	points := d.points(model)
	if d.feature("system", 40) {
		o["system"] = []object{points.mark(object{"type": "text", "text": d.text()})}
	}
	var offered []object
	if d.feature("tools", 25) {
		for range d.size(1, 4) {
			tool := object{"name": one(d, "read", "write", "search", "run"), "description": one(d, "reads", "what it does is long to tell"), "input_schema": d.schemaJSON()}
			if d.feature("a strict tool", 30) {
				tool["strict"] = true
			}
			offered = append(offered, tool)
		}
	}
	if d.feature("built-in tools", 12) {
		for range d.size(1, 3) {
			offered = append(offered, object{"type": one(d, "computer_20250124", "bash_20250124", "text_editor_20250728", "memory_20250818"), "name": one(d, "computer", "bash", "memory")})
		}
	}
	if offered != nil {
		o["tools"] = offered
	}
	if d.feature("a schema of the output", 12) {
		o["output_config"] = object{"format": object{"type": "json_schema", "schema": d.schemaJSON()}}
	}
	if d.feature("compaction", 10) {
		if d.chance(50) {
			o["context_management"] = object{"edits": []object{{"type": "compact_20260112"}}}
		} else {
			o["compaction"] = object{"type": "enabled"}
		}
	}
	if n > 1100 && d.feature("thinking", 30) {
		o["thinking"] = object{"type": "enabled", "budget_tokens": 1024}
	}
	o["messages"] = d.anthropicMessages(points)
	return o
}

func (d *draws) anthropicMessages(points *points) []object {
	var all []object
	for i := range d.turns() {
		if i%2 == 1 {
			all = append(all, object{"role": "assistant", "content": d.text()})
			continue
		}
		content := []object{{"type": "text", "text": d.text()}}
		if d.feature("an image", 12) {
			content = append(content, object{"type": "image", "source": object{"type": "base64", "media_type": "image/png", "data": d.picture()}})
		}
		if d.feature("a document", 12) {
			content = append(content, d.anthropicDocument())
		}
		points.mark(content[len(content)-1])
		all = append(all, object{"role": "user", "content": content})
	}
	return all
}

func (d *draws) anthropicDocument() object {
	document := object{"type": "document"}
	if d.feature("citations", 50) {
		document["citations"] = object{"enabled": true}
	}
	if d.chance(50) && !slices.Contains(d.focus, "citations") {
		d.note("a document in pdf")
		document["source"] = object{"type": "base64", "media_type": "application/pdf", "data": d.pdf()}
	} else {
		document["source"] = object{"type": "text", "media_type": "text/plain", "data": d.text()}
	}
	return document
}

func (d *draws) novaBody() object {
	config := object{}
	d.maximum(config, "maxTokens")
	o := object{"schemaVersion": "messages-v1", "inferenceConfig": config}
	var all []object
	for i := range d.turns() {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		content := []object{{"text": d.text()}}
		if role == "user" && d.feature("an image", 15) {
			content = append(content, object{"image": object{"format": "png", "source": object{"bytes": d.picture()}}})
		}
		if role == "user" && d.feature("a document", 15) {
			format, data := d.document()
			content = append(content, object{"document": object{"format": format, "name": "d", "source": object{"bytes": data}}})
		}
		all = append(all, object{"role": role, "content": content})
	}
	o["messages"] = all
	if d.feature("system", 30) {
		o["system"] = []object{{"text": d.text()}}
	}
	if d.feature("tools", 30) {
		o["toolConfig"] = object{"tools": []object{{"toolSpec": object{"name": "read", "description": "reads", "inputSchema": object{"json": d.schemaJSON()}}}}}
	}
	return o
}

func (d *draws) chatBody() object {
	o := object{}
	d.maximum(o, one(d, "max_completion_tokens", "max_tokens"))
	var all []object
	for range d.size(1, 12) {
		message := object{"role": one(d, "system", "user", "assistant", "user"), "content": d.text()}
		if d.feature("an image", 10) {
			message["content"] = []object{
				{"type": "text", "text": d.text()},
				{"type": "image_url", "image_url": object{"url": "data:image/png;base64," + base64.StdEncoding.EncodeToString(d.picture())}},
			}
		}
		all = append(all, message)
	}
	o["messages"] = all
	if d.feature("a tier in the body", 25) {
		o["service_tier"] = one(d, "flex", "priority", "default")
	}
	if d.feature("several answers", 10) {
		o["n"] = d.size(2, 4)
	}
	if d.feature("tools", 25) {
		o["tools"] = []object{{"type": "function", "function": object{"name": "read", "strict": d.feature("a strict tool", 40), "parameters": d.schemaJSON()}}}
	}
	if d.feature("a schema of the output", 20) {
		o["response_format"] = object{"type": "json_schema", "json_schema": object{"name": "a", "schema": d.schemaJSON()}}
	}
	return o
}

func (d *draws) cohereChatBody() object {
	o := object{"message": d.text()}
	d.maximum(o, "max_tokens")
	if d.feature("documents of a chat", 50) {
		var all []object
		for range d.size(1, 60) {
			all = append(all, object{"title": "t", "snippet": one(d, "a word", "another one", "12")})
		}
		o["documents"] = all
	}
	if d.feature("a history", 50) {
		o["chat_history"] = []object{{"role": "USER", "message": d.text()}, {"role": "CHATBOT", "message": d.text()}}
	}
	// A preamble is a text of its own for a guardrail; that the guard counts one message less is a gap.
	if d.feature("a preamble", 30) {
		o["preamble"] = d.text()
	}
	return o
}

// embeddingBody draws the body of a request to embed or to rank.
func (d *draws) embeddingBody(dialect, model string) object {
	short := func() string { return clip(d.text(), 400) }
	switch dialect {
	case "Titan embeddings":
		if model == "amazon.titan-embed-image-v1" {
			o := object{"inputText": clip(d.text(), 100)}
			if d.feature("an image to embed", 60) {
				o["inputImage"] = d.picture()
			}
			return o
		}
		return object{"inputText": clip(d.text(), 4000)}
	case "Nova embeddings":
		p := object{"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 1024}
		kind := one(d, "text", "image", "page", "video", "audio")
		d.note("embedding of " + kind)
		switch kind {
		case "text":
			p["text"] = object{"truncationMode": "END", "value": d.text()}
		case "page":
			p["image"] = object{"format": "png", "detailLevel": "DOCUMENT_IMAGE", "source": object{"bytes": d.picture()}}
		case "video":
			p["video"] = object{"format": "mp4", "embeddingMode": "AUDIO_VIDEO_COMBINED", "source": object{"bytes": d.picture()}}
		default:
			p[kind] = object{"format": "png", "source": object{"bytes": d.picture()}}
		}
		return object{"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": p}
	case "Cohere embed":
		if d.feature("an image to embed", 25) {
			return object{"input_type": "image", "images": []string{"data:image/png;base64," + base64.StdEncoding.EncodeToString(d.picture())}}
		}
		texts := []string{}
		for range one(d, 1, 2, 10, 96) {
			texts = append(texts, short())
		}
		if len(texts) > 1 {
			d.note("a batch of texts")
		}
		return object{"input_type": "search_document", "truncate": "END", "texts": texts}
	default:
		documents := []string{}
		for range one(d, 1, 5, 99, 101) {
			documents = append(documents, "- "+one(d, short, d.text)())
		}
		o := object{"query": short(), "documents": documents}
		if model == "cohere.rerank-v3-5:0" {
			o["api_version"] = 2
		}
		return o
	}
}

// clip returns at most n bytes of a text, in whole characters.
func clip(s string, n int) string {
	for i := range s {
		if i > n {
			return s[:i]
		}
	}
	return s
}
