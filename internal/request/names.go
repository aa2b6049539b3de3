package request

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// maxNameBytes bounds ids and names that a body tells.
const maxNameBytes = 2048

// Printable returns a name of visible ASCII, and nothing for any other text.
func Printable(name string) string {
	if len(name) > maxNameBytes {
		return ""
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return ""
		}
	}
	return name
}

// Label returns s in lower case when it looks like a word, else nothing.
func Label(s string) string {
	if len(s) > 40 {
		return ""
	}
	for _, c := range []byte(s) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return ""
		}
	}
	return strings.ToLower(s)
}

// TierName returns the tier in a string or in {"type": tier}: empty for null, "unknown" when it has neither form.
func TierName(raw string) string {
	if raw == "null" {
		return ""
	}
	p, tier := jsonscan.New(raw), "unknown"
	read := func() error {
		t, err := p.Text()
		if err == nil {
			tier = strings.ToLower(t.String())
		}
		return err
	}
	if raw[0] == '"' {
		_ = read() // the value was checked already
		return tier
	}
	_ = p.Object(func(key string) error {
		if key == "type" && p.Peek() == '"' {
			return read()
		}
		return p.Skip()
	})
	return tier
}
