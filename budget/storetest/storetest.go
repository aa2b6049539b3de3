// Package storetest is the conformance suite of driver.Store: a store is correct when Run passes. Each subtest stands for
// one sentence of the contract and prints that sentence when it fails. After every subtest the accounts are added up again
// from the entries.
package storetest

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Retention is how long the stores that the suite opens must remember resolved reservations: longer than its clock runs.
const Retention = 50 * 366 * 24 * time.Hour

// Harness tells the suite how to make the store under test. Only Open is required.
type Harness struct {
	// Open returns a store over a new and empty ledger, whose time is clock.Now and whose retention is Retention. The
	// suite closes it; what else it needs is the harness's to clean up with t.Cleanup.
	Open func(t *testing.T, clock *Clock) driver.Store
	// Reopen returns one more handle on the ledger of a store that Open made, as another process would have it. Nil says
	// that the store lives in one process; the subtests that need it are skipped.
	Reopen func(t *testing.T, store driver.Store, clock *Clock) driver.Store
	// Wipe destroys the ledger under an open store, as a lost disk or a flushed server would. Nil says that this can't
	// happen; the subtest that needs it is skipped.
	Wipe func(t *testing.T, store driver.Store)
	// Lose removes one part of the ledger under an open store, as it is laid down where it lives: a row, a key, a field, an item,
	// which of them n says. It returns what was removed, and "" once n is beyond the last part. Nil says that parts can't get lost; the
	// subtest that needs it is skipped.
	Lose func(t *testing.T, store driver.Store, n int) string
	// MaxSum is the largest sum that the store keeps exactly; what would exceed it must be ErrOverflow. Zero stands for
	// math.MaxInt64.
	MaxSum int64
	// Exceptions has, by the name of a rule (a subtest) that the store can't keep, the reason, which the subtest prints instead of running. A name
	// that is no rule's fails the suite.
	Exceptions map[string]string
	// Loose says why what the store reports beside its decisions may be inexact. It may report a mark (a threshold in Line.Notify) later than with
	// the settlement that reaches it, or sooner by what is pending; and it may leave out observe-only lines without room. The random run then asks
	// only that a mark is reported once a window, and not before settled and pending together have reached it, and that no line is reported that
	// has room. The rules about marks and observe-only lines are not relaxed. Empty for a store that reports exactly.
	Loose string
	// Merged says why one handle (an open Store) may see many reservations of another handle on the same ledger as one entry. Accounts are then not
	// added up from the entries after a subtest with several handles. Empty for a store that shows each reservation.
	Merged string
	// Seeds and Steps are the size of the random run against the model. Zero stands for 20 seeds of 2,000 steps.
	Seeds, Steps int
	// Scale multiplies the limits and marks of the random run, for a store that behaves differently while much is left. Zero
	// stands for 1.
	Scale int64
	// Stride is how far the clock of the random run usually moves at most at a time. Zero stands for 20 minutes.
	Stride time.Duration
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

// complete returns the harness with the defaults that its zeros stand for.
func (h Harness) complete() Harness {
	if h.Seeds == 0 {
		h.Seeds = 20
	}
	if h.Steps == 0 {
		h.Steps = 2000
	}
	if h.MaxSum == 0 {
		h.MaxSum = math.MaxInt64
	}
	if h.Stride == 0 {
		h.Stride = 20 * time.Minute
	}
	if h.Scale == 0 {
		h.Scale = 1
	}
	if h.Workers == 0 {
		h.Workers = 32
	}
	return h
}

// allRules returns the rules of the suite, in the order in which they run.
func allRules() []rule {
	return slices.Concat(
		reserveRules, repeatRules, observeRules, settleRules, orphanRules, lateSettleRules, voidRules, correctRules, expireRules, windowRules, rollingRules,
		markRules, markReasonRules, latchRules, latchEndRules, overrideRules, killRules, flagRules, patternRules, flagEndRules,
		lateChangeRules, repeatedChangeRules, unlatchRules, trailRules, changeRules, policyRules, entryNameRules, entryQueryRules, accountRules, periodRules,
		usageRules, usageStateRules, usageRowRules, shareRules, usageLimitRules, entryRules, hostileRules, overflowRules, lifecycleRules, lossRules, concurrentRules, randomRules,
	)
}

// Run checks every sentence of the contract of driver.Store.
func Run(t *testing.T, h Harness) {
	h = h.complete()
	rules := allRules()
	for name, why := range h.Exceptions {
		if why == "" || !slices.ContainsFunc(rules, func(r rule) bool { return r.name == name }) {
			t.Errorf("storetest: an exception from %q for the reason %q: no such rule, or no reason", name, why)
		}
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if why := h.Exceptions[r.name]; why != "" {
				t.Skipf("this store is excepted from the rule that %s: %s", r.why, why)
			}
			// Printed at the end of a subtest that failed: what it was about.
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the rule: %s", r.why)
				}
			})
			s := newSubject(t, h)
			r.run(s)
			// This adds every account up from the entries, unless the rule has set s.unverified.
			s.verifySums()
		})
	}
}
