package cache

import "math/bits"

// scale turns the sizes of a prompt into tokens. Nobody publishes these tokenizers, so an estimate is a band: a token of
// English or code is two to six bytes, three and a half in the middle. Once a response of the workflow has told its count, the
// middle is scaled by it and the band narrows. The zero value has learned nothing.
type scale struct {
	factor int64 // actual tokens per thousand of the middle estimate; 0 before the first response
}

// size is what a stretch of a prompt measures.
type size struct {
	bytes int64
	media int64 // tokens of images and documents
}

func (s size) plus(o size) size  { return size{s.bytes + o.bytes, s.media + o.media} }
func (s size) minus(o size) size { return size{s.bytes - o.bytes, s.media - o.media} }

func (b *Block) size() size { return size{int64(b.Bytes), b.MediaTokens} }

// mid is the likeliest number of tokens.
func (s scale) mid(z size) int64 {
	n := z.bytes*2/7 + z.media
	if s.factor > 0 {
		n = mulDiv(n, s.factor, 1000)
	}
	return n
}

// low is what the tokens can hardly be fewer than.
func (s scale) low(z size) int64 {
	if s.factor > 0 {
		return s.mid(z) * 85 / 100
	}
	return z.bytes/6 + z.media/2
}

// high is what the tokens can hardly exceed.
func (s scale) high(z size) int64 {
	if s.factor > 0 {
		return s.mid(z) * 115 / 100
	}
	return z.bytes/2 + z.media*2
}

// learn takes in what a response counted. Each new count moves the factor by a quarter of the difference.
func (s *scale) learn(z size, actual int64) {
	n := z.bytes*2/7 + z.media
	if n < 200 || actual <= 0 {
		return // too small: framing outweighs the text
	}
	factor := min(max(mulDiv(actual, 1000, n), 200), 5000)
	if s.factor == 0 {
		s.factor = factor
		return
	}
	s.factor += (factor - s.factor) / 4
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
