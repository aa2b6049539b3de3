package request

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/pixels"
)

// What media are likely to count, for deciding what is worth caching and never for money: those bounds are in package tokens. The
// figures are middling ones of what makers publish of their models (2026-11); what is not known, because the service fetches it or its
// header tells no size, counts as a large image.
const (
	pixelsPerToken = 750
	maxEdge        = 1 << 16 // pixels of an image's side; a header may tell anything, and the product must not overflow

	MaxImageTokens = 1600 // larger images are scaled down
	PageTokens     = 2000 // of the text of a page, and its picture for the models that look at it

	bytesPerPage          = 50_000 // of a PDF that does not show its pages
	redactedBytesPerToken = 4
)

// ImageTokens is what an image is likely to count.
func ImageTokens(data []byte) int64 {
	return pixelTokens(pixels.Of(data))
}

// DocumentTokens returns how many tokens a document is likely to count. It is exact enough to estimate what findings cost, and not to
// decide that a prefix is long enough to be cached. format is one of Converse's, such as "pdf"; data is the document itself. A PDF is
// estimated by its visible pages or, without any, by its size, text by its size, and an office file by its compressed size. It
// decompresses nothing.
func DocumentTokens(format string, data []byte) int64 {
	return documentTokens(format, int64(len(data)), func() int64 { return pdfPages(bytes.NewReader(data)) })
}

// RedactedTokens is what encrypted reasoning of so many bytes is likely to count.
func RedactedTokens(bytes int64) int64 { return bytes / redactedBytesPerToken }

// Base64 is the content of an image or a document as it stands in a JSON string.
type Base64 struct{ jsonscan.Text }

// ImageTokens counts as the function of that name.
func (b Base64) ImageTokens() int64 {
	// Most headers tell their size at once; a JPEG may carry a preview and a colour profile first.
	var head [4 << 10]byte
	n, err := io.ReadFull(b.decoder(), head[:])
	w, h, ok := pixels.Of(head[:n])
	if !ok && err == nil && pixels.IsJPEG(head[:n]) { // no error means that head is full, so that there is more
		all, _ := io.ReadAll(io.LimitReader(b.decoder(), pixels.MaxHeader))
		w, h, ok = pixels.Of(all)
	}
	return pixelTokens(w, h, ok)
}

// DocumentTokens counts as the function of that name.
func (b Base64) DocumentTokens(format string) int64 {
	return documentTokens(format, b.Bytes(), func() int64 { return pdfPages(b.decoder()) })
}

// Bytes returns how many bytes the text stands for, without decoding it.
func (b Base64) Bytes() int64 {
	// Each "=" at the end stands for no byte. In Raw, which still has the escapes of the JSON string, one may be hidden by an escape: then the result is
	// too large, by two at most. Len is the length without escapes.
	padding := len(b.Raw) - len(strings.TrimRight(b.Raw, "="))
	return max(int64(b.Len)/4*3-int64(padding), 0)
}

// decoder returns a reader of the bytes that the text stands for. Escapes of the JSON string are decoded first.
func (b Base64) decoder() io.Reader {
	raw := b.Raw
	if b.Escaped() {
		raw = b.String()
	}
	return base64.NewDecoder(base64.StdEncoding, strings.NewReader(raw))
}

// documentTokens estimates a document of n bytes. pages is only called for a PDF; it returns 0 if the number is not known.
func documentTokens(format string, n int64, pages func() int64) int64 {
	switch format {
	case "pdf":
		count := pages()
		if count <= 0 { // no page is visible: at least one, and one more for each bytesPerPage
			count = n/bytesPerPage + 1
		}
		return count * PageTokens
	case "doc", "docx", "xls", "xlsx": // compressed, so that their size says little: a token for each twelve bytes, at most ten pages
		return min(n/12, 10*PageTokens)
	default: // text as it stands, of three and a half bytes a token
		return n * 2 / 7
	}
}

// pixelTokens returns what an image of this size in pixels is likely to count. ok is false if the size is not known: then it counts as a large image.
func pixelTokens(width, height int, ok bool) int64 {
	if !ok {
		return MaxImageTokens
	}
	return min(max(int64(min(width, maxEdge))*int64(min(height, maxEdge))/pixelsPerToken, 1), MaxImageTokens)
}

// Tokens returns how many tokens media are likely to count: 0 for videos, sound and content of which nothing is known, and for media of which the
// request does not tell where they are.
func (m *Media) Tokens() int64 {
	inline := m.From == Inline && len(m.Data) > 0 // the request carries them; Stored media are fetched by the service, so their size is not known
	switch {
	case m.Kind == Picture && inline:
		return ImageTokens(m.Data)
	case m.Kind == Picture && m.From == Stored:
		return MaxImageTokens
	case m.Kind == File && inline:
		return DocumentTokens(m.Format, m.Data)
	case m.Kind == File && m.From == Stored:
		return PageTokens
	case m.Kind == Sealed:
		return RedactedTokens(int64(len(m.Data)))
	default:
		return 0
	}
}
