package cache

import (
	"encoding/base64"
	"encoding/binary"
	"image/jpeg"
	"io"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// source is where the data of an image or document comes from.
type source struct {
	kind      string // "base64", "text", "url", ...
	mediaType string
	data      jsonscan.Text
	remote    bool // the service fetches it
	told      bool // there is a source
}

// readSource reads the object under the key source. What it is a source of may be told later.
func (r *bodyReader) readSource(f *frame) error {
	s := &f.source
	s.told = true
	g := frame{key: "source"}
	err := r.Object(func(key string) error {
		isString := r.Peek() == '"'
		switch {
		case isString && (key == "data" || key == "bytes") && s.data.Raw == "":
			var err error
			s.data, err = r.Text()
			return err
		case key == "url" || key == "file_id" || key == "s3Location":
			s.remote = true
		case isString && (key == "type" || key == "media_type"):
			_, start := r.Member()
			t, err := r.Text()
			if key == "type" {
				s.kind = t.String()
			} else {
				s.mediaType = t.String()
			}
			r.leaf(r.From(start), leaf{})
			return err
		}
		return r.nestedField(&g, key)
	})
	if err == nil {
		r.pointsOnly(&g)
		r.keep(&g, r.last().Index, true)
	}
	return err
}

// media counts the source of an object, now that the object has been read.
func (r *bodyReader) media(f *frame) {
	s := &f.source
	if !s.told {
		return
	}
	if s.kind == "text" {
		r.text(s.data)
		return
	}
	if s.data.Raw != "" {
		r.leaf(s.data.Raw, leaf{binary: true})
		r.last().Bytes -= len(s.data.Raw)
	}
	switch isImage, isDocument := s.holds(f, "image"), s.holds(f, "document"); {
	case s.data.Raw == "" && !s.remote: // its text has been counted
	case isImage:
		r.p.Media(Image, s.imageTokens())
	case isDocument:
		r.p.Media(Document, s.documentTokens(f.format))
	}
}

// holds reports whether a source holds an image or a document, by its media type, else by the object around it.
func (s *source) holds(f *frame, what string) bool {
	switch class, _, _ := strings.Cut(s.mediaType, "/"); class {
	case "image":
		return what == "image"
	case "application", "text":
		return what == "document"
	default:
		return f.name == what || f.key == what
	}
}

// What images are likely to count. The figures are middling ones of what makers publish of their models (2026-11); what is
// not known, because the service fetches it or its header tells no size, counts as a large image.
const (
	pixelsPerToken = 750
	maxEdge        = 1 << 16 // of an image; a header may tell anything
	maxImageTokens = 1600    // larger images are scaled down
)

func (s *source) imageTokens() int64 {
	w, h, ok := imageSize(s.data)
	if !ok {
		return maxImageTokens
	}
	return min(max(min(w, maxEdge)*min(h, maxEdge)/pixelsPerToken, 1), maxImageTokens)
}

// documentTokens is what a document is likely to count.
func (s *source) documentTokens(format string) int64 {
	if s.data.Raw == "" {
		return pageTokens
	}
	return documentTokens(formatOf(format, s.mediaType), s.bytes(), func() int64 {
		raw := s.data.Raw
		if s.data.Escaped() {
			raw = unescapeBase64.Replace(raw)
		}
		return pdfPages(base64.NewDecoder(base64.StdEncoding, strings.NewReader(raw)))
	})
}

// unescapeBase64 resolves the escapes that JSON may have in base64, and drops line ends.
var unescapeBase64 = strings.NewReplacer(`\/`, `/`, `\n`, ``, `\r`, ``)

// bytes returns about how many bytes the base64 data holds.
func (s *source) bytes() int64 { return int64(s.data.Len) / 4 * 3 }

// imageHeader is how much base64 is looked at for the size of a JPEG, which may carry a preview and a colour profile first.
const imageHeader = 96 << 10

// imageSize reads the dimensions in pixels from the header of base64 data: PNG, GIF, WebP or JPEG.
func imageSize(data jsonscan.Text) (width, height int64, ok bool) {
	raw := data.Raw[:min(len(data.Raw), imageHeader)]
	if data.Escaped() {
		raw = unescapeBase64.Replace(raw)
	}
	decoder := base64.NewDecoder(base64.StdEncoding, strings.NewReader(raw))
	var h [30]byte
	n, _ := io.ReadFull(decoder, h[:])
	switch head := string(h[:n]); {
	case n >= 24 && strings.HasPrefix(head, "\x89PNG"):
		return int64(binary.BigEndian.Uint32(h[16:])), int64(binary.BigEndian.Uint32(h[20:])), true
	case n >= 10 && strings.HasPrefix(head, "GIF8"):
		return int64(binary.LittleEndian.Uint16(h[6:])), int64(binary.LittleEndian.Uint16(h[8:])), true
	case n == 30 && strings.HasPrefix(head, "RIFF") && head[8:12] == "WEBP":
		return webPSize(h[12:])
	case n >= 2 && head[:2] == "\xff\xd8":
		c, err := jpeg.DecodeConfig(io.MultiReader(strings.NewReader(head), decoder))
		return int64(c.Width), int64(c.Height), err == nil
	}
	return 0, 0, false
}

// webPSize reads the first chunk of a WebP file: its canvas (RFC 9649, section 2.7), the packed size of a lossless image
// (section 3.4) or that of a key frame (RFC 6386, section 9.1).
func webPSize(chunk []byte) (width, height int64, ok bool) {
	body := chunk[8:]
	switch string(chunk[:4]) {
	case "VP8X":
		w := binary.LittleEndian.Uint32(body[4:]) & 0xffffff
		h := binary.LittleEndian.Uint32(body[6:]) >> 8
		return int64(w) + 1, int64(h) + 1, true
	case "VP8L":
		b := binary.LittleEndian.Uint32(body[1:])
		return int64(b&0x3fff) + 1, int64(b>>14&0x3fff) + 1, true
	case "VP8 ":
		return int64(binary.LittleEndian.Uint16(body[6:]) & 0x3fff), int64(binary.LittleEndian.Uint16(body[8:]) & 0x3fff), true
	}
	return 0, 0, false
}
