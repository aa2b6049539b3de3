package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The rules of when a mark is reported. A mark is a threshold: an element of Line.Notify, told by its index. s.spendAndGetMarks reserves and settles
// an amount and returns the marks that were reported with the settlement; s.reserve makes a reservation, which must be admitted. s.settle settles it
// with an amount, s.correct replaces that, and s.override(l, n, d) replaces the Max of an account with n for d. line(name, window, max) is a limit
// in nano-USD.
var markRules = []rule{
	{"MarksAreReportedWhenReached", "a settlement that takes settled spend to a mark reports it, with the line, the mark and the sum; pending spend reaches none", func(s *subject) {
		lines := sorted(line("a", driver.Daily, 100), line("b", driver.Lifetime, 100))
		// Only the second line has marks, so that Crossing.Line is 1.
		lines[1].Notify = []float64{0.5, 0.8}
		r := s.reserve(80, lines...)
		require.Equal(s.t, []driver.Crossing{{Line: 1, Mark: 0, Settled: 50, Max: 100}}, s.settle(r, 50).Crossed)
		require.Equal(s.t, []driver.Crossing{{Line: 1, Mark: 1, Settled: 80, Max: 100}}, s.settle(s.reserve(30, lines...), 30).Crossed)
	}},
	{"MarksCanBeReachedTogether", "one settlement reports every mark that it reaches", func(s *subject) {
		l := line("a", driver.Daily, 100)
		l.Notify = []float64{0.9, 0.5, 0.95}
		require.Equal(s.t, []int{0, 1}, s.spendAndGetMarks(91, l))
	}},
	{"MarksAreReportedOnceAWindow", "once is enough: later settlements above the mark report nothing", func(s *subject) {
		l := line("a", driver.Daily, 100)
		l.Notify = []float64{0.5}
		require.Equal(s.t, []int{0}, s.spendAndGetMarks(60, l))
		require.Empty(s.t, s.spendAndGetMarks(10, l))
		r := s.reserve(5, l)
		s.settle(r, 5)
		require.Empty(s.t, s.settle(r, 5).Crossed, "a replay")
	}},
	{"MarksAreNotRearmedByACorrection", "a sum that falls below the mark and rises again is still the same window", func(s *subject) {
		l := line("a", driver.Daily, 100)
		l.Notify = []float64{0.5}
		r := s.reserve(60, l)
		s.settle(r, 60)
		s.correct(r, 10)
		// 10 + 45 is above the mark again.
		require.Empty(s.t, s.spendAndGetMarks(45, l))
	}},
	{"MarksAreReportedAgainInTheNextWindow", "each window has its own report", func(s *subject) {
		l := line("a", driver.Daily, 1000)
		l.Notify = []float64{0.05}
		require.Equal(s.t, []int{0}, s.spendAndGetMarks(60, l))
		s.clock.Advance(24 * time.Hour)
		// The mark is at 50. On this day 40 are settled, and then 80.
		require.Empty(s.t, s.spendAndGetMarks(40, l))
		require.Equal(s.t, []int{0}, s.spendAndGetMarks(40, l))
		s.clock.Advance(-24 * time.Hour)
		require.Empty(s.t, s.spendAndGetMarks(1, l), "a clock that went back reports nothing twice")
	}},
	{"MarksOfARollingWindowAreRearmedOneLengthLater", "each mark of a rolling window is quiet for one length after it was reported", func(s *subject) {
		l := line("a", driver.Rolling(time.Hour), 100)
		l.Notify = []float64{0.2, 0.5}
		require.Equal(s.t, []int{0}, s.spendAndGetMarks(30, l))
		s.clock.Advance(50 * time.Minute)
		require.Equal(s.t, []int{1}, s.spendAndGetMarks(60, l))
		// To one hour after the first report, and ten minutes after the second.
		s.clock.Advance(10 * time.Minute)
		require.Equal(s.t, []int{0}, s.spendAndGetMarks(1, l), "the first mark is armed again, the second is not")
		s.clock.Advance(49 * time.Minute)
		require.Empty(s.t, s.spendAndGetMarks(1, l))
		s.clock.Advance(time.Minute)
		require.Equal(s.t, []int{1}, s.spendAndGetMarks(1, l))
	}},
	{"MarksOfALifetimeAreReportedOnce", "a lifetime has one window", func(s *subject) {
		l := line("a", driver.Lifetime, 100)
		l.Notify = []float64{0.01}
		require.Equal(s.t, []int{0}, s.spendAndGetMarks(1, l))
		s.clock.Advance(5 * 365 * 24 * time.Hour)
		require.Empty(s.t, s.spendAndGetMarks(1, l))
	}},
}

