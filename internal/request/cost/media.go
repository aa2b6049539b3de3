package cost

import (
	"encoding/base64"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// isMediaKey reports whether a string under this key may be a data URL, or the address of an image.
func isMediaKey(key string) bool {
	switch key {
	case "image_url", "file_data", "images", "image", "inputImage":
		return true
	default:
		return false
	}
}

// addDataURL counts a string that is a data URL, or an address that the provider would fetch, and reports whether it was.
func (m *meter) addDataURL(key string, t jsonscan.Text) bool {
	s := strings.TrimSpace(t.String())
	if s == "" {
		return false
	}
	if len(s) >= len("data:") && strings.EqualFold(s[:len("data:")], "data:") {
		mediaType, data, ok := strings.Cut(s[len("data:"):], ";base64,")
		kind, format := request.MediaType(mediaType)
		if ok && kind != "" && isBase64(jsonscan.Text{Raw: data, Len: len(data)}) {
			m.addMedia(kind, format, jsonscan.Text{Raw: data, Len: len(data)})
			return true
		}
		if key == "image_url" { // an image that is packed in an unknown way
			m.add(tokens.Block{Kind: tokens.Opaque})
		}
		return false
	}
	scheme, _, ok := strings.Cut(s, "://")
	switch scheme = strings.ToLower(scheme); {
	case ok && (scheme == "https" || scheme == "http" || scheme == "s3"), key == "image_url":
		m.Unseen(key)
		return true
	}
	return false
}

// addBareFile counts base64 that no media type introduces. It may be read as a file or as the text that it is: it counts as both.
func (m *meter) addBareFile(t jsonscan.Text) {
	embedded := m.req.Embedded
	m.addText(t)
	m.addMedia("document", "", t)
	m.req.Embedded = embedded
}

// addMedia counts base64 data. Of an image it decodes no more than the header.
func (m *meter) addMedia(kind, format string, data jsonscan.Text) {
	s := data.String()
	switch kind {
	case "image":
		m.req.Embedded += int64(len(data.Raw))
		size := int64(base64.StdEncoding.DecodedLen(len(s)))
		m.add(tokens.ImageBlock(format, base64.NewDecoder(base64.StdEncoding, strings.NewReader(s)), size))
	case "document":
		if format == "" && isPDF(s) {
			format = "pdf"
		}
		m.addDocument(format, data)
	case "video", "audio":
		m.addTimed(kind)
	default:
		m.addText(data)
	}
}

// isPDF reports whether base64 data begins as a PDF does.
func isPDF(s string) bool {
	head, err := base64.StdEncoding.DecodeString(s[:min(len(s), 8)])
	return err == nil && strings.HasPrefix(string(head), "%PDF-")
}

// addDocument counts base64 data of a document in a format.
func (m *meter) addDocument(format string, data jsonscan.Text) {
	decoded, err := base64.StdEncoding.DecodeString(data.String())
	if err != nil {
		m.addText(data)
		return
	}
	m.req.Embedded += int64(len(data.Raw))
	m.add(tokens.DocumentBlock(format, decoded))
}

// isBase64 reports whether the beginning of a string decodes: what does not is read as text.
func isBase64(t jsonscan.Text) bool {
	s := t.Raw
	if t.Escaped() {
		s = t.String()
	}
	s = s[:min(len(s), 64)&^3]
	if s == "" {
		return false
	}
	var head [48]byte
	_, err := base64.StdEncoding.Decode(head[:], []byte(s))
	return err == nil
}

// addSource counts the source of an object.
func (m *meter) addSource(o *jsonbody.Object) {
	s := &o.Source
	kind, format := o.Media()
	m.addText(s.First)
	if s.Remote != "" {
		m.unseen(s.Remote)
		m.add(tokens.Block{Kind: tokens.Opaque})
	}
	if s.Stored {
		m.unseen(StoredElsewhere)
		if kind == "image" {
			m.req.StoredPictures = append(m.req.StoredPictures, len(m.req.Prompt.Blocks))
		}
		m.add(tokens.Block{Kind: tokens.Opaque})
	}
	switch {
	case s.Data.Raw == "":
		if s.Told && s.Type != "text" {
			m.addEmpty(kind, format)
		}
	case s.Type == "text" || !isBase64(s.Data):
		m.addText(s.Data)
	case s.Bedrocks && kind == "document":
		m.addDocument(format, s.Data)
	default:
		m.addMedia(kind, format, s.Data)
	}
}

// addEmpty counts an image or a document without data as the SDK's door does: nobody knows what the service makes of it.
func (m *meter) addEmpty(kind, format string) {
	switch kind {
	case "image":
		m.add(tokens.Block{Kind: tokens.Image, Format: format})
	case "document":
		m.add(tokens.DocumentBlock(format, nil))
	}
}
