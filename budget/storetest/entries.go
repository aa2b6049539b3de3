package storetest

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The rules of Entries and Balances. s.reserve makes a reservation, which must be admitted, and s.entry returns what the store remembers of one;
// s.newReservation returns one that is not sent to the store, s.admit sends it, and s.settleWith sends a settlement.
var entryRules = []rule{
	{"EntriesTellWhatHappened", "an entry holds the amounts, the state and the store's times of its reservation", func(s *subject) {
		r := s.reserve(10, line("a", driver.Daily, 100))
		e, _ := s.entry(r.ID)
		require.Equal(s.t, [2]driver.Charge{usd(10), {}}, [2]driver.Charge{e.Reserved, e.Actual})
		require.Equal(s.t, driver.Pending, e.State)
		require.WithinDuration(s.t, start, e.ReservedAt, time.Microsecond)
		require.True(s.t, e.ResolvedAt.IsZero())
		s.clock.Advance(time.Minute)
		s.settle(r, 7)
		e, _ = s.entry(r.ID)
		require.WithinDuration(s.t, start, e.ReservedAt, time.Microsecond)
		require.WithinDuration(s.t, start.Add(time.Minute), e.ResolvedAt, time.Microsecond)
	}},
	{"EntriesKeepEveryUnit", "charges come back whole, in all units", func(s *subject) {
		r := s.newReservation(0, line("a", driver.Daily, 1<<62))
		for u := driver.UnitUSD; u <= driver.UnitCalls; u++ {
			r.Charge[u] = int64(u) << (7 * u) // another amount in each unit, and each of them larger
		}
		s.admit(r)
		st := s.settlement(r, 0)
		st.Actual = r.Charge
		st.Actual[driver.UnitOutputTokens]++
		s.settleWith(st)
		e, _ := s.entry(r.ID)
		require.Equal(s.t, [2]driver.Charge{r.Charge, st.Actual}, [2]driver.Charge{e.Reserved, e.Actual})
	}},
	{"EntriesComeInPages", "pages of any size give every entry once, in the order of the ids", func(s *subject) {
		var ids []driver.ID
		for range 25 {
			ids = append(ids, s.reserve(1, line("a", driver.Daily, 100)).ID)
		}
		slices.SortFunc(ids, func(a, b driver.ID) int { return bytes.Compare(a[:], b[:]) })
		for _, size := range []int{1, 7, 25, 10_000} {
			var got []driver.ID
			q := driver.Query{Max: size}
			for page := s.entries(q); len(page) > 0; page = s.entries(q) {
				require.LessOrEqual(s.t, len(page), size)
				for _, e := range page {
					got = append(got, e.ID)
				}
				q.After = got[len(got)-1]
			}
			require.Equal(s.t, ids, got)
		}
	}},
	{"EntriesAreSelected", "by state and by Estimated, each alone and both together", func(s *subject) {
		l := line("a", driver.Daily, 1000)
		settled, estimated, voided := s.reserve(1, l), s.reserve(1, l), s.reserve(1, l)
		s.settle(settled, 1)
		st := s.settlement(estimated, 1)
		st.Estimated = true
		s.settleWith(st)
		s.void(voided)
		// expiredReservation moves the clock by an hour and charges exactly one, so that the pending one is made after it.
		expired := s.expiredReservation(1, l)
		pending := s.reserve(1, l)
		for _, tc := range []struct {
			q    driver.Query
			want []driver.ID
		}{
			{driver.Query{}, []driver.ID{settled.ID, estimated.ID, voided.ID, expired.ID, pending.ID}},
			{driver.Query{State: driver.Pending}, []driver.ID{pending.ID}},
			{driver.Query{State: driver.Settled}, []driver.ID{settled.ID, estimated.ID}},
			{driver.Query{State: driver.Voided}, []driver.ID{voided.ID}},
			{driver.Query{State: driver.Expired}, []driver.ID{expired.ID}},
			{driver.Query{Estimated: true}, []driver.ID{estimated.ID, expired.ID}},
			{driver.Query{Estimated: true, State: driver.Settled}, []driver.ID{estimated.ID}},
			{driver.Query{Estimated: true, State: driver.Pending}, nil},
		} {
			tc.q.Max = 100
			var got []driver.ID
			for _, e := range s.entries(tc.q) {
				got = append(got, e.ID)
			}
			require.ElementsMatch(s.t, tc.want, got, "%+v", tc.q)
		}
	}},
	{"BalancesAnswerInOrder", "one answer per line, in the order asked, also for accounts that were never used", func(s *subject) {
		a, b := line("a", driver.Daily, 10), line("b", driver.Daily, 20)
		s.reserve(3, b)
		all, err := s.store.Balances(s.ctx, []driver.Line{b, a})
		require.NoError(s.t, err)
		require.Len(s.t, all, 2)
		// The lines were asked for as b, a: the first answer is that of b.
		require.Equal(s.t, [2]int64{20, 3}, [2]int64{all[0].Max, all[0].Pending})
		require.Equal(s.t, driver.Balance{Max: 10}, all[1])
		none, err := s.store.Balances(s.ctx, nil)
		require.NoError(s.t, err)
		require.Empty(s.t, none)
	}},
}

