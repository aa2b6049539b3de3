package cache

import (
	"math/bits"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// scale converts the sizes of a prompt into tokens. These tokenizers are not published, so an estimate is a range: a token of English or
// code is two to six bytes long, and three and a half on average. Once a response of the workflow has reported its count, the average is
// corrected by it and the range gets smaller. The zero value has learned nothing.
type scale struct {
	factor int64 // actual tokens for 1000 tokens of the average estimate; 0 before the first response
}

// text returns the most likely number of tokens of the text, without images and documents.
func (s scale) text(amount prompt.Size) int64 {
	n := amount.Bytes * 2 / 7 // three and a half bytes a token
	if s.factor > 0 {
		n = mulDiv(n, s.factor, 1000)
	}
	return n
}

// mid returns the most likely number of tokens, with images and documents.
func (s scale) mid(amount prompt.Size) int64 { return s.text(amount) + amount.Media }

// low returns a number of tokens that the actual one is very unlikely to be below. Media count as zero: a page of a PDF has been seen to
// have from 60 to 6,000 tokens, depending on its content and on how the service reads it, and an image may be scaled down.
func (s scale) low(amount prompt.Size) int64 {
	if s.factor > 0 {
		return s.text(amount) * 85 / 100
	}
	return amount.Bytes / 6
}

// high returns a number of tokens that the actual one is very unlikely to exceed. Media count four times their estimate, because it is rough.
func (s scale) high(amount prompt.Size) int64 {
	if s.factor > 0 {
		return s.text(amount)*115/100 + 4*amount.Media
	}
	return amount.Bytes/2 + 4*amount.Media
}

// learn corrects the scale by the count of a response. Each new count moves the factor by a quarter of the difference. Ignored are prompts under 200
// tokens, in which the format's own tokens outweigh the text, and those in which media are probably a fifth or more, because they say little about
// text.
func (s *scale) learn(amount prompt.Size, actual int64) {
	n := amount.Bytes * 2 / 7 // tokens of text by the average estimate, of three and a half bytes a token
	if n < 200 || actual <= 0 || amount.Media > n/4 {
		return
	}
	// The count is of text and media together, so it is divided by the estimate of both.
	factor := min(max(mulDiv(actual, 1000, n+amount.Media), 200), 5000) // a fifth to five times the average estimate
	if s.factor == 0 {
		s.factor = factor
		return
	}
	s.factor += (factor - s.factor) / 4
}

// countedTokens is the token count that a response has reported for the beginning of a prompt. The zero value means that there is none.
type countedTokens struct {
	blocks int   // how many blocks that beginning has
	tokens int64 // how many tokens they have together
}

// bounded returns an estimate of a prompt up to and including a block, corrected by what a response has reported: a shorter prefix has at most the
// reported tokens, and of a longer one only the rest is estimated.
func (k countedTokens) bounded(p *prompt.Prompt, block int, estimate func(prompt.Size) int64) int64 {
	amount := p.UpTo(block)
	switch {
	case k.blocks <= 0:
		return estimate(amount)
	case block+1 < k.blocks:
		return min(estimate(amount), k.tokens)
	default:
		return k.tokens + estimate(amount.Minus(p.UpTo(k.blocks-1)))
	}
}

// mulDiv returns a*b/c without overflow of the product: 0 if a number is not positive, and the largest int64 if the result would be larger.
func mulDiv(a, b, c int64) int64 {
	if a <= 0 || b <= 0 || c <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) { // the quotient would not fit, and Div64 would panic
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, 1<<63-1))
}
