package cacheaudit

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// saving estimates what the same calls would have cost less with the cache at its best: each request reads all that the one
// before it could have left there, and what is read later was written once, for five minutes, at the premium that this
// costs. The premium is counted when something is first read, so that requests nobody goes on from are charged none.
type saving struct {
	pico     float64 // may be negative
	readable int64   // of the last request of the conversation
}

func (s *saving) add(rates price.Rates, m cache.Model, u price.Usage, avoidable int64) {
	if avoidable < max(m.MinTokens, 1) {
		avoidable = 0 // too short to be cached
	}
	if m.MaxTokens > 0 {
		avoidable = min(avoidable, m.MaxTokens)
	}
	avoidable = min(avoidable, u.InputTokens)
	if !m.Explicit && !m.Implicit {
		return
	}
	cost := func(tokens int64, rate price.PicoUSD) float64 { return float64(tokens) * float64(rate) }
	paid := cost(u.UncachedInputTokens(), rates.Input) + cost(u.CacheReadInputTokens, rates.CacheRead) +
		cost(u.CacheWrite5mInputTokens, rates.CacheWrite5m) + cost(u.CacheWrite1hInputTokens, rates.CacheWrite1h)
	first := max(avoidable-s.readable, 0)
	best := cost(avoidable, rates.CacheRead) + cost(u.InputTokens-avoidable, rates.Input) + cost(first, rates.CacheWrite5m-rates.Input)
	s.pico += paid - best
	s.readable = avoidable
}

// amount returns what could have been saved, and zero if the calls cost no more than the estimate.
func (s *saving) amount() price.Amount { return price.Amount(max(s.pico, 0) / 1000) }