// steps returns calls of the store's methods, by name. r is a reservation that exists; "Orphan" is a Settle of an unknown id. NewChange returns a
// change that is made whatever was changed before, so that none of these calls fails for being late. Callers make them in the random order of a map:
// Reserve and Orphan have one id, and either of the two may be first.
func (s *subject) steps(store driver.Store, r driver.Reservation) map[string]func(context.Context) error {
	fresh := s.newReservation(1, r.Lines...)
	return map[string]func(context.Context) error{
		"Reserve": func(ctx context.Context) error { _, err := store.Reserve(ctx, fresh); return err },
		"Settle":  func(ctx context.Context) error { _, err := store.Settle(ctx, s.settlement(r, 1)); return err },
		"Orphan":  func(ctx context.Context) error { _, err := store.Settle(ctx, s.settlement(fresh, 1)); return err },
		"Void":    func(ctx context.Context) error { return store.Void(ctx, r.ID, r.Owner) },
		"Correct": func(ctx context.Context) error {
			_, err := store.Correct(ctx, driver.Correction{ID: r.ID, Actual: usd(1), Change: NewChange()})
			return err
		},
		"Expire":   func(ctx context.Context) error { _, err := store.Expire(ctx, 10); return err },
		"Balances": func(ctx context.Context) error { _, err := store.Balances(ctx, r.Lines); return err },
		"Override": func(ctx context.Context) error {
			return store.Override(ctx, r.Lines[0].Account, &driver.Override{Max: 99, Until: start.Add(time.Hour * 1000)}, NewChange())
		},
		"Unlatch": func(ctx context.Context) error {
			return store.Unlatch(ctx, []driver.Key{r.Lines[0].Account}, NewChange())
		},
		"Kill": func(ctx context.Context) error {
			return store.Kill(ctx, driver.Kill{Scope: callScope, Reason: "x"}, NewChange())
		},
		"Revive":   func(ctx context.Context) error { return store.Revive(ctx, driver.Flag{Scope: callScope}, NewChange()) },
		"Revision": func(ctx context.Context) error { _, err := store.Revision(ctx); return err },
		"Changes":  func(ctx context.Context) error { _, err := store.Changes(ctx, 0, 10); return err },
		"Accounts": func(ctx context.Context) error { _, err := store.Accounts(ctx, driver.Key{}, 10); return err },
		"Periods": func(ctx context.Context) error {
			_, err := store.Periods(ctx, r.Lines[0].Account, time.Time{}, 10)
			return err
		},
		"Kills":   func(ctx context.Context) error { _, err := store.Kills(ctx); return err },
		"Entries": func(ctx context.Context) error { _, err := store.Entries(ctx, driver.Query{Max: 10}); return err },
	}
}

// domainErrors are answers about the budget; a store that can't answer must return none of them.
var domainErrors = []error{
	budget.ErrExceeded, driver.ErrKilled, driver.ErrOverflow, driver.ErrInvalidCharge, driver.ErrIDConflict, driver.ErrResolved, driver.ErrNotFound,
	driver.ErrSuperseded, driver.ErrInvalidChange,
}

// requireNoAnswers requires that every step fails, and with an error that can't be taken for an answer.
func (s *subject) requireNoAnswers(ctx context.Context, store driver.Store, r driver.Reservation) {
	s.t.Helper()
	for name, step := range s.steps(store, r) {
		err := step(ctx)
		require.Error(s.t, err, name)
		for _, domain := range domainErrors {
			require.NotErrorIs(s.t, err, domain, name)
		}
	}
}

// The rules of contexts that have ended, of Close, and of several handles on one ledger, which s.reopen returns.
var lifecycleRules = []rule{
	{"ACancelledContextChangesNothing", "a step under a context that has ended fails and does nothing", func(s *subject) {
		l := line("a", driver.Daily, 10)
		r := s.reserve(2, l)
		// So that there is something to charge, too, for an Expire that does not stop.
		s.clock.Advance(r.TTL)
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		s.requireNoAnswers(ctx, s.store, r)
		b := s.balance(l)
		require.Equal(s.t, [3]int64{10, 0, 2}, [3]int64{b.Max, b.Settled, b.Pending})
		require.Len(s.t, s.allEntries(), 1)
		require.Empty(s.t, s.kills())
	}},
	{"AClosedStoreAnswersNothing", "after Close every step is an error, and closing again does no harm", func(s *subject) {
		r := s.reserve(2, line("a", driver.Daily, 10))
		require.NoError(s.t, s.store.Close())
		s.requireNoAnswers(s.ctx, s.store, r)
		require.NotPanics(s.t, func() { _ = s.store.Close() })
		// verifySums, which follows each rule, would ask the closed store.
		s.unverified = true
	}},
	{"HandlesShareOneLedger", "what one process reserves another one counts, settles in its name, and finds after a restart", func(s *subject) {
		other := s.reopen()
		l := line("a", driver.Daily, 10)
		r := s.reserve(6, l)
		d, err := other.Reserve(s.ctx, s.newReservation(5, l))
		require.NoError(s.t, err)
		require.Len(s.t, d.Denied, 1)
		// 6 of 10 are pending: 5 more don't fit, which the other handle only knows from the ledger.
		require.Equal(s.t, int64(6), d.Denied[0].Pending)
		_, err = other.Settle(s.ctx, s.settlement(r, 4))
		require.NoError(s.t, err)
		s.requireBalance(l, 4, 0)
		require.NoError(s.t, other.Close())
		s.requireBalance(l, 4, 0)
	}},
}
