package tokens

import (
	"archive/zip"
	"bytes"
	"strings"
)

const formatPDF = "pdf"

// DocumentBlock returns a block for a document, measured as far as its format allows: pages of a PDF, the unpacked text of
// an office file, else the bytes as they are. format is the lower-case name that Bedrock uses: "pdf", "docx", "txt".
func DocumentBlock(format string, data []byte) Block {
	b := Block{Kind: Document, Format: format, Bytes: int64(len(data))}
	switch format {
	case formatPDF:
		b.Pages, _ = PDFPages(data)
		b.Bytes = 0
	case "docx", "xlsx":
		b.Bytes, _ = unpackedXMLBytes(data)
	case "doc", "xls":
		// One byte of a legacy code page becomes up to three bytes of UTF-8, as the euro sign does.
		b.Bytes = mulSat(b.Bytes, 3)
	}
	return b
}

// unpackedFormat reports whether Block.Bytes bounds the text of a document.
func unpackedFormat(format string) bool {
	switch format {
	case "txt", "md", "csv", "html", "docx", "xlsx", "doc", "xls":
		return true
	default:
		return false
	}
}

// unpackedXMLBytes sums the sizes of an office file's XML parts as its directory tells them.
func unpackedXMLBytes(data []byte) (int64, bool) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return 0, false
	}
	var n int64
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, ".xml") {
			n = addSat(n, int64(min(f.UncompressedSize64, 1<<62)))
		}
	}
	return n, n > 0
}

// PDFPages returns how many pages a PDF has: the page objects in plain sight, or the largest page count that a page tree
// tells when that is more. It reports false when object streams or encryption can hide pages, and when it finds none.
// It does not parse the file: it takes one pass over the bytes.
func PDFPages(data []byte) (int, bool) {
	if !bytes.Contains(data[:min(len(data), 1024)], []byte("%PDF-")) ||
		bytes.Contains(data, []byte("/ObjStm")) || bytes.Contains(data, []byte("/Encrypt")) {
		return 0, false
	}
	objects, told := 0, 0
	for rest := data; ; {
		i := bytes.IndexByte(rest, '/')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		switch {
		case bytes.HasPrefix(rest, []byte("Type")) && isPageName(pdfSpace(rest[len("Type"):])):
			objects++
		case bytes.HasPrefix(rest, []byte("Count")):
			told = max(told, pdfInt(pdfSpace(rest[len("Count"):])))
		}
	}
	if objects == 0 {
		return 0, false
	}
	// An outline has a /Count as well, which can only raise the number. No file under Bedrock's 4.5 MB has more pages than
	// bytes, unless the number is a lie.
	return max(objects, min(told, len(data))), true
}

func isPageName(b []byte) bool {
	const name = "/Page"
	if !bytes.HasPrefix(b, []byte(name)) {
		return false
	}
	return len(b) == len(name) || strings.IndexByte("\x00\t\n\f\r ()<>[]{}/%", b[len(name)]) >= 0
}

// pdfSpace skips white space and comments.
func pdfSpace(b []byte) []byte {
	for {
		b = bytes.TrimLeft(b, "\x00\t\n\f\r ")
		if len(b) == 0 || b[0] != '%' {
			return b
		}
		end := bytes.IndexAny(b, "\r\n")
		if end < 0 {
			return nil
		}
		b = b[end:]
	}
}

func pdfInt(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > 1e8 {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}
