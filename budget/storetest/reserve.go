package storetest

import (
	"math"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The rules of Reserve. line(name, window, max) is a limit in nano-USD, sorted puts limits into the order of a reservation. s.reserve makes a
// reservation, which must be admitted, and s.refuse one that must be refused for lack of room. s.newReservation returns one that is not sent to the
// store. It is sent by s.admit, which requires that it is admitted, or by s.refused and s.denied, which require the opposite and return the first
// line without room, or all of them. s.requireBalance checks what an account has settled and pending. A hold is what a pending reservation has set
// aside. usd(n) is a charge of n nano-USD, and s.entry returns what the store remembers of a reservation, and whether it does.
var reserveRules = []rule{
	{"ReserveAddsToPendingInEveryLine", "an admitted amount is set aside in every line, observe-only ones too, in the line's own unit", func(s *subject) {
		a, b, c := line("a", driver.Daily, 100), line("b", driver.Lifetime, 100), line("c", driver.Rolling(time.Hour), 100)
		b.Unit, c.Observe = driver.UnitCalls, true
		r := s.newReservation(7, sorted(a, b, c)...)
		r.Charge[driver.UnitCalls] = 2
		require.False(s.t, s.admit(r).Replayed)
		s.requireBalance(a, 0, 7)
		s.requireBalance(b, 0, 2)
		s.requireBalance(c, 0, 7)
	}},
	{"ReserveRefusesWhatDoesNotFit", "settled + pending + amount may reach Max and not exceed it", func(s *subject) {
		l := line("a", driver.Daily, 10)
		s.reserve(6, l)
		d := s.refuse(5, l)
		require.Equal(s.t, driver.Balance{Max: 10, Pending: 6, ResetAfter: d.ResetAfter}, d.Balance, "the denial tells where the account stands")
		s.reserve(4, l)
		s.refuse(1, l)
	}},
	{"ReserveCountsSettledAndPending", "what is spent and what is in flight weigh the same", func(s *subject) {
		l := line("a", driver.Daily, 10)
		s.settle(s.reserve(4, l), 4)
		s.reserve(4, l)
		d := s.refuse(3, l)
		require.Equal(s.t, [2]int64{4, 4}, [2]int64{d.Settled, d.Pending})
		s.reserve(2, l)
	}},
	{"ReserveIsAllOrNothing", "one line without room keeps all others unchanged; a partial hold would never be resolved", func(s *subject) {
		lines := sorted(line("a", driver.Daily, 100), line("b", driver.Daily, 100), line("c", driver.Lifetime, 100))
		for i := range lines {
			tight := slices.Clone(lines)
			tight[i].Max = 1
			require.Equal(s.t, i, s.refuse(2, tight...).Line)
			for _, l := range lines {
				s.requireBalance(l, 0, 0)
			}
		}
		require.Empty(s.t, s.allEntries(), "a refusal leaves no entry")
	}},
	{"ReserveNamesAllLinesWithoutRoom", "what several full lines refuse fits only once the last of them has room", func(s *subject) {
		lines := sorted(line("a", driver.Daily, 100), line("b", driver.Daily, 9), line("c", driver.Monthly, 9), line("d", driver.Lifetime, 9), line("e", driver.Hourly, 9))
		s.reserve(8, lines...)
		var full []int // the indexes of the lines without room; they depend on the order that sorted has made
		// How long it takes until each window ends, and with it the wait for room; 0 for a lifetime, which never ends. s.moment parses a time.
		waits := map[driver.Window]time.Duration{
			driver.Daily: s.moment("2026-03-11T00:00:00Z").Sub(s.clock.Now()), driver.Monthly: s.moment("2026-04-01T00:00:00Z").Sub(s.clock.Now()),
			driver.Hourly: s.clock.Now().Truncate(time.Hour).Add(time.Hour).Sub(s.clock.Now()), driver.Lifetime: 0,
		}
		for _, d := range s.denied(s.newReservation(2, lines...)) {
			full = append(full, d.Line)
			require.Equal(s.t, [3]int64{9, 0, 8}, [3]int64{d.Max, d.Settled, d.Pending})
			require.Equal(s.t, waits[lines[d.Line].Window], d.ResetAfter)
		}
		require.Equal(s.t, slices.DeleteFunc([]int{0, 1, 2, 3, 4}, func(i int) bool { return lines[i].Max == 100 }), full) // all but that of 100
	}},
	{"ReserveZeroMaxDenies", "a Max of zero denies every amount: zero is not unlimited", func(s *subject) {
		s.refuse(1, line("a", driver.Monthly, 0))
	}},
	{"ReserveNegativeMaxDenies", "a Max below zero denies too, the lowest of all included: the room that is left must not wrap", func(s *subject) {
		for _, lowest := range []int64{-1, math.MinInt64} {
			// Even nothing does not fit, because 0 is more than a Max below zero.
			s.refuse(0, line("a", driver.Monthly, lowest))
			s.refuse(5, line("a", driver.Monthly, lowest))
		}
	}},
	{"ReserveWithoutLinesIsAdmitted", "a call that no limit matches is admitted and remembered", func(s *subject) {
		r := s.reserve(5)
		e, found := s.entry(r.ID)
		require.True(s.t, found)
		require.Equal(s.t, driver.Pending, e.State)
		s.settle(r, 3)
	}},
}

// The rules of ids and of what a reservation hands over, with the helpers of reserveRules. s.requireConflict reserves, and requires that the same id
// can't be reserved again after a change of the reservation. key(name) is the key of an account or an owner, and s.expire(n) requires that n
// reservations are charged.
var repeatRules = []rule{
	{"ReserveReplayChangesNothing", "the same reservation again is admitted as Replayed and adds nothing: its first reply may have been lost", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.newReservation(6, l)
		first := s.admit(r)
		s.clock.Advance(time.Minute)
		again := s.admit(r)
		require.True(s.t, again.Replayed)
		require.WithinDuration(s.t, first.ExpiresAt, again.ExpiresAt, time.Microsecond, "a replay does not prolong it")
		s.requireBalance(l, 0, 6)
	}},
	{"ReserveOfAnotherOwnerConflicts", "an id in use by another ledger is no admission: two calls would run on one hold", func(s *subject) {
		s.requireConflict(func(r *driver.Reservation) { r.Owner = key("somebody else") })
	}},
	{"ReserveOfAnotherAmountConflicts", "an id in use for another amount is no admission", func(s *subject) {
		s.requireConflict(func(r *driver.Reservation) { r.Charge = usd(5) })
		s.requireConflict(func(r *driver.Reservation) { r.Charge[driver.UnitCalls] = 1 })
	}},
	{"ReserveOfOtherAccountsConflicts", "an id in use for other accounts is no admission", func(s *subject) {
		s.requireConflict(func(r *driver.Reservation) { r.Lines = []driver.Line{line("elsewhere", driver.Daily, 10)} })
		s.requireConflict(func(r *driver.Reservation) { r.Lines = nil })
		s.requireConflict(func(r *driver.Reservation) { r.Lines = sorted(r.Lines[0], line("one more", driver.Daily, 10)) })
	}},
	{"ReserveOfAResolvedIDIsRefused", "a delayed duplicate of a reservation that is settled, voided or expired is ErrResolved", func(s *subject) {
		l := line("a", driver.Daily, 100)
		settled, voided, expired := s.reserve(1, l), s.reserve(1, l), s.reserve(1, l)
		s.settle(settled, 1)
		s.void(voided)
		s.clock.Advance(time.Hour)
		s.expire(1)
		for _, r := range []driver.Reservation{settled, voided, expired} {
			_, err := s.store.Reserve(s.ctx, r)
			require.ErrorIs(s.t, err, driver.ErrResolved)
		}
		// 1 was settled, and 1 was charged when it expired.
		s.requireBalance(l, 2, 0)
	}},
	{"ReserveMayBeRepeatedAfterARefusal", "a refused id is unknown: it is admitted once there is room", func(s *subject) {
		l := line("a", driver.Daily, 10)
		full := s.reserve(10, l)
		r := s.newReservation(1, l)
		s.refused(r)
		s.void(full)
		require.False(s.t, s.admit(r).Replayed)
	}},
	{"ReserveExpiresAfterItsTTL", "ExpiresAt is the store's time plus the TTL", func(s *subject) {
		r := s.newReservation(1, line("a", driver.Daily, 10))
		r.TTL = 90 * time.Second
		require.WithinDuration(s.t, s.clock.Now().Add(r.TTL), s.admit(r).ExpiresAt, time.Microsecond)
	}},
	{"ReserveKeepsNothingOfTheCallers", "slices stay the caller's: writing to them later moves nothing", func(s *subject) {
		a, b := line("a", driver.Daily, 10), line("b", driver.Daily, 10)
		r := s.newReservation(3, a)
		s.admit(r)
		own := r.Lines[0]
		r.Lines[0] = b // the store must go by what the slice held when it was handed over
		require.NoError(s.t, s.store.Void(s.ctx, r.ID, r.Owner))
		r.Lines[0] = own
		s.requireBalance(a, 0, 0)
		s.requireBalance(b, 0, 0)
	}},
	{"ReserveRejectsInvalidCharges", "a negative amount would hand out budget, and a line without a unit counts nothing", func(s *subject) {
		l := line("a", driver.Daily, 10)
		_, err := s.store.Reserve(s.ctx, s.newReservation(-5, l))
		require.ErrorIs(s.t, err, driver.ErrInvalidCharge)
		for _, bad := range unitless(l) {
			_, err := s.store.Reserve(s.ctx, s.newReservation(1, bad))
			require.ErrorIs(s.t, err, driver.ErrInvalidCharge)
		}
		// Index 0 of a Charge stands for no unit.
		unused := s.newReservation(1, l)
		unused.Charge[0] = 1
		_, err = s.store.Reserve(s.ctx, unused)
		require.ErrorIs(s.t, err, driver.ErrInvalidCharge)
		s.requireBalance(l, 0, 0)
		require.Empty(s.t, s.allEntries())
	}},
}

