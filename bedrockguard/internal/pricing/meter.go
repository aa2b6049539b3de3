package pricing

import (
	"bytes"
	"encoding/base64"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// meter is the sink that collects what the length of the serialised body does not tell: media, content held elsewhere, cache points, and what
// makes the service add text of its own. A walk over Converse's typed input calls its methods (converse.WalkBeyondText), one for each thing that it
// finds. It bounds what it does not understand. Text of every kind is in the body, and passed over.
type meter struct {
	*Demand
	err error // of fields that bypass Converse's own and can't be read
}

// What is in the body, and costs nothing besides its length.
func (m *meter) Enter(request.Section)  {}
func (m *meter) Message(int, bool)      {}
func (m *meter) TextBlock(int, string)  {}
func (m *meter) Text(string)            {}
func (m *meter) JSON(request.Marshaler) {}
func (m *meter) Setting(string, string) {}

// Unpriced notes a feature that runs at the service, which can make an answer of several inferences: the SDK's types do not tell them apart.
func (m *meter) Unpriced(feature string) {
	m.feature(feature)
	m.Decodable = false
}

// Block counts tools, to which the provider adds text.
func (m *meter) Block(k request.Kind, _ int) {
	if k == request.ToolDefinition || k == request.SystemTool {
		m.prompt.Tools++
	}
}

// Point notes what a cache point can write. open says that it names no lifetime, which is five minutes then. Any other lifetime counts as an hour,
// the dearest, also one that is not known.
func (m *meter) Point(_ int, ttl time.Duration, open bool) {
	writes := price.CacheWrites1h
	if open || ttl == request.FiveMinutes {
		writes = price.CacheWrites5m
	}
	m.Writes = max(m.Writes, writes)
}

// Media adds a block for a picture, file, sound or video. The bytes of one that is in the body (Inline) are taken off the length of the text. A size
// that can't be told makes the block opaque: then only the context window bounds the prompt.
func (m *meter) Media(b request.Media) {
	inline := b.From == request.Inline
	if b.Kind == request.Picture {
		m.images++
	}
	switch {
	case b.Kind == request.Sealed:
		// Encrypted reasoning stands in the body as base64, which is longer than its text: the length of the body bounds it.
	case b.Kind == request.Picture && inline:
		m.embed(len(b.Data))
		m.add(tokens.ImageBlock(b.Format, bytes.NewReader(b.Data), int64(len(b.Data))))
	case b.Kind == request.Picture: // the size is unknown, the family's largest image is not
		m.add(tokens.Block{Kind: tokens.Image, Format: b.Format})
	case b.Kind == request.File && inline:
		m.embed(len(b.Data))
		block := tokens.DocumentBlock(b.Format, b.Data)
		// A file that is to be cited counts twice, because the service divides its text by marks.
		block.Cited = b.Cited
		m.add(block)
	case b.Kind == request.Audio: // an opaque block is bounded by the window, so that its bytes in the body need not be taken off
		m.audios++
		m.opaque()
	case b.Kind == request.Video:
		m.videos++
		m.opaque()
	default: // held elsewhere, and whatever the SDK adds
		m.opaque()
	}
}

// Flag counts what is to be cited: the service adds instructions and marks for it.
func (m *meter) Flag(f request.Flag) {
	if f == request.Cited {
		m.prompt.Hidden.Add(tokens.Hidden{Citations: 1})
	}
}

// CitedText counts a text that is to be cited once more, because the service divides it by marks.
func (m *meter) CitedText(s string) {
	m.prompt.Hidden.Add(tokens.Hidden{CitedBytes: tokens.WideText(s)})
}

// Grammar counts a schema once more, because the service writes it into the prompt as a grammar, too.
func (m *meter) Grammar(schema request.Marshaler) {
	raw, err := schema.MarshalSmithyDocument()
	if err != nil {
		m.opaque() // the serializer will refuse it
	}
	// WideText is the wide bound of a text: its bytes, and those that normalisation can add.
	m.prompt.Hidden.Add(tokens.Hidden{Schemas: 1, SchemaBytes: tokens.WideText(string(raw))})
}

// Fields reads the fields that bypass Converse's own: they can raise the output and the price of a request, make the service add text to it and
// make its answer of several inferences, never the opposite. Their own text is in the length of the body.
func (m *meter) Fields(fields request.Marshaler) {
	// The answer may then tell of costs that the SDK's types do not hold.
	m.Decodable = false
	m.err = m.AddFields(fields)
}

// embed notes that n bytes of media are in the body, as base64, and opaque adds content whose tokens can't be counted.
func (m *meter) embed(n int) { m.embedded += int64(base64.StdEncoding.EncodedLen(n)) }
func (m *meter) opaque()     { m.add(tokens.Block{Kind: tokens.Opaque}) }

func (m *meter) add(b tokens.Block) { m.prompt.Blocks = append(m.prompt.Blocks, b) }
