package bedrocktest

import (
	"encoding/base64"
	"strings"
)

// documentFormat returns the name that Converse has for a media type; empty for one that is no document.
func documentFormat(mediaType string) string {
	switch mediaType {
	case "application/pdf":
		return "pdf"
	case "text/plain":
		return "txt"
	case "application/vnd.openxmlformats-officedocument.wordprocessingml.document":
		return "docx"
	case "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":
		return "xlsx"
	default:
		if kind, ok := strings.CutPrefix(mediaType, "text/"); ok {
			return kind
		}
		return ""
	}
}

// documentTokens counts a document given in base64 by what a model is shown of it: the text of a plain file as it stands, the text of
// an office file unpacked, each page of a PDF as its text and as a picture. A file that can't be opened is counted by its size, three
// bytes a token. marks are what the service puts into the text of a PDF that is cited.
func (s *Server) documentTokens(m *model, format, data string) (n, marks int) {
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return base64.StdEncoding.DecodedLen(len(data))/3 + 1, 0
	}
	switch format {
	case "pdf":
		if pages := readPDF(raw); len(pages) > 0 {
			read := 0
			for _, page := range pages {
				count := s.count(m, page)
				read += count
				marks += min((count*citedText+999)/1000, len(page))
			}
			return read + len(pages)*(pageTokens(m)+framingOf(m).page), marks
		}
	case "docx":
		if text, pictures, ok := readDocx(raw); ok {
			n := s.count(m, text) + officeFrame
			if m.Provider == "amazon" { // Claude is given the text alone; Nova reads the pictures, too (Nova's guide, 2026-11)
				for _, p := range pictures {
					n += imageTokens(m, p)
				}
			}
			return n, 0
		}
	case "xlsx":
		if text, ok := readXlsx(raw); ok {
			return s.count(m, text) + officeFrame, 0
		}
	case "txt", "md", "csv", "html", "plain", "markdown":
		return s.count(m, string(raw)), 0
	}
	return len(raw)/3 + 1, 0
}

// officeFrame is what stands around the text of an office file, in tokens. Recorded on Claude Sonnet 4.5: 42 around a document of Word, 80
// around a sheet.
const officeFrame = 90

// pageTokens is the picture of one page of a PDF, in tokens: the family's largest image.
func pageTokens(m *model) int { return imageTokens(m, "") }
