package modeltable

import (
	"strings"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/document"
)

// CountTokens counts text with more tokens than usual tokenizers: between 0.95 and 1.5 times cl100k_base on prose, source code and JSON, and
// never more than there are bytes. It divides the text into runs of the same kind, and a run has a token for each 5 letters (3 in words with
// capitals), 3 digits, 2 signs of punctuation or 1.5 bytes of other scripts; white space is one token, or none if it is a single space.
func CountTokens(text string) int {
	n := 0
	for i := 0; i < len(text); {
		j := i + 1
		switch c := text[i]; {
		case letter(c):
			// The first letter does not count: many words begin with a capital.
			capitals := 0
			for j < len(text) && letter(text[j]) {
				if text[j] < 'a' {
					capitals++
				}
				j++
			}
			per := 5
			if capitals > 2 { // vocabularies have few words in capitals
				per = 3
			}
			n += (j - i + per - 1) / per
		case c >= '0' && c <= '9':
			for j < len(text) && text[j] >= '0' && text[j] <= '9' {
				j++
			}
			n += (j - i + 2) / 3
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			for j < len(text) && (text[j] == ' ' || text[j] == '\n' || text[j] == '\t' || text[j] == '\r') {
				j++
			}
			if j-i > 1 || c != ' ' { // a single space belongs to the word after it
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
			// A half and a sixth are two thirds: one token for 1.5 bytes.
			n += (j-i+1)/2 + (j-i)/6
		}
		i = j
	}
	return min(n, len(text))
}

// letter reports whether a byte is an ASCII letter: the bit 0x20 turns a capital into a small letter.
func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// punctuation reports whether a byte is any other visible ASCII character than a letter or a digit.
func punctuation(c byte) bool {
	return c > ' ' && c < utf8.RuneSelf && !letter(c) && (c < '0' || c > '9')
}

// The tokens of one image. Anthropic publishes at most 1,600 for models up to Opus 4.6 and Sonnet 4.6, which scale larger images down, and
// 4,784 for later ones (2026-11). Nova scales images up and down to tiles: 540x360 and 3008x2000 were both recorded with 1,819, and its
// guide names 2,600 for the largest. Nova 2 was recorded with 152 for 400x301 and with 427 for 597x566. Llama 4 and Pixtral were recorded
// with one token for some 250 pixels; here it is one for 220, also for unknown families, which have at least 1,000.
const (
	MaxImageTokens      = 1600
	MaxLargeImageTokens = 4784
	MaxOtherImageTokens = 3200
	minOtherImageTokens = 1000
	minImageTokens      = 8 // a single pixel was recorded with about 6
	minNovaImageTokens  = 1850
)

// imagePatch is the edge, in pixels, of the patches into which Claude divides an image: one token each.
const imagePatch = 28

// ImageTokens counts an image given in base64 by its pixels. An image whose size can't be read has the most tokens that one can have. The
// divisors are the pixels of a token in the recordings that the constants above name, and for Claude those that Anthropic publishes.
func ImageTokens(m *Model, data string) int {
	width, height := document.ImageSize(data)
	switch {
	case strings.HasPrefix(m.ID, "amazon.nova-2") && width > 0:
		return min(width*height/700+60, MaxOtherImageTokens)
	case strings.HasPrefix(m.ID, "amazon.nova") && !strings.HasPrefix(m.ID, "amazon.nova-2"):
		if width == 0 {
			return MaxOtherImageTokens
		}
		return min(max(width*height/375, minNovaImageTokens), MaxOtherImageTokens)
	// Nova 2 comes here, too, if the size is not known.
	case m.Provider != "anthropic" && width == 0:
		return MaxOtherImageTokens
	case m.Provider != "anthropic":
		return min(max(width*height/220, minOtherImageTokens), MaxOtherImageTokens)
	}
	most := MaxImageTokens
	if largeImages(m.ID) {
		most = MaxLargeImageTokens
	}
	if width == 0 {
		return most
	}
	patches := ((width + imagePatch - 1) / imagePatch) * ((height + imagePatch - 1) / imagePatch)
	return min(max(width*height/750, patches, minImageTokens), most)
}

// largeImages reports whether a Claude model is newer than those that scale images down to 1,600 tokens.
func largeImages(id string) bool {
	for _, family := range []string{"claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5", "claude-haiku-5", "claude-fable", "claude-mythos"} {
		if strings.HasPrefix(id, "anthropic."+family) {
			return true
		}
	}
	return false
}
