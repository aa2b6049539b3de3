package cost

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"unicode"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// isMediaKey reports whether a string under this key may be a data URL, or the address of something that the service fetches.
func isMediaKey(key string) bool {
	switch key {
	case "file_data", "images", "inputImage":
		return true
	default:
		return isMedium(key)
	}
}

// isMedium reports whether a key, or the type of an object, says that it holds media, in the words of any dialect.
func isMedium(name string) bool {
	switch strings.TrimPrefix(name, "input_") {
	case "image", "video", "audio", "document", "file", "pdf":
		return true
	default:
		return strings.HasSuffix(name, "_url") || strings.HasSuffix(name, "_uri")
	}
}

// isAddress reports whether a text is an address and nothing else.
func isAddress(s string) bool {
	scheme, rest, ok := strings.Cut(s, "://")
	notOfScheme := func(r rune) bool {
		return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r)
	}
	return ok && scheme != "" && rest != "" && strings.IndexFunc(scheme, notOfScheme) < 0 && strings.IndexFunc(rest, unicode.IsSpace) < 0
}

// addAddress counts what a service fetches for an object of media without a source, which may have no more than its address.
func (m *meter) addAddress(o *jsonbody.Object) {
	// Name is the object's type or, without one, its key.
	if !isMedium(o.Name()) && !isMedium(o.Key) {
		return
	}
	// There is no member without a colon: an object may be empty, and a plain string in the place of a list of blocks has no Raw.
	if !strings.Contains(o.Raw, ":") {
		return
	}
	p := jsonscan.New(o.Raw)
	_ = p.Object(func(key string) error { // it was read before, so that this can't fail
		isAddressKey := key == "url" || key == "uri"
		counted := o.Key == "image_url" && key == "url" // the walk has told String of this one
		if !isAddressKey || counted || p.Peek() != '"' {
			return p.Skip()
		}
		t, err := p.Text()
		if isAddress(strings.TrimSpace(t.String())) {
			m.Unseen(key)
		}
		return err
	})
}

// addDataURL counts a string that is a data URL, or an address that the provider would fetch, and reports whether that is all that it can be. If it
// returns false, String counts the string as text or in another form, in addition to what addDataURL has counted.
func (m *meter) addDataURL(key string, t jsonscan.Text) bool {
	s := strings.TrimSpace(t.String())
	if s == "" {
		return false
	}
	const scheme = "data:"
	if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
		return m.addInline(key, s[len(scheme):])
	}
	if isAddress(s) || key == "image_url" { // what is no data URL under image_url has to be some kind of address
		m.Unseen(key)
		return true
	}
	return false
}

// addInline counts what follows the scheme of a data URL, and reports, as addDataURL does, whether that is all that the string can be.
func (m *meter) addInline(key, rest string) bool {
	mediaType, data, ok := cutDataURL(rest)
	kind, format := request.MediaType(mediaType) // both are empty if there is no media type
	packed := jsonscan.Text{Raw: data, Len: len(data)}
	switch {
	case !ok: // not base64, or no data URL after all
	case key == "file_data" && kind == "":
		m.addBareFile(packed)
		return true
	// Under other keys than image_url, data that are no base64 may be text, which addMedia counts too.
	case kind != "" && (isBase64(packed) || key != "image_url"):
		m.addMedia(kind, format, packed)
		return true
	}
	if key == "image_url" { // certainly an image, but packed in an unknown way, so that its size is not known
		m.add(tokens.Block{Kind: tokens.Opaque})
	}
	return false
}

// cutDataURL splits what follows the scheme of a data URL, and reports whether its data are base64.
func cutDataURL(rest string) (mediaType, data string, ok bool) {
	header, data, ok := strings.Cut(rest, ",")
	header = strings.TrimSpace(header)
	const mark = ";base64"
	at := len(header) - len(mark)
	if !ok || at < 0 || !strings.EqualFold(header[at:], mark) {
		return "", "", false
	}
	return header[:at], data, true
}

// addBareFile counts base64 that no media type introduces. It may be read as a file or as the text that it is: it counts as both. Because it may be
// text, its bytes are not Embedded ones, those of media whose length says nothing about tokens.
func (m *meter) addBareFile(t jsonscan.Text) {
	embedded := m.req.Embedded
	m.addText(t)
	m.addMedia("document", "", t)
	m.req.Embedded = embedded
}

// addMedia counts base64 data of a kind and format, as request.MediaType names them. Of an image it decodes no more than the header. Data that are
// not valid base64 may be read as text, or by a tolerant reader as media: they count as both.
func (m *meter) addMedia(kind, format string, data jsonscan.Text) {
	switch kind {
	case "image":
		m.addImage(format, data)
	case "document":
		if format == "" && isPDF(data.String()) {
			format = "pdf"
		}
		m.addDocument(format, data)
	case "video", "audio": // whatever the format and the data
		m.addTimed(kind)
	case "application": // a file of a kind that is not known
		m.addBareFile(data)
	default: // a text, or of a kind that no dialect has
		m.addText(data)
	}
}

