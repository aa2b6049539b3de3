package wire

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// blockFrame is what the fields of one content block tell together, in whatever order they come.
type blockFrame struct {
	kind   string // of the block's type, else the key that it stands under
	format string
	source *mediaSource
	cited  bool // citations of it are asked for
	item   itemFrame
}

// block reads an object of content: a message, a block of one, or anything nested in it.
func (w *walker) block(key string) error {
	f := blockFrame{kind: key}
	return w.blockOf(&f)
}

func (w *walker) blockOf(f *blockFrame) error {
	w.Peek()
	start := w.Pos()
	err := w.Object(func(k string) error { return w.blockField(f, k) })
	if err == nil && f.cited {
		w.req.Prompt.Hidden.Add(tokens.Hidden{Citations: 1, CitedBytes: markedUp(w.From(start))})
	}
	if err == nil && f.source != nil {
		before := len(w.req.Prompt.Blocks)
		w.addSource(f)
		for i := range w.req.Prompt.Blocks[before:] {
			w.req.Prompt.Blocks[before+i].Cited = f.cited // what it unpacks to is marked up, which can be more than the block's bytes
		}
	}
	return err
}

// markedUp is how long the texts of a block are that can be cited: those of a search result, and of a document that is text. What its data
// unpacks to is marked up, too, which is known where it is unpacked.
func markedUp(block string) (n int64) {
	p := jsonscan.New(block)
	var value func(key string) error
	value = func(key string) error {
		switch p.Peek() {
		case '{':
			return p.Object(value)
		case '[':
			return p.Array(func() error { return value(key) })
		case '"':
			t, err := p.Text()
			if key == "text" || key == "data" || key == "content" {
				n += tokens.WideText(t.String())
			}
			return err
		}
		return p.Skip()
	}
	if value("") != nil {
		return int64(len(block)) // it was read before, so that this can't be
	}
	return n
}

func (w *walker) blockField(f *blockFrame, key string) error {
	switch c := w.Peek(); {
	case key == "citations" && c == '{':
		return w.Object(func(k string) error {
			f.cited = f.cited || k == "enabled" && w.Peek() == 't'
			return w.field(k, inContent)
		})
	case key == "source" && c == '{':
		f.source = &mediaSource{}
		return w.mediaSource(f.source)
	case key == "format" && c == '{': // of the output, inside of the "text" of Responses
		return w.grammar()
	case key == "id" && f.kind == "prompt": // one that the service keeps, with values for its gaps
		return w.opaque("prompt")
	case (key == "type" || key == "format" || key == "media_type") && c == '"':
		t, err := w.Text()
		w.other += int64(len(t.Raw))
		if key == "type" {
			if f.kind = t.String(); f.kind == itemReference {
				w.addUnseen(itemReference)
			}
		} else {
			f.format = t.String()
		}
		return err
	}
	return w.itemField(f, key)
}

// contentField reads a field of a content block.
func (w *walker) contentField(key string) error {
	c := w.Peek()
	switch key {
	case "input", "input_schema", "inputSchema", "json", "arguments", "parameters":
		if c == '{' || c == '[' && key != "input" {
			return w.jsonBlock()
		}
	case "video", "audio", "input_audio", "video_url", "audio_url":
		if c == '{' || c == '"' && strings.HasSuffix(key, "_url") {
			return w.timed(key)
		}
	case "detailLevel":
		w.req.DocumentImages = true
	case "file_id", "file_url", "s3Location", "s3Uri", "fileUri":
		return w.opaque(key)
	case "image_url":
		if c == '{' {
			return w.Object(func(k string) error {
				if k == "url" {
					return w.value("image_url", inContent)
				}
				return w.field(k, inContent)
			})
		}
	}
	return w.value(key, inContent)
}

// timed reads media that last, or their address.
func (w *walker) timed(key string) error {
	w.addTimed(key)
	raw, err := w.Value()
	w.other += int64(len(raw))
	if strings.Contains(raw, `"id"`) || strings.HasSuffix(key, "_url") && !strings.Contains(raw, `"data:`) {
		w.unseen(key)
	}
	return err
}

