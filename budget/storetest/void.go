package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

var voidRules = []rule{
	{"VoidGivesTheWholeReservationBack", "what certainly cost nothing leaves no trace in the account", func(s *subject) {
		a, b := line("a", driver.Daily, 10), line("b", driver.Lifetime, 10)
		r := s.reserve(10, sorted(a, b)...)
		s.void(r)
		s.stands(a, 0, 0)
		s.stands(b, 0, 0)
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
		s.stands(l, 0, 5)
	}},
	{"VoidOfAnUnknownIDLeavesATombstone", "a void that overtakes its reservation wins: the late reservation is ErrResolved and sets nothing aside", func(s *subject) {
		l := line("a", driver.Daily, 10)
		r := s.hold(5, l)
		s.void(r)
		s.void(r)
		_, err := s.store.Reserve(s.ctx, r)
		require.ErrorIs(s.t, err, driver.ErrResolved)
		s.stands(l, 0, 0)
		e, found := s.entry(r.ID)
		require.True(s.t, found)
		require.Equal(s.t, driver.Voided, e.State)
	}},
	{"VoidOfASettledOrExpiredIDIsRefused", "posted spend is not given back by a late void", func(s *subject) {
		l := line("a", driver.Daily, 100)
		settled := s.reserve(5, l)
		s.settle(settled, 5)
		for _, r := range []driver.Reservation{settled, s.expired(5, l)} {
			require.ErrorIs(s.t, s.store.Void(s.ctx, r.ID, r.Owner), driver.ErrResolved)
		}
		s.stands(l, 10, 0)
	}},
	{"VoidOfAnotherOwnerConflicts", "nobody frees another's hold, and nobody adopts another's tombstone", func(s *subject) {
		l := line("a", driver.Daily, 10)
		r, tombstone := s.reserve(5, l), s.hold(1, l)
		s.void(tombstone)
		for _, id := range []driver.ID{r.ID, tombstone.ID} {
			require.ErrorIs(s.t, s.store.Void(s.ctx, id, key("somebody else")), driver.ErrIDConflict)
		}
		s.stands(l, 0, 5)
	}},
}

var correctRules = []rule{
	{"CorrectReplacesASettlement", "an invoice has the last word, downwards and upwards, in every line", func(s *subject) {
		a, b := line("a", driver.Daily, 100), line("b", driver.Lifetime, 100)
		r := s.reserve(10, sorted(a, b)...)
		st := s.settlement(r, 10)
		st.Estimated = true
		s.post(st)
		for _, actual := range []int64{4, 25} {
			p := s.correct(r, actual)
			require.Equal(s.t, driver.Posting{From: driver.Settled}, p)
			s.stands(a, actual, 0)
			s.stands(b, actual, 0)
		}
		e, _ := s.entry(r.ID)
		require.False(s.t, e.Estimated, "Correct clears Estimated")
	}},
	{"CorrectConfirmsAnEstimate", "a correction to the same amount still clears Estimated", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.expired(10, l)
		require.Equal(s.t, driver.Posting{From: driver.Expired}, s.correct(r, 10))
		s.stands(l, 10, 0)
		e, _ := s.entry(r.ID)
		require.False(s.t, e.Estimated)
		require.Equal(s.t, driver.Settled, e.State)
	}},
	{"CorrectReplacesAVoid", "what was held to be free and is on the bill is posted", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.void(r)
		require.Equal(s.t, driver.Voided, s.correct(r, 6).From)
		s.stands(l, 6, 0)
	}},
	{"CorrectIsIdempotent", "the same correction again is Replayed and changes nothing", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.expired(10, l)
		s.correct(r, 4)
		require.True(s.t, s.correct(r, 4).Replayed)
		s.stands(l, 4, 0)
	}},
	{"CorrectBooksWhereItWasReserved", "a refund goes to the window that paid", func(s *subject) {
		l := line("a", driver.Monthly, 100)
		r := s.reserve(50, l)
		s.settle(r, 50)
		s.clock.Advance(31 * 24 * time.Hour)
		s.reserve(1, l)
		s.correct(r, 20)
		s.stands(l, 0, 1)
	}},
	{"CorrectOfAnOrphanReplacesIt", "an orphan is corrected where it was posted", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.hold(10, l)
		s.settle(r, 8)
		s.correct(r, 3)
		s.stands(l, 3, 0)
	}},
	{"CorrectOfAPendingOrUnknownIDIsNotFound", "there is nothing posted to correct; of a tombstone nobody knows where", func(s *subject) {
		l := line("a", driver.Daily, 100)
		pending, unknown, tombstone := s.reserve(10, l), s.hold(1, l), s.hold(1, l)
		s.void(tombstone)
		for _, r := range []driver.Reservation{pending, unknown, tombstone} {
			_, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(1), Change: NewChange()})
			require.ErrorIs(s.t, err, driver.ErrNotFound)
		}
		s.stands(l, 0, 10)
	}},
	{"CorrectRejectsNegativeAmounts", "a negative correction would print money", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.settle(r, 4)
		_, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(-4), Change: NewChange()})
		require.ErrorIs(s.t, err, driver.ErrInvalidCharge)
		s.stands(l, 4, 0)
	}},
}
