// Package quote writes what somebody else has chosen, such as a name or a line of a file, into a message.
package quote

import (
	"fmt"
	"strings"
)

// Value quotes a value that could be misread in a line of text.
func Value(v string) string {
	if strings.IndexFunc(v, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r >= 0x7f }) >= 0 {
		return fmt.Sprintf("%q", v)
	}
	return v
}

// Clip shortens a text that is quoted in an error.
func Clip(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
