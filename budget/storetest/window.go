package storetest

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// edges are, for several windows, the last moment of one window and the first moment of the next one, worked out by hand. Kolkata is five and a
// half hours ahead of UTC, Berlin one, and two in summer.
var edges = []struct {
	name   string
	window func(*subject) driver.Window
	last   string // the limit is used up here
	next   string // and is whole again here
}{
	{"Hourly", plain(driver.Hourly), "2026-03-10T12:59:59.999999Z", "2026-03-10T13:00:00Z"},
	{"HourlyInKolkata", zoned(driver.Hourly, "Asia/Kolkata"), "2026-03-10T12:29:59.999999Z", "2026-03-10T12:30:00Z"},
	{"Daily", plain(driver.Daily), "2026-12-31T23:59:59.999999Z", "2027-01-01T00:00:00Z"},
	{"DailyOfALeapYear", plain(driver.Daily), "2028-02-28T23:59:59.999999Z", "2028-02-29T00:00:00Z"},
	{"DailyOfTwentyThreeHours", zoned(driver.Daily, "Europe/Berlin"), "2026-03-29T21:59:59.999999Z", "2026-03-29T22:00:00Z"},
	{"DailyOfTwentyFiveHours", zoned(driver.Daily, "Europe/Berlin"), "2026-10-25T22:59:59.999999Z", "2026-10-25T23:00:00Z"},
	{"Weekly", plain(driver.Weekly), "2026-03-15T23:59:59.999999Z", "2026-03-16T00:00:00Z"},
	{"WeeklyFromSunday", plain(driver.Weekly.From(time.Sunday)), "2026-03-14T23:59:59.999999Z", "2026-03-15T00:00:00Z"},
	{"Quarterly", plain(driver.Quarterly), "2026-06-30T23:59:59.999999Z", "2026-07-01T00:00:00Z"},
	{"YearlyInBerlin", zoned(driver.Yearly, "Europe/Berlin"), "2026-12-31T22:59:59.999999Z", "2026-12-31T23:00:00Z"},
	{"Monthly", plain(driver.Monthly), "2026-02-28T23:59:59.999999Z", "2026-03-01T00:00:00Z"},
	{"MonthlyInBerlin", zoned(driver.Monthly, "Europe/Berlin"), "2026-03-31T21:59:59.999999Z", "2026-03-31T22:00:00Z"},
	{"MonthlyPastThe32BitSecond", plain(driver.Monthly), "2038-01-31T23:59:59.999999Z", "2038-02-01T00:00:00Z"},
}

// plain returns a function that returns a window.
func plain(w driver.Window) func(*subject) driver.Window {
	return func(*subject) driver.Window { return w }
}

// zoned returns a function that returns a window in a time zone. It is called within a subtest, which fails if the zone is not known.
func zoned(w driver.Window, name string) func(*subject) driver.Window {
	return func(s *subject) driver.Window {
		loc, err := time.LoadLocation(name)
		require.NoError(s.t, err)
		return w.In(loc)
	}
}

// moment parses a moment.
func (s *subject) moment(moment string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, moment)
	require.NoError(s.t, err)
	return at
}