// The rules of lines with Observe, with the helpers of reserveRules. A caller that has two bounds of what a call can cost asks with the larger one
// first, and sets RefuseObserved. Lines with Observe then refuse like all others, and the caller asks again with the smaller bound.
var observeRules = []rule{
	{"ObserveLinesRefuseNothing", "a rehearsed limit counts and reports beyond its Max, and never refuses", func(s *subject) {
		l := line("a", driver.Daily, 10)
		l.Observe = true
		require.Empty(s.t, s.admit(s.newReservation(8, l)).Observed)
		d := s.admit(s.newReservation(8, l))
		require.Len(s.t, d.Observed, 1)
		// The second one is admitted beyond the Max of 10, of which the first one had 8.
		require.Equal(s.t, [4]int64{0, 10, 0, 8}, [4]int64{int64(d.Observed[0].Line), d.Observed[0].Max, d.Observed[0].Settled, d.Observed[0].Pending})
		s.requireBalance(l, 0, 16)
	}},
	{"ObserveLinesRefuseIfAsked", "a caller that has a tighter bound is refused by observed lines, too, so that it asks with that one", func(s *subject) {
		lines := sorted(line("a", driver.Daily, 10), line("b", driver.Daily, 100))
		// sorted orders lines by account, so that the one with Max 10 has to be looked for.
		at := slices.IndexFunc(lines, func(l driver.Line) bool { return l.Max == 10 })
		lines[at].Observe = true
		r := s.newReservation(8, lines...)
		r.RefuseObserved = true
		require.Empty(s.t, s.admit(r).Observed)
		r = s.newReservation(8, lines...)
		r.RefuseObserved = true
		require.Equal(s.t, at, s.refused(r).Line)
		s.requireBalance(lines[at], 0, 8)
	}},
}

// unitless returns copies of a line whose units are none: zero, the first number after the units, and the largest number.
func unitless(l driver.Line) (bad []driver.Line) {
	for _, unit := range []driver.Unit{0, driver.NumUnits, 255} {
		l.Unit = unit
		bad = append(bad, l)
	}
	return bad
}

// requireConflict requires that a pending reservation, once change has changed a copy of it, can't be made again under the same id.
func (s *subject) requireConflict(change func(*driver.Reservation)) {
	l := line("a", driver.Daily, 100)
	r := s.reserve(3, l)
	other := r
	other.Lines = slices.Clone(r.Lines)
	change(&other)
	d, err := s.store.Reserve(s.ctx, other)
	require.ErrorIs(s.t, err, driver.ErrIDConflict)
	require.False(s.t, d.Admitted)
	s.requireBalance(l, 0, 3)
	// So that the next conflict of the same rule finds the account empty.
	s.void(r)
}