// The rules of what takes settled spend to a mark, with the helpers of markRules. s.settleAndGetMarks settles a reservation with an amount and
// returns the marks that were reported, and s.expiredReservation returns one that was charged because nobody settled it in time.
var markReasonRules = []rule{
	{"MarksReachedWithoutASettlementAreReportedByTheNext", "spend that a correction took to a mark is reported by the next settlement, if only of nothing", func(s *subject) {
		for name, w := range map[string]driver.Window{"a": driver.Daily, "b": driver.Rolling(time.Hour)} {
			l := line(name, w, 100)
			l.Notify = []float64{0.5}
			r := s.reserve(10, l)
			s.settle(r, 10)
			s.correct(r, 60)
			s.clock.Advance(2 * time.Minute) // to another bucket of the rolling window
			require.Equal(s.t, []int{0}, s.settleAndGetMarks(s.reserve(5, l), 0, l))
		}
	}},
	{"MarksAreReportedByOrphansAndLateSettlements", "spend is spend, whichever way it is posted", func(s *subject) {
		l := line("a", driver.Daily, 100)
		l.Notify = []float64{0.5, 0.7}
		// A settlement of a reservation that was never sent: an orphan.
		require.Len(s.t, s.settle(s.newReservation(0, l), 50).Crossed, 1)
		// Charged with 1, and then settled with 20: 70 in all.
		r := s.expiredReservation(1, l)
		require.Len(s.t, s.settle(r, 20).Crossed, 1)
	}},
	{"MarksGoByTheMaxInForce", "a fraction of an account whose Max is overridden is one of that Max, until the override ends", func(s *subject) {
		l := line("a", driver.Daily, 100)
		l.Notify = []float64{0.5, 0.8}
		s.override(l, 1000, time.Hour)
		require.Empty(s.t, s.spendAndGetMarks(90, l), "90 of 1000")
		p := s.settle(s.reserve(410, l), 410)
		require.Equal(s.t, []driver.Crossing{{Line: 0, Mark: 0, Settled: 500, Max: 1000}}, p.Crossed)
		low := line("b", driver.Daily, 1000)
		low.Notify = []float64{0.5, 0.8}
		require.Empty(s.t, s.spendAndGetMarks(40, low))
		s.override(low, 50, time.Hour)
		require.Equal(s.t, []int{0, 1}, s.spendAndGetMarks(1, low), "41 of 50")
		ended := line("c", driver.Daily, 100)
		ended.Notify = []float64{0.5}
		s.override(ended, 1000, time.Minute)
		require.Empty(s.t, s.spendAndGetMarks(60, ended))
		s.clock.Advance(time.Minute)
		require.Equal(s.t, []int{0}, s.spendAndGetMarks(1, ended), "61 of 100 again")
	}},
	{"MarksOfObservedLinesAreReported", "a rehearsed limit notifies like an enforced one", func(s *subject) {
		l := line("a", driver.Daily, 10)
		l.Observe, l.Notify = true, []float64{1.0}
		require.Equal(s.t, []int{0}, s.spendAndGetMarks(15, l))
	}},
}

// spendAndGetMarks reserves and settles an amount, and returns the marks that were reported.
func (s *subject) spendAndGetMarks(n int64, l driver.Line) (marks []int) {
	s.t.Helper()
	return s.settleAndGetMarks(s.reserve(n, l), n, l)
}

// settleAndGetMarks settles a reservation of one line, and returns the marks that were reported.
func (s *subject) settleAndGetMarks(r driver.Reservation, n int64, l driver.Line) (marks []int) {
	s.t.Helper()
	for _, c := range s.settle(r, n).Crossed {
		require.Zero(s.t, c.Line)
		// Threshold is the sum at which that fraction of the Max in force is reached.
		require.GreaterOrEqual(s.t, c.Settled, l.Threshold(c.Mark, c.Max))
		marks = append(marks, c.Mark)
	}
	return marks
}