// mediaSource is where a block's data comes from.
type mediaSource struct {
	kind      string // "base64", "text", "url", ...
	mediaType string
	data      text
	told      bool // there is data, though it may be empty
	bedrocks  bool // it has Bedrock's name, bytes: then the format is told apart from the data
	opaque    bool
	stored    bool // the service fetches it from S3
}

func (w *walker) mediaSource(s *mediaSource) error {
	return w.Object(func(key string) error {
		if key == "s3Location" || key == "s3_location" {
			raw, err := w.Value()
			if raw != "null" && raw != `""` {
				s.stored = true
				w.unseen(StoredElsewhere)
			}
			return err
		}
		if w.Peek() != '"' {
			return w.field(key, inContent)
		}
		switch key {
		case "type", "media_type", "data", "bytes", "url", "uri", "file_id":
		default:
			return w.field(key, inContent)
		}
		t, err := w.Text()
		switch key {
		case "type":
			s.kind = t.String()
		case "media_type":
			s.mediaType = t.String()
		case "data", "bytes":
			if s.data.Raw != "" { // both at once: whichever is not the data is text
				w.addText(s.data)
			}
			s.data, s.told, s.bedrocks = t, true, key == "bytes"
			return err
		default:
			s.opaque = true
			w.unseen(key)
		}
		w.other += int64(len(t.Raw))
		return err
	})
}

// addSource counts a source, now that the block around it is known.
func (w *walker) addSource(f *blockFrame) {
	s := f.source
	kind, format := request.MediaType(s.mediaType)
	if kind == "" {
		kind, format = f.kind, f.format
	}
	if s.opaque {
		w.add(tokens.Block{Kind: tokens.Opaque})
	}
	if s.stored {
		if kind == "image" {
			w.req.StoredPictures = append(w.req.StoredPictures, len(w.req.Prompt.Blocks))
		}
		w.add(tokens.Block{Kind: tokens.Opaque})
	}
	if s.data.Raw == "" {
		if s.told && s.kind != "text" {
			w.addEmpty(kind, format)
		}
		return
	}
	if s.kind == "text" || !isBase64(s.data) {
		w.addText(s.data)
		return
	}
	if s.bedrocks && kind == "document" {
		w.addDocument(format, s.data)
		return
	}
	w.addMedia(kind, format, s.data)
}

// addEmpty counts an image or a document without data as the SDK's door does: nobody knows what the service makes of it.
func (w *walker) addEmpty(kind, format string) {
	switch kind {
	case "image":
		w.add(tokens.Block{Kind: tokens.Image, Format: format})
	case "document":
		w.add(tokens.DocumentBlock(format, nil))
	}
}

// cachePoint reads a cache point in any dialect. A TTL that is not known counts as the longest; 30 minutes are OpenAI's, which cost no more
// than five.
func (w *walker) cachePoint(form string) error {
	if w.Peek() != '{' {
		raw, err := w.Value()
		w.other += int64(len(raw))
		return err
	}
	writes := price.CacheWrites5m
	err := w.Object(func(key string) error {
		raw, err := w.Value()
		w.other += int64(len(raw))
		usual := raw == `"5m"` || raw == "null" || raw == `"30m"` && form == "prompt_cache_breakpoint"
		if key == "ttl" && !usual {
			writes = price.CacheWrites1h
		}
		return err
	})
	w.req.CacheWrites = max(w.req.CacheWrites, writes)
	return err
}

// retention reads how long OpenAI's models shall keep what they cache by themselves. Any lifetime but the usual one has no price of
// its own, and counts as the dearest.
func (w *walker) retention() error {
	raw, err := w.Value()
	w.other += int64(len(raw))
	writes := price.CacheWrites1h
	switch raw {
	case "null", "{}", `"in_memory"`, `"in-memory"`:
		writes = price.CacheWrites5m
	}
	w.req.CacheWrites = max(w.req.CacheWrites, writes)
	return err
}
