package cost

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// inlineBytes is how long a string has to be to become a block of its own. Shorter ones are mostly roles, types and ids.
const inlineBytes = 16

// String counts a string: as media if its key and its form say so, else as text. Short text goes to the bytes outside of blocks.
func (m *meter) String(key string, t jsonscan.Text) {
	// addDataURL counts the string if it is a data URL or an address, and returns false if it may be something else all the same.
	if isMediaKey(key) && m.addDataURL(key, t) {
		return
	}
	switch {
	// Under these keys media stand without a media type, as base64 alone.
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

// JSON counts a value as it stands, like text. The int is its length without white space and escapes, which decides nothing here: the service reads
// those, too.
func (m *meter) JSON(raw string, _ int) {
	if raw != "null" {
		m.add(tokens.Block{Kind: tokens.JSON, Text: raw})
	}
}

// Word counts a word of the dialect's own, such as the name of a format.
func (m *meter) Word(t jsonscan.Text) { m.Other(len(t.Raw)) }

// Type counts the type of an object, and notes one that stands for what the service keeps.
func (m *meter) Type(t jsonscan.Text) {
	m.Other(len(t.Raw))
	if t.String() == jsonbody.ItemReference {
		m.Unseen(jsonbody.ItemReference)
	}
}

// addText adds a text to the prompt, unless it is empty.
func (m *meter) addText(t jsonscan.Text) {
	if t.Raw != "" {
		m.add(tokens.Block{Kind: tokens.Text, Text: t.Raw, Escaped: t.Escaped()})
	}
}

// Lasting counts a video or a sound, which is in the body or stands under an address or an id. What the service fetches is noted as unseen.
func (m *meter) Lasting(key, raw string) {
	m.addTimed(key)
	m.Other(len(raw))
	// It is fetched if it has an id, or if a field for an address holds no data URL.
	if strings.Contains(raw, `"id"`) || strings.HasSuffix(key, "_url") && !strings.Contains(raw, `"data:`) {
		m.unseen(key)
	}
}

// addTimed counts a video or a sound. Its tokens can't be known, and some models bill its seconds.
func (m *meter) addTimed(kind string) {
	if strings.Contains(kind, "audio") {
		m.req.Audios++
	} else {
		m.req.Videos++
	}
	m.add(tokens.Block{Kind: tokens.Opaque})
}

// End counts what is only known at the end of an object: the media in its source, and the text that can be cited.
func (m *meter) End(o jsonbody.Object) {
	if o.Cited { // Hidden counts what makes the service add text of its own to the prompt, as citations do
		m.req.Prompt.Hidden.Add(tokens.Hidden{Citations: 1, CitedBytes: markedUp(o.Raw)})
	}
	if !o.HasSource {
		m.addAddress(&o)
		return
	}
	before := len(m.req.Prompt.Blocks)
	m.addSource(&o)
	for i := range m.req.Prompt.Blocks[before:] { // the blocks that addSource has added
		m.req.Prompt.Blocks[before+i].Cited = o.Cited // package tokens then counts the marks in the text that a document unpacks to, too
	}
}

// markedUp returns how many bytes of text in a block can be cited: the texts of a search result, and of a document that is text. The service marks
// them up, which adds tokens. The text of a document that has to be unpacked, such as a PDF, is counted where it is unpacked.
func markedUp(block string) (n int64) {
	p := jsonscan.New(block)
	var value func(key string) error
	value = func(key string) error { // reads a value under a key, or in a list under it
		switch p.Peek() {
		case '{':
			return p.Object(value)
		case '[':
			return p.Array(func() error { return value(key) })
		case '"':
			t, err := p.Text()
			// Data may be base64 as well, which then makes the bound higher than it need be.
			if key == "text" || key == "data" || key == "content" {
				n += tokens.WideText(t.String()) // its bytes, or more if the normalisation of Unicode can lengthen it
			}
			return err
		}
		return p.Skip()
	}
	if value("") != nil {
		return int64(len(block)) // it was read before, so this can't happen; the whole block would be the safe number
	}
	return n
}
