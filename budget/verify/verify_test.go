package verify_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that a test moves on.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// grow makes a ledger of calls that end in each way, over some days, with what is past its retention forgotten, or with everything.
func grow(ctx context.Context, t *rapid.T, forgets bool) driver.Store {
	c := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	retention := 400 * 24 * time.Hour
	if forgets {
		retention = time.Duration(rapid.IntRange(1, 30).Draw(t, "retention")) * 24 * time.Hour
	}
	store := memstore.New(memstore.Options{Clock: c.now, Retention: retention})
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "workflow-day", Max: budget.USD(1e6), Window: driver.Daily, Per: budget.PerWorkflow},
		{Name: "hour", Max: budget.Calls(1e6), Window: driver.Rolling(time.Hour), PerTags: []string{"team"}},
		{Name: "all", Max: budget.OutputTokens(1e9), Window: driver.Lifetime},
	}})
	require.NoError(t, err)
	for range rapid.IntRange(1, 30).Draw(t, "calls") {
		amount := func(name string) driver.Charge {
			n := rapid.Int64Range(1, 1000).Draw(t, name)
			return driver.Charge{driver.UnitUSD: n, driver.UnitCalls: 1, driver.UnitOutputTokens: 2 * n}
		}
		scope := driver.Scope{Workflow: rapid.SampledFrom([]string{"", "nightly", "reviews"}).Draw(t, "workflow")}
		if rapid.Bool().Draw(t, "tagged") {
			scope.Tags = map[string]string{"team": "web"}
		}
		r, err := ledger.Reserve(ctx, budget.Request{Scope: scope, Worst: amount("worst"), TTL: time.Hour})
		require.NoError(t, err)
		switch rapid.IntRange(0, 4).Draw(t, "end") {
		case 0: // it stays pending, or expires
		case 1:
			require.NoError(t, ledger.Void(ctx, r))
		case 2:
			_, err = ledger.Settle(ctx, r, r.Reservation.Charge, true)
			require.NoError(t, err)
		default:
			_, err = ledger.Settle(ctx, r, amount("actual"), false)
			require.NoError(t, err)
			if rapid.Bool().Draw(t, "corrected") {
				require.NoError(t, ledger.Correct(ctx, r.Reservation.ID, amount("invoice")))
			}
		}
		c.at = c.at.Add(time.Duration(rapid.Int64Range(0, 40*60*60).Draw(t, "seconds")) * time.Second)
		_, err = store.Expire(ctx, 1000)
		require.NoError(t, err)
	}
	return store
}

// once looks once, long after: windows whose sums a store with a short retention has forgotten sooner than an entry are not missed then.
var once = verify.Options{Tries: 1, Clock: func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }}

// Whatever calls have ended in and however much is forgotten, a sound ledger has no differences.
func TestASoundLedgerHasNoDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		report, err := verify.Ledger(t.Context(), grow(t.Context(), t, rapid.Bool().Draw(t, "forgets")), once)
		require.NoError(t, err)
		require.Empty(t, report.Differences)
		require.Positive(t, report.Accounts)
	})
}

// changed is a store in which one thing that it tells was changed.
type changed struct {
	driver.Store
	entry  func(*driver.Entry) bool // reports whether it changed something; it is asked until it did
	period func(*driver.Period) bool
	usage  func(*driver.UsageRow) bool
	hides  bool // the first account that has a period

	entryDone driver.ID
	period1   [2]string
	usageDone driver.UsageMark
	hidden    driver.Key
	done      bool
}

func (s *changed) Entries(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
	all, err := s.Store.Entries(ctx, q)
	for i := range all {
		if e := &all[i]; s.entry != nil && (e.ID == s.entryDone || !s.done) {
			e.Lines = append([]driver.Booking(nil), e.Lines...)
			if s.entry(e) {
				s.entryDone, s.done = e.ID, true
			}
		}
	}
	return all, err
}

func (s *changed) Periods(ctx context.Context, key driver.Key, after time.Time, most int) ([]driver.Period, error) {
	all, err := s.Store.Periods(ctx, key, after, most)
	for i := range all {
		at := [2]string{fmt.Sprint(key), all[i].Start.String()}
		if s.period != nil && (at == s.period1 || !s.done) && s.period(&all[i]) {
			s.period1, s.done = at, true
		}
	}
	return all, err
}

func (s *changed) Usage(ctx context.Context, from driver.UsageMark, most int) ([]driver.UsageRow, error) {
	all, err := s.Store.Usage(ctx, from, most)
	for i := range all {
		at := driver.UsageMark{Day: all[i].Day, After: all[i].Key}
		if s.usage != nil && (at == s.usageDone || !s.done) && s.usage(&all[i]) {
			s.usageDone, s.done = at, true
		}
	}
	return all, err
}

