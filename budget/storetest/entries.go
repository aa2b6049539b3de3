package storetest

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

var entryRules = []rule{
	{"EntriesTellWhatHappened", "an entry holds the amounts, the state and the store's times of its reservation", func(s *subject) {
		r := s.reserve(10, line("a", budget.Daily, 100))
		e, _ := s.entry(r.ID)
		require.Equal(s.t, [2]budget.Charge{usd(10), {}}, [2]budget.Charge{e.Reserved, e.Actual})
		require.Equal(s.t, budget.Pending, e.State)
		require.WithinDuration(s.t, start, e.ReservedAt, time.Microsecond)
		require.True(s.t, e.ResolvedAt.IsZero())
		s.clock.Advance(time.Minute)
		s.settle(r, 7)
		e, _ = s.entry(r.ID)
		require.WithinDuration(s.t, start, e.ReservedAt, time.Microsecond)
		require.WithinDuration(s.t, start.Add(time.Minute), e.ResolvedAt, time.Microsecond)
	}},
	{"EntriesKeepEveryUnit", "charges come back whole, in all units", func(s *subject) {
		r := s.hold(0, line("a", budget.Daily, 1<<62))
		for u := budget.UnitUSD; u <= budget.UnitCalls; u++ {
			r.Charge[u] = int64(u) << (7 * u)
		}
		s.admit(r)
		st := s.settlement(r, 0)
		st.Actual = r.Charge
		st.Actual[budget.UnitOutputTokens]++
		s.post(st)
		e, _ := s.entry(r.ID)
		require.Equal(s.t, [2]budget.Charge{r.Charge, st.Actual}, [2]budget.Charge{e.Reserved, e.Actual})
	}},
	{"EntriesComeInPages", "pages of any size give every entry once, in the order of the ids", func(s *subject) {
		var ids []budget.ID
		for range 25 {
			ids = append(ids, s.reserve(1, line("a", budget.Daily, 100)).ID)
		}
		slices.SortFunc(ids, func(a, b budget.ID) int { return bytes.Compare(a[:], b[:]) })
		for _, size := range []int{1, 7, 25, 10_000} {
			var got []budget.ID
			q := budget.Query{Max: size}
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
		l := line("a", budget.Daily, 1000)
		settled, estimated, voided := s.reserve(1, l), s.reserve(1, l), s.reserve(1, l)
		s.settle(settled, 1)
		st := s.settlement(estimated, 1)
		st.Estimated = true
		s.post(st)
		s.void(voided)
		expired := s.expired(1, l)
		pending := s.reserve(1, l)
		for _, tc := range []struct {
			q    budget.Query
			want []budget.ID
		}{
			{budget.Query{}, []budget.ID{settled.ID, estimated.ID, voided.ID, expired.ID, pending.ID}},
			{budget.Query{State: budget.Pending}, []budget.ID{pending.ID}},
			{budget.Query{State: budget.Settled}, []budget.ID{settled.ID, estimated.ID}},
			{budget.Query{State: budget.Voided}, []budget.ID{voided.ID}},
			{budget.Query{State: budget.Expired}, []budget.ID{expired.ID}},
			{budget.Query{Estimated: true}, []budget.ID{estimated.ID, expired.ID}},
			{budget.Query{Estimated: true, State: budget.Settled}, []budget.ID{estimated.ID}},
			{budget.Query{Estimated: true, State: budget.Pending}, nil},
		} {
			tc.q.Max = 100
			var got []budget.ID
			for _, e := range s.entries(tc.q) {
				got = append(got, e.ID)
			}
			require.ElementsMatch(s.t, tc.want, got, "%+v", tc.q)
		}
	}},
	{"BalancesAnswerInOrder", "one answer per line, in the order asked, also for accounts that were never used", func(s *subject) {
		a, b := line("a", budget.Daily, 10), line("b", budget.Daily, 20)
		s.reserve(3, b)
		all, err := s.store.Balances(s.ctx, []budget.Line{b, a})
		require.NoError(s.t, err)
		require.Len(s.t, all, 2)
		require.Equal(s.t, [2]int64{20, 3}, [2]int64{all[0].Max, all[0].Pending})
		require.Equal(s.t, budget.Balance{Max: 10}, all[1])
		none, err := s.store.Balances(s.ctx, nil)
		require.NoError(s.t, err)
		require.Empty(s.t, none)
	}},
}

// steps are all methods that take a context, on a reservation that exists.
func (s *subject) steps(store budget.Store, r budget.Reservation) map[string]func(context.Context) error {
	fresh := s.hold(1, r.Lines...)
	return map[string]func(context.Context) error{
		"Reserve": func(ctx context.Context) error { _, err := store.Reserve(ctx, fresh); return err },
		"Settle":  func(ctx context.Context) error { _, err := store.Settle(ctx, s.settlement(r, 1)); return err },
		"Orphan":  func(ctx context.Context) error { _, err := store.Settle(ctx, s.settlement(fresh, 1)); return err },
		"Void":    func(ctx context.Context) error { return store.Void(ctx, r.ID, r.Owner) },
		"Correct": func(ctx context.Context) error {
			_, err := store.Correct(ctx, budget.Correction{ID: r.ID, Actual: usd(1), Change: NewChange()})
			return err
		},
		"Expire":   func(ctx context.Context) error { _, err := store.Expire(ctx, 10); return err },
		"Balances": func(ctx context.Context) error { _, err := store.Balances(ctx, r.Lines); return err },
		"Override": func(ctx context.Context) error {
			return store.Override(ctx, r.Lines[0].Account, &budget.Override{Max: 99, Until: start.Add(time.Hour * 1000)}, NewChange())
		},
		"Unlatch": func(ctx context.Context) error {
			return store.Unlatch(ctx, []budget.Key{r.Lines[0].Account}, NewChange())
		},
		"Kill": func(ctx context.Context) error {
			return store.Kill(ctx, budget.Kill{Scope: call, Reason: "x"}, NewChange())
		},
		"Revive":   func(ctx context.Context) error { return store.Revive(ctx, budget.Flag{Scope: call}, NewChange()) },
		"Revision": func(ctx context.Context) error { _, err := store.Revision(ctx); return err },
		"Changes":  func(ctx context.Context) error { _, err := store.Changes(ctx, 0, 10); return err },
		"Accounts": func(ctx context.Context) error { _, err := store.Accounts(ctx, budget.Key{}, 10); return err },
		"Periods": func(ctx context.Context) error {
			_, err := store.Periods(ctx, r.Lines[0].Account, time.Time{}, 10)
			return err
		},
		"Kills":   func(ctx context.Context) error { _, err := store.Kills(ctx); return err },
		"Entries": func(ctx context.Context) error { _, err := store.Entries(ctx, budget.Query{Max: 10}); return err },
	}
}

// domainErrors are answers about the budget; a store that can't answer must return none of them.
var domainErrors = []error{
	budget.ErrExceeded, budget.ErrKilled, budget.ErrOverflow, budget.ErrInvalidCharge, budget.ErrIDConflict, budget.ErrResolved, budget.ErrNotFound,
	budget.ErrSuperseded, budget.ErrInvalidChange,
}

// unanswered asserts that every step fails, and with an error that can't be taken for an answer.
func (s *subject) unanswered(ctx context.Context, store budget.Store, r budget.Reservation) {
	s.t.Helper()
	for name, step := range s.steps(store, r) {
		err := step(ctx)
		require.Error(s.t, err, name)
		for _, domain := range domainErrors {
			require.NotErrorIs(s.t, err, domain, name)
		}
	}
}

var lifecycleRules = []rule{
	{"ACancelledContextChangesNothing", "a step under a context that has ended fails and does nothing", func(s *subject) {
		l := line("a", budget.Daily, 10)
		r := s.reserve(2, l)
		s.clock.Advance(r.TTL)
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		s.unanswered(ctx, s.store, r)
		b := s.balance(l)
		require.Equal(s.t, [3]int64{10, 0, 2}, [3]int64{b.Max, b.Settled, b.Pending})
		require.Len(s.t, s.all(), 1)
		require.Empty(s.t, s.kills())
	}},
	{"AClosedStoreAnswersNothing", "after Close every step is an error, and closing again does no harm", func(s *subject) {
		r := s.reserve(2, line("a", budget.Daily, 10))
		require.NoError(s.t, s.store.Close())
		s.unanswered(s.ctx, s.store, r)
		require.NotPanics(s.t, func() { _ = s.store.Close() })
		s.unverified = true
	}},
	{"HandlesShareOneLedger", "what one process reserves another one counts, settles in its name, and finds after a restart", func(s *subject) {
		other := s.reopen()
		l := line("a", budget.Daily, 10)
		r := s.reserve(6, l)
		d, err := other.Reserve(s.ctx, s.hold(5, l))
		require.NoError(s.t, err)
		require.Len(s.t, d.Denied, 1)
		require.Equal(s.t, int64(6), d.Denied[0].Pending)
		_, err = other.Settle(s.ctx, s.settlement(r, 4))
		require.NoError(s.t, err)
		s.stands(l, 4, 0)
		require.NoError(s.t, other.Close())
		s.stands(l, 4, 0)
	}},
}
