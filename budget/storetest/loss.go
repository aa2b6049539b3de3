package storetest

import (
	"math"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// wipe destroys the whole ledger under the store, or skips the subtest if that can't happen to the store.
func (s *subject) wipe() {
	if s.h.Wipe == nil {
		s.t.Skip("the store's memory can't be lost under it")
	}
	s.h.Wipe(s.t, s.store)
	s.unverified = true
}

// requireLost requires that each step of a store fails with ErrLost. r is a reservation that was made before.
func (s *subject) requireLost(store driver.Store, r driver.Reservation) {
	s.t.Helper()
	for name, step := range s.steps(store, r) {
		require.ErrorIs(s.t, step(s.ctx), driver.ErrLost, name)
	}
}

// The rules of a ledger that was lost, in whole or in part, while a store was open on it. s.wipe destroys the ledger; s.reopen returns another handle
// on what is then there, as another process would have it; s.newChange returns a change whose caller has seen all changes so far.
// s.requireNoAnswers requires that each step fails, and with no error that tells something about the budget, such as ErrExceeded.
var lossRules = []rule{
	{"AWipedStoreAnswersNothing", "a store whose memory was lost under it fails with ErrLost; it never reports a zero balance", func(s *subject) {
		r := s.reserve(2, line("a", driver.Daily, 10))
		s.wipe()
		s.requireNoAnswers(s.ctx, s.store, r)
		s.requireLost(s.store, r)
	}},
	{"ALossIsRefusedForGood", "however much is written to what stands in the place of a lost ledger, a store that knew it refuses", func(s *subject) {
		l := line("a", driver.Daily, 1000)
		r := s.reserve(2, l)
		s.wipe()
		// Opened after the loss: to this handle what stands there now is a ledger like any other.
		other := s.reopen()
		// So that more steps have written here than s.store has seen of the lost ledger, and their number alone does not tell the two apart.
		for range 20 {
			d, err := other.Reserve(s.ctx, s.newReservation(1, l))
			require.NoError(s.t, err)
			require.True(s.t, d.Admitted)
		}
		s.requireLost(s.store, r)
	}},
	{"AcceptLossGoesOnWithWhatIsThere", "once a loss was accepted in one process, all that had found it out go on with what is there", func(s *subject) {
		l := line("a", driver.Daily, 10)
		knew := s.reopen()
		r := s.reserve(2, l)
		// This handle was opened before the loss, and has seen the reservation of the other one.
		_, err := knew.Balances(s.ctx, []driver.Line{l})
		require.NoError(s.t, err)
		s.wipe()
		// Opened after the loss: to this handle what stands there now is a ledger like any other.
		other := s.reopen()
		d, err := other.Reserve(s.ctx, s.newReservation(3, l))
		require.NoError(s.t, err)
		require.True(s.t, d.Admitted)
		s.requireLost(s.store, r)
		s.requireLost(knew, r)
		c := driver.Change{ID: driver.NewID(), Seen: math.MaxInt64, Operator: "anna", Reason: "restored"}
		require.NoError(s.t, s.store.AcceptLoss(s.ctx, c))
		s.requireBalance(l, 0, 3)
		// A process that has found a loss may look only now and then whether it was accepted.
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
		a, b := line("a", driver.Daily, 10), s.latchedLine("b", driver.Lifetime)
		r := s.reserve(2, a)
		s.kill(callScope, "stop")
		require.NoError(s.t, s.store.AcceptLoss(s.ctx, s.newChange()))
		s.requireBalance(a, 0, 2)
		require.True(s.t, s.balance(b).Latched)
		require.Len(s.t, s.kills(), 1)
		s.settle(r, 1)
		s.requireBalance(a, 1, 0)
	}},
	{"ALostPartIsRefusedOrHarmless", "whichever part of a ledger is gone, nothing is admitted that it would have refused, and AcceptLoss goes on", func(s *subject) {
		if s.h.Lose == nil {
			s.t.Skip("parts of this store can't get lost")
		}
		for n := 0; ; n++ {
			// Each part is lost in a ledger of its own, so that only one is gone at a time.
			part := newSubject(s.t, s.h)
			rich := part.fillLedger()
			lost := s.h.Lose(s.t, part.store, n)
			if lost == "" {
				require.Greater(s.t, n, 5, "a ledger has more parts")
				return
			}
			rich.stillRefuses(lost)
			require.NoError(s.t, part.store.AcceptLoss(s.ctx, NewChange()), "after the loss of %s", lost)
			// steps returns calls of the store's methods. Only ErrLost would be wrong here: other errors may be due to what is gone.
			for name, step := range part.steps(part.store, part.newReservation(1, line("fresh", driver.Daily, 10))) {
				require.NotErrorIs(s.t, step(s.ctx), driver.ErrLost, "%s after the loss of %s was accepted", name, lost)
			}
			_ = part.store.Close()
		}
	}},
}

// rich is a ledger in which there is one of each kind of things that refuse a call.
type rich struct {
	*subject
	pending driver.Reservation
	lines   map[string]driver.Line // lines that refuse one more call of 5, by what makes them refuse
	revival driver.Change          // a Revive of the flag of callScope, which was set again after it
}

// fillLedger fills the ledger of the subject.
func (s *subject) fillLedger() *rich {
	s.t.Helper()
	s.unverified = true
	r := &rich{subject: s, lines: map[string]driver.Line{
		"a calendar window": line("calendar", driver.Daily, 10),
		"a rolling window":  line("rolling", driver.Rolling(time.Hour), 10),
		"an override":       line("override", driver.Lifetime, 100),
	}}
	for _, l := range r.lines {
		// Of a Max of 10 this leaves 4, less than the 5 that stillRefuses asks for.
		s.settle(s.reserve(6, l), 6)
	}
	// 6 are settled of 100. With 8 in the place of 100, 5 more do not fit.
	s.override(r.lines["an override"], 8, 24*time.Hour)
	latched := s.latchedLine("latch", driver.Lifetime)
	// So that only the latch refuses, and not the Max of 10.
	latched.Max = 1000
	r.lines["a latch"] = latched
	pending := line("pending", driver.Daily, 10)
	r.lines["a pending reservation"] = pending
	r.pending = s.reserve(6, pending)
	// An entry that is neither settled nor pending, as one more part that can get lost.
	s.void(s.reserve(1, pending))
	s.kill(callScope, "stop")
	// The revival is made before the flag is set again, so that its repeat in stillRefuses is late, and must not remove the flag.
	r.revival = s.newChange()
	require.NoError(s.t, s.store.Revive(s.ctx, driver.Flag{Scope: callScope}, r.revival))
	s.kill(callScope, "stop again")
	s.kill(driver.Scope{Workflow: "another"}, "stop")
	return r
}

// stillRefuses requires that the store, after the loss of the part lost, refuses all that it has refused before, or fails with ErrLost. It asks
// twice: before and after a repeat of the old Revive, which must not remove the flag, and a settlement, which may be late.
func (r *rich) stillRefuses(lost string) {
	r.t.Helper()
	refuses := func(what string, q driver.Reservation) {
		d, err := r.store.Reserve(r.ctx, q)
		if err != nil {
			require.ErrorIs(r.t, err, driver.ErrLost, "%s, after the loss of %s", what, lost)
			return
		}
		require.False(r.t, d.Admitted, "%s, after the loss of %s", what, lost)
	}
	askAll := func() {
		for what, l := range r.lines {
			refuses(what, r.newReservation(5, l))
		}
		q := r.newReservation(1, line("fresh", driver.Daily, 10))
		q.Dims = callScope.Dims()
		refuses("a kill flag", q)
	}
	askAll()
	if err := r.store.Revive(r.ctx, driver.Flag{Scope: callScope}, r.revival); err != nil { // it arrives once more
		require.True(r.t, isAny(err, driver.ErrLost, driver.ErrSuperseded), "%v", err)
	}
	if _, err := r.store.Settle(r.ctx, r.settlement(r.pending, 6)); err != nil {
		require.ErrorIs(r.t, err, driver.ErrLost)
	}
	askAll()
}
