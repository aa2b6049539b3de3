package lease

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A threshold is a fraction of a limit's Max. The store inside reports it with the settlement that reaches it, once in each window, and no matter
// which process sends that settlement. A lease is settled long after its calls have ended. So a process estimates when a threshold is reached, to
// give the lease back at once: from what others had settled when the lease was drawn (lease.base), and what its own calls have cost since. A lease
// consists of grants, each of which is one reservation in the store inside; a grant is posted once it is settled there.

// withoutThresholds returns a copy of the lines without their thresholds, so that a settlement with these lines reports no thresholds.
func withoutThresholds(lines []driver.Line) []driver.Line {
	own := slices.Clone(lines)
	for i := range own {
		own[i].Notify = nil
	}
	return own
}

// observe records what others had settled when a grant was drawn for the lease: all that is settled, less what this lease's own grants were settled
// with. If the group has thresholds there are balances, because the room is then read before each grant (grantLines is nil). Requires mu held.
func (l *lease) observe(balances []driver.Balance) {
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

// thresholdDue reports whether a lease's accounts have, as far as this process knows, reached a threshold that may not have been reported.
// Requires mu held.
func (l *lease) thresholdDue(now time.Time) bool {
	for i := range l.base {
		total := addUp(l.base[i], l.settled[l.lines[i].Unit])
		for m := range l.lines[i].Notify {
			// Threshold returns the amount at which this fraction of the Max is reached.
			if total >= l.lines[i].Threshold(m, l.maxes[i]) && !now.Before(l.group.reportedUntil[i][m]) {
				return true
			}
		}
	}
	return false
}

// askThresholds posts an empty settlement, whose answer reports the thresholds that the lines have reached. It is used after a Correct,
// which reports none.
func (s *Store) askThresholds(ctx context.Context, l *lease, crossed *[]driver.Crossing) error {
	st := driver.Settlement{ID: driver.NewID(), Owner: s.owner, Lines: l.lines}
	s.mu.Lock()
	s.leases[st.ID] = l // the id belongs to the lease and to no call
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

// noteReported records that no report is expected for a while of the thresholds that a settlement has reported. Others that are reached but were not
// reported now have been reported before. A settlement whose lines have no thresholds (withoutThresholds) records nothing. Requires mu held.
func (s *Store) noteReported(l *lease, st driver.Settlement, crossed []driver.Crossing, now time.Time) {
	for i := range l.base {
		line := &st.Lines[i]
		total := addUp(l.base[i], l.settled[line.Unit])
		for m := range line.Notify {
			if total < line.Threshold(m, l.maxes[i]) {
				continue
			}
			quiet := s.length // another process has reported it, at an unknown time: after one length this process asks again
			if slices.ContainsFunc(crossed, func(c driver.Crossing) bool { return c.Line == i && c.Mark == m }) {
				quiet = quietAfter(line.Window, now.Add(s.offset))
			}
			l.group.reportedUntil[i][m] = now.Add(quiet)
		}
	}
}

// quietAfter returns how long a threshold is not reported again after a report at the given moment: for the rest of a calendar window, for one
// length of a rolling window, and for ever in a lifetime.
func quietAfter(w driver.Window, at time.Time) time.Duration {
	switch span := w.At(at); {
	case span.End == math.MaxInt64:
		return math.MaxInt64
	case w.Length() > 0: // a rolling window, whose oldest bucket begins at Since and whose present one begins at Start
		return time.Duration(span.Start - span.Since)
	default:
		return time.Duration(span.End - at.UnixNano())
	}
}
