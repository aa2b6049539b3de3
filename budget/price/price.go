// Package price has amounts of money, the prices of tokens, and what a usage costs at them. Money is integer nano-USD, a price is integer
// pico-USD per token, each class of tokens is rounded up, and an overflow is ErrOverflow.
package price

import (
	"fmt"
	"math"
	"strconv"

	"github.com/bedrockguard/bedrockguard-go/internal/checked"
)

// PicoUSD is a price per token in millionths of a millionth of a dollar: 3 USD per million tokens are 3,000,000 pico-USD
// per token. The cheapest list price known, 0.00875 USD per million, is 8,750: an integer, where nano-USD is not.
type PicoUSD int64

// picoPerNano is how many pico-USD are one nano-USD: prices are in pico-USD, and amounts in nano-USD.
const picoPerNano = 1000

// Rates are the prices of one token in each class that is billed separately. A zero rate is free, so set every class that the model can be
// billed in: for a model without a prompt cache, leave the three cache rates zero.
type Rates struct {
	Input        PicoUSD // of an input token that is neither read from the prompt cache nor written to it
	Output       PicoUSD
	CacheRead    PicoUSD // of an input token that is read from the prompt cache
	CacheWrite5m PicoUSD // of an input token that is written to the prompt cache, to stay for five minutes
	CacheWrite1h PicoUSD // of one that is written to stay for an hour
}

// LongContext replaces the rates of a whole request if its input, cached tokens included, exceeds Threshold tokens. In the zero value there
// is no such rule.
type LongContext struct {
	Threshold int64
	Rates     Rates
}

// Tier is a service tier's factor on every rate, in thousandths: flex is 500, priority 1750. Zero means 1000.
type Tier int64

// TierStandard is the factor of the default tier.
const TierStandard Tier = 1000

// Price is what a model costs at gross list price. It is a value, safe to copy and to share.
type Price struct {
	Rates       Rates
	LongContext LongContext
}

// Cost prices a usage at a tier, each class rounded up to a nano-USD. It returns ErrInvalidUsage or ErrOverflow.
func (p *Price) Cost(u Usage, tier Tier) (Amount, error) {
	if err := u.Validate(); err != nil {
		return 0, err
	}
	r := &p.Rates
	if p.LongContext.Threshold > 0 && u.InputTokens > p.LongContext.Threshold {
		r = &p.LongContext.Rates
	}
	s := sum{tier: tier}
	s.add(u.UncachedInputTokens(), r.Input)
	s.add(u.CacheReadInputTokens, r.CacheRead)
	s.add(u.CacheWrite5mInputTokens, r.CacheWrite5m)
	s.add(u.CacheWrite1hInputTokens, r.CacheWrite1h)
	s.add(u.OutputTokens, r.Output)
	return s.total()
}

// CacheWrites says which cache writes a request can cause. The highest rate of its input depends on them.
type CacheWrites uint8

// The cache writes that a request can cause.
const (
	NoCacheWrites CacheWrites = iota // no cache point, and the model does not cache by itself
	CacheWrites5m                    // five-minute points, or implicit caching
	CacheWrites1h                    // at least one one-hour point
)

// WorstCase prices a request with at most inputTokens of input and outputTokens of output: every input token at the highest rate that it can
// be billed at, and with the higher of the two context prices if both are possible. It returns ErrInvalidUsage or ErrOverflow.
func (p *Price) WorstCase(inputTokens, outputTokens int64, writes CacheWrites, tier Tier) (Amount, error) {
	if inputTokens < 0 || outputTokens < 0 {
		return 0, fmt.Errorf("%w: %d input and %d output tokens", ErrInvalidUsage, inputTokens, outputTokens)
	}
	worst, err := p.Rates.worst(inputTokens, outputTokens, writes, tier)
	if err != nil || p.LongContext.Threshold <= 0 || inputTokens <= p.LongContext.Threshold {
		return worst, err
	}
	long, err := p.LongContext.Rates.worst(inputTokens, outputTokens, writes, tier)
	return max(worst, long), err
}

// worst is WorstCase at these rates.
func (r *Rates) worst(in, out int64, writes CacheWrites, tier Tier) (Amount, error) {
	rate := max(r.Input, r.CacheRead)
	if writes >= CacheWrites5m {
		rate = max(rate, r.CacheWrite5m)
	}
	if writes >= CacheWrites1h {
		rate = max(rate, r.CacheWrite1h)
	}
	// The real cost is rounded up in each class of tokens. Here all of the input is in one class and is rounded up once, while it may really be in four:
	// one nano-USD for each of these makes up for that.
	s := sum{tier: tier, amount: 4}
	s.add(in, rate)
	s.add(out, r.Output)
	return s.total()
}

// sum adds up the cost of tokens at one tier. After an error its amount is invalid.
type sum struct {
	tier   Tier
	amount Amount
	err    error
}

// add adds the cost of tokens at a rate, rounded up to a nano-USD.
func (s *sum) add(tokens int64, rate PicoUSD) {
	tier := s.tier
	if tier == 0 {
		tier = TierStandard
	}
	perKilo, ok := checked.Mul(int64(rate), int64(tier)) // pico-USD per 1000 tokens, as a tier is a factor in thousandths
	// Zero tokens are free at any rate; but a rate that overflows is an error even then.
	if ok && tokens == 0 {
		return
	}
	n, fits := checked.MulDivCeil(tokens, perKilo, picoPerNano*int64(TierStandard))
	total, added := checked.Add(int64(s.amount), n)
	if !ok || !fits || !added {
		s.err = fmt.Errorf("%w: %d tokens at %d pico-USD and tier %d", ErrOverflow, tokens, rate, s.tier)
		return
	}
	s.amount = Amount(total)
}

// total returns the sum, or the last error of add.
func (s *sum) total() (Amount, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.amount, nil
}

// PerMTok converts a price as it is published, USD per million tokens as decimal text, to a price per token. Digits finer than a pico-USD
// round up. It refuses anything but a plain non-negative decimal.
func PerMTok(usd string) (PicoUSD, error) {
	f, err := strconv.ParseFloat(usd, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < 0 || f > 1e9 {
		return 0, fmt.Errorf("budget: price %q is not a decimal number of USD per million tokens", usd)
	}
	pico := f * 1e6                                             // a dollar is 1e12 pico-USD, and the price is for 1e6 tokens
	if whole := math.Round(pico); math.Abs(pico-whole) < 1e-6 { // so near, the difference is only the rounding of float64
		return PicoUSD(whole), nil
	}
	return PicoUSD(math.Ceil(pico)), nil
}
