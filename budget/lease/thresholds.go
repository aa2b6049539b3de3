package lease

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// withoutThresholds returns lines that report no thresholds.
func withoutThresholds(lines []budget.Line) []budget.Line {
	own := slices.Clone(lines)
	for i := range own {
		own[i].Notify = nil
	}
	return own
}

// observe notes what others had settled when a lease was drawn for.
func (l *lease) observe(balances []budget.Balance) {
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
func (s *Store) askThresholds(ctx context.Context, l *lease, crossed *[]budget.Crossing) error {
	st := budget.Settlement{ID: budget.NewID(), Owner: s.owner, Lines: l.lines}
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
func (s *Store) noteReported(l *lease, st budget.Settlement, crossed []budget.Crossing, now time.Time) {
	for i := range l.base {
		line := &st.Lines[i]
		total := addUp(l.base[i], l.settled[line.Unit])
		for m := range line.Notify {
			if total < line.Threshold(m, l.maxes[i]) {
				continue
			}
			quiet := s.length // somebody else has reported it, nobody knows when
			if slices.ContainsFunc(crossed, func(c budget.Crossing) bool { return c.Line == i && c.Mark == m }) {
				quiet = quietAfter(line.Window, now.Add(s.offset))
			}
			l.group.reportedUntil[i][m] = now.Add(quiet)
		}
	}
}

// quietAfter returns how long a threshold that is reported at a moment is not reported again.
func quietAfter(w budget.Window, at time.Time) time.Duration {
	switch span := w.At(at); {
	case span.End == math.MaxInt64:
		return math.MaxInt64
	case w.Length() > 0:
		return time.Duration(span.Start - span.Since)
	default:
		return time.Duration(span.End - at.UnixNano())
	}
}
