// Package storetest is the conformance suite of budget.Store: a store is correct when Run passes. Each subtest stands for
// one sentence of the contract and prints that sentence when it fails. After every subtest the accounts are added up again
// from the entries.
package storetest

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Retention is how long the stores that the suite opens must remember resolved reservations: longer than its clock runs.
const Retention = 50 * 366 * 24 * time.Hour

// Harness tells the suite how to make the store under test. Only Open is required.
type Harness struct {
	// Open returns a store over a new and empty ledger, whose time is clock.Now and whose retention is Retention. The
	// suite closes it; what else it needs is the harness's to clean up with t.Cleanup.
	Open func(t *testing.T, clock *Clock) budget.Store
	// Reopen returns one more handle on the ledger of a store that Open made, as another process would have it. Nil says
	// that the store lives in one process; the subtests that need it are skipped.
	Reopen func(t *testing.T, store budget.Store, clock *Clock) budget.Store
	// Wipe destroys the ledger under an open store, as a lost disk or a flushed server would. Nil says that this can't
	// happen; the subtest that needs it is skipped.
	Wipe func(t *testing.T, store budget.Store)
	// MaxSum is the largest sum that the store keeps exactly; what would exceed it must be ErrOverflow. Zero stands for
	// math.MaxInt64.
	MaxSum int64
	// Seeds and Steps are the size of the random run against the model. Zero stands for 20 seeds of 2,000 steps.
	Seeds, Steps int
	// Workers is how many goroutines compete in the concurrent subtests. Zero stands for 32.
	Workers int
}

// Clock is a time that only tests move. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at now.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set moves the clock, forth or back.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Advance moves the clock by d, which may be negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rule is one subtest.
type rule struct {
	name string
	why  string // the sentence that it checks, and what breaks without it
	run  func(*subject)
}

// Run checks every sentence of the contract of budget.Store.
func Run(t *testing.T, h Harness) {
	if h.Seeds == 0 {
		h.Seeds = 20
	}
	if h.Steps == 0 {
		h.Steps = 2000
	}
	if h.MaxSum == 0 {
		h.MaxSum = math.MaxInt64
	}
	if h.Workers == 0 {
		h.Workers = 32
	}
	for _, r := range slices.Concat(reserveRules, settleRules, voidRules, correctRules, expireRules, windowRules, rollingRules, markRules,
		latchRules, overrideRules, killRules, entryRules, hostileRules, overflowRules, lifecycleRules, concurrentRules, randomRules) {
		t.Run(r.name, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the rule: %s", r.why)
				}
			})
			s := newSubject(t, h)
			r.run(s)
			s.verify()
		})
	}
}
