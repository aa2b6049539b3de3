package prompt

import (
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
)

// media adds the source of an object, the data of an image or document or where the service fetches them, and the tokens that they are likely to
// count.
func (s *bodySink) media(o *jsonbody.Object) {
	from := &o.Source
	if !o.HasSource { // it has no object "source"
		return
	}
	if from.First.Raw != "" { // it has data under two names
		s.string(from.First)
	}
	if from.Type == "text" {
		s.text(from.Data)
		return
	}
	if from.Data.Raw != "" {
		s.leaf(from.Data.Raw, leaf{binary: true}) // for the hash: media count tokens and no text
		s.last().Bytes -= len(from.Data.Raw)
	}
	s.mediaTokens(o)
}

// mediaTokens adds the tokens of an object's source. Video, sound and kinds that are not known count nothing. An image that the service fetches
// counts as a large one, and such a document as one page.
func (s *bodySink) mediaTokens(o *jsonbody.Object) {
	from := &o.Source
	data := request.Base64{Text: from.Data}
	// The data are in the body, or the service fetches them: from an address, of which Remote is the field, or from S3.
	inline, remote := from.Data.Raw != "", from.Remote != "" || from.Stored
	kind, _ := o.Media() // "image", "document" and so on; of a media type that is not known, what stands before its slash
	unknownFile := from.MediaType != "" && (kind == "application" || kind == "text")
	isFile := kind == "document" || unknownFile
	switch {
	case kind == "image" && inline:
		s.p.Media(Image, data.ImageTokens())
	case kind == "image" && remote:
		s.p.Media(Image, request.MaxImageTokens)
	case isFile && inline:
		s.p.Media(Document, data.DocumentTokens(formatOf(o.Format, from.MediaType)))
	case isFile && remote:
		s.p.Media(Document, request.PageTokens)
	}
}

// formatOf returns the format of a document, one of Converse's: that of its own field or, if that is empty, of its media type. A document without
// either counts as text. So does one of a type that is not known but begins with "text/"; any other such type counts as an office file.
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
