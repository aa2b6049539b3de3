package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The rules of Expire. s.reserve makes a reservation, which must be admitted and has a TTL of one hour; s.expire(n) requires that n reservations are
// charged; s.expiredReservation does both. s.requireBalance checks what an account has settled and pending in its present window. A hold is what a
// pending reservation has set aside. line(name, window, max) is a limit in nano-USD, sorted puts limits into the order of a reservation, and usd(n)
// is a charge of n nano-USD. s.entry returns what the store remembers of a reservation, and whether it does.
var expireRules = []rule{
	{"ExpireCharges", "a reservation that nobody settled is charged at its worst case, never released: the provider bills whether the caller lives or not", func(s *subject) {
		a, b := line("a", driver.Daily, 10), line("b", driver.Lifetime, 10)
		r := s.expiredReservation(10, sorted(a, b)...)
		s.requireBalance(a, 10, 0)
		s.requireBalance(b, 10, 0)
		e, _ := s.entry(r.ID)
		require.Equal(s.t, driver.Expired, e.State)
		require.True(s.t, e.Estimated)
		require.Equal(s.t, usd(10), e.Actual)
		s.refuse(1, a)
	}},
	{"ExpireWaitsForTheTTL", "what still has time is left alone, and what ran out goes on counting until it is charged", func(s *subject) {
		l := line("a", driver.Daily, 10)
		s.reserve(10, l)
		s.clock.Advance(time.Hour - time.Millisecond)
		s.expire(0)
		s.requireBalance(l, 0, 10)
		// From one millisecond before the end of the TTL to one after it. No Expire has been made since.
		s.clock.Advance(2 * time.Millisecond)
		s.refuse(1, l)
		s.requireBalance(l, 0, 10)
		s.expire(1)
		s.requireBalance(l, 10, 0)
	}},
	{"ExpireIsBounded", "one step charges no more than it was asked to", func(s *subject) {
		l := line("a", driver.Daily, 100)
		for range 7 {
			s.reserve(1, l)
		}
		s.clock.Advance(time.Hour)
		// Seven have expired, and each Expire may charge three.
		for _, want := range []int{3, 3, 1, 0} {
			n, err := s.store.Expire(s.ctx, 3)
			require.NoError(s.t, err)
			require.Equal(s.t, want, n)
		}
		s.requireBalance(l, 7, 0)
	}},
	{"ExpireOfNoneChargesNone", "a bound of zero or less is not unlimited", func(s *subject) {
		l := line("a", driver.Daily, 100)
		s.reserve(1, l)
		s.clock.Advance(time.Hour)
		for _, bound := range []int{0, -1} {
			n, err := s.store.Expire(s.ctx, bound)
			require.NoError(s.t, err)
			require.Zero(s.t, n)
		}
		s.requireBalance(l, 0, 1)
	}},
	{"ExpireLeavesResolvedOnesAlone", "what was settled or voided in time is not charged later", func(s *subject) {
		l := line("a", driver.Daily, 100)
		settled, voided := s.reserve(10, l), s.reserve(10, l)
		s.settle(settled, 2)
		s.void(voided)
		s.clock.Advance(2 * time.Hour)
		s.expire(0)
		s.requireBalance(l, 2, 0)
	}},
	{"ExpireBooksWhereItWasReserved", "a charge goes to the window that admitted the hold", func(s *subject) {
		l := line("a", driver.Daily, 100)
		s.reserve(10, l)
		s.clock.Advance(24 * time.Hour)
		s.reserve(1, l)
		s.expire(1)
		s.requireBalance(l, 0, 1) // of the next day: the charge is in the day before
	}},
}