// The rules of windows. line(name, window, max) is a limit in nano-USD. s.reserve makes a reservation, which must be admitted, and s.refuse one that
// must be refused for lack of room. s.requireBalance checks what an account has settled and pending. The clock begins at start, a Tuesday, 12:30:15.
var windowRules = []rule{
	{"WindowEdges", "a calendar window's limit is whole again at its edge and not a moment before, in its time zone", func(s *subject) {
		for _, e := range edges {
			l := line(e.name, e.window(s), 10)
			s.clock.Set(s.moment(e.last))
			s.settle(s.reserve(6, l), 6)
			s.reserve(4, l)
			d := s.refuse(1, l)
			require.Equal(s.t, s.moment(e.next).Sub(s.moment(e.last)), d.ResetAfter, e.name)
			s.clock.Set(s.moment(e.next))
			s.requireBalance(l, 0, 0)
			s.reserve(10, l)
		}
	}},
	{"WindowResetIsTheEnd", "ResetAfter of a calendar window runs to its end, in the denial and in the balance", func(s *subject) {
		l := line("a", driver.Daily, 10)
		s.reserve(8, l)
		want := 11*time.Hour + 29*time.Minute + 45*time.Second // from 12:30:15 to midnight
		require.Equal(s.t, want, s.refuse(3, l).ResetAfter)
		require.Equal(s.t, want, s.balance(l).ResetAfter)
		require.Zero(s.t, s.refuse(11, l).ResetAfter, "what is larger than the limit never fits")
	}},
	{"WindowOfAClockThatWentBackIsNotReset", "a clock that jumps back finds what was spent, and none of its jumps frees anything", func(s *subject) {
		for _, w := range []driver.Window{driver.Hourly, driver.Daily, driver.Monthly, driver.Rolling(time.Hour)} {
			l := line(w.String(), w, 10)
			s.settle(s.reserve(6, l), 6)
			s.reserve(4, l)
			// An earlier window is full, too: a limit counts all that was booked in the window of now or later.
			for _, jump := range []time.Duration{-time.Minute, -time.Hour, -25 * time.Hour, -40 * 24 * time.Hour} {
				s.clock.Set(start.Add(jump))
				s.refuse(1, l)
				s.clock.Set(start)
				s.refuse(1, l)
			}
		}
	}},
	{"WindowOfAClockThatWentForthIsKept", "a clock that jumps forth and comes back meets the old window as it was", func(s *subject) {
		l := line("a", driver.Daily, 10)
		s.settle(s.reserve(6, l), 6)
		s.clock.Advance(48 * time.Hour)
		s.reserve(10, l)
		s.clock.Set(start)
		// 4 are left of the first day, and the 10 of the later day count, too.
		s.refuse(5, l)
		s.clock.Advance(48 * time.Hour)
		s.refuse(1, l) // 10 are pending in this day
		s.clock.Advance(24 * time.Hour)
		s.requireBalance(l, 0, 0)
	}},
	{"WindowOfALifetimeNeverEnds", "a lifetime limit is not whole again in this life, and says so", func(s *subject) {
		l := line("a", driver.Lifetime, 10)
		s.settle(s.reserve(10, l), 10)
		s.clock.Advance(9 * 365 * 24 * time.Hour)
		require.Zero(s.t, s.refuse(1, l).ResetAfter)
		require.Zero(s.t, s.balance(l).ResetAfter)
		s.requireBalance(l, 10, 0)
	}},
}

// The rules of rolling windows, with the helpers of windowRules. A rolling hour consists of buckets of a minute, and spend leaves it with its bucket.
var rollingRules = []rule{
	{"RollingCountsBackFromNow", "spend leaves a rolling window one length after its Reserve, a sixtieth late at most", func(s *subject) {
		l := line("a", driver.Rolling(time.Hour), 10)
		// To the beginning of a bucket, so that the times below are whole minutes.
		s.clock.Set(start.Truncate(time.Hour))
		s.settle(s.reserve(6, l), 6)
		s.clock.Advance(30 * time.Minute)
		s.reserve(4, l)
		require.Equal(s.t, 31*time.Minute, s.refuse(6, l).ResetAfter) // until the 6 have left, which were spent half an hour ago
		require.Equal(s.t, 61*time.Minute, s.refuse(7, l).ResetAfter) // until the 4 have left, too
		require.Equal(s.t, 61*time.Minute, s.balance(l).ResetAfter)
		s.clock.Advance(30 * time.Minute)
		s.refuse(1, l)
		s.clock.Advance(time.Minute)
		s.requireBalance(l, 0, 4)
		s.reserve(6, l)
	}},
	{"RollingSettlesWhereItWasReserved", "a late settlement does not keep spend in the window longer", func(s *subject) {
		l := line("a", driver.Rolling(time.Hour), 10)
		r := s.reserve(10, l)
		s.clock.Advance(50 * time.Minute)
		s.settle(r, 10)
		s.clock.Advance(12 * time.Minute) // 62 minutes after the Reserve
		s.requireBalance(l, 0, 0)
	}},
	{"RollingHoldsInEveryInterval", "no interval of the window's length holds more than the limit, wherever it begins, and nothing is refused for spend that is long gone", func(s *subject) {
		random := rand.New(rand.NewPCG(3, 4))
		for _, length := range []time.Duration{time.Minute, time.Hour, 7*time.Hour + 13*time.Minute} {
			s.rolling(random, length)
		}
	}},
}

// admitted is an amount that was admitted at a moment.
type admitted struct {
	at time.Time
	n  int64
}

// admittedLog is what was admitted, oldest first.
type admittedLog []admitted

// sum returns what was admitted after a moment.
func (log admittedLog) sum(after time.Time) (n int64) {
	for _, a := range log {
		if a.at.After(after) {
			n += a.n
		}
	}
	return n
}

