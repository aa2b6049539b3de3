package pgstore

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

const (
	// maxEntries is the size of the largest page of Entries, Accounts, Periods and Usage, and of the largest Expire.
	maxEntries = 10_000
	// pruneEvery is how often Expire also deletes old entries.
	pruneEvery = time.Minute
	// pruneBatch bounds the rows that one transaction deletes, because it blocks steps on their accounts, and pruneFor for how long such
	// transactions follow one another.
	pruneBatch = 200
	pruneFor   = 30 * time.Second
)

// Expire implements driver.Store. It charges those reservations first that expired first, up to 10,000 at a time, and starts the deletion of
// what is past the retention. The value of the answer is how many were charged.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	a, err := s.step(ctx, call{function: "expire", moments: true, args: func(*placement) []any {
		return []any{int64(max(0, min(limit, maxEntries))), int64(s.opts.UsageRows)}
	}})
	if err != nil {
		return 0, err
	}
	s.forget()
	return int(a.value), nil
}

// forget starts a goroutine that deletes what is past the retention, unless that was done less than pruneEvery ago. The goroutine runs in the
// background, so that no caller of Expire waits for it; Close ends it.
func (s *Store) forget() {
	begin, due := time.Now(), s.pruneAt.Load()
	// It is not time yet, or another Expire has just set the next time, and starts the deletion itself.
	if begin.UnixNano() < due || !s.pruneAt.CompareAndSwap(due, begin.Add(pruneEvery).UnixNano()) {
		return
	}
	// Close ends life under this lock before it waits for pruning, so that no deletion starts after that.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil { // the store is closed
		return
	}
	s.pruning.Go(func() {
		for time.Since(begin) < pruneFor {
			a, err := s.step(s.life, call{function: "forget", moments: true, args: func(*placement) []any {
				return []any{int64(s.opts.Retention), int64(pruneBatch)}
			}})
			if err != nil || a.value < pruneBatch { // the value is how many rows it has deleted, of the kind of which there were most
				return // if anything is left, the next deletion, in a minute, does the rest
			}
		}
	})
}

// Balances implements driver.Store. ResetAfter is how long it takes until nothing of what is used now counts any more.
func (s *Store) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	a, err := s.step(ctx, call{function: "balances", moments: true, lines: notNil(lines), args: func(at *placement) []any {
		return []any{at.accounts, at.starts, at.widths, at.steps, at.maxes}
	}})
	if err != nil {
		return nil, err
	}
	if len(a.detail.Balances) != len(lines) {
		return nil, failed("balances", errAnswer)
	}
	all := make([]driver.Balance, len(lines))
	for i := range all {
		b := &a.detail.Balances[i]
		// The function returns one balance for each line, in order.
		if b.Line != i {
			return nil, failed("balances", errAnswer)
		}
		used := b.Settled + b.Pending
		if used < 0 { // the sum is larger than an int64
			used = math.MaxInt64
		}
		// With all that is used as the excess, ResetAfter is when all of it has left.
		if all[i], err = b.balance(lines, a.clock, used); err != nil {
			return nil, failed("balances", err)
		}
	}
	return all, nil
}

// awaitUnaware returns when the transactions have ended that may not have seen a flag that was just set. The function unaware names those of the
// given ones that still run, or, for nil, all that run now; transactions that begin later see the flag, and are not waited for.
func (s *Store) awaitUnaware(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	var among []string // the transactions that are still to be waited for; nil asks which ones there are
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		a, err := s.step(ctx, call{function: "unaware", args: func(*placement) []any { return []any{among} }})
		if err != nil || len(a.detail.Unaware) == 0 {
			return err
		}
		among = a.detail.Unaware
		if !sleep(ctx, pause) { // ctx has ended
			return failed("kill", errors.Join(errUnaware, context.Cause(ctx)))
		}
	}
}

// Kills implements driver.Store. The function leaves out flags that have ended; its argument asks for flags with patterns, too.
func (s *Store) Kills(ctx context.Context) ([]driver.Kill, error) {
	a, err := s.step(ctx, call{function: "flags", moments: true, args: func(*placement) []any { return []any{true} }})
	if err != nil {
		return nil, err
	}
	all := make([]driver.Kill, len(a.detail.Flags))
	for i := range all {
		if all[i], err = a.detail.Flags[i].public(); err != nil {
			return nil, failed("flags", err)
		}
	}
	return all, nil
}
