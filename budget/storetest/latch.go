package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// latchedLine returns a limit of 10 with Latch, of which 5 are spent, and whose latch is closed because it has refused 6 more.
func (s *subject) latchedLine(name string, w driver.Window) driver.Line {
	s.t.Helper()
	l := line(name, w, 10)
	l.Latch = true
	s.settle(s.reserve(5, l), 5)
	require.False(s.t, s.refuse(6, l).Latched, "the refusal that latches was one for lack of room")
	return l
}

// The rules of latches. s.refuse makes a reservation that must be refused and returns the denial, whose Latched says that the latch refused it.
// s.latchedLine returns a line whose latch is closed and that has 5 left. s.reserve makes a reservation, which must be admitted. s.newReservation
// returns one that is not sent to the store; s.admit sends it and requires that it is admitted, s.refused the opposite. s.balance returns where an
// account stands, and whether its latch is closed. s.moment parses a time.
var latchRules = []rule{
	{"LatchRefusesWhatWouldFit", "after its first refusal a latching line refuses everything: a framework that swallows errors must not go on in smaller steps", func(s *subject) {
		l := s.latchedLine("a", driver.Daily)
		require.True(s.t, s.refuse(1, l).Latched)
		require.True(s.t, s.balance(l).Latched)
	}},
	{"LatchIsNotSetByTentativeRefusals", "the caller will ask again with a tighter bound, which may fit", func(s *subject) {
		l := line("a", driver.Daily, 10)
		l.Latch = true
		r := s.newReservation(11, l)
		r.Tentative = true
		s.refused(r)
		require.False(s.t, s.balance(l).Latched)
		s.reserve(10, l)
	}},
	{"LatchRefusesTentativeReservations", "a latch that is set holds for tentative ones too", func(s *subject) {
		r := s.newReservation(1, s.latchedLine("a", driver.Daily))
		r.Tentative = true
		require.True(s.t, s.refused(r).Latched)
	}},
	{"LatchIsSetByItsOwnLineOnly", "a refusal by one line leaves the latch of another open, and a line without Latch sets none", func(s *subject) {
		lines := sorted(line("a", driver.Daily, 10), line("b", driver.Daily, 100))
		for i := range lines {
			lines[i].Latch = lines[i].Max == 100
		}
		// The line with a Max of 10 refuses and has no latch; that with 100 has one, and room.
		s.refuse(11, lines...)
		for _, l := range lines {
			require.False(s.t, s.balance(l).Latched)
		}
	}},
	{"LatchIsSetByEachLineThatRefuses", "several lines without room have all refused", func(s *subject) {
		lines := sorted(line("a", driver.Daily, 10), line("b", driver.Rolling(time.Hour), 10), line("c", driver.Lifetime, 10))
		for i := range lines {
			lines[i].Latch = true
		}
		s.refuse(11, lines...)
		for _, l := range lines {
			require.True(s.t, s.balance(l).Latched)
		}
	}},
	{"LatchOfAnObserveLineIsForetold", "an observed limit with a latch refuses nothing, and tells from its first refusal on that it would", func(s *subject) {
		l := line("a", driver.Daily, 10)
		l.Latch, l.Observe = true, true
		r := s.newReservation(11, l)
		r.Tentative = true
		require.Len(s.t, s.admit(r).Observed, 1)
		require.False(s.t, s.balance(l).Latched, "a tentative one latches nothing")
		require.NoError(s.t, s.store.Void(s.ctx, r.ID, r.Owner))
		// This reservation is not tentative, and closes the latch. Its own denial tells that the latch was open before.
		r = s.newReservation(11, l)
		require.False(s.t, s.admit(r).Observed[0].Latched)
		require.NoError(s.t, s.store.Void(s.ctx, r.ID, r.Owner))
		// Nothing is used, so that 1 would fit: the line is reported only because its latch is closed.
		r = s.newReservation(1, l)
		d := s.admit(r)
		require.Len(s.t, d.Observed, 1)
		require.True(s.t, d.Observed[0].Latched)
		// The end of the day, with which the latch opens.
		s.clock.Set(s.moment("2026-03-11T00:00:00Z"))
		require.Empty(s.t, s.admit(s.newReservation(1, l)).Observed)
	}},
}

