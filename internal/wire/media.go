package wire

import (
	"encoding/base64"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
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
func (w *walker) addDataURL(key string, t text) bool {
	s := strings.TrimSpace(t.String())
	if s == "" {
		return false
	}
	if len(s) >= len("data:") && strings.EqualFold(s[:len("data:")], "data:") {
		mediaType, data, ok := strings.Cut(s[len("data:"):], ";base64,")
		kind, format := request.MediaType(mediaType)
		if ok && kind != "" && isBase64(plain(data)) {
			w.addMedia(kind, format, plain(data))
			return true
		}
		if key == "image_url" { // an image that is packed in an unknown way
			w.add(tokens.Block{Kind: tokens.Opaque})
		}
		return false
	}
	scheme, _, ok := strings.Cut(s, "://")
	switch scheme = strings.ToLower(scheme); {
	case ok && (scheme == "https" || scheme == "http" || scheme == "s3"), key == "image_url":
		w.addUnseen(key)
		return true
	}
	return false
}

// addBareFile counts base64 that no media type introduces. It may be read as a file or as the text that it is: it counts as both.
func (w *walker) addBareFile(t text) {
	embedded := w.req.Embedded
	w.addText(t)
	w.addMedia("document", "", t)
	w.req.Embedded = embedded
}

// addMedia counts base64 data. Of an image it decodes no more than the header.
func (w *walker) addMedia(kind, format string, data text) {
	s := data.String()
	switch kind {
	case "image":
		w.req.Embedded += int64(len(data.Raw))
		size := int64(base64.StdEncoding.DecodedLen(len(s)))
		w.add(tokens.ImageBlock(format, base64.NewDecoder(base64.StdEncoding, strings.NewReader(s)), size))
	case "document":
		if format == "" && isPDF(s) {
			format = "pdf"
		}
		w.addDocument(format, data)
	case "video", "audio":
		w.addTimed(kind)
	default:
		w.addText(data)
	}
}

// isPDF reports whether base64 data begins as a PDF does.
func isPDF(s string) bool {
	head, err := base64.StdEncoding.DecodeString(s[:min(len(s), 8)])
	return err == nil && strings.HasPrefix(string(head), "%PDF-")
}

// addDocument counts base64 data of a document in a format.
func (w *walker) addDocument(format string, data text) {
	decoded, err := base64.StdEncoding.DecodeString(data.String())
	if err != nil {
		w.addText(data)
		return
	}
	w.req.Embedded += int64(len(data.Raw))
	w.add(tokens.DocumentBlock(format, decoded))
}

// isBase64 reports whether the beginning of a string decodes: what does not is read as text.
func isBase64(t text) bool {
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
