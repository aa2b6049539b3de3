package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The rules of a Settle in time. In all rules of the suite, s.reserve makes a reservation, which must be admitted; s.newReservation returns one that
// is not sent to the store, so that a settlement of it is one of an unknown id. Amounts are in nano-USD: usd(n) is a charge of n, and line(name,
// window, max) a limit on an account. sorted puts limits into the order of a reservation. s.settle settles a reservation with an amount;
// s.settlement returns such a settlement, and s.settleWith sends it. s.requireBalance checks what an account has settled and pending in its present
// window. s.entry returns what the store remembers of a reservation, and whether it does. s.expire(n) requires that n are charged. A hold is what a
// pending reservation has set aside.
var settleRules = []rule{
	{"SettlePostsTheTruth", "pending goes out in full and the actual amount comes in, in every line", func(s *subject) {
		a, b := line("a", driver.Daily, 100), line("b", driver.Lifetime, 100)
		r := s.reserve(10, sorted(a, b)...)
		p := s.settle(r, 3)
		require.Equal(s.t, driver.Posting{From: driver.Pending}, p)
		s.requireBalance(a, 3, 0)
		s.requireBalance(b, 3, 0)
		e, _ := s.entry(r.ID)
		require.Equal(s.t, driver.Settled, e.State)
		require.Equal(s.t, [2]driver.Charge{usd(10), usd(3)}, [2]driver.Charge{e.Reserved, e.Actual})
		require.False(s.t, e.Estimated || e.Orphan)
	}},
	{"SettleIsNeverClamped", "the truth is posted even into overdraft: limit 10, spent 9, reserved 1, actual 3 makes 12", func(s *subject) {
		l := line("a", driver.Daily, 10)
		s.settle(s.reserve(9, l), 9)
		s.settle(s.reserve(1, l), 3)
		s.requireBalance(l, 12, 0)
		// 12 of 10 are used.
		s.refuse(1, l)
	}},
	{"SettleReplayChangesNothing", "the same settlement again is Replayed: spend is not counted twice", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.settle(r, 4)
		require.Equal(s.t, driver.Posting{Replayed: true, From: driver.Settled}, s.settle(r, 4))
		s.requireBalance(l, 4, 0)
	}},
	{"SettleWithAnotherAmountKeepsTheFirst", "a second settlement of another amount is ErrResolved, and the first one stands", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.settle(r, 4)
		_, err := s.store.Settle(s.ctx, s.settlement(r, 5))
		require.ErrorIs(s.t, err, driver.ErrResolved)
		s.requireBalance(l, 4, 0)
	}},
	{"SettleOfAnotherOwnerConflicts", "nobody settles another's hold, least of all for nothing", func(s *subject) {
		l := line("a", driver.Daily, 100)
		pending, settled, voided, expired := s.reserve(1, l), s.reserve(1, l), s.reserve(1, l), s.reserve(1, l)
		s.settle(settled, 1)
		s.void(voided)
		for _, r := range []driver.Reservation{pending, settled, voided} {
			s.requireSettleConflict(r)
		}
		s.void(pending) // so that only one reservation is left to expire
		s.clock.Advance(time.Hour)
		s.expire(1)
		s.requireSettleConflict(expired)
		// 1 of the settled one and 1 of the one that expired: as if nobody else had tried.
		s.requireBalance(l, 2, 0)
	}},
}

// The rules of a Settle without a hold, with the helpers of settleRules. An orphan is an entry whose spend was posted without a pending reservation.
// A tombstone is the entry of a Void which came before its Reserve.
var orphanRules = []rule{
	{"SettleOfAnUnknownIDIsPostedAsOrphan", "spend is never dropped: without a reservation it is booked in the windows of now", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.newReservation(10, l)
		require.Equal(s.t, driver.Posting{}, s.settle(r, 4))
		s.requireBalance(l, 4, 0)
		e, _ := s.entry(r.ID)
		require.True(s.t, e.Orphan)
		require.Equal(s.t, [2]driver.Charge{{}, usd(4)}, [2]driver.Charge{e.Reserved, e.Actual})
		require.True(s.t, s.settle(r, 4).Replayed)
		s.requireBalance(l, 4, 0)
	}},
	{"SettleOfAVoidedIDIsPostedAsOrphan", "what was given back and then turned out to have cost something is posted", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.void(r)
		// So that it is posted on the day after the reservation.
		s.clock.Advance(24 * time.Hour)
		require.Equal(s.t, driver.Voided, s.settle(r, 4).From)
		s.requireBalance(l, 4, 0)
		e, _ := s.entry(r.ID)
		require.True(s.t, e.Orphan)
		require.True(s.t, s.settle(r, 4).Replayed)
		s.requireBalance(l, 4, 0)
	}},
	{"SettleOfATombstoneIsPostedAsOrphan", "a void that overtook its reservation does not swallow spend either", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.newReservation(10, l)
		s.void(r)
		require.Equal(s.t, driver.Voided, s.settle(r, 4).From)
		s.requireBalance(l, 4, 0)
	}},
}

