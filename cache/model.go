package cache

import (
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// Model has one model's rules of caching and its prices. The zero value is a model that does not cache.
type Model struct {
	// ID is the foundation-model id. Informational.
	ID string
	// Provider is the model's maker, in lower case as in model ids. The rules about the place of points depend on it.
	Provider string
	// Explicit says that requests may carry cache points. Without it the service refuses a request that has one.
	Explicit bool
	// Implicit says that the model may cache by itself.
	Implicit bool
	// MinTokens is the shortest prefix that is cached, counted from the start of the prompt. Zero is unknown.
	MinTokens int64
	// MaxTokens is the longest prefix that is cached. Zero means no bound.
	MaxTokens int64
	// MaxPoints is how many cache points a request may carry. Zero is unknown.
	MaxPoints int
	// TTLs are the lifetimes that the model offers. Empty means five minutes.
	TTLs []time.Duration
	// Tools, System and Messages say which sections may have cache points. If none is set, all three may.
	Tools, System, Messages bool
	// Lookback is how many blocks, counted backwards from a cache point and including the one before it, are searched for an earlier write.
	// Zero means 20; a negative value means no bound.
	Lookback int
	// The prices, in pico-USD per token. Zero is unknown: findings then have no amounts.
	InputPrice, CacheReadPrice, CacheWrite5mPrice, CacheWrite1hPrice int64

	doubtful bool // that it takes no points was only learned from one rejection
}

// defaultLookback is what the Bedrock user guide says of Claude (2026-11): about 20 blocks are searched.
const defaultLookback = 20

// lookback returns Lookback, with its default for zero and math.MaxInt for no bound.
func (m *Model) lookback() int {
	switch {
	case m.Lookback == 0:
		return defaultLookback
	case m.Lookback < 0:
		return math.MaxInt
	default:
		return m.Lookback
	}
}

// takes reports whether a section may have points.
func (m *Model) takes(s prompt.Section) bool {
	switch {
	case !m.Tools && !m.System && !m.Messages:
		return true
	case s == prompt.Tools:
		return m.Tools
	case s == prompt.System:
		return m.System
	default:
		return m.Messages
	}
}

// offers reports whether a point may ask for a lifetime.
func (m *Model) offers(ttl time.Duration) bool {
	if len(m.TTLs) == 0 {
		return ttl == prompt.FiveMinutes
	}
	return slices.Contains(m.TTLs, ttl)
}

// writePrice returns the price of writing for a lifetime, in pico-USD per token; 0 if it is not known.
func (m *Model) writePrice(ttl time.Duration) int64 {
	if ttl > prompt.FiveMinutes {
		return m.CacheWrite1hPrice
	}
	return m.CacheWrite5mPrice
}
