package cacheaudit

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// saving estimates how much less the same calls would have cost with ideal caching: each request reads all that the request before it could have left
// in the cache. What is read was written once, for five minutes, which costs more than plain input. This surcharge is counted with the first read, so
// that requests without a successor do not pay it.
type saving struct {
	pico     float64 // paid so far for input, less what ideal caching would have cost, in pico-USD; may be negative
	readable int64   // how many tokens the last call could have read: only those beyond have to be written for the next one
}

// add adds one call: what it has paid for its input, less what it would have paid with ideal caching. u is what was billed, and avoidable how
// many of its input tokens could have been read from the cache.
func (s *saving) add(rates price.Rates, m cache.Model, u price.Usage, avoidable int64) {
	if !m.Explicit && !m.Implicit { // the model has no prompt cache, neither with cache points nor by itself
		return
	}
	if avoidable < max(m.MinTokens, 1) {
		avoidable = 0 // too short to be cached
	}
	if m.MaxTokens > 0 {
		avoidable = min(avoidable, m.MaxTokens)
	}
	avoidable = min(avoidable, u.InputTokens)
	cost := func(tokens int64, rate price.PicoUSD) float64 { return float64(tokens) * float64(rate) }
	paid := cost(u.UncachedInputTokens(), rates.Input) + cost(u.CacheReadInputTokens, rates.CacheRead) +
		cost(u.CacheWrite5mInputTokens, rates.CacheWrite5m) + cost(u.CacheWrite1hInputTokens, rates.CacheWrite1h)
	first := max(avoidable-s.readable, 0) // tokens that are read for the first time: for these the surcharge is due
	surcharge := rates.CacheWrite5m - rates.Input
	best := cost(avoidable, rates.CacheRead) + cost(u.InputTokens-avoidable, rates.Input) + cost(first, surcharge)
	s.pico += paid - best
	s.readable = avoidable
}

// amount returns what could have been saved, and zero if the calls cost no more than the estimate. An amount is in nano-USD.
func (s *saving) amount() price.Amount { return price.Amount(max(s.pico, 0) / 1000) }
