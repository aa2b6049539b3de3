package tokens

import (
	"context"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens/textcost"
)

// TextBound returns a number of tokens that a text does not exceed: at least 0 and at most its WideText. With escaped, s is the content of a
// JSON string literal with its escapes. It reads the text once, without a vocabulary, and allocates nothing, but for the
// goroutines that scan a text of 128 KB or more in parts at once.
//
// The bound holds for every tokenizer with which it was measured (see package textcost); Limits.TextThousandths leaves room for families
// whose tokenizer is not public. UpperBound depends on the bytes alone.
func TextBound(s string, escaped bool) int64 { return textcost.Bound(s, escaped) }

// TightBound is UpperBound with the text of Text and JSON blocks bounded by TextBound times l.TextThousandths, rounded up, and never above
// its WideText, the bound by the number of bytes. ok is false if there is no bound: see UpperBound. It checks ctx at least every 256 KB of text, and
// returns its error.
func TightBound(ctx context.Context, p *Prompt, l *Limits) (n int64, ok bool, err error) {
	n = framing(p, l)     // all that is in no block
	if p.Hidden.Unknown { // the service adds text of unknown length
		return 0, false, nil
	}
	for i := range p.Blocks {
		b := &p.Blocks[i]
		if b.Kind != Text && b.Kind != JSON { // an image or a document counts as in UpperBound
			t, ok := blockBound(b, l)
			if !ok {
				return 0, false, nil
			}
			n = addSat(n, t)
			continue
		}
		t, err := textBound(ctx, b.Text, b.Escaped, l.textThousandths())
		if err != nil {
			return 0, false, err
		}
		n = addSat(n, t)
	}
	return n, true, nil
}

// BodyBound is TightBound for a prompt whose text is in a JSON body. It bounds the whole body, names and punctuation included, so that it
// neither reads the body twice nor allocates. The prompt's text blocks are not used. It must not be used for a body with media, whose bytes
// would count as text.
func BodyBound(ctx context.Context, body []byte, p *Prompt, l *Limits) (n int64, ok bool, err error) {
	if n, ok = MediaBound(p, l); !ok {
		return 0, false, nil
	}
	// The bytes do not change while they are scanned: they are the request that is about to be sent.
	text := unsafe.String(unsafe.SliceData(body), len(body))
	// The whole body is scanned like the inside of one string literal: outside of its strings JSON has no backslash.
	t, err := textBound(ctx, text, true, l.textThousandths())
	if err != nil {
		return 0, false, err
	}
	return addSat(n, t), true, nil
}

// textBound is TextBound times some thousandths, rounded up, and at most the WideText of s. With escaped, s is the content of a JSON string literal.
// The only error is that of ctx.
func textBound(ctx context.Context, s string, escaped bool, thousandths int64) (int64, error) {
	scanner, err := textcost.ScanAll(ctx, s, escaped)
	if err != nil {
		return 0, err
	}
	// Tokens is the bound by the characters and words of the whole text, and AtMostBytes cuts a bound down to the WideText of s. Both this bound and
	// its product with the factor are cut.
	bound := scanner.AtMostBytes(scanner.Tokens(s, len(s)), s)
	return scanner.AtMostBytes(scale(bound, thousandths, 1000), s), nil
}
