package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// attackCalls is how many calls the attack makes: ATTACK_CALLS, else 2,000, and 200 with -short.
func attackCalls(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("ATTACK_CALLS"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	if testing.Short() {
		return 200
	}
	return 2000
}

const attackWorkers = 4

// TestAttack draws campaigns of calls with everything that makes a request dear, sends them through a guard, and holds the ledger to
// the bill after each call. ATTACK_SEED runs the one campaign of that seed, as a failure names it.
func TestAttack(t *testing.T) {
	total := newTally()
	if text := os.Getenv("ATTACK_SEED"); text != "" {
		seed, err := strconv.Atoi(text)
		require.NoError(t, err)
		runCampaign(t, seed, total)
		t.Log(total)
		return
	}
	calls := attackCalls(t)
	t.Run("seeds", func(t *testing.T) {
		for worker := range attackWorkers {
			t.Run(strconv.Itoa(worker), func(t *testing.T) {
				t.Parallel()
				own := newTally()
				for seed := worker; own.calls < calls/attackWorkers; seed += attackWorkers {
					t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { runCampaign(t, seed, own) })
				}
				total.add(own)
			})
		}
	})
	t.Log(total)
}

// tally counts what an attack did.
type tally struct {
	mu                              sync.Mutex
	campaigns, calls, refused, sent int
	failed                          int // neither refused by the guard nor answered
	unforeseen                      int // violated estimates of calls whose answer came from something that nobody could know
	features                        map[string]int
}

func newTally() *tally { return &tally{features: make(map[string]int)} }

func (y *tally) add(o *tally) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.campaigns, y.calls, y.refused = y.campaigns+o.campaigns, y.calls+o.calls, y.refused+o.refused
	y.sent, y.failed, y.unforeseen = y.sent+o.sent, y.failed+o.failed, y.unforeseen+o.unforeseen
	for name, n := range o.features {
		y.features[name] += n
	}
}

func (y *tally) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d campaigns, %d calls, %d refused, %d failed, %d inferences billed; %d calls exceeded their estimate because of what nobody could know\n",
		y.campaigns, y.calls, y.refused, y.failed, y.sent, y.unforeseen)
	for _, name := range slices.Sorted(maps.Keys(y.features)) {
		fmt.Fprintf(&out, "%5.1f %% %s\n", 100*float64(y.features[name])/float64(max(y.calls, 1)), name)
	}
	return out.String()
}

// campaign is one guard in front of one service, and the calls that go through it one after the other.
type campaign struct {
	settings settings
	calls    []attackCall
}

// attackCall is one call. What is told of it when it fails is its kind and features, never its text.
type attackCall struct {
	kind     string
	features []string
	send     func(context.Context, *rig) error
}

// campaignOf returns the campaign of a seed.
func campaignOf(seed int) campaign { return rapid.Custom(drawCampaign).Example(seed) }

// siege is a campaign that is under way.
type siege struct {
	*testing.T
	rig      *rig
	seed     int
	call     attackCall
	number   int
	events   int              // of the calls before
	ceilings map[string]int64 // by limit: what it may hold. More than its maximum only behind a violation that nobody could foresee
	tally    *tally
}

func runCampaign(t *testing.T, seed int, y *tally) {
	c := campaignOf(seed)
	r := newRig(t, c.settings)
	s := &siege{T: t, rig: r, seed: seed, ceilings: map[string]int64{}, tally: y}
	y.campaigns++
	for i, call := range c.calls {
		s.call, s.number = call, i+1
		y.calls++
		for _, f := range call.features {
			y.features[f]++
		}
		y.features[call.kind]++
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := call.send(ctx, r)
		cancel()
		switch {
		case errors.Is(err, bedrockguard.ErrBudgetExceeded):
			y.refused++
		case err != nil:
			y.failed++
			s.explain(err)
		}
		s.check()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, r.guard.Close(ctx), s.where())
	s.check()
	for name, b := range s.balances() {
		require.Zero(t, b.Pending.N, "%s: pending in %q once all is closed", s.where(), name)
	}
	for _, i := range r.server.Inferences() {
		y.sent++
		for name, found := range map[string]bool{
			"billed: read from the cache": i.CacheReadTokens > 0, "billed: written to the cache": i.CacheWrite5mTokens+i.CacheWrite1hTokens > 0,
			"billed: by the unit": i.UnitsNanoUSD > 0, "billed: guardrails": i.GuardrailNanoUSD > 0, "billed: another model": i.ModelID != i.AskedModelID && i.AskedModelID != "",
			"billed: a tier": i.Tier != "" && i.Tier != "default", "billed: optimised latency": i.Latency == "optimized", "billed: a fault": i.Fault != "",
		} {
			if found {
				y.features[name]++
			}
		}
	}
}

