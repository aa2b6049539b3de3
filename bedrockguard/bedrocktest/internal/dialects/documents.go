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
	switch format {
	case "pdf":
		// A PDF in which no page is found, and an office file that can't be unpacked, leave the switch, and count by their bytes below.
		if pages := document.ReadPDF(raw); len(pages) > 0 {
			read := 0
			for _, page := range pages {
				count := r.count(m, page)
				read += count
				// citedText is how much longer the marks make the text, in thousandths; there is at most one mark for each byte.
				marks += min((count*citedText+999)/1000, len(page))
			}
			return read + len(pages)*(modeltable.PageTokens(m)+modeltable.FramingOf(m).Page), marks
		}
	case "docx":
		if text, pictures, ok := document.ReadDocx(raw); ok {
			n := r.count(m, text) + OfficeFrame
			if m.Provider == "amazon" { // Claude only gets the text; Nova reads the images too (Nova's guide, 2026-11)
				for _, p := range pictures {
					n += modeltable.ImageTokens(m, p)
				}
			}
			return n, 0
		}
	case "xlsx":
		if text, ok := document.ReadXlsx(raw); ok {
			return r.count(m, text) + OfficeFrame, 0
		}
	case "txt", "md", "csv", "html", "plain", "markdown":
		return r.count(m, string(raw)), 0
	}
	return len(raw)/3 + 1, 0
}

// OfficeFrame is how many tokens surround the text of an office file. Recorded on Claude Sonnet 4.5: 42 for a Word document, 80 for a sheet.
const OfficeFrame = 90
