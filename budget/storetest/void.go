package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The rules of Void. s.reserve makes a reservation, which must be admitted; s.newReservation returns one that is not sent to the store, so that a
// Void of it is one of an unknown id, and leaves a tombstone. A hold is what a pending reservation has set aside. s.requireBalance checks what an
// account has settled and pending, and s.entry returns what the store remembers of a reservation, and whether it does. line(name, window, max) is a
// limit in nano-USD, and sorted puts limits into the order of a reservation.
var voidRules = []rule{
	{"VoidGivesTheWholeReservationBack", "what certainly cost nothing leaves no trace in the account", func(s *subject) {
		a, b := line("a", driver.Daily, 10), line("b", driver.Lifetime, 10)
		r := s.reserve(10, sorted(a, b)...)
		s.void(r)
		s.requireBalance(a, 0, 0)
		s.requireBalance(b, 0, 0)
		e, _ := s.entry(r.ID)
		require.Equal(s.t, driver.Voided, e.State)
		s.reserve(10, a)
	}},
	{"VoidAgainHasNoEffect", "a repeated void gives nothing back twice", func(s *subject) {
		l := line("a", driver.Daily, 10)
		s.reserve(5, l)
		r := s.reserve(5, l)
		s.void(r)
		s.void(r)
		s.requireBalance(l, 0, 5)
	}},
	{"VoidOfAnUnknownIDLeavesATombstone", "a void that overtakes its reservation wins: the late reservation is ErrResolved and sets nothing aside", func(s *subject) {
		l := line("a", driver.Daily, 10)
		r := s.newReservation(5, l)
		s.void(r)
		// The second one finds the tombstone of the first, and succeeds as well.
		s.void(r)
		_, err := s.store.Reserve(s.ctx, r)
		require.ErrorIs(s.t, err, driver.ErrResolved)
		s.requireBalance(l, 0, 0)
		e, found := s.entry(r.ID)
		require.True(s.t, found)
		require.Equal(s.t, driver.Voided, e.State)
	}},
	{"VoidOfASettledOrExpiredIDIsRefused", "posted spend is not given back by a late void", func(s *subject) {
		l := line("a", driver.Daily, 100)
		settled := s.reserve(5, l)
		s.settle(settled, 5)
		for _, r := range []driver.Reservation{settled, s.expiredReservation(5, l)} {
			require.ErrorIs(s.t, s.store.Void(s.ctx, r.ID, r.Owner), driver.ErrResolved)
		}
		s.requireBalance(l, 10, 0)
	}},
	{"VoidOfAnotherOwnerConflicts", "nobody frees another's hold, and nobody adopts another's tombstone", func(s *subject) {
		l := line("a", driver.Daily, 10)
		r, tombstone := s.reserve(5, l), s.newReservation(1, l)
		s.void(tombstone)
		for _, id := range []driver.ID{r.ID, tombstone.ID} {
			require.ErrorIs(s.t, s.store.Void(s.ctx, id, key("somebody else")), driver.ErrIDConflict)
		}
		s.requireBalance(l, 0, 5)
	}},
}

// The rules of Correct. s.reserve, s.newReservation and s.requireBalance are as above, and so is a tombstone; s.correct replaces what a reservation
// has posted, and s.expiredReservation returns one that was charged with its worst case because nobody settled it in time. An orphan is an entry
// whose spend was posted without a pending reservation.
var correctRules = []rule{
	{"CorrectReplacesASettlement", "an invoice has the last word, downwards and upwards, in every line", func(s *subject) {
		a, b := line("a", driver.Daily, 100), line("b", driver.Lifetime, 100)
		r := s.reserve(10, sorted(a, b)...)
		st := s.settlement(r, 10)
		st.Estimated = true
		s.settleWith(st)
		for _, actual := range []int64{4, 25} {
			p := s.correct(r, actual)
			require.Equal(s.t, driver.Posting{From: driver.Settled}, p)
			s.requireBalance(a, actual, 0)
			s.requireBalance(b, actual, 0)
		}
		e, _ := s.entry(r.ID)
		require.False(s.t, e.Estimated, "Correct clears Estimated")
	}},
	{"CorrectConfirmsAnEstimate", "a correction to the same amount still clears Estimated", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.expiredReservation(10, l)
		// Not Replayed, although 10 are posted already: that was an estimate until now.
		require.Equal(s.t, driver.Posting{From: driver.Expired}, s.correct(r, 10))
		s.requireBalance(l, 10, 0)
		e, _ := s.entry(r.ID)
		require.False(s.t, e.Estimated)
		require.Equal(s.t, driver.Settled, e.State)
	}},
	{"CorrectReplacesAVoid", "what was held to be free and is on the bill is posted", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.void(r)
		require.Equal(s.t, driver.Voided, s.correct(r, 6).From)
		s.requireBalance(l, 6, 0)
	}},
	{"CorrectIsIdempotent", "the same correction again is Replayed and changes nothing", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.expiredReservation(10, l)
		s.correct(r, 4)
		// correct makes a new change each time: what is the same is the amount.
		require.True(s.t, s.correct(r, 4).Replayed)
		s.requireBalance(l, 4, 0)
	}},
	{"CorrectBooksWhereItWasReserved", "a refund goes to the window that paid", func(s *subject) {
		l := line("a", driver.Monthly, 100)
		r := s.reserve(50, l)
		s.settle(r, 50)
		s.clock.Advance(31 * 24 * time.Hour)
		s.reserve(1, l)
		s.correct(r, 20)
		s.requireBalance(l, 0, 1) // of the next month: the correction is in the month before
	}},
	{"CorrectOfAnOrphanReplacesIt", "an orphan is corrected where it was posted", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.newReservation(10, l)
		s.settle(r, 8)
		s.correct(r, 3)
		s.requireBalance(l, 3, 0)
	}},
	{"CorrectOfAPendingOrUnknownIDIsNotFound", "there is nothing posted to correct; of a tombstone nobody knows where", func(s *subject) {
		l := line("a", driver.Daily, 100)
		pending, unknown, tombstone := s.reserve(10, l), s.newReservation(1, l), s.newReservation(1, l)
		s.void(tombstone)
		for _, r := range []driver.Reservation{pending, unknown, tombstone} {
			_, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(1), Change: NewChange()})
			require.ErrorIs(s.t, err, driver.ErrNotFound)
		}
		s.requireBalance(l, 0, 10)
	}},
	{"CorrectRejectsNegativeAmounts", "a negative correction would print money", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.settle(r, 4)
		_, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(-4), Change: NewChange()})
		require.ErrorIs(s.t, err, driver.ErrInvalidCharge)
		s.requireBalance(l, 4, 0)
	}},
}
