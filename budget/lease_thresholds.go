package budget

import (
	"context"
	"slices"
	"time"
)

// withoutThresholds returns lines that report no thresholds.
func withoutThresholds(lines []Line) []Line {
	own := slices.Clone(lines)
	for i := range own {
		own[i].Notify = nil
	}
	return own
}

// observe notes what others had settled when a lease was drawn for.
func (l *lease) observe(balances []Balance) {
	if !l.group.hasThresholds() {
		return
	}
	l.base, l.maxes = make([]int64, len(balances)), make([]int64, len(balances))
	for i := range balances {
		l.base[i], l.maxes[i] = balances[i].Settled, balances[i].Max
		for _, g := range l.grants {
			if g.posted {
				l.base[i] -= g.settledAs[l.lines[i].Unit]
			}
		}
	}
}

// thresholdDue reports whether what is known of a lease's accounts has reached a threshold that may not have been reported yet.
// Requires mu held.
func (l *lease) thresholdDue(now time.Time) bool {
	for i := range l.base {
		total := addUp(l.base[i], l.settled[l.lines[i].Unit])
		for m := range l.lines[i].Notify {
			if total >= l.lines[i].Threshold(m, l.maxes[i]) && !now.Before(l.group.reportedUntil[i][m]) {
				return true
			}
		}
	}
	return false
}

// askThresholds settles nothing, to learn which thresholds the lines have reached: a correction reports none.
func (s *LeasedStore) askThresholds(ctx context.Context, l *lease, crossed *[]Crossing) error {
	st := Settlement{ID: NewID(), Owner: s.owner, Lines: l.lines}
	s.mu.Lock()
	s.leases[st.ID] = l // it is no call's entry
	l.thresholdIDs = append(l.thresholdIDs, st.ID)
	s.mu.Unlock()
	p, err := s.inner.Settle(ctx, st)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*crossed = append(*crossed, p.Crossed...)
	s.noteReported(l, st, p.Crossed, s.now())
	return nil
}

// noteReported notes which thresholds a settlement has reported, or has found reported. Requires mu held.
func (s *LeasedStore) noteReported(l *lease, st Settlement, crossed []Crossing, now time.Time) {
	for i := range l.base {
		line := &st.Lines[i]
		total := addUp(l.base[i], l.settled[line.Unit])
		for m := range line.Notify {
			if total < line.Threshold(m, l.maxes[i]) {
				continue
			}
			quiet := s.length // somebody else has reported it, nobody knows when
			if slices.ContainsFunc(crossed, func(c Crossing) bool { return c.Line == i && c.Mark == m }) {
				quiet = line.Window.quiet(now.Add(s.offset))
			}
			l.group.reportedUntil[i][m] = now.Add(quiet)
		}
	}
}
