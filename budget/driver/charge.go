package driver

import (
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/checked"
)

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

// Validate reports negative amounts, and an amount at index 0, which is unused.
func (c *Charge) Validate() error {
	lowest := int64(0) // one quick pass for the usual case, a valid charge
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

// Exceeds returns the first unit in which c is larger than bound, and whether there is one.
func (c *Charge) Exceeds(bound *Charge) (Unit, bool) {
	for u := UnitUSD; u <= UnitCalls; u++ {
		if c[u] > bound[u] {
			return u, true
		}
	}
	return 0, false
}

// ChargeOf returns a usage as one call that cost the given amount. The usage must be valid.
func ChargeOf(u price.Usage, cost price.Amount) Charge {
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
