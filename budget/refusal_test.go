package budget_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func limit(name string, n int64, w budget.Window) budget.Limit {
	return budget.Limit{Name: name, Max: budget.Quantity{N: n, Unit: budget.UnitUSD}, Window: w}
}

func exceeded(t *testing.T, ledger *budget.Ledger, nano int64) *budget.ExceededError {
	t.Helper()
	_, err := reserve(ledger, budget.Scope{}, nano)
	var e *budget.ExceededError
	require.ErrorAs(t, err, &e)
	return e
}

// What several full limits refuse fits only when the last one has room, whatever the order of their accounts.
func TestResetAfterIsTheLatestOfAllFullLimits(t *testing.T) {
	for _, suffix := range []string{"", "a", "b", "c", "d", "e", "f", "g"} { // other names are other orders
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(30 * time.Minute)
			ledger := open(t, memstore.New(memstore.Options{}), limit("hour"+suffix, 10, budget.Hourly), limit("week"+suffix, 10, budget.Weekly), limit("day"+suffix, 10, budget.Daily))
			r, err := reserve(ledger, budget.Scope{}, 10)
			require.NoError(t, err)
			e := exceeded(t, ledger, 1)
			require.True(t, e.Waiting, "all of it is pending")
			require.Equal(t, "week"+suffix, e.Limit)
			_, err = ledger.Settle(t.Context(), r, usd(10), false)
			require.NoError(t, err)
			e = exceeded(t, ledger, 1)
			require.False(t, e.Waiting)
			require.Equal(t, "week"+suffix, e.Limit)
			require.ErrorContains(t, e, "resets in")
			time.Sleep(e.ResetAfter - time.Nanosecond)
			exceeded(t, ledger, 1)
			time.Sleep(time.Nanosecond)
			_, err = reserve(ledger, budget.Scope{}, 1)
			require.NoError(t, err, "as foretold")
		})
	}
}

// A limit that waits for pending calls alone does not say how long a spent one takes, and one that never resets is the last.
func TestResetAfterOfLimitsThatWaitAndLimitsThatAreSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), limit("hour", 10, budget.Hourly), limit("ever", 12, budget.Lifetime), limit("month", 100, budget.Monthly))
		r, err := reserve(ledger, budget.Scope{}, 5)
		require.NoError(t, err)
		_, err = ledger.Settle(t.Context(), r, usd(5), false)
		require.NoError(t, err)
		_, err = reserve(ledger, budget.Scope{}, 5)
		require.NoError(t, err)
		e := exceeded(t, ledger, 5)
		require.True(t, e.Waiting, "5 of 10 and of 12 are settled")
		require.Equal(t, "ever", e.Limit)
		require.ErrorContains(t, e, "try again when one ends")
		e = exceeded(t, ledger, 6)
		require.False(t, e.Waiting)
		require.Equal(t, "hour", e.Limit, "the lifetime waits for what is pending; the hour has 5 spent")
		e = exceeded(t, ledger, 8)
		require.Equal(t, "ever", e.Limit)
		require.Zero(t, e.ResetAfter)
		require.ErrorContains(t, e, "does not reset: raise the limit")
		e = exceeded(t, ledger, 13)
		require.ErrorContains(t, e, "larger than the whole limit")
	})
}

// Fifty calls that fit one after the other all pass, if each waits for another one to end whenever it is told to.
func TestAFanOutThatFitsPassesByWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), limit("ever", 300, budget.Lifetime))
		done := make(chan error, 50)
		for range 50 {
			go func() {
				for {
					r, err := reserve(ledger, budget.Scope{}, 60)
					if err == nil {
						time.Sleep(time.Second)
						_, err = ledger.Settle(t.Context(), r, usd(4), false)
						done <- err
						return
					}
					var e *budget.ExceededError
					if !errors.As(err, &e) || !e.Waiting {
						done <- err
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			}()
		}
		for range 50 {
			require.NoError(t, <-done)
		}
	})
}

