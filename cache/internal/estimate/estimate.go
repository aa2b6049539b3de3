// Package estimate converts sizes of prompts into numbers of tokens, as far as responses have shown what a token is, and tokens into money.
package estimate

import "github.com/bedrockguard/bedrockguard-go/cache/prompt"

// Scale converts the sizes of a prompt into tokens. These tokenizers are not published, so an estimate is a range: a token of English or
// code is two to six bytes long, and three and a half on average. Once a response of the workflow has reported its count, the average is
// corrected by it and the range gets smaller. The zero value has learned nothing.
type Scale struct {
	Factor int64 // actual tokens for 1000 tokens of the average estimate; 0 before the first response
}

// text returns the most likely number of tokens of the text, without images and documents.
func (s Scale) text(amount prompt.Size) int64 {
	n := amount.Bytes * 2 / 7 // three and a half bytes a token
	if s.Factor > 0 {
		n = MulDiv(n, s.Factor, 1000)
	}
	return n
}

// Mid returns the most likely number of tokens, with images and documents.
func (s Scale) Mid(amount prompt.Size) int64 { return s.text(amount) + amount.Media }

// Low returns a number of tokens that the actual one is very unlikely to be below. Media count as zero: a page of a PDF has been seen to
// have from 60 to 6,000 tokens, depending on its content and on how the service reads it, and an image may be scaled down.
func (s Scale) Low(amount prompt.Size) int64 {
	if s.Factor > 0 {
		return s.text(amount) * 85 / 100
	}
	return amount.Bytes / 6
}

// High returns a number of tokens that the actual one is very unlikely to exceed. Media count four times their estimate, because it is rough.
func (s Scale) High(amount prompt.Size) int64 {
	if s.Factor > 0 {
		return s.text(amount)*115/100 + 4*amount.Media
	}
	return amount.Bytes/2 + 4*amount.Media
}

// Learn corrects the scale by the count of a response. Each new count moves the factor by a quarter of the difference. Ignored are prompts under 200
// tokens, in which the format's own tokens outweigh the text, and those in which media are probably a fifth or more, because they say little about
// text.
func (s *Scale) Learn(amount prompt.Size, actual int64) {
	n := amount.Bytes * 2 / 7 // tokens of text by the average estimate, of three and a half bytes a token
	if n < 200 || actual <= 0 || amount.Media > n/4 {
		return
	}
	// The count is of text and media together, so it is divided by the estimate of both.
	factor := min(max(MulDiv(actual, 1000, n+amount.Media), 200), 5000) // a fifth to five times the average estimate
	if s.Factor == 0 {
		s.Factor = factor
		return
	}
	s.Factor += (factor - s.Factor) / 4
}

// Counted is the token count that a response has reported for the beginning of a prompt. The zero value means that there is none.
type Counted struct {
	Blocks int   // how many blocks that beginning has
	Tokens int64 // how many tokens they have together
}

// Bounded returns an estimate of a prompt up to and including a block, corrected by what a response has reported: a shorter prefix has at most the
// reported tokens, and of a longer one only the rest is estimated.
func (k Counted) Bounded(p *prompt.Prompt, block int, estimate func(prompt.Size) int64) int64 {
	amount := p.UpTo(block)
	switch {
	case k.Blocks <= 0:
		return estimate(amount)
	case block+1 < k.Blocks:
		return min(estimate(amount), k.Tokens)
	default:
		return k.Tokens + estimate(amount.Minus(p.UpTo(k.Blocks-1)))
	}
}
