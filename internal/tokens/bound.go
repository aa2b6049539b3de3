package tokens

import (
	"math"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens/textcost"
)

// WideText returns a number of tokens that a text can't exceed. It is its length in bytes, because a tokenizer that falls back to bytes
// never makes more tokens than there are bytes, plus the bytes by which Unicode's normalisation form C can lengthen the text, which some
// tokenizers apply first. 800 KB of ASCII take about 30 microseconds, of French, Russian and Chinese ten to twenty times that, of Hindi
// fifty times.
func WideText(s string) int64 { return textcost.Bytes(s) }

// Lengthening returns by how many bytes, at most, normalisation can lengthen a text: what WideText adds to the length.
func Lengthening(body []byte) int64 { return textcost.Lengthening(body) }

// UpperBound returns a number of input tokens that the prompt can't exceed, and whether there is one. It returns false if a block is Opaque
// or of unknown size: then only the model's context window bounds the prompt. Text is bounded by WideText. Sums that would overflow are
// math.MaxInt64.
//
// It assumes two things: that a tokenizer uses no Unicode normalisation but form C, and that a PDF page has no more text than a printed
// page.
func UpperBound(p *Prompt, l *Limits) (int64, bool) {
	n := framing(p, l)
	if p.Hidden.Unknown { // the service adds text of unknown length
		return 0, false
	}
	for i := range p.Blocks {
		t, ok := blockBound(&p.Blocks[i], l)
		if !ok {
			return 0, false
		}
		n = addSat(n, t)
	}
	return n, true
}

// MediaBound is UpperBound without the texts of the prompt and its OtherBytes, for callers that bound those by the length of the request
// body.
func MediaBound(p *Prompt, l *Limits) (int64, bool) {
	n := framing(p, l)
	// framing has added OtherBytes, which are in the request body.
	n -= min(n, max(p.OtherBytes, 0))
	if p.Hidden.Unknown { // the service adds text of unknown length
		return 0, false
	}
	for i := range p.Blocks {
		if kind := p.Blocks[i].Kind; kind == Text || kind == JSON {
			continue
		}
		t, ok := blockBound(&p.Blocks[i], l)
		if !ok {
			return 0, false
		}
		n = addSat(n, t)
	}
	return n, true
}

// framing returns the tokens of a prompt besides its blocks.
func framing(p *Prompt, l *Limits) int64 {
	turns := addSat(int64(max(p.Messages, 0)), 1) // a prompt has a beginning, too, even without messages
	n := mulSat(turns, l.MessageTokens)
	n = addSat(n, mulSat(int64(len(p.Blocks)), l.BlockTokens))
	n = addSat(n, mulSat(int64(max(p.Tools, 0)), l.ToolTokens))
	n = addSat(n, l.Hidden.tokens(p))
	return addSat(n, max(p.OtherBytes, 0))
}

// blockBound bounds the tokens of one block. It returns false for a block of unknown size.
func blockBound(b *Block, l *Limits) (int64, bool) {
	switch b.Kind {
	case Text, JSON:
		return WideText(b.Text), true
	case Image:
		return l.Image.tokens(int64(b.Width), int64(b.Height)), true
	case Document:
		return documentBound(b, l)
	default:
		return 0, false
	}
}

// tokens bounds the tokens of an image of this size in pixels: its area over the fewest pixels that a token has, one more row and one more column of
// patches, because each edge may be rounded up to whole patches, and two tokens for what else rounding adds. The result is kept within the family's
// smallest and largest number; without a size or limits it is the largest.
func (l ImageLimits) tokens(width, height int64) int64 {
	if width <= 0 || height <= 0 || l.PixelsPerToken <= 0 || l.PatchPixels <= 0 {
		return max(l.MaxTokens, 0)
	}
	n := mulSat(width, height) / l.PixelsPerToken
	n = addSat(n, addSat(width, height)/l.PatchPixels)
	return min(max(addSat(n, 2), l.MinTokens), l.MaxTokens)
}

// documentBound bounds a document: a PDF by its pages, any other by its text and its images. It returns false if that size is not known.
func documentBound(b *Block, l *Limits) (n int64, known bool) {
	picture := max(l.Image.MaxTokens, 0) // the tokens of an image of unknown size, as each page of a PDF is one
	if b.Format == formatPDF {
		pages := int64(b.Pages)
		text := max(mulSat(pages, l.PDFPageTextTokens), b.Bytes) // Bytes are here the most tokens that the text found in the PDF can have
		n, known = addSat(text, mulSat(pages, picture)), pages > 0
	} else {
		n, known = b.Bytes, b.Bytes > 0 && unpackedFormat(b.Format) // a format whose Bytes bounds the text, such as txt or docx
		if l.DocumentPictures {
			n = addSat(n, mulSat(int64(b.Images), picture))
		}
	}
	if b.Cited { // its text counts twice, because the service adds marks between the sentences
		n = addSat(n, n)
	}
	return n, known
}

// addSat returns a+b of two non-negative numbers, at most math.MaxInt64.
func addSat(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// mulSat returns a*b, at most math.MaxInt64, and zero when either is not positive.
func mulSat(a, b int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	if a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}