// A ledger that was written when each spelling of a zone had an account of its own refuses what it refused before, and what is
// spent under both spellings counts under the usual one.
func TestTwoSpellingsOfAZoneCountTogether(t *testing.T) {
	eastern, err := time.LoadLocation("US/Eastern")
	require.NoError(t, err)
	newYork, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	store := memstore.New(memstore.Options{})
	other, usual := limit("l", 10, budget.Monthly.In(eastern)), limit("l", 10, budget.Monthly.In(newYork))
	spendBefore(t, store, other, 7)

	ledger := open(t, store, other)
	e := exceeded(t, ledger, 4)
	require.Equal(t, int64(7), e.Settled.N)
	balances, err := ledger.Balances(t.Context(), budget.Scope{})
	require.NoError(t, err)
	require.Len(t, balances, 1)
	require.Equal(t, int64(7), balances[0].Settled.N)
	r, err := reserve(ledger, budget.Scope{}, 3)
	require.NoError(t, err)
	_, err = ledger.Settle(t.Context(), r, usd(3), false)
	require.NoError(t, err)
	require.Equal(t, int64(3), exceeded(t, open(t, store, usual), 8).Settled.N, "what was spent since counts under the usual name, too")

	require.NoError(t, storetest.Done(ledger.Override(t.Context(), "l", budget.Scope{}, budget.Quantity{N: 20, Unit: budget.UnitUSD}, time.Now().Add(time.Hour))))
	_, err = reserve(ledger, budget.Scope{}, 10)
	require.NoError(t, err, "an override is one of both accounts")
	exceeded(t, ledger, 1)
}

// spendBefore spends under a limit in the account that is named by the window as it is written.
func spendBefore(t *testing.T, store budget.Store, l budget.Limit, n int64) {
	line := driver.Line{Account: budget.KeyAsWritten(l, budget.Scope{}), Unit: l.Max.Unit, Window: l.Window, Max: l.Max.N}
	r := driver.Reservation{ID: driver.NewID(), Charge: usd(n), Lines: []driver.Line{line}, TTL: time.Hour}
	d, err := store.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.True(t, d.Admitted)
	_, err = store.Settle(t.Context(), driver.Settlement{ID: r.ID, Actual: r.Charge, Lines: r.Lines})
	require.NoError(t, err)
}

// Thresholds are fractions of what an override puts in the place of Max.
func TestNotifyGoesByTheMaxInForce(t *testing.T) {
	l := limit("l", 100, budget.Lifetime)
	l.Notify = []float64{0.5}
	ledger := open(t, memstore.New(memstore.Options{}), l)
	require.NoError(t, storetest.Done(ledger.Override(t.Context(), "l", budget.Scope{}, budget.Quantity{N: 1000, Unit: budget.UnitUSD}, time.Now().Add(time.Hour))))
	spend := func(n int64) []budget.Crossed {
		r, err := reserve(ledger, budget.Scope{}, n)
		require.NoError(t, err)
		out, err := ledger.Settle(t.Context(), r, usd(n), false)
		require.NoError(t, err)
		return out.Crossed
	}
	require.Empty(t, spend(90))
	crossed := spend(410)
	require.Len(t, crossed, 1)
	require.Equal(t, [2]int64{500, 1000}, [2]int64{crossed[0].Settled.N, crossed[0].Max.N})
}

// An observed limit with a latch foretells that nothing more would have passed.
func TestAnObservedLatchIsForetold(t *testing.T) {
	l := limit("l", 10, budget.Daily)
	l.Observe, l.Latch = true, true
	ledger := open(t, memstore.New(memstore.Options{}), l)
	r, err := reserve(ledger, budget.Scope{}, 11)
	require.NoError(t, err)
	require.Len(t, r.Observed, 1)
	require.False(t, r.Observed[0].Latched)
	require.NoError(t, ledger.Void(t.Context(), r))
	r, err = reserve(ledger, budget.Scope{}, 1)
	require.NoError(t, err)
	require.Len(t, r.Observed, 1)
	require.True(t, r.Observed[0].Latched)
	require.NoError(t, ledger.Revive(t.Context(), budget.Scope{}))
	r, err = reserve(ledger, budget.Scope{}, 1)
	require.NoError(t, err)
	require.Empty(t, r.Observed)
}