// The rules of when a latch opens, and for whom it is closed, with the helpers of latchRules.
var latchEndRules = []rule{
	{"LatchEndsWithItsWindow", "a calendar latch opens when the window that refused has ended", func(s *subject) {
		l := s.latchedLine("a", driver.Daily)
		end := s.moment("2026-03-11T00:00:00Z")
		require.Equal(s.t, end.Sub(s.clock.Now()), s.refuse(1, l).ResetAfter)
		s.clock.Set(end.Add(-time.Microsecond))
		s.refuse(1, l)
		s.clock.Set(end)
		s.reserve(1, l)
	}},
	{"LatchOfARollingWindowEndsOneLengthLater", "a rolling latch opens one length after the refusal, and refusals do not prolong it", func(s *subject) {
		l := s.latchedLine("a", driver.Rolling(time.Hour))
		s.clock.Advance(30 * time.Minute)
		require.Equal(s.t, 30*time.Minute, s.refuse(1, l).ResetAfter)
		s.clock.Advance(30*time.Minute - time.Microsecond)
		s.refuse(1, l)
		s.clock.Advance(time.Microsecond)
		s.reserve(1, l)
	}},
	{"LatchOfALifetimeStays", "a lifetime latch does not open by itself", func(s *subject) {
		l := s.latchedLine("a", driver.Lifetime)
		s.clock.Advance(8 * 365 * 24 * time.Hour)
		require.Zero(s.t, s.refuse(1, l).ResetAfter)
	}},
	{"LatchIsOpenedByUnlatch", "Unlatch opens the latches of the named accounts, and no others", func(s *subject) {
		a, b := s.latchedLine("a", driver.Lifetime), s.latchedLine("b", driver.Daily)
		require.NoError(s.t, s.store.Unlatch(s.ctx, []driver.Key{a.Account, key("unknown")}, NewChange()))
		s.reserve(1, a)
		s.refuse(1, b)
	}},
	{"LatchIsSharedByAllHandles", "a latch holds in every process", func(s *subject) {
		other := s.reopen()
		l := s.latchedLine("a", driver.Daily)
		d, err := other.Reserve(s.ctx, s.newReservation(1, l))
		require.NoError(s.t, err)
		require.Len(s.t, d.Denied, 1)
		require.True(s.t, d.Denied[0].Latched)
	}},
}

// The rules of overrides. s.override(l, n, d) replaces the Max of a line's account with n, from now on for d.
var overrideRules = []rule{
	{"OverrideRaises", "an account's Max is replaced until a moment of the store's clock", func(s *subject) {
		l := line("a", driver.Lifetime, 10)
		s.override(l, 20, time.Hour)
		s.reserve(15, l)
		require.Equal(s.t, int64(20), s.refuse(6, l).Max)
		s.clock.Advance(time.Hour - time.Microsecond)
		require.Equal(s.t, int64(20), s.balance(l).Max)
		s.clock.Advance(time.Microsecond)
		require.Equal(s.t, int64(10), s.refuse(1, l).Max)
	}},
	{"OverrideLowers", "an override below what is used refuses everything and changes nothing", func(s *subject) {
		l := line("a", driver.Lifetime, 10)
		s.reserve(5, l)
		s.override(l, 0, time.Hour)
		require.Zero(s.t, s.refuse(1, l).Max)
		s.requireBalance(l, 0, 5)
		s.clock.Advance(time.Hour)
		s.reserve(5, l)
	}},
	{"OverrideIsReplacedAndRemoved", "the last override counts, and nil takes it back", func(s *subject) {
		l := line("a", driver.Lifetime, 10)
		s.override(l, 20, time.Hour)
		s.override(l, 12, 2*time.Hour)
		require.Equal(s.t, int64(12), s.balance(l).Max)
		// The second time there is no override left to take back.
		for range 2 {
			require.NoError(s.t, s.store.Override(s.ctx, l.Account, nil, NewChange()))
			require.Equal(s.t, int64(10), s.balance(l).Max)
		}
	}},
	{"OverrideThatHasPassedIsNone", "an override until a moment in the past takes the last one back", func(s *subject) {
		l := line("a", driver.Lifetime, 10)
		s.override(l, 20, time.Hour)
		// This override ended a second ago.
		s.override(l, 30, -time.Second)
		require.Equal(s.t, int64(10), s.balance(l).Max)
	}},
	{"OverrideIsOfOneAccount", "other accounts keep their Max", func(s *subject) {
		l := line("a", driver.Lifetime, 10)
		s.override(l, 20, time.Hour)
		s.refuse(11, line("b", driver.Lifetime, 10))
	}},
}

// override replaces the Max of a line's account with n, from now on for d.
func (s *subject) override(l driver.Line, n int64, d time.Duration) {
	s.t.Helper()
	require.NoError(s.t, s.store.Override(s.ctx, l.Account, &driver.Override{Max: n, Until: s.clock.Now().Add(d)}, NewChange()))
}
