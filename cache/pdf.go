package cache

import (
	"bytes"
	"io"
	"strings"
)

// What documents are likely to count. The figures are middling ones of what makers publish of their models (2026-11): a page of
// print, and its picture for the models that look at it.
const (
	pageTokens   = 2000
	bytesPerPage = 50_000 // of a PDF that does not show its pages
)

// DocumentTokens returns what a document is likely to count, for telling what findings cost and never for deciding that a
// prefix is long enough to be cached. format is one of Converse's, such as "pdf"; data is the document itself. A PDF counts by
// the pages that it shows or else by its size, text by its size, and an office file by its packed size. It unpacks nothing.
func DocumentTokens(format string, data []byte) int64 {
	return documentTokens(format, int64(len(data)), func() int64 { return pdfPages(bytes.NewReader(data)) })
}

// documentTokens judges a document of so many bytes; pages is asked of a PDF alone, and returns 0 if it is not known.
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
	default: // text as it stands
		return n * 2 / 7
	}
}

// formatOf returns the format of a document whose media type may tell what its own field does not.
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

// maxPages bounds what a file can claim.
const maxPages = 10_000

// pdfPages counts the page objects of a PDF that are not packed (ISO 32000-1, 7.7.3.3). 0 stands for none.
func pdfPages(r io.Reader) int64 {
	const overlap = 64
	pages, kept := int64(0), 0
	buf := make([]byte, 32<<10)
	for pages < maxPages {
		n, err := io.ReadFull(r, buf[kept:])
		part := buf[:kept+n]
		last := err != nil
		end := len(part)
		if !last {
			end -= overlap // what begins behind it is seen again
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

// isName reports whether a byte goes on with a name.
func isName(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '#' || c == '-' || c == '.'
}
