package cache

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
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
			t, err := r.Text()
			if key == "type" {
				s.kind = t.String()
			} else {
				s.mediaType = t.String()
			}
			r.string(t)
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

// imageTokens is what an image is likely to count.
func (s *source) imageTokens() int64 {
	if s.data.Raw == "" {
		return request.MaxImageTokens
	}
	return request.Base64{Text: s.data}.ImageTokens()
}

// documentTokens is what a document is likely to count.
func (s *source) documentTokens(format string) int64 {
	if s.data.Raw == "" {
		return request.PageTokens
	}
	return request.Base64{Text: s.data}.DocumentTokens(formatOf(format, s.mediaType))
}

// formatOf returns the format of a document: that of its own field or, if that is empty, of its media type.
func formatOf(format, mediaType string) string {
	if format != "" {
		return format
	}
	switch kind, told := request.MediaType(mediaType); kind {
	case "document":
		return told
	case "", "text":
		return "txt"
	default:
		return "docx"
	}
}

// DocumentTokens returns how many tokens a document is likely to count. It is exact enough to estimate what findings cost, and not to decide that a
// prefix is long enough to be cached. format is one of Converse's, such as "pdf"; data is the document itself.
func DocumentTokens(format string, data []byte) int64 { return request.DocumentTokens(format, data) }
