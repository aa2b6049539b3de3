package cache

import (
	"math/bits"
	"strconv"
	"unicode/utf16"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// scale converts the sizes of a prompt into tokens. These tokenizers are not published, so an estimate is a range: a token of English or
// code is two to six bytes long, and three and a half on average. Once a response of the workflow has reported its count, the average is
// corrected by it and the range gets smaller. The zero value has learned nothing.
type scale struct {
	factor int64 // actual tokens for 1000 tokens of the average estimate; 0 before the first response
}

// size is the size of a part of a prompt.
type size struct {
	bytes int64
	media int64 // tokens of images and documents
}

func (s size) plus(o size) size  { return size{s.bytes + o.bytes, s.media + o.media} }
func (s size) minus(o size) size { return size{s.bytes - o.bytes, s.media - o.media} }

func (b *Block) size() size { return size{int64(b.Bytes), b.MediaTokens} }

// text returns the most likely number of tokens of the text.
func (s scale) text(amount size) int64 {
	n := amount.bytes * 2 / 7
	if s.factor > 0 {
		n = mulDiv(n, s.factor, 1000)
	}
	return n
}

// mid returns the most likely number of tokens.
func (s scale) mid(amount size) int64 { return s.text(amount) + amount.media }

// low returns a number of tokens that the actual one is very unlikely to be below. Media count as zero: a page of a PDF has been seen to
// have from 60 to 6,000 tokens, depending on its content and on how the service reads it, and an image may be scaled down.
func (s scale) low(amount size) int64 {
	if s.factor > 0 {
		return s.text(amount) * 85 / 100
	}
	return amount.bytes / 6
}

// high returns a number of tokens that the actual one is very unlikely to exceed.
func (s scale) high(amount size) int64 {
	if s.factor > 0 {
		return s.text(amount)*115/100 + 4*amount.media
	}
	return amount.bytes/2 + 4*amount.media
}

// learn corrects the scale by the count of a response. Each new count moves the factor by a quarter of the difference. Prompts in which
// media are probably a fifth or more are ignored, because they say little about text.
func (s *scale) learn(amount size, actual int64) {
	n := amount.bytes * 2 / 7
	if n < 200 || actual <= 0 || amount.media > n/4 {
		return // too small: the format's own tokens outweigh the text
	}
	factor := min(max(mulDiv(actual, 1000, n+amount.media), 200), 5000)
	if s.factor == 0 {
		s.factor = factor
		return
	}
	s.factor += (factor - s.factor) / 4
}

// countedTokens is the token count that a response has reported for the beginning of a prompt. The zero value means that there is none.
type countedTokens struct {
	blocks int
	tokens int64
}

// bounded returns an estimate of a prompt up to a block, corrected by what a response has reported.
func (k countedTokens) bounded(p *Prompt, block int, estimate func(size) int64) int64 {
	amount := p.upTo(block)
	switch {
	case k.blocks <= 0:
		return estimate(amount)
	case block+1 < k.blocks:
		return min(estimate(amount), k.tokens)
	default:
		return k.tokens + estimate(amount.minus(p.upTo(k.blocks-1)))
	}
}

// countsAtLeast reports whether the blocks from first to last certainly have the given number of tokens, by counting pieces of text. It
// reads no more text than necessary.
func (p *Prompt) countsAtLeast(first, last int, tokens int64) bool {
	for i := max(first, 0); i <= last && tokens > 0; i++ {
		for _, l := range p.leavesOf(i) {
			switch {
			case l.binary:
			case l.json:
				tokens -= piecesIn(l.resolved(), false, tokens)
			default:
				tokens -= piecesIn(l.text(), l.quoted, tokens)
			}
			if tokens <= 0 {
				break
			}
		}
	}
	return tokens <= 0
}

// piecesIn counts what tokenizers cut a text into before they look for tokens, up to so many: runs of letters, three digits, runs
// of signs, and 24 bytes that are not ASCII. White space goes with what follows it. A token never reaches over two pieces
// in the public vocabularies that cut at all. Of the inside of a JSON string it counts what that stands for.
func piecesIn(s string, quoted bool, enough int64) int64 {
	const space, letter, digit, sign, other = 0, 1, 2, 3, 4
	pieces, run, before := int64(0), 0, space
	for i := 0; i < len(s) && pieces < enough; {
		c, n, times := s[i], 1, 1
		if quoted && c == '\\' {
			c, n, times = escapedByte(s[i:])
		}
		i += n
		kind := sign
		switch {
		case c <= ' ':
			kind = space
		case isDigit(c):
			kind = digit
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			kind = letter
		case c >= 0x80:
			kind = other
		}
		if kind != before {
			run = 0
		}
		longest := len(s)
		switch kind {
		case digit:
			longest = 3
		case other:
			longest = 24
		}
		for range times {
			if kind != space && run%longest == 0 {
				pieces++
			}
			run++
		}
		before = kind
	}
	return pieces
}

// escapedByte returns the first byte of what an escape stands for, the length of the escape, and how many bytes like that one there are.
func escapedByte(s string) (c byte, n, times int) {
	const many = 0x80 // stands for any character that is not ASCII
	if len(s) < 6 || s[1] != 'u' {
		return jsonscan.Unescape(s[:2])[0], 2, 1
	}
	switch r, _ := strconv.ParseUint(s[2:6], 16, 16); {
	case r < 0x80:
		return byte(r), 6, 1
	case r < 0x800, utf16.IsSurrogate(rune(r)): // two halves of four bytes
		return many, 6, 2
	default:
		return many, 6, 3
	}
}

// mulDiv returns a*b/c of non-negative numbers without overflow of the product.
func mulDiv(a, b, c int64) int64 {
	if a <= 0 || b <= 0 || c <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, 1<<63-1))
}
