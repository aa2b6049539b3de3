package bedrockguard

import (
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Pressure is what Options.Substitute is called with: a call, and how full its limits are.
type Pressure struct {
	ModelID  string                  // as the caller wrote it
	Scope    budget.Scope            // the call's scope, with the resolved model
	Balances []budget.AccountBalance // of each limit that the call counts in, in the policy's order
}

// Used is how full the fullest limit is, settled and pending together: 1 is full, and more is possible because actual costs may exceed a
// limit. Observe-only limits do not count, and a limit with a Max of zero is full.
func (p *Pressure) Used() float64 {
	fullest := 0.0
	for i := range p.Balances {
		b := &p.Balances[i]
		switch {
		case b.Observe: // it refuses nothing
		case b.Latched || b.Max.N == 0: // a latched account refuses every call, as a full one does
			fullest = max(fullest, 1)
		default:
			fullest = max(fullest, (float64(b.Settled.N)+float64(b.Pending.N))/float64(b.Max.N))
		}
	}
	return fullest
}