func (s *changed) Accounts(ctx context.Context, after driver.Key, most int) ([]driver.Account, error) {
	all, err := s.Store.Accounts(ctx, after, most)
	for i := range all {
		if s.hides && (!s.done || all[i].Key == s.hidden) {
			s.hidden, s.done = all[i].Key, true
			return append(append([]driver.Account(nil), all[:i]...), all[i+1:]...), err
		}
	}
	return all, err
}

// One amount, state, account or row of usage that is changed is found, whatever else the ledger holds.
func TestEveryChangeIsFound(t *testing.T) {
	for name, change := range map[string]func(s *changed, by int64){
		"what is settled": func(s *changed, by int64) {
			s.period = func(p *driver.Period) bool { p.Settled += by; return true }
		},
		"what is pending": func(s *changed, by int64) {
			s.period = func(p *driver.Period) bool { p.Pending += by; return true }
		},
		"what was forgotten": func(s *changed, by int64) {
			s.period = func(p *driver.Period) bool { p.Forgotten += by; return true }
		},
		"an entry's amounts": func(s *changed, by int64) {
			s.entry = func(e *driver.Entry) bool {
				if e.State != driver.Settled {
					return false
				}
				e.Actual[driver.UnitUSD] += by
				for i := range e.Lines {
					e.Lines[i].Amount += by
				}
				return true
			}
		},
		"an entry's state": func(s *changed, _ int64) {
			s.entry = func(e *driver.Entry) bool {
				if e.State == driver.Voided {
					return false // as settled for nothing it would be as sound
				}
				e.State = driver.Settled + driver.Pending - min(e.State, driver.Settled)
				return true
			}
		},
		"a row of usage that holds less": func(s *changed, _ int64) {
			s.usage = func(r *driver.UsageRow) bool {
				if r.Charge[driver.UnitUSD] == 0 {
					return false
				}
				r.Charge[driver.UnitUSD]--
				return true
			}
		},
		"an account": func(s *changed, _ int64) { s.hides = true },
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				// What a row or an account held whose entries are forgotten, nobody can tell.
				forgets := name != "a row of usage that holds less" && name != "an account" && rapid.Bool().Draw(t, "forgets")
				s := &changed{Store: grow(t.Context(), t, forgets)}
				change(s, rapid.SampledFrom([]int64{1, -1, 1000}).Draw(t, "by"))
				report, err := verify.Ledger(t.Context(), s, once)
				require.NoError(t, err)
				require.Equal(t, s.done, len(report.Differences) > 0, "%+v", report.Differences)
			})
		})
	}
}

// A ledger of which all entries are forgotten tells more than its entries, which are none, and that is no difference.
func TestALedgerWhoseEntriesAreAllForgotten(t *testing.T) {
	ctx, c := t.Context(), &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	store := memstore.New(memstore.Options{Clock: c.now, Retention: time.Hour})
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(10), Window: driver.Lifetime}}})
	require.NoError(t, err)
	r, err := ledger.Reserve(ctx, budget.Request{Worst: driver.Charge{driver.UnitUSD: 4}})
	require.NoError(t, err)
	_, err = ledger.Settle(ctx, r, driver.Charge{driver.UnitUSD: 3}, false)
	require.NoError(t, err)
	for range 48 {
		c.at = c.at.Add(time.Hour)
		_, err = store.Expire(ctx, 10)
		require.NoError(t, err)
	}
	report, err := verify.Ledger(ctx, store, once)
	require.NoError(t, err)
	require.Zero(t, report.Entries)
	require.Empty(t, report.Differences)
}

// A store that does not answer is an error, and no ledger without differences.
func TestAStoreThatDoesNotAnswerIsAnError(t *testing.T) {
	store := memstore.New(memstore.Options{})
	require.NoError(t, store.Close())
	_, err := verify.Ledger(t.Context(), store, verify.Options{})
	require.ErrorIs(t, err, budget.ErrStore)
}

func ExampleLedger() {
	ctx, store := context.Background(), memstore.New(memstore.Options{})
	ledger, _ := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{{Name: "month", Max: budget.USD(10), Window: driver.Monthly}}})
	r, _ := ledger.Reserve(ctx, budget.Request{Worst: driver.Charge{driver.UnitUSD: budget.USD(4).N}})
	_, _ = ledger.Settle(ctx, r, driver.Charge{driver.UnitUSD: budget.USD(3).N}, false)

	report, err := verify.Ledger(ctx, store, verify.Options{})
	if err != nil {
		panic(err)
	}
	for _, difference := range report.Differences {
		fmt.Println(difference.String())
	}
	fmt.Println(report.Entries, "entries,", report.Accounts, "account,", len(report.Differences), "differences")
	// Output: 1 entries, 1 account, 0 differences
}
