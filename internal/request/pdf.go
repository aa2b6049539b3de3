package request

import (
	"bytes"
	"io"
)

// maxPages is the most pages that pdfPages counts, so that a crafted file can't make an estimate absurd.
const maxPages = 10_000

// overlap is how many bytes of a part are searched again at the beginning of the next one, so that a page object on the boundary is found. It is
// more than "/Type /Page" takes with the usual white space.
const overlap = 64

// pdfPages counts the page objects of a PDF that are visible, because they are not in a compressed object stream (ISO 32000-1, 7.7.3.3). It
// returns 0 when none is visible. A read error counts as the end.
func pdfPages(r io.Reader) int64 {
	pages := int64(0)
	kept := 0 // how many bytes at the beginning of buf are from the part before
	buf := make([]byte, 32<<10)
	for pages < maxPages {
		n, err := io.ReadFull(r, buf[kept:])
		part := buf[:kept+n]
		last := err != nil // the file or an error has ended the reading before buf was full
		end := len(part)
		if !last {
			end -= overlap // a page object that begins from here on may be cut, and is counted in the next part
		}
		pages += pagesIn(part, end)
		if last {
			break
		}
		kept = copy(buf, part[end:])
	}
	return min(pages, maxPages)
}

// pagesIn counts the page objects of a part of a PDF: the places before end at which it has "/Type /Page".
func pagesIn(part []byte, end int) int64 {
	pages, at := int64(0), 0
	for {
		i := bytes.Index(part[at:], []byte("/Type"))
		if i < 0 || at+i >= end { // there is none, or the next part begins with it
			return pages
		}
		at += i + len("/Type")
		value, found := bytes.CutPrefix(bytes.TrimLeft(part[at:], " \t\r\n\f\x00"), []byte("/Page"))
		if found && (len(value) == 0 || !isName(value[0])) {
			pages++
		}
	}
}

// isName reports whether a byte continues a name, such as the s of /Pages, so that the name is a longer one.
func isName(c byte) bool {
	letter, digit := c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9'
	return letter || digit || c == '_' || c == '#' || c == '-' || c == '.'
}
