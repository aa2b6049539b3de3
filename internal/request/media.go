package request

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// What media are likely to count, for deciding what is worth caching and never for money: those bounds are in package tokens. The
// figures are middling ones of what makers publish of their models (2026-11); what is not known, because the service fetches it or its
// header tells no size, counts as a large image.
const (
	pixelsPerToken = 750
	maxEdge        = 1 << 16 // of an image; a header may tell anything

	MaxImageTokens = 1600 // larger images are scaled down
	PageTokens     = 2000 // of the text of a page, and its picture for the models that look at it

	bytesPerPage          = 50_000 // of a PDF that does not show its pages
	redactedBytesPerToken = 4
)

// ImageTokens is what an image is likely to count.
func ImageTokens(data []byte) int64 {
	return pixelTokens(pixels(data[:min(len(data), imageHeader)]))
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

// Base64 is media as they stand in a JSON string.
type Base64 struct{ jsonscan.Text }

// ImageTokens counts as the function of that name.
func (b Base64) ImageTokens() int64 {
	// Most headers tell their size at once; a JPEG may carry a preview and a colour profile first.
	var head [4 << 10]byte
	n, err := io.ReadFull(b.decoder(), head[:])
	w, h, ok := pixels(head[:n])
	if !ok && err == nil && isJPEG(head[:n]) {
		all, _ := io.ReadAll(io.LimitReader(b.decoder(), imageHeader))
		w, h, ok = pixels(all)
	}
	return pixelTokens(w, h, ok)
}

// DocumentTokens counts as the function of that name.
func (b Base64) DocumentTokens(format string) int64 {
	return documentTokens(format, b.Bytes(), func() int64 { return pdfPages(b.decoder()) })
}

// Bytes returns how many bytes the text stands for.
func (b Base64) Bytes() int64 {
	padding := len(b.Raw) - len(strings.TrimRight(b.Raw, "="))
	return max(int64(b.Len)/4*3-int64(padding), 0)
}

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
		if count <= 0 {
			count = n/bytesPerPage + 1
		}
		return count * PageTokens
	case "doc", "docx", "xls", "xlsx":
		return min(n/12, 10*PageTokens)
	default: // text as it stands
		return n * 2 / 7
	}
}

func pixelTokens(width, height int, ok bool) int64 {
	if !ok {
		return MaxImageTokens
	}
	return min(max(int64(min(width, maxEdge))*int64(min(height, maxEdge))/pixelsPerToken, 1), MaxImageTokens)
}

// imageHeader is how much of an image is looked at for its size.
const imageHeader = 1 << 20

// pixels reads the dimensions of an image from its header: PNG, GIF, WebP or JPEG.
func pixels(data []byte) (width, height int, ok bool) {
	switch {
	case len(data) >= 24 && bytes.HasPrefix(data, []byte("\x89PNG")):
		width, height = int(binary.BigEndian.Uint32(data[16:])), int(binary.BigEndian.Uint32(data[20:]))
	case isJPEG(data):
		width, height = jpegSize(data)
	case len(data) >= 10 && bytes.HasPrefix(data, []byte("GIF8")):
		width, height = int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:]))
	case len(data) >= webPHeader && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		width, height = webPSize(data[12:])
	}
	return width, height, width > 0 && height > 0
}

func isJPEG(data []byte) bool { return bytes.HasPrefix(data, []byte("\xff\xd8")) }

// jpegSize walks from segment to segment up to the frame header (ITU T.81, section B.2.2). Like other readers it skips bytes
// that belong to none.
func jpegSize(data []byte) (width, height int) {
	for i := 2; i+9 <= len(data); {
		marker := data[i+1]
		frame := marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc
		alone := marker >= 0xd0 && marker <= 0xd8 || marker <= 0x01
		switch {
		case data[i] != 0xff || marker == 0xff:
			i++
		case frame:
			return int(binary.BigEndian.Uint16(data[i+7:])), int(binary.BigEndian.Uint16(data[i+5:]))
		case alone:
			i += 2
		default:
			i += 2 + int(binary.BigEndian.Uint16(data[i+2:]))
		}
	}
	return 0, 0
}

const webPHeader = 30

// webPSize reads the first chunk of a WebP file: its canvas (RFC 9649, section 2.7), the packed size of a lossless image
// (section 3.4) or that of a key frame (RFC 6386, section 9.1).
func webPSize(chunk []byte) (width, height int) {
	body := chunk[8:]
	switch string(chunk[:4]) {
	case "VP8X":
		return int(binary.LittleEndian.Uint32(body[4:])&0xffffff) + 1, int(binary.LittleEndian.Uint32(body[6:])>>8) + 1
	case "VP8L":
		b := binary.LittleEndian.Uint32(body[1:])
		return int(b&0x3fff) + 1, int(b>>14&0x3fff) + 1
	case "VP8 ":
		return int(binary.LittleEndian.Uint16(body[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(body[8:]) & 0x3fff)
	}
	return 0, 0
}

// Tokens is what media are likely to count.
func (m *Media) Tokens() int64 {
	inline := m.From == Inline && len(m.Data) > 0
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
