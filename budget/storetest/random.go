package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest/internal/walk"
)

// The rule of the random run: package walk takes a store through random steps and compares it with a model.
var randomRules = []rule{
	{"RandomStepsAgreeWithTheModel", "whatever the order of steps, owners, replays and clocks, the store answers as a ledger that adds up from the beginning", func(s *subject) {
		s.unverified = true // the model verifies more
		for seed := range s.h.Seeds {
			s.t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
				r := newSubject(t, s.h)
				walk.Take(t, r.store, r.clock, rand.New(rand.NewPCG(uint64(seed), 0)), s.h.Steps, s.h.walk())
			})
		}
	}},
}

// Random is where Walk draws its steps from. A *rand.Rand of math/rand/v2 is one.
type Random interface {
	IntN(n int) int
	Int64N(n int64) int64
	Uint32() uint32
}

// Walk takes a store through so many random steps, and compares each answer, each balance and each entry with a model that
// adds up from the beginning. It stops t at the first difference. The store must be new and empty, with the clock's time
// and the suite's Retention. The steps depend on nothing but random, so that a difference can be found again and, where
// random knows how, made smaller.
func Walk(t require.TestingT, store driver.Store, clock *Clock, random Random, steps int) {
	walk.Take(t, store, clock, random, steps, Harness{}.complete().walk())
}

// walk returns what the harness says about the random run. A store that is excepted from the rule of shares is not sent any.
func (h Harness) walk() walk.Options {
	return walk.Options{Scale: h.Scale, Stride: h.Stride, Loose: h.Loose != "", Undivided: h.Exceptions["SharesDivideUsage"] != ""}
}
