package cache

import (
	"bytes"
	"io"
	"strings"
)

// How many tokens documents probably have. The figures are typical values of what makers publish about their models (2026-11): for the text
// of a page, and for its image with models that read it.
const (
	pageTokens   = 2000
	bytesPerPage = 50_000 // of a PDF whose pages can't be counted
)

// DocumentTokens estimates how many tokens a document has. The estimate is good enough to price findings, and too rough to decide whether a
// prefix is long enough to be cached. format is one of Converse's, such as "pdf"; data is the document itself. A PDF is estimated by its
// visible pages or, if there are none, by its size; text by its size, and an office file by its compressed size. Nothing is decompressed.
func DocumentTokens(format string, data []byte) int64 {
	return documentTokens(format, int64(len(data)), func() int64 { return pdfPages(bytes.NewReader(data)) })
}

// documentTokens estimates a document of n bytes. pages is only called for a PDF; it returns 0 if the number is not known.
func documentTokens(format string, n int64, pages func() int64) int64 {
	switch format {
	case "pdf":
		count := pages()
		if count <= 0 {
			count = n/bytesPerPage + 1
		}
		return count * pageTokens
	case "doc", "docx", "xls", "xlsx":
		return min(n/12, 10*pageTokens)
	default: // plain text
		return n * 2 / 7
	}
}

// formatOf returns the format of a document: that of its own field or, if that is empty, of its media type.
func formatOf(format, mediaType string) string {
	switch {
	case format != "":
		return format
	case mediaType == "application/pdf":
		return "pdf"
	case strings.HasPrefix(mediaType, "text/"), mediaType == "":
		return "txt"
	default:
		return "docx"
	}
}

// maxPages is the largest page count that is used.
const maxPages = 10_000

// overlap is how many bytes of a part are searched again at the beginning of the next one, so that a page object on the boundary is found. It is
// more than "/Type /Page" takes with the usual white space.
const overlap = 64

// pdfPages counts the page objects of a PDF that are visible, because they are not in a compressed object stream (ISO 32000-1, 7.7.3.3). It
// returns 0 when none is visible. A read error counts as the end.
func pdfPages(r io.Reader) int64 {
	pages, kept := int64(0), 0
	buf := make([]byte, 32<<10)
	for pages < maxPages {
		n, err := io.ReadFull(r, buf[kept:])
		part := buf[:kept+n]
		last := err != nil
		end := len(part)
		if !last {
			end -= overlap // what begins after that is counted with the next part
		}
		pages += pagesIn(part, end)
		if last {
			break
		}
		kept = copy(buf, part[end:])
	}
	return min(pages, maxPages)
}

// pagesIn counts the page objects of a part whose type is named before an offset.
func pagesIn(part []byte, end int) int64 {
	pages, at := int64(0), 0
	for {
		i := bytes.Index(part[at:], []byte("/Type"))
		if i < 0 || at+i >= end {
			return pages
		}
		at += i + len("/Type")
		value, found := bytes.CutPrefix(bytes.TrimLeft(part[at:], " \t\r\n\f\x00"), []byte("/Page"))
		if found && (len(value) == 0 || !isName(value[0])) {
			pages++
		}
	}
}

// isName reports whether a byte continues a name, so that the name is a longer one, such as /Pages.
func isName(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '#' || c == '-' || c == '.'
}