// The rules of a Settle that comes late, and of what its amount may be, with the helpers of settleRules. s.expiredReservation returns a reservation
// that was charged with its worst case, because nobody settled it in time.
var lateSettleRules = []rule{
	{"SettleOfAnExpiredIDRefunds", "the truth replaces the worst case that expiry charged: less is given back", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.expiredReservation(10, l)
		require.Equal(s.t, driver.Posting{From: driver.Expired}, s.settle(r, 3))
		s.requireBalance(l, 3, 0)
		e, _ := s.entry(r.ID)
		require.Equal(s.t, driver.Settled, e.State)
		require.False(s.t, e.Estimated)
	}},
	{"SettleOfAnExpiredIDPostsTheExtra", "the truth replaces the worst case that expiry charged: more is posted", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.expiredReservation(10, l)
		s.settle(r, 17)
		s.requireBalance(l, 17, 0)
		require.True(s.t, s.settle(r, 17).Replayed)
		s.requireBalance(l, 17, 0)
	}},
	{"SettleBooksWhereItWasReserved", "a hold belongs to the window that admitted it, its settlement too", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.clock.Advance(24 * time.Hour)
		s.reserve(1, l)
		s.settle(r, 60)
		s.requireBalance(l, 0, 1)        // of the day after: the 60 are in the day of the reservation
		s.clock.Advance(-24 * time.Hour) // to look at the window of the reservation
		require.Equal(s.t, int64(60), s.balance(l).Settled)
		s.clock.Advance(24 * time.Hour)
		// 1 is pending on this day, so that 99 fit. With the 60 they would not.
		s.reserve(99, l)
	}},
	{"SettleOfAnExpiredIDBooksWhereItWasReserved", "so does the correction of an expiry", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		s.clock.Advance(24 * time.Hour)
		s.expire(1)
		s.settle(r, 60)
		s.requireBalance(l, 0, 0) // of the day after
	}},
	{"SettleRemembersEstimates", "a settlement with the worst case is marked until Correct replaces it", func(s *subject) {
		r := s.reserve(10, line("a", driver.Daily, 100))
		st := s.settlement(r, 10)
		st.Estimated = true
		s.settleWith(st)
		e, _ := s.entry(r.ID)
		require.True(s.t, e.Estimated)
	}},
	{"SettleRejectsInvalidCharges", "a negative settlement would print money, of a reservation as of an orphan, and a line without a unit counts nothing", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.reserve(10, l)
		for _, held := range []driver.Reservation{r, s.newReservation(10, l)} {
			_, err := s.store.Settle(s.ctx, s.settlement(held, -1))
			require.ErrorIs(s.t, err, driver.ErrInvalidCharge)
			// unitless returns copies of the line that have no valid unit.
			for _, bad := range unitless(l) {
				st := s.settlement(held, 1)
				st.Lines = []driver.Line{bad}
				_, err := s.store.Settle(s.ctx, st)
				require.ErrorIs(s.t, err, driver.ErrInvalidCharge)
			}
		}
		require.Len(s.t, s.allEntries(), 1)
		s.requireBalance(l, 0, 10)
	}},
}

// expiredReservation returns a reservation that nobody settled in time, and that Expire has charged with its worst case.
func (s *subject) expiredReservation(n int64, lines ...driver.Line) driver.Reservation {
	s.t.Helper()
	r := s.reserve(n, lines...)
	s.clock.Advance(r.TTL)
	s.expire(1)
	return r
}

// requireSettleConflict settles a reservation as another owner would, which must be refused.
func (s *subject) requireSettleConflict(r driver.Reservation) {
	s.t.Helper()
	st := s.settlement(r, 0)
	st.Owner = key("somebody else")
	_, err := s.store.Settle(s.ctx, st)
	require.ErrorIs(s.t, err, driver.ErrIDConflict)
}
