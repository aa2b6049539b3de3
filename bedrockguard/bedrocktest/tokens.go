package bedrocktest

import (
	"bytes"
	"encoding/base64"
	"image"
	_ "image/gif"  // decoders for the sizes of images
	_ "image/jpeg" // same
	_ "image/png"  // same
	"unicode/utf8"
)

// countTokens counts text the way a dense byte-pair tokenizer would: it lies between 0.95 and 1.5 times cl100k_base on
// prose, source code and JSON, and never above the number of bytes.
func countTokens(text string) int {
	n := 0
	for i := 0; i < len(text); {
		j := i + 1
		switch c := text[i]; {
		case letter(c):
			for j < len(text) && letter(text[j]) {
				j++
			}
			n += (j - i + 4) / 5
		case c >= '0' && c <= '9':
			for j < len(text) && text[j] >= '0' && text[j] <= '9' {
				j++
			}
			n += (j - i + 2) / 3
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			for j < len(text) && (text[j] == ' ' || text[j] == '\n' || text[j] == '\t' || text[j] == '\r') {
				j++
			}
			if j-i > 1 || c != ' ' { // a single space belongs to the word behind it
				n++
			}
		case c < utf8.RuneSelf:
			for j < len(text) && punctuation(text[j]) {
				j++
			}
			n += (j - i + 1) / 2
		default:
			for j < len(text) && text[j] >= utf8.RuneSelf {
				j++
			}
			n += (j-i+1)/2 + (j-i)/6
		}
		i = j
	}
	return min(n, len(text))
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func punctuation(c byte) bool {
	return c > ' ' && c < utf8.RuneSelf && !letter(c) && (c < '0' || c > '9')
}

const maxImageTokens = 1600

// imageTokens counts an image given in base64 by its pixels.
func imageTokens(data string) int {
	config, _, err := image.DecodeConfig(base64.NewDecoder(base64.StdEncoding, bytes.NewReader([]byte(data))))
	if err != nil || config.Width <= 0 || config.Height <= 0 {
		return maxImageTokens
	}
	return min(max(config.Width*config.Height/750, 1), maxImageTokens)
}

// documentTokens counts a document given in base64 by its size.
func documentTokens(data string) int { return base64.StdEncoding.DecodedLen(len(data))/3 + 1 }
