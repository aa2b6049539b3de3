package storetest

import (
	"math"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// wiped loses the whole ledger of the subject, or skips the subtest.
func (s *subject) wiped() {
	if s.h.Wipe == nil {
		s.t.Skip("the store's memory can't be lost under it")
	}
	s.h.Wipe(s.t, s.store)
	s.unverified = true
}

// isLost requires that each step of a store is refused because of a loss.
func (s *subject) isLost(store driver.Store, r driver.Reservation) {
	s.t.Helper()
	for name, step := range s.steps(store, r) {
		require.ErrorIs(s.t, step(s.ctx), driver.ErrLost, name)
	}
}

var lossRules = []rule{
	{"AWipedStoreAnswersNothing", "a store whose memory was lost under it fails with ErrLost; it never reports a zero balance", func(s *subject) {
		r := s.reserve(2, line("a", driver.Daily, 10))
		s.wiped()
		s.unanswered(s.ctx, s.store, r)
		s.isLost(s.store, r)
	}},
	{"ALossIsRefusedForGood", "however much is written to what stands in the place of a lost ledger, a store that knew it refuses", func(s *subject) {
		l := line("a", driver.Daily, 1000)
		r := s.reserve(2, l)
		s.wiped()
		other := s.reopen()
		for range 20 {
			d, err := other.Reserve(s.ctx, s.hold(1, l))
			require.NoError(s.t, err)
			require.True(s.t, d.Admitted)
		}
		s.isLost(s.store, r)
	}},
	{"AcceptLossGoesOnWithWhatIsThere", "once a loss was accepted in one process, all that had found it out go on with what is there", func(s *subject) {
		l := line("a", driver.Daily, 10)
		knew := s.reopen()
		r := s.reserve(2, l)
		_, err := knew.Balances(s.ctx, []driver.Line{l})
		require.NoError(s.t, err)
		s.wiped()
		other := s.reopen()
		d, err := other.Reserve(s.ctx, s.hold(3, l))
		require.NoError(s.t, err)
		require.True(s.t, d.Admitted)
		s.isLost(s.store, r)
		s.isLost(knew, r)
		c := driver.Change{ID: driver.NewID(), Seen: math.MaxInt64, Operator: "anna", Reason: "restored"}
		require.NoError(s.t, s.store.AcceptLoss(s.ctx, c))
		s.stands(l, 0, 3)
		require.Eventually(s.t, func() bool {
			b, err := knew.Balances(s.ctx, []driver.Line{l})
			return err == nil && b[0].Pending == 3
		}, 10*time.Second, 20*time.Millisecond, "another process that had found it out")
		records := s.records(0, 10)
		require.Len(s.t, records, 1)
		require.Equal(s.t, driver.ChangeAcceptLoss, records[0].Kind)
		require.Equal(s.t, "restored", records[0].Reason)
	}},
	{"AcceptLossOfASoundLedgerChangesNothing", "accepting a loss that there is not leaves all sums, flags and latches as they are", func(s *subject) {
		a, b := line("a", driver.Daily, 10), s.latch("b", driver.Lifetime)
		r := s.reserve(2, a)
		s.kill(call, "stop")
		require.NoError(s.t, s.store.AcceptLoss(s.ctx, s.inspect()))
		s.stands(a, 0, 2)
		require.True(s.t, s.balance(b).Latched)
		require.Len(s.t, s.kills(), 1)
		s.settle(r, 1)
		s.stands(a, 1, 0)
	}},
	{"ALostPartIsRefusedOrHarmless", "whichever part of a ledger is gone, nothing is admitted that it would have refused, and AcceptLoss goes on", func(s *subject) {
		if s.h.Lose == nil {
			s.t.Skip("parts of this store can't get lost")
		}
		for n := 0; ; n++ {
			part := newSubject(s.t, s.h)
			rich := part.enrich()
			lost := s.h.Lose(s.t, part.store, n)
			if lost == "" {
				require.Greater(s.t, n, 5, "a ledger has more parts")
				return
			}
			rich.holds(lost)
			require.NoError(s.t, part.store.AcceptLoss(s.ctx, NewChange()), "after the loss of %s", lost)
			for name, step := range part.steps(part.store, part.hold(1, line("fresh", driver.Daily, 10))) {
				require.NotErrorIs(s.t, step(s.ctx), driver.ErrLost, "%s after the loss of %s was accepted", name, lost)
			}
			_ = part.store.Close()
		}
	}},
}

// rich is a ledger in which something of each kind refuses.
type rich struct {
	*subject
	pending driver.Reservation
	lines   map[string]driver.Line // by what refuses one more call of 5
	revival driver.Change          // of the flag that was set again since
}

// enrich fills the ledger.
func (s *subject) enrich() *rich {
	s.t.Helper()
	s.unverified = true
	r := &rich{subject: s, lines: map[string]driver.Line{
		"a calendar window": line("calendar", driver.Daily, 10),
		"a rolling window":  line("rolling", driver.Rolling(time.Hour), 10),
		"an override":       line("override", driver.Lifetime, 100),
	}}
	for _, l := range r.lines {
		s.settle(s.reserve(6, l), 6)
	}
	s.override(r.lines["an override"], 8, 24*time.Hour)
	latched := s.latch("latch", driver.Lifetime)
	latched.Max = 1000
	r.lines["a latch"] = latched
	pending := line("pending", driver.Daily, 10)
	r.lines["a pending reservation"] = pending
	r.pending = s.reserve(6, pending)
	s.void(s.reserve(1, pending))
	s.kill(call, "stop")
	r.revival = s.inspect()
	require.NoError(s.t, s.store.Revive(s.ctx, driver.Flag{Scope: call}, r.revival))
	s.kill(call, "stop again")
	s.kill(driver.Scope{Workflow: "another"}, "stop")
	return r
}

// holds requires that all that refused refuses still, if the store answers at all.
func (r *rich) holds(lost string) {
	r.t.Helper()
	refuses := func(what string, q driver.Reservation) {
		d, err := r.store.Reserve(r.ctx, q)
		if err != nil {
			require.ErrorIs(r.t, err, driver.ErrLost, "%s, after the loss of %s", what, lost)
			return
		}
		require.False(r.t, d.Admitted, "%s, after the loss of %s", what, lost)
	}
	look := func() {
		for what, l := range r.lines {
			refuses(what, r.hold(5, l))
		}
		q := r.hold(1, line("fresh", driver.Daily, 10))
		q.Dims = call.Dims()
		refuses("a kill flag", q)
	}
	look()
	if err := r.store.Revive(r.ctx, driver.Flag{Scope: call}, r.revival); err != nil { // it arrives once more
		require.True(r.t, isAny(err, driver.ErrLost, driver.ErrSuperseded), "%v", err)
	}
	if _, err := r.store.Settle(r.ctx, r.settlement(r.pending, 6)); err != nil {
		require.ErrorIs(r.t, err, driver.ErrLost)
	}
	look()
}
