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
		begin, c := i, text[i]
		i++
		switch {
		case letter(c):
			capitals := 0 // but for the first letter: many words begin with a capital
			for ; i < len(text) && letter(text[i]); i++ {
				if text[i] < 'a' {
					capitals++
				}
			}
			n += wordTokens(i-begin, capitals)
		case digit(c):
			for i < len(text) && digit(text[i]) {
				i++
			}
			n += (i - begin + 2) / 3
		case blank(c):
			for i < len(text) && blank(text[i]) {
				i++
			}
			if i-begin > 1 || c != ' ' { // a single space belongs to the word after it
				n++
			}
		case c < utf8.RuneSelf:
			for i < len(text) && punctuation(text[i]) {
				i++
			}
			n += (i - begin + 1) / 2
		default: // a byte of a character beyond ASCII
			for i < len(text) && text[i] >= utf8.RuneSelf {
				i++
			}
			// A half and a sixth are two thirds: one token for 1.5 bytes.
			n += (i-begin+1)/2 + (i-begin)/6
		}
	}
	return min(n, len(text))
}

// wordTokens returns the tokens of a word. Vocabularies have few words in capitals.
func wordTokens(letters, capitals int) int {
	if capitals > 2 {
		return (letters + 2) / 3
	}
	return (letters + 4) / 5
}

// letter reports whether a byte is an ASCII letter: the bit 0x20 turns a capital into a small letter.
func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// digit reports whether a byte is an ASCII digit.
func digit(c byte) bool { return c >= '0' && c <= '9' }

// blank reports whether a byte is white space.
func blank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// punctuation reports whether a byte is any other visible ASCII character than a letter or a digit.
func punctuation(c byte) bool { return c > ' ' && c < utf8.RuneSelf && !letter(c) && !digit(c) }

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
	width, height := document.ImageSize(data) // zeros if the size can't be read
	switch {
	case m.Provider == "anthropic":
		return claudeImageTokens(m.ID, width, height)
	case width == 0:
		return MaxOtherImageTokens
	case strings.HasPrefix(m.ID, "amazon.nova-2"):
		return min(width*height/700+60, MaxOtherImageTokens)
	case strings.HasPrefix(m.ID, "amazon.nova"):
		return min(max(width*height/375, minNovaImageTokens), MaxOtherImageTokens)
	default:
		return min(max(width*height/220, minOtherImageTokens), MaxOtherImageTokens)
	}
}

// claudeImageTokens counts an image for Claude. width is 0 if the size is not known.
func claudeImageTokens(id string, width, height int) int {
	most := MaxImageTokens
	if largeImages(id) {
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
