package budget

import "github.com/bedrockguard/bedrockguard-go/internal/checked"

import "fmt"

// Usage is what one inference consumed, in the classes that are billed apart. InputTokens holds every input token;
// the three cache counts are parts of it. All counts are non-negative; Charge refuses anything else.
type Usage struct {
	InputTokens             int64 // all of them: uncached + read + written
	CacheReadInputTokens    int64
	CacheWrite5mInputTokens int64 // written with a TTL of five minutes, or with no TTL told
	CacheWrite1hInputTokens int64
	OutputTokens            int64 // reasoning included
}

// UncachedInputTokens is the project's one definition of the term: input tokens that were neither read from the cache
// nor written to it, and so are billed at the base rate.
func (u Usage) UncachedInputTokens() int64 {
	return u.InputTokens - u.CacheReadInputTokens - u.CacheWrite5mInputTokens - u.CacheWrite1hInputTokens
}

// Validate reports negative counts, and cache counts that exceed the input.
func (u Usage) Validate() error {
	if min(u.InputTokens, u.CacheReadInputTokens, u.CacheWrite5mInputTokens, u.CacheWrite1hInputTokens, u.OutputTokens) < 0 {
		return fmt.Errorf("%w: negative token count in %+v", ErrInvalidUsage, u)
	}
	rest := u.InputTokens - u.CacheReadInputTokens // of non-negative numbers, so this can't wrap
	if rest < u.CacheWrite5mInputTokens || rest-u.CacheWrite5mInputTokens < u.CacheWrite1hInputTokens {
		return fmt.Errorf("%w: cached tokens exceed the input in %+v", ErrInvalidUsage, u)
	}
	return nil
}

// Charge returns the usage as one call that cost the given amount. The usage must be valid.
func (u Usage) Charge(cost Amount) Charge {
	var c Charge
	c[UnitUSD] = int64(cost)
	c[UnitUncachedInputTokens] = u.UncachedInputTokens()
	c[UnitInputTokens] = u.InputTokens
	c[UnitCacheReadInputTokens] = u.CacheReadInputTokens
	c[UnitCacheWriteInputTokens] = u.CacheWrite5mInputTokens + u.CacheWrite1hInputTokens
	c[UnitOutputTokens] = u.OutputTokens
	c[UnitCalls] = 1
	return c
}

// Charge is an amount in every unit at once, indexed by Unit: what a reservation sets aside, and what a settlement posts.
// Index 0 is unused. The zero value charges nothing.
type Charge [NumUnits]int64

// In returns the charge in one unit.
func (c *Charge) In(u Unit) Quantity { return Quantity{N: c[u], Unit: u} }

// Plus returns the sum of two charges in every unit, and whether it fits.
func (c Charge) Plus(other Charge) (Charge, bool) {
	for u := range c {
		n, ok := checked.Add(c[u], other[u])
		if !ok {
			return c, false
		}
		c[u] = n
	}
	return c, true
}

// Validate reports negative amounts, and an unused index that is used.
func (c *Charge) Validate() error {
	lowest := int64(0)
	for _, n := range c {
		lowest = min(lowest, n)
	}
	if lowest == 0 && c[0] == 0 {
		return nil
	}
	for u, n := range c {
		if n < 0 || u == 0 && n != 0 {
			return fmt.Errorf("%w: %d %s", ErrInvalidCharge, n, Unit(u))
		}
	}
	return nil
}

// Exceeds returns the first unit in which c is larger than bound.
func (c *Charge) Exceeds(bound *Charge) (Unit, bool) {
	for u := UnitUSD; u <= UnitCalls; u++ {
		if c[u] > bound[u] {
			return u, true
		}
	}
	return 0, false
}