// addImage counts base64 data of an image in a format. Data that are not valid base64 count as text, and as an image if a tolerant reader finds one.
func (m *meter) addImage(format string, data jsonscan.Text) {
	s := data.String()
	if !isBase64(data) {
		m.addText(data)
		raw := tolerant(s)
		// Width is 0 if no header of an image is found.
		if b := tokens.ImageBlock(format, bytes.NewReader(raw), int64(len(raw))); b.Width > 0 {
			m.add(b)
		}
		return
	}
	m.req.Embedded += int64(len(data.Raw)) // Embedded are the bytes whose length says nothing about tokens
	size := int64(base64.StdEncoding.DecodedLen(len(s)))
	m.add(tokens.ImageBlock(format, base64.NewDecoder(base64.StdEncoding, strings.NewReader(s)), size))
}

// tolerant decodes base64 as the most tolerant readers do: with or without padding, in either alphabet, and passing over everything else.
func tolerant(s string) []byte {
	letters := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '+', r == '/':
			return r
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		default:
			return -1
		}
	}, s)
	if len(letters)%4 == 1 {
		letters = letters[:len(letters)-1] // a letter behind the last group of four has six bits, less than a byte
	}
	decoded, _ := base64.RawStdEncoding.DecodeString(letters) // it can't fail: no other letters are left
	return decoded
}

// isPDF reports whether base64 data begins as a PDF does, for tolerant readers.
func isPDF(s string) bool { return bytes.HasPrefix(tolerant(s[:min(len(s), 64)]), []byte("%PDF-")) }

// addDocument counts base64 data of a document in a format. Data that are not valid base64 may be read as text, or by a tolerant reader as a
// document: they count as both.
func (m *meter) addDocument(format string, data jsonscan.Text) {
	s := data.String()
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err == nil {
		m.req.Embedded += int64(len(data.Raw)) // bytes whose length says nothing about tokens, which those of a text do
		m.add(tokens.DocumentBlock(format, decoded))
		return
	}
	m.addText(data)
	m.add(tokens.DocumentBlock(format, tolerant(s)))
}

// isBase64 reports whether the first 64 letters of a string decode as base64. A string that does not is taken for text.
func isBase64(t jsonscan.Text) bool {
	s := t.Raw
	if t.Escaped() {
		s = t.String()
	}
	s = s[:min(len(s), 64)&^3] // whole groups of four letters, each of which stands for three bytes
	if s == "" {
		return false
	}
	var head [48]byte
	_, err := base64.StdEncoding.Decode(head[:], []byte(s))
	return err == nil
}

// addSource counts the source of an object: its data, as each kind of content that they may be, and what the service fetches for it.
func (m *meter) addSource(o *jsonbody.Object) {
	s := &o.Source
	kinds := o.Kinds() // pairs of a kind and a format: the first is the likely one, the others are possible
	kind, format := kinds[0][0], kinds[0][1]
	m.addFetched(s, kind)
	// Data stand under one of their two names: Bedrocks says that it is "bytes", Bedrock's own. First are the data under the other name, and empty
	// unless the source has both.
	both := s.First.Raw != ""
	onlyText := s.Type == "text" && !s.Bedrocks && len(kinds) == 1 && !both
	switch {
	case s.Data.Raw == "" && s.Told && s.Type != "text": // the field is there, and empty
		m.addEmpty(kind, format)
	case s.Data.Raw == "": // there are no data, or an empty text
	case onlyText:
		m.addText(s.Data)
	default:
		m.addData(kinds, s.Data, s.Bedrocks)
	}
	if both { // the service reads one of the two, so both count
		m.addData(kinds, s.First, !s.Bedrocks)
	}
}

// addFetched counts what the service fetches for a source of this kind, from an address or from S3, as content of unknown size.
func (m *meter) addFetched(s *jsonbody.Source, kind string) {
	if s.Remote != "" {
		m.unseen(s.Remote)
		m.add(tokens.Block{Kind: tokens.Opaque})
	}
	if s.Stored {
		m.unseen(StoredElsewhere)
		if kind == "image" { // the index is that of the Opaque block that is added next
			m.req.StoredPictures = append(m.req.StoredPictures, len(m.req.Prompt.Blocks))
		}
		m.add(tokens.Block{Kind: tokens.Opaque})
	}
}

// addData counts data that can be of any of these kinds, pairs of a kind and a format, as all of them. bedrocks says that the data have Bedrock's
// form, in which a format stands beside them: then a document is of that format, whatever its first bytes are.
func (m *meter) addData(kinds [][2]string, data jsonscan.Text, bedrocks bool) {
	before := m.req.Embedded
	// Embedded grows by the bytes that are media. They count once, and only if they are media for all kinds: so it ends as the smallest number that it
	// has after any kind.
	embedded := int64(math.MaxInt64)
	for _, kind := range kinds {
		m.req.Embedded = before
		if bedrocks && kind[0] == "document" {
			m.addDocument(kind[1], data)
		} else {
			m.addMedia(kind[0], kind[1], data)
		}
		embedded = min(embedded, m.req.Embedded)
	}
	m.req.Embedded = embedded
}

// addEmpty counts an image or a document without data as one of unknown size, as it counts when the request is a value of the SDK: it is not known
// what the service makes of it.
func (m *meter) addEmpty(kind, format string) {
	switch kind {
	case "image":
		m.add(tokens.Block{Kind: tokens.Image, Format: format})
	case "document":
		m.add(tokens.DocumentBlock(format, nil))
	}
}
