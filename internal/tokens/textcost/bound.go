package textcost

import (
	"context"
	"unicode/utf8"
	"unsafe"
)

// Bound returns a number of tokens that a text does not exceed: at least 0, and at most its bytes plus Lengthening. With escaped, the text
// is the content of a JSON string literal with its escapes: an escape counts as its character, and a malformed one as its bytes.
func Bound(text string, escaped bool) int64 {
	s, _ := ScanAll(context.Background(), text, escaped) // that context never ends
	return s.AtMostBytes(s.Tokens(text, len(text)), text)
}

// bytesOf returns the bytes of a text without copying them. They must not be changed.
func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

// characterEnd returns the first place from i on at which a character may begin.
func characterEnd(text string, i int) int {
	for i < len(text) && !utf8.RuneStart(text[i]) {
		i++
	}
	return i
}
