package cache

import (
	"math/bits"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// fewGaps is how many pauses between requests have to be known before they decide about a lifetime.
const fewGaps = 3

// lifetime returns the lifetime for new cache points: an hour if that is cheaper than five minutes for the known pauses, else (also if
// prices are not known) the lifetime on offer that is nearest to five minutes.
//
// A request that repeats P tokens and adds N costs, at the prices r of reading and w5 and w1 of writing,
//
//	after a pause            with five minutes    with an hour
//	of up to five minutes    P*r + N*w5           P*r + N*w1
//	of up to an hour         (P+N) * w5           P*r + N*w1
//	longer                   (P+N) * w5           (P+N) * w1
//
// Summed over S short, M medium and L long pauses, an hour is cheaper if
//
//	M * P * (w5-r)  >  (w1-w5) * (N*(S+M+L) + P*L)
//
// For example, with 0.1, 1.25 and 2 times the input price, and turns that add a fiftieth of the prefix, one medium pause in 76 is enough.
func (m *Model) lifetime(g Gaps) time.Duration {
	if m.offers(prompt.OneHour) && m.hourPays(g) {
		return prompt.OneHour
	}
	return m.nearest(prompt.FiveMinutes)
}

// hourPays reports whether the formula of lifetime says that an hour is cheaper. With fewer pauses than fewGaps, or without the prices, it says no.
func (m *Model) hourPays(g Gaps) bool {
	short, medium, long := count(g.Short), count(g.Medium), count(g.Long)
	read, write5m, write1h := m.CacheReadPrice, m.CacheWrite5mPrice, m.CacheWrite1hPrice
	if read <= 0 || write5m <= read || write1h <= 0 || short+medium+long < fewGaps {
		return false
	}
	if write1h <= write5m {
		return medium > 0 // an hour costs no more, and is of use only after a pause of medium length
	}
	// The tokens on both sides of the formula. MulDiv with a divisor of 1 is a product that can't overflow, and Mul64 one of 128 bits.
	readAgain := estimate.MulDiv(medium, g.PrefixTokens, 1)
	written := uint64(estimate.MulDiv(short+medium+long, g.NewTokens, 1)) + uint64(estimate.MulDiv(long, g.PrefixTokens, 1))
	savedHi, savedLo := bits.Mul64(uint64(readAgain), uint64(write5m-read))
	moreHi, moreLo := bits.Mul64(written, uint64(write1h-write5m))
	return savedHi > moreHi || savedHi == moreHi && savedLo > moreLo
}

// lifetimeCosts are sums over a workflow's last requests, in pico-USD: what they would have cost without cache points, and with a point at the end of
// each for five minutes or for an hour.
type lifetimeCosts struct {
	none, five, hour int64
	n                int  // how many requests were added
	long             bool // points ask for an hour now: what hourPays has returned last
}

// fewCosts is how many requests have to be known before points ask for an hour.
const fewCosts = 4

// hourPays decides whether points ask for an hour from now on, for a prompt of so many tokens, and remembers that. They begin to when an hour would
// have been cheaper than five minutes, and would have saved, compared with no points, at least what writing this prompt costs more than sending it.
// They stop when an hour would have cost as much as no cache points, or more. Between these two, nothing changes.
func (b *lifetimeCosts) hourPays(m *Model, tokens int64) bool {
	premium := estimate.MulDiv(tokens, max(m.CacheWrite1hPrice-m.InputPrice, 0), 1) // what writing costs more than sending
	switch {
	case b.hour >= b.none:
		b.long = false
	case b.n >= fewCosts && b.hour < b.five && b.none-b.hour >= premium:
		b.long = true
	}
	return b.long
}

// add adds a request with its number of tokens, and how many of these could have been read if the request before had written for five minutes or for
// an hour. After every maxCosts requests the sums are halved, so that newer requests weigh more.
func (b *lifetimeCosts) add(m *Model, tokens, inFive, inHour int64) {
	price := func(read, write int64) int64 {
		return estimate.MulDiv(read, m.CacheReadPrice, 1) + estimate.MulDiv(tokens-read, write, 1)
	}
	b.none += estimate.MulDiv(tokens, m.InputPrice, 1)
	b.five += price(inFive, m.CacheWrite5mPrice)
	b.hour += price(inHour, m.CacheWrite1hPrice)
	if b.n++; b.n%maxCosts == 0 {
		b.none, b.five, b.hour = b.none/2, b.five/2, b.hour/2
	}
}

// maxCosts is after how many requests the sums of lifetimeCosts are halved.
const maxCosts = 16

// nearest returns the longest lifetime on offer that is not longer than the one that was asked for, or the shortest one if all are longer.
// An unknown lifetime counts as five minutes.
func (m *Model) nearest(asked time.Duration) time.Duration {
	if len(m.TTLs) == 0 {
		return prompt.FiveMinutes
	}
	if asked <= 0 {
		asked = prompt.FiveMinutes
	}
	best, shortest := time.Duration(0), m.TTLs[0]
	for _, t := range m.TTLs {
		shortest = min(shortest, t)
		if t <= asked {
			best = max(best, t)
		}
	}
	if best > 0 {
		return best
	}
	return shortest
}

// count limits a number of pauses, so that sums can't overflow.
func count(n int) int64 { return min(max(int64(n), 0), 1<<40) }
