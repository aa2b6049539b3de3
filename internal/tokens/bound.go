package tokens

import (
	"math"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens/textcost"
)

// WideText returns a number of tokens that a text can't exceed: its bytes, because a tokenizer that falls back to bytes never makes more
// tokens of a text than it has, and those by which Unicode's normalisation form C can lengthen it, which some apply first. 800 KB of
// ASCII take about 30 microseconds, of French, Russian and Chinese ten to twenty times that, of Hindi fifty times.
func WideText(s string) int64 { return textcost.Bytes(s) }

// Lengthening returns by how many bytes normalisation can lengthen a text, at most: what WideText adds to the length.
func Lengthening(body []byte) int64 { return textcost.Lengthening(body) }

// UpperBound returns a number of input tokens that the prompt can't exceed, and whether there is one. It reports false
// when a block is Opaque or of unknown size: the model's context window is the bound then. Text is bounded by WideText.
// Sums saturate at math.MaxInt64.
//
// Two things are taken on trust: that a tokenizer's Unicode normalisation is none or form C, and that a PDF page holds no more
// text than a page of print.
func UpperBound(p *Prompt, l *Limits) (int64, bool) {
	n := framing(p, l)
	if p.Hidden.Unknown {
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

// MediaBound is UpperBound without the texts of the prompt and its OtherBytes, for who bounds those by the length of the body that
// they stand in.
func MediaBound(p *Prompt, l *Limits) (int64, bool) {
	n := framing(p, l)
	n -= min(n, max(p.OtherBytes, 0))
	if p.Hidden.Unknown {
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

// framing returns what a prompt costs besides its blocks. A prompt without messages still has a beginning.
func framing(p *Prompt, l *Limits) int64 {
	n := mulSat(addSat(int64(max(p.Messages, 0)), 1), l.MessageTokens)
	n = addSat(n, mulSat(int64(len(p.Blocks)), l.BlockTokens))
	n = addSat(n, mulSat(int64(max(p.Tools, 0)), l.ToolTokens))
	n = addSat(n, l.Hidden.tokens(p))
	return addSat(n, max(p.OtherBytes, 0))
}

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

func (l ImageLimits) tokens(width, height int64) int64 {
	if width <= 0 || height <= 0 || l.PixelsPerToken <= 0 || l.PatchPixels <= 0 {
		return max(l.MaxTokens, 0)
	}
	n := mulSat(width, height) / l.PixelsPerToken
	n = addSat(n, addSat(width, height)/l.PatchPixels)
	return min(max(addSat(n, 2), l.MinTokens), l.MaxTokens)
}

// documentBound bounds a document by its pages, or by the text that it unpacks to and the pictures in it. One that can be cited
// counts twice, for the marks that the service puts between its sentences.
func documentBound(b *Block, l *Limits) (int64, bool) {
	picture := max(l.Image.MaxTokens, 0)
	n, known := b.Bytes, b.Bytes > 0 && unpackedFormat(b.Format)
	if b.Format == formatPDF {
		pages := int64(b.Pages)
		n, known = addSat(max(mulSat(pages, l.PDFPageTextTokens), b.Bytes), mulSat(pages, picture)), pages > 0
	} else if l.DocumentPictures {
		n = addSat(n, mulSat(int64(b.Images), picture))
	}
	if b.Cited {
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
