package wire

import (
	"bytes"
	"encoding/base64"
	"strings"

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
func (w *walker) addDataURL(t text) bool {
	s := t.String()
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "s3://") {
		w.add(tokens.Block{Kind: tokens.Opaque})
		return true
	}
	rest, ok := strings.CutPrefix(s, "data:")
	if !ok {
		return false
	}
	mediaType, data, ok := strings.Cut(rest, ";base64,")
	kind, format := mediaKind(mediaType)
	if !ok || kind == "" || !isBase64(plain(data)) {
		return false
	}
	w.addMedia(kind, format, plain(data))
	return true
}

// mediaKind splits a media type into the kind of block and Bedrock's name of the format. Both are empty when it tells nothing.
func mediaKind(mediaType string) (kind, format string) {
	switch mediaType {
	case "":
		return "", ""
	case "application/pdf":
		return "document", "pdf"
	case "text/plain":
		return "document", "txt"
	case "text/csv", "text/html":
		return "document", mediaType[len("text/"):]
	case "text/markdown":
		return "document", "md"
	case "application/vnd.openxmlformats-officedocument.wordprocessingml.document":
		return "document", "docx"
	case "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":
		return "document", "xlsx"
	}
	kind, format, _ = strings.Cut(mediaType, "/")
	return kind, format
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
		decoded, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			w.addText(data)
			return
		}
		if format == "" && bytes.HasPrefix(decoded, []byte("%PDF-")) {
			format = "pdf"
		}
		w.req.Embedded += int64(len(data.Raw))
		w.add(tokens.DocumentBlock(format, decoded))
	case "video", "audio":
		w.addTimed(kind)
	default:
		w.addText(data)
	}
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
