package tokens

import (
	"bytes"
	"unicode/utf8"
)

// formatPDF is Bedrock's name of the format.
const formatPDF = "pdf"

// DocumentBlock returns a block for a document, measured as far as its format allows: pages and text of a PDF; the unpacked text and the images
// of an office file; for others the bytes, plus what normalisation can add. format is the lower-case name that Bedrock uses: "pdf", "docx",
// "txt". A size of zero, in Bytes or for a PDF in Pages, is unknown: the document then has no bound.
func DocumentBlock(format string, data []byte) Block {
	b := Block{Kind: Document, Format: format, Bytes: int64(len(data))}
	switch format {
	case formatPDF:
		// If the file can't be measured, its size is zero, and so unknown.
		size, _ := measurePDF(data)
		b.Pages, b.Bytes = size.pages, size.text
	case "docx", "xlsx":
		size, _ := measureOffice(data) // zero as well, if the file can't be measured
		b.Bytes, b.Images = size.text, size.pictures
	case "txt", "md", "csv", "html":
		b.Bytes = plainTextBytes(data)
	case "doc", "xls":
		if isPacked(data) { // programs that read these names go by how the data begin
			size, _ := measureOffice(data)
			b.Bytes, b.Images = size.text, size.pictures
		} else {
			b.Bytes = oldOfficeBytes(format, data)
		}
	}
	return b
}

// plainTextBytes bounds the bytes of UTF-8 that a file of text has for the model. It is 0 if the file is of another kind than its format says,
// because its text may then be longer than the file.
func plainTextBytes(data []byte) int64 {
	switch {
	case isPacked(data) || bytes.HasPrefix(data, []byte(compoundFile)):
		return 0
	case plainUTF8(data):
		return int64(len(data)) + Lengthening(data)
	default:
		return mulSat(int64(len(data)), bytesOfOne)
	}
}

// oldOfficeBytes bounds the bytes of text in a doc or an xls that is not packed. It is 0 if the text has no bound.
func oldOfficeBytes(format string, data []byte) int64 {
	ofFile := mulSat(int64(len(data)), bytesOfOne)
	if !bytes.HasPrefix(data, []byte(compoundFile)) {
		return ofFile
	}
	text, found, ok := measureWorkbook(data)
	switch {
	case found && ok:
		return text
	case found || format == "xls": // its workbook can't be measured, or was not found
		return 0
	default: // a doc without a workbook repeats nothing, so that its own bytes bound its text
		return ofFile
	}
}

// bytesOfOne is how many bytes of UTF-8 one byte of an old code page can become, for example the euro sign.
const bytesOfOne = 3

// compoundFile is how the files of older office programs begin.
const compoundFile = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

// isPacked reports whether data begin as those formats do whose text is longer than they are.
func isPacked(data []byte) bool {
	return bytes.HasPrefix(data, []byte("PK\x03\x04")) || bytes.HasPrefix(data, []byte("%PDF-"))
}

// plainUTF8 reports whether a text can only be read as UTF-8: other encodings have bytes that UTF-8 does not, zeros, or escapes.
func plainUTF8(text []byte) bool {
	return utf8.Valid(text) && bytes.IndexByte(text, 0) < 0 && bytes.IndexByte(text, '\x1b') < 0
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

// PDFPages returns how many pages a PDF has: the number of page objects, or the largest page count in a page tree if that is more. It
// returns false if there may be hidden pages, because of encryption or an unknown compression, and if there are no pages.
func PDFPages(data []byte) (int, bool) {
	size, ok := measurePDF(data)
	return size.pages, ok
}

// pdfSpace skips white space and comments.
func pdfSpace(b []byte) []byte {
	for {
		b = bytes.TrimLeft(b, pdfWhiteSpace)
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

// pdfInt reads the digits at the beginning of b; 0 if there are none. It stops above a hundred million, so that it can't overflow.
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