// rolling reserves at random and compares each answer with a log of what was admitted. A store may count spend for a sixtieth of the window longer
// than the window's length, because it adds up in buckets; what it refuses must not fit even so, with another sixtieth for the present bucket.
func (s *subject) rolling(random *rand.Rand, length time.Duration) {
	var log admittedLog
	l := line(length.String(), driver.Rolling(length), 100)
	for range 400 {
		s.clock.Advance(time.Duration(random.Int64N(int64(length) / 8)))
		now, n := s.clock.Now(), 1+random.Int64N(40)
		r := s.newReservation(n, l)
		d, err := s.ask(r)
		require.NoError(s.t, err)
		if !d.Admitted {
			tolerated := length / 30 // two sixtieths
			require.Greater(s.t, n+log.sum(now.Add(-length-tolerated)), l.Max, "refused though there was room")
			continue
		}
		log = append(log, admitted{now, n})
		require.LessOrEqual(s.t, log.sum(now.Add(-length)), l.Max, "an interval of %s holds too much", length)
		// Settled or pending, it counts for the same amount.
		if random.IntN(2) == 0 {
			s.settle(r, n)
		}
	}
	require.NotEmpty(s.t, log)
}

// The rules of overflow. MaxSum is the largest sum that the store can keep: most rules fill an account up to 10 below it. s.newReservation returns a
// reservation that is not sent to the store; a settlement of one is an orphan. s.settlement returns a settlement, and s.entry what the store
// remembers of a reservation, and whether it does.
var overflowRules = []rule{
	{"OverflowIsAnError", "an amount that would take a sum out of the store's range is ErrOverflow, and nothing changes; a sum that wraps would admit everything", func(s *subject) {
		l := line("a", driver.Daily, math.MaxInt64)
		s.reserve(s.h.MaxSum-10, l)
		_, err := s.store.Reserve(s.ctx, s.newReservation(11, l))
		require.ErrorIs(s.t, err, driver.ErrOverflow)
		s.requireBalance(l, 0, s.h.MaxSum-10)
		require.Len(s.t, s.allEntries(), 1)
		s.reserve(10, l)
	}},
	{"OverflowOfASettlementIsAnError", "the truth that can't be added is refused whole: in no line and in no field of the entry, and the hold stays", func(s *subject) {
		a, b := line("a", driver.Daily, math.MaxInt64), line("b", driver.Daily, math.MaxInt64)
		lines := sorted(a, b)
		// Only the second line is nearly full: a store that posts one line after the other has posted the first one when it finds out.
		s.settle(s.reserve(s.h.MaxSum-10, lines[1]), s.h.MaxSum-10)
		r := s.reserve(5, lines...)
		before, _ := s.entry(r.ID)
		refused := s.settlement(r, 11)
		refused.Reference, refused.Estimated = "of the refused one", true
		_, err := s.store.Settle(s.ctx, refused)
		require.ErrorIs(s.t, err, driver.ErrOverflow)
		after, _ := s.entry(r.ID)
		require.Equal(s.t, before, after)
		s.requireBalance(lines[0], 0, 5)
		s.requireBalance(lines[1], s.h.MaxSum-10, 5)
		// The same for an amount that was never reserved.
		_, err = s.store.Settle(s.ctx, s.settlement(s.newReservation(0, lines...), 11))
		require.ErrorIs(s.t, err, driver.ErrOverflow, "an orphan")
		require.Len(s.t, s.allEntries(), 2)
		s.settle(r, 10)
	}},
	{"OverflowOfACorrectionIsAnError", "so is a correction", func(s *subject) {
		l := line("a", driver.Daily, math.MaxInt64)
		s.settle(s.reserve(s.h.MaxSum-10, l), s.h.MaxSum-10)
		r := s.reserve(5, l)
		s.settle(r, 5)
		// (MaxSum - 10) + 11 is one more than MaxSum.
		_, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(11), Change: NewChange()})
		require.ErrorIs(s.t, err, driver.ErrOverflow)
		s.requireBalance(l, s.h.MaxSum-5, 0)
	}},
	{"OverflowAcrossBucketsIsAnError", "the sum over a rolling window's buckets does not wrap either", func(s *subject) {
		l := line("a", driver.Rolling(time.Hour), math.MaxInt64)
		s.reserve(s.h.MaxSum-10, l)
		s.clock.Advance(10 * time.Minute) // to another bucket
		_, err := s.store.Reserve(s.ctx, s.newReservation(11, l))
		require.ErrorIs(s.t, err, driver.ErrOverflow)
		s.requireBalance(l, 0, s.h.MaxSum-10)
	}},
}
