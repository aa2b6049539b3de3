package bedrockguard

import (
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// ShadowLine is how often a guard that enforces would have refused calls for one reason.
type ShadowLine struct {
	Limit string       // the limit's name; empty for another reason
	Scope budget.Scope // the scope of the account
	Cause string       // "limit", "rate", "loop", "price", "operation", "cache" or "store"
	Calls int64
}

// ShadowReport returns how often a guard in shadow mode has let a call through that it would otherwise have refused, by limit and account, the
// most frequent first, since the guard was made.
func (g *Guard) ShadowReport() []ShadowLine {
	lines := g.chain.ShadowReport()
	all := make([]ShadowLine, len(lines))
	for i := range lines {
		all[i] = ShadowLine(lines[i])
	}
	return all
}
