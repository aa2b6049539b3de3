package wire

import (
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Request is what a request body tells about its cost.
type Request struct {
	Prompt         tokens.Prompt
	MaxTokens      int64 // the largest output limit found in any field, thinking budgets included; 0 when there is none
	ExtraTokens    int64 // the largest one among additionalModelRequestFields, which alone does not keep Converse's own from being the model's maximum
	Thinking       int64 // the largest thinking budget; 0 when there is none
	NoOutput       bool  // max_tokens is 0, by which some models read a prompt into the cache and write nothing
	Choices        int64 // answers asked for, each up to MaxTokens; at least 1
	CacheWrites    price.CacheWrites
	Embedded       int64    // bytes of the body that are media of a measured size, so that their length says nothing about tokens
	Images         int64    // image blocks, for models that bill them apart
	Videos         int64    // videos, for models that bill them by the second
	Audios         int64    // the same for sound
	DocumentImages bool     // images may be read as pages of documents
	Queries        int64    // search units that a rerank request can be billed; 0 for other models
	Texts          int64    // texts and other inputs to embed, one by one
	ServiceTier    string   // the tier asked for in the body, in lower case; empty when none or not one known
	OtherTier      string   // another tier that the body asks for in another place, so that either may count; empty when there is none
	Latency        string   // the mode asked for in a performanceConfig, in lower case; empty when none
	Guardrail      bool     // the body names a guardrail
	Compacts       bool     // the service may shorten the history in inferences of their own
	Unpriced       string   // a feature in use that has no price per token, such as "web_search"; empty when there is none
	AlsoUnpriced   []string // further ones
	Unseen         string   // a field that makes the service read what is not in the body, or keep the answer; empty when there is none
	Model          string   // the body's own "model", of visible ASCII and at most 2,048 bytes; empty for none, and for any other
	Stream         bool     // the body asks for a stream
	ToolPoints     int      // elements of lists of tools that are a cache point and nothing else, as Converse has them; Prompt.Tools counts them
	StoredPictures []int    // indexes of those Opaque blocks of Prompt that are pictures which the service fetches
}

// ParseRequest reads the body of an InvokeModel request in any dialect. modelID tells rerank models apart. It returns
// ErrMalformed for anything that readers may disagree about: duplicate keys, invalid UTF-8, output limits that are not
// non-negative integers, nesting beyond 200 levels. The Prompt does not share memory with body.
func ParseRequest(modelID string, body []byte) (Request, error) {
	w := walker{req: Request{Choices: 1}, rerank: strings.Contains(modelID, "rerank")}
	if err := w.scanObject(body, w.topField); err != nil {
		return Request{}, err
	}
	w.req.Prompt.OtherBytes = w.other
	if w.req.MaxTokens > 0 {
		w.req.MaxTokens = max(w.req.MaxTokens, w.req.ExtraTokens)
	}
	if w.rerank {
		w.req.Queries = max((w.chunks+rerankChunksPerQuery-1)/rerankChunksPerQuery, 1)
	}
	return w.req, nil
}

// ParseExtra reads Converse's additional model request fields, a JSON object or nothing, by the same rules.
func ParseExtra(fields []byte) (Request, error) {
	if len(fields) == 0 || string(fields) == "null" {
		return Request{Choices: 1}, nil
	}
	return ParseRequest("", fields)
}

// Amazon Bedrock's pricing page (2026-11): a rerank query covers up to 100 document chunks, and a document of more than 512
// tokens, the query's included, is several. A token has at least one byte, and a long query takes half of the chunk.
const (
	rerankChunksPerQuery = 100
	rerankChunkBytes     = 256
)

// inlineBytes is how long a string has to be to become a block of its own. Shorter ones are mostly roles, types and ids.
const inlineBytes = 16

type walker struct {
	scanner
	req    Request
	other  int64
	chunks int64 // of the documents to rerank
	rerank bool
	inner  bool // within the model's own dialect inside of Converse's
}

// surroundings say what stands around a value.
type surroundings uint8

const (
	inConfig  surroundings = iota // settings: limits have to be well formed
	inUnknown                     // an object of unknown purpose: limits count when they are well formed
	inContent                     // what the model reads
)

func (w *walker) topField(key string) error {
	switch key {
	case "input":
		return w.input()
	case "messages", "chat_history":
		return w.messages(key)
	case "tools", "functions":
		return w.tools()
	case "toolConfig", "tool_config":
		return w.toolConfig(key)
	case "guardrailConfig", "guardrail_config", "amazon-bedrock-guardrailConfig":
		return w.guardrailConfig()
	case "performanceConfig":
		return w.performanceConfig()
	case "context_management", "contextManagement", "compaction":
		return w.compaction(key)
	case "texts", "inputs", "inputText", "inputImage", "singleEmbeddingParams", "images":
		return w.embedded(key)
	case "documents", "search_results":
		if w.rerank && w.Peek() == '[' {
			return w.Array(w.rerankDocument)
		}
		return w.messages(key) // each is rendered with a frame of its own
	case "web_search_options", "search_parameters", "mcp_servers", "container", "plugins":
		return w.unpricedField(key)
	case "service_tier", "serviceTier":
		return w.serviceTier()
	case "speed":
		return w.speed()
	case "prompt_cache_retention", "prompt_cache_options":
		return w.retention()
	case "previous_response_id", "conversation":
		return w.opaque(key) // history that the service keeps, and bills again
	case "background", "model", "stream":
		return w.routing(key)
	}
	return w.field(key, inConfig)
}

// messages reads a conversation, or the plain text that some dialects allow in its stead.
func (w *walker) messages(key string) error {
	if w.Peek() != '[' {
		return w.field(key, inContent)
	}
	return w.Array(func() error {
		w.req.Prompt.Messages++
		return w.value("", inContent)
	})
}

// configObject reports whether an object under this key holds settings.
func configObject(key string) bool {
	switch key {
	case "inferenceConfig", "inference_config", "textGenerationConfig", "generationConfig", "generation_config", "thinking",
		"reasoning", "reasoningConfig", "reasoning_config", "parameters", "additionalModelRequestFields":
		return true
	default:
		return false
	}
}

// contentObject reports whether an object under this key is read by the model, wherever it stands.
func contentObject(key string) bool {
	switch key {
	case "system", "message", "content", "prompt", "input", "metadata", "tool_choice", "text", "image", "document", "video", "audio",
		"image_url", "video_url", "audio_url", "input_audio":
		return true
	default:
		return false
	}
}

// field reads the value of a key that has no meaning of its own at the top level.
func (w *walker) field(key string, in surroundings) error {
	w.other += keyBytes(key)
	switch key {
	case "cache_control", "cachePoint", "cache_point", "prompt_cache_breakpoint":
		return w.cachePoint(key)
	}
	if in != inContent {
		return w.setting(key, in)
	}
	return w.contentField(key)
}

// keyBytes is what a key costs. The words of the request schemas themselves are covered by the framing of messages and blocks.
func keyBytes(key string) int64 {
	switch key {
	case "messages", "role", "content", "type", "text", "system", "source", "data", "bytes", "media_type", "format":
		return 0
	default:
		return int64(len(key))
	}
}

func (w *walker) setting(key string, in surroundings) error {
	switch key {
	case "max_tokens", "maxTokens", "max_new_tokens", "maxNewTokens", "max_completion_tokens", "maxCompletionTokens",
		"max_tokens_to_sample", "maxTokenCount", "max_gen_len", "max_output_tokens", "maxOutputTokens":
		return w.limit(key, in, w.output())
	case "budget_tokens", "budgetTokens":
		err := w.limit(key, in, &w.req.Thinking)
		*w.output() = max(*w.output(), w.req.Thinking)
		return err
	case "n", "num_generations", "numResults", "best_of", "candidateCount", "num_return_sequences":
		return w.limit(key, in, &w.req.Choices)
	case "response_format", "responseFormat", "output_format", "outputFormat", "output_config", "outputConfig", "json_schema":
		return w.grammar()
	case "additionalModelRequestFields":
		if in == inConfig && w.Peek() == '{' {
			w.inner = true // the model's own dialect, inside of Converse's
			err := w.Object(w.topField)
			w.inner = false
			return err
		}
	}
	if w.Peek() != '{' || contentObject(key) {
		return w.contentField(key)
	}
	if !configObject(key) {
		in = inUnknown
	}
	return w.value(key, in)
}

// output is where output limits count that are read now.
func (w *walker) output() *int64 {
	if w.inner {
		return &w.req.ExtraTokens
	}
	return &w.req.MaxTokens
}

// limit reads a field that limits the answer: its tokens, its thinking or its choices. A body can name a limit in several places, and the highest is
// safe whichever of them the service obeys. In an object of unknown purpose, a value that is no plain count is taken for a part of the prompt.
func (w *walker) limit(key string, in surroundings, highest *int64) error {
	if in == inUnknown {
		raw, err := w.Value()
		if n, e := plainCount(raw); e == nil {
			*highest = max(*highest, n)
		} else {
			w.other += int64(len(raw))
		}
		return err
	}
	n, told, err := w.count(key)
	*highest = max(*highest, n)
	w.req.NoOutput = w.req.NoOutput || told && n == 0 && key == "max_tokens"
	return err
}

// value reads any value. key is where it stands.
func (w *walker) value(key string, in surroundings) error {
	switch w.Peek() {
	case '{':
		if in == inContent {
			return w.block(key)
		}
		return w.Object(func(k string) error { return w.field(k, in) })
	case '[':
		return w.Array(func() error { return w.value(key, inContent) })
	case '"':
		t, err := w.Text()
		if err == nil {
			w.addString(key, t)
		}
		return err
	default:
		raw, err := w.Value()
		w.other += int64(len(raw))
		return err
	}
}

func (w *walker) addString(key string, t text) {
	switch {
	case isMediaKey(key) && w.addDataURL(key, t):
	case (key == "images" || key == "inputImage" || key == "image") && isBase64(t):
		w.addMedia("image", "", t)
	case key == "file_data" && len(t.Raw) >= inlineBytes && isBase64(t):
		w.addBareFile(t)
	case len(t.Raw) < inlineBytes:
		w.other += int64(len(t.Raw))
	default:
		w.addText(t)
	}
}

func (w *walker) addText(t text) {
	if t.Raw != "" {
		w.add(tokens.Block{Kind: tokens.Text, Text: t.Raw, Escaped: t.Escaped()})
	}
}

func (w *walker) add(b tokens.Block) {
	w.req.Prompt.Blocks = append(w.req.Prompt.Blocks, b)
	if b.Kind == tokens.Image {
		w.req.Images++
	}
}

// addTimed notes media that last: their tokens can't be known, and some models bill their seconds.
func (w *walker) addTimed(kind string) {
	if strings.Contains(kind, "audio") {
		w.req.Audios++
	} else {
		w.req.Videos++
	}
	w.add(tokens.Block{Kind: tokens.Opaque})
}

// jsonBlock counts a value as it stands. The model wrote some of these, and need not have kept to unique keys.
func (w *walker) jsonBlock() error {
	raw, err := w.Verbatim()
	if err == nil && raw != "null" {
		w.add(tokens.Block{Kind: tokens.JSON, Text: raw})
	}
	return err
}

// opaque notes content that is held elsewhere, under the key that names it.
func (w *walker) opaque(key string) error {
	raw, err := w.Value()
	if raw != "null" && raw != `""` {
		w.addUnseen(key)
	}
	return err
}

// addUnseen notes content that is not in the body: its size can't be told from here.
func (w *walker) addUnseen(key string) {
	w.add(tokens.Block{Kind: tokens.Opaque})
	w.unseen(key)
}

func (w *walker) unseen(key string) {
	if w.req.Unseen == "" || w.req.Unseen == StoredElsewhere {
		w.req.Unseen = key
	}
}

// unpriced notes a feature that has no price per token. Each may have a flat one, so that none may hide another.
func (w *walker) unpriced(feature string) {
	r := &w.req
	if r.Unpriced != "" && r.Unpriced != feature && !slices.Contains(r.AlsoUnpriced, r.Unpriced) {
		r.AlsoUnpriced = append(r.AlsoUnpriced, r.Unpriced)
	}
	r.Unpriced = feature
}

// StoredElsewhere is the Unseen of a body of which nothing else is unseen but content in S3.
const StoredElsewhere = "s3Location"

func (w *walker) rerankDocument() error {
	w.Peek()
	start := w.Pos()
	err := w.value("documents", inContent)
	w.chunks += max((int64(w.Pos()-start)+rerankChunkBytes-1)/rerankChunkBytes, 1)
	return err
}
