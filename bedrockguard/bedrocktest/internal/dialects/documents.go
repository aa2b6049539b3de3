package dialects

import (
	"encoding/base64"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/document"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

// documentTokens counts a document in base64 by what a model gets of it: the text of a plain file; the unpacked text of an office file; the
// text and an image of each page of a PDF. A file that can't be opened counts one token for three bytes. marks are the tokens that the
// service adds to the text of a PDF with citations.
func (r *Reader) documentTokens(m *modeltable.Model, format, data string) (n, marks int) {
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return base64.StdEncoding.DecodedLen(len(data))/3 + 1, 0
	}
	unopened := len(raw)/3 + 1
	switch format {
	case "pdf":
		if pages := document.ReadPDF(raw); len(pages) > 0 { // a file of another kind has none
			return r.pdfTokens(m, pages)
		}
	case "docx":
		if text, pictures, ok := document.ReadDocx(raw); ok {
			return r.docxTokens(m, text, pictures), 0
		}
	case "xlsx":
		if text, ok := document.ReadXlsx(raw); ok {
			return r.count(m, text) + OfficeFrame, 0
		}
	case "txt", "md", "csv", "html", "plain", "markdown":
		return r.count(m, string(raw)), 0
	}
	return unopened, 0
}

// pdfTokens returns the tokens of a PDF with these texts of its pages, and those of the marks in them. citedText is how much longer the marks make a
// text, in thousandths; there is at most one mark for each byte.
func (r *Reader) pdfTokens(m *modeltable.Model, pages []string) (n, marks int) {
	image := modeltable.PageTokens(m) + modeltable.FramingOf(m).Page // each page is in the prompt as an image, too
	for _, text := range pages {
		tokens := r.count(m, text)
		n += tokens + image
		marks += min((tokens*citedText+999)/1000, len(text))
	}
	return n, marks
}

// docxTokens returns the tokens of a Word document. Claude only gets the text; Nova reads the images too (Nova's guide, 2026-11).
func (r *Reader) docxTokens(m *modeltable.Model, text string, pictures []string) int {
	n := r.count(m, text) + OfficeFrame
	if m.Provider == "amazon" {
		for _, picture := range pictures {
			n += modeltable.ImageTokens(m, picture)
		}
	}
	return n
}

// OfficeFrame is how many tokens surround the text of an office file. Recorded on Claude Sonnet 4.5: 42 for a Word document, 80 for a sheet.
const OfficeFrame = 90
