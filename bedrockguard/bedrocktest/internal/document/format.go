package document

import "strings"

// Format returns Converse's name for a media type; empty if it is not a document.
func Format(mediaType string) string {
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
