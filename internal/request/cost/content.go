package cost

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// inlineBytes is how long a string has to be to become a block of its own. Shorter ones are mostly roles, types and ids.
const inlineBytes = 16

// String counts a string: as media if its key says so and it has the form, else as text.
func (m *meter) String(key string, t jsonscan.Text) {
	switch {
	case isMediaKey(key) && m.addDataURL(key, t):
	case (key == "images" || key == "inputImage" || key == "image") && isBase64(t):
		m.addMedia("image", "", t)
	case key == "file_data" && len(t.Raw) >= inlineBytes && (isBase64(t) || isPDF(t.String())):
		m.addBareFile(t)
	case len(t.Raw) < inlineBytes:
		m.Other(len(t.Raw))
	default:
		m.addText(t)
	}
}

// Literal counts a number, true, false or null.
func (m *meter) Literal(_, raw string) { m.Other(len(raw)) }

// JSON counts a value as it stands.
func (m *meter) JSON(raw string, _ int) {
	if raw != "null" {
		m.add(tokens.Block{Kind: tokens.JSON, Text: raw})
	}
}

// Word counts a word of the dialect's.
func (m *meter) Word(t jsonscan.Text) { m.Other(len(t.Raw)) }

// Type counts the type of an object, and notes one that stands for what the service keeps.
func (m *meter) Type(t jsonscan.Text) {
	m.Other(len(t.Raw))
	if t.String() == jsonbody.ItemReference {
		m.Unseen(jsonbody.ItemReference)
	}
}

func (m *meter) addText(t jsonscan.Text) {
	if t.Raw != "" {
		m.add(tokens.Block{Kind: tokens.Text, Text: t.Raw, Escaped: t.Escaped()})
	}
}

// Lasting counts a video or a sound, or its address.
func (m *meter) Lasting(key, raw string) {
	m.addTimed(key)
	m.Other(len(raw))
	if strings.Contains(raw, `"id"`) || strings.HasSuffix(key, "_url") && !strings.Contains(raw, `"data:`) {
		m.unseen(key)
	}
}

// addTimed notes media that last: their tokens can't be known, and some models bill their seconds.
func (m *meter) addTimed(kind string) {
	if strings.Contains(kind, "audio") {
		m.req.Audios++
	} else {
		m.req.Videos++
	}
	m.add(tokens.Block{Kind: tokens.Opaque})
}

// End counts what an object holds that only the whole of it tells.
func (m *meter) End(o jsonbody.Object) {
	if o.Cited {
		m.req.Prompt.Hidden.Add(tokens.Hidden{Citations: 1, CitedBytes: markedUp(o.Raw)})
	}
	m.addAddress(&o)
	if o.HasSource {
		before := len(m.req.Prompt.Blocks)
		m.addSource(&o)
		for i := range m.req.Prompt.Blocks[before:] {
			m.req.Prompt.Blocks[before+i].Cited = o.Cited // what it unpacks to is marked up, which can be more than the block's bytes
		}
	}
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