// explain fails for an error that an attack must not meet: what the guard can't read or price tests nothing.
func (s *siege) explain(err error) {
	for _, unexpected := range []error{bedrockguard.ErrUnpriced, bedrockguard.ErrMalformedRequest, bedrockguard.ErrUnsupportedOperation, budget.ErrStore} {
		require.NotErrorIs(s, err, unexpected, s.where())
	}
	if os.Getenv("ATTACK_SEED") != "" {
		s.Logf("%s: %.200v", s.where(), err)
	}
}

// where tells which call is meant.
func (s *siege) where() string {
	return fmt.Sprintf("ATTACK_SEED=%d, call %d, %s with %s", s.seed, s.number, s.call.kind, strings.Join(s.call.features, ", "))
}

// check holds the ledger to the bill and to its limits.
func (s *siege) check() {
	s.Helper()
	foreseen := s.violations()
	bill := s.rig.server.Bill()
	for name, b := range s.balances() {
		used := b.Settled.N + b.Pending.N
		if name == total {
			require.GreaterOrEqual(s, used, bill.NanoUSD, "%s: nano-USD settled and pending against the bill %+v", s.where(), bill)
		}
		ceiling := max(b.Max.N, s.ceilings[name])
		if !foreseen {
			s.ceilings[name] = max(ceiling, used)
			continue
		}
		require.LessOrEqual(s, used, ceiling, "%s: settled and pending of limit %q", s.where(), name)
	}
}

// violations reports whether what the last call cost was foreseen, and fails for what ought to have been. The first answer of a model, a
// tier, a mode or a guardrail that nobody asked for can't be foreseen: an event tells of it, and the next such answer has to be covered.
func (s *siege) violations() (foreseen bool) {
	s.rig.events.mu.Lock()
	news := slices.Clone(s.rig.events.all[s.events:])
	s.events = len(s.rig.events.all)
	s.rig.events.mu.Unlock()
	differs := slices.ContainsFunc(news, func(e bedrockguard.Event) bool { return e.Kind == bedrockguard.EventAnswerDiffers })
	foreseen = true
	for _, e := range news {
		switch e.Kind {
		case bedrockguard.EventEstimateViolated:
			if differs {
				s.tally.unforeseen++
				foreseen = false
				continue
			}
			unit, _ := e.Actual.Exceeds(&e.Worst)
			require.Failf(s, "the estimate did not hold", "%s: %s: actual %d, worst %d (input tokens %d of %d, output tokens %d of %d, nano-USD %d of %d)", s.where(), unit,
				e.Actual[unit], e.Worst[unit], e.Actual[budget.UnitInputTokens], e.Worst[budget.UnitInputTokens],
				e.Actual[budget.UnitOutputTokens], e.Worst[budget.UnitOutputTokens], e.Actual[budget.UnitUSD], e.Worst[budget.UnitUSD])
		case bedrockguard.EventUnsettled:
			require.NoError(s, e.Err, s.where())
		}
	}
	return foreseen
}

func (s *siege) balances() map[string]budget.AccountBalance {
	all, err := s.rig.ledger.Balances(context.Background(), budget.Scope{})
	require.NoError(s, err)
	byName := make(map[string]budget.AccountBalance, len(all))
	for _, b := range all {
		byName[b.Limit] = b
	}
	return byName
}
