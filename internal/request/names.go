package request

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// maxNameBytes is how long an id or a name in a body may be for Printable.
const maxNameBytes = 2048

// Printable returns a name as it is if it has visible ASCII only and at most 2048 bytes, and nothing for any other text.
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

// Label returns s in lower case if it has at most 40 bytes and only ASCII letters, digits, hyphens and underscores, else nothing.
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

// TierName returns the service tier, in lower case, that a JSON value names as a string or as {"type": tier}. It is empty for null, and "unknown" for
// a value of neither form. The value must have been checked as JSON.
func TierName(raw string) string {
	if raw == "null" {
		return ""
	}
	p, tier := jsonscan.New(raw), "unknown"
	readTier := func() error { // reads a string
		t, err := p.Text()
		if err == nil {
			tier = strings.ToLower(t.String())
		}
		return err
	}
	if raw[0] == '"' {
		_ = readTier() // the value was checked already, so that no error can come here and below
		return tier
	}
	// For a value that is no object Object does nothing but fail.
	_ = p.Object(func(key string) error {
		if key == "type" && p.Peek() == '"' {
			return readTier()
		}
		return p.Skip()
	})
	return tier
}
