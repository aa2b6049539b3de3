package sqlitestore

import (
	"fmt"
	"math"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// What is older than the retention is forgotten by the steps that resolve reservations, a few rows each, so that a busy file does not grow,
// and by Expire. What is old is decided by a time in the file, judged, which follows the clock, but advances by at most a part of the retention
// in one Expire: if the clock jumps ahead and back, nothing is forgotten that still counts. Another time in the file, reached, is the
// highest judged at which anything was forgotten: if the clock was wrong for long, reached tells for which windows sums may be missing.
const (
	forgetAlong = 2           // rows of each kind that a step forgets besides its own work
	forgetBatch = 200         // rows of each kind that an Expire forgets
	judgeEvery  = time.Minute // how often judged advances at most
)

// maxAdvance is by how much one Expire advances judged at most: an eighth of the retention, but at least an hour.
func (o *Options) maxAdvance() int64 { return max(int64(o.Retention)/8, int64(time.Hour)) }

// advance lets judged follow the clock, at most once in judgeEvery. If the clock was set back by more than that, pruneAt, the time of the next
// advance, is too far off and does not count.
func (t *tx) advance() error {
	s := t.store
	if isSoon := s.pruneAt.Sub(t.now) <= judgeEvery; t.now.Before(s.pruneAt) && isSoon {
		return nil
	}
	s.pruneAt = t.now.Add(judgeEvery)
	next := min(t.now.UnixNano(), t.judged+s.opts.maxAdvance())
	if next <= t.judged { // the clock was set back: judged waits for it
		return nil
	}
	t.judged = next
	return t.exec(sqlJudged, next)
}

// forget drops up to limit old reservations and as many old sums. If there is nothing to drop, it writes nothing.
func (t *tx) forget(limit int) error {
	// If the clock was set back, what is old is decided by the clock: what would count again must not be dropped.
	by := min(t.judged, t.now.UnixNano())
	old := by - int64(t.store.opts.Retention)
	if err := t.forgetUsage(by, limit); err != nil {
		return err
	}
	entries, err := t.entries(sqlOld, old, limit)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		var oldSums bool // whether there are any
		if err := t.stmt(sqlOldSums).QueryRow(old).Scan(&oldSums); err != nil || !oldSums {
			return err
		}
	}
	return t.removing(by, func() error {
		for _, e := range entries {
			if err := t.forgetEntry(e); err != nil {
				return err
			}
		}
		return t.exec(sqlForgetSums, old, limit)
	})
}

// forgetEntry drops a reservation. The column forgotten of a bucket sums up what dropped reservations had posted there.
func (t *tx) forgetEntry(e *entry) error {
	for _, b := range e.bookings {
		if n := e.actual[b.unit]; n != 0 {
			if err := t.exec(sqlForgetSum, b.account[:], b.start, n); err != nil {
				return err
			}
		}
	}
	return t.exec(sqlForget, e.id[:])
}

// forgetUsage drops up to limit rows of usage, which are sums of a day, of days that are too old, and kill flags that ended long ago. by is the time
// that counts as now. Only Expire, with its larger limit, does that; other steps return at once.
func (t *tx) forgetUsage(by int64, limit int) error {
	if limit < forgetBatch {
		return nil
	}
	// Flags are kept for a while after their end, because a clock that goes back may put them in force again.
	if err := t.dropEnded(by-int64(driver.FlagRetention), false); err != nil {
		return err
	}
	day := account.UsageDay(time.Unix(0, by-int64(driver.UsageRetention)))
	var old bool
	if err := t.stmt(sqlOldUsage).QueryRow(day).Scan(&old); err != nil || !old {
		return err
	}
	// The 0 says that no sums of windows are gone.
	return t.removing(0, func() error {
		if err := t.exec(sqlForgetUsage, day, limit); err != nil {
			return err
		}
		return t.exec(sqlForgetDays, day)
	})
}

// removing calls remove, which removes rows. Triggers take deleted rows for a loss unless the column forgetting is set; removing sets it around the
// call. It also raises reached, the time up to which sums may be gone; 0 leaves that as it is.
func (t *tx) removing(reached int64, remove func() error) error {
	if err := t.exec(sqlForgetting); err != nil {
		return err
	}
	if err := remove(); err != nil {
		return err // forgetting stays set, but the transaction is rolled back, and that with it
	}
	return t.exec(sqlForgot, reached)
}

// refuseForgotten returns driver.ErrLost if a line's window may lack sums, because the clock is behind reached, the time up to which rows were
// forgotten, by more than the retention. Lifetime windows, which never end, are never forgotten.
func (t *tx) refuseForgotten(lines []driver.Line) error {
	keptFrom := t.reached - int64(t.store.opts.Retention) // sums of windows that ended before this may be gone
	if t.now.UnixNano() >= keptFrom {
		return nil
	}
	for i := range lines {
		if lines[i].Window.At(t.now).End != math.MaxInt64 {
			return fmt.Errorf("%w: it is %s by the clock, and sums until %s were forgotten", driver.ErrLost, t.now.UTC().Format(time.RFC3339),
				time.Unix(0, keptFrom).UTC().Format(time.RFC3339))
		}
	}
	return nil
}
