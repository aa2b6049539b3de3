package dynamostore

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// group is one account: all of its shards, the items over which it is spread, as one atomic read returned them. Without sharding an account is one
// shard. What the shards have in common is in shape, such as the version, which is nil if the account does not exist.
//
// An account sums up what is settled and pending in buckets. A span is the window of a moment: an amount is booked in the bucket that begins at its
// Start, and the limit counts all that begin at its Since or later. For a calendar window that is one bucket.
type group struct {
	shape
	shards  []*accountItem
	buckets []driver.Bucket // settled and pending of all shards together, by start, ascending
	settled map[int64]int64 // settled of all shards together, by the bucket's start
	created bool            // the account did not exist, and this step writes it
	// rewritten says that this step writes all shards, as they are here.
	rewritten bool
	listed    item // the account's item in the list of accounts, as it was before this step; for an account that did not exist
}

// newGroup puts the shards of one account together.
func newGroup(shards []*accountItem) *group {
	g := &group{shape: shape{archivedTo: noWindow}, shards: shards, settled: make(map[int64]int64)}
	used := make(map[int64]int64) // what g.buckets gets: settled and pending of all shards together, by the bucket's start
	for _, a := range shards {
		if a.found && g.version == nil { // the first one that exists, of which g still has no version
			g.shape = a.shape
		} else if a.found { // an earlier library kept no archive, so that shards may differ in this
			g.archivedTo = min(g.archivedTo, a.archivedTo)
		}
		for _, b := range a.buckets {
			g.settled[b.start], _ = plus(g.settled[b.start], b.settled) // at most math.MaxInt64, like the others
			used[b.start], _ = plus(used[b.start], b.settled)
			used[b.start], _ = plus(used[b.start], b.pending)
		}
	}
	for start, n := range used {
		g.buckets = append(g.buckets, driver.Bucket{Start: start, Used: n})
	}
	slices.SortFunc(g.buckets, func(a, b driver.Bucket) int { return cmp.Compare(a.Start, b.Start) })
	return g
}

// moment returns the time and the span at which a line is judged. Unless keepPast says that accounts keep the sums of windows that have passed, that
// is never before the account's newest window, so that a clock that runs behind, in this process or on the server, frees nothing.
func (g *group) moment(w driver.Window, now time.Time, keepPast bool) (time.Time, driver.Span) {
	span := w.At(now)
	if keepPast {
		return now, span
	}
	for _, a := range g.shards {
		if a.found && a.since > span.Since && a.start > now.UnixNano() { // the item is in a later window already
			now = time.Unix(0, a.start)
			span = w.At(now)
		}
	}
	return now, span
}

// windowEnd returns until when something holds that happens now: a latch that is closed stays closed until then, and a threshold that is reported
// is not reported again before. That is the end of a calendar window, and for a rolling one now plus its length.
func windowEnd(span driver.Span, now int64) int64 {
	if span.Start == span.Since {
		return span.End
	}
	return now + span.Start - span.Since
}

// max is the limit in force.
func (g *group) max(line *driver.Line, now time.Time) int64 {
	if g.override != nil && now.Before(g.override.Until) {
		return g.override.Max
	}
	return line.Max
}

// balance adds up what counts in all shards, without ResetAfter, and reports whether the sum with amount does not fit into an int64.
func (g *group) balance(line *driver.Line, span driver.Span, now time.Time, amount int64) (b driver.Balance, overflow bool) {
	b.Max, b.Latched = g.max(line, now), g.latchedUntil > now.UnixNano()
	for _, a := range g.shards {
		for _, k := range a.buckets {
			if k.start < span.Since {
				continue
			}
			var cut [2]bool
			b.Settled, cut[0] = plus(b.Settled, k.settled)
			b.Pending, cut[1] = plus(b.Pending, k.pending)
			overflow = overflow || cut[0] || cut[1]
		}
	}
	used, cut := plus(b.Settled, b.Pending)
	_, cut2 := plus(used, amount)
	return b, overflow || cut || cut2
}

// counting returns the buckets that count in a span; nil if none does.
func (g *group) counting(span driver.Span) []driver.Bucket {
	from := slices.IndexFunc(g.buckets, func(b driver.Bucket) bool { return b.Start >= span.Since })
	if from < 0 {
		return nil
	}
	return g.buckets[from:]
}

// wait returns how long it takes until excess has left the window and the latch is open; 0 when time alone never helps.
func (g *group) wait(w driver.Window, span driver.Span, now time.Time, excess int64) time.Duration {
	var d time.Duration
	if excess > 0 {
		if d = w.ResetAfter(now, g.counting(span), excess); d == 0 { // time alone never frees so much
			return 0
		}
	}
	switch {
	case g.latchedUntil <= now.UnixNano(): // it is open
		return d
	case g.latchedUntil == math.MaxInt64: // it was closed in a window without an end
		return 0
	}
	return max(d, time.Duration(g.latchedUntil-now.UnixNano()))
}

// due returns the notification thresholds that settled spend has reached and that were not reported in this window yet. at is the line's index.
func (g *group) due(line *driver.Line, at int, span driver.Span, now time.Time) (all []driver.Crossing) {
	b, _ := g.balance(line, span, now, 0) // sums that don't fit into an int64 are cut
	// g.fired has only the thresholds up to the last one that was ever reported.
	for m := range line.Notify {
		// It is not reached, or it was reported, and may not be reported again yet.
		if b.Settled < line.Threshold(m, b.Max) || m < len(g.fired) && now.UnixNano() < g.fired[m] {
			continue
		}
		all = append(all, driver.Crossing{Line: at, Mark: m, Settled: b.Settled, Max: b.Max})
	}
	return all
}

// report notes in the group until when thresholds that are reported now are not reported again.
func (g *group) report(crossed []driver.Crossing, span driver.Span, now time.Time) {
	g.fired = slices.Clone(g.fired)
	for _, c := range crossed {
		if missing := c.Mark + 1 - len(g.fired); missing > 0 {
			g.fired = append(g.fired, make([]int64, missing)...)
		}
		g.fired[c.Mark] = windowEnd(span, now.UnixNano())
	}
}

// notice computes how far the settled spend of a line may grow before a settlement has to read all shards, because a threshold may be reached.
// Each shard gets a part of that, so that no threshold is reached unnoticed when all shards use up their part.
func (g *group) notice(line *driver.Line, span driver.Span, now time.Time) notice {
	if line == nil { // the caller does not know it: without a hash the next settlement looks
		return notice{gap: farAway, quiet: math.MaxInt64}
	}
	b, _ := g.balance(line, span, now, 0)
	n := notice{gap: farAway, quiet: math.MaxInt64, hash: hashThresholds(line, b.Max)}
	for m := range line.Notify {
		threshold := line.Threshold(m, b.Max)
		if m < len(g.fired) && now.UnixNano() < g.fired[m] { // it was reported
			n.quiet = min(n.quiet, g.fired[m])
		} else if threshold-b.Settled < n.gap {
			n.gap = threshold - b.Settled
		}
	}
	if shards := int64(len(g.shards)); n.gap > 0 && shards > 1 { // with a gap of 0 or less the next settlement reads all shards in any case
		n.gap = 1 + (n.gap-1)/shards // rounded up, because what is settled in a shard has to stay below its part
	}
	return n
}

// share returns how much of a limit one shard may hold. The shares of all shards add up to the limit.
func share(limit int64, shard, shards int) int64 {
	if limit < 0 { // then no shard has room
		return limit
	}
	n := limit / int64(shards)
	if int64(shard) < limit%int64(shards) { // the first shards share what is left over
		n++
	}
	return n
}

// keepsShares reports whether each shard has settled and pending, in this window, no more than its share of a limit.
func (g *group) keepsShares(limit int64, span driver.Span) bool {
	for i, a := range g.shards {
		if a.used(span.Since) > share(limit, i, len(g.shards)) {
			return false
		}
	}
	return true
}

// recordsShares reports whether every item records, in attrSharesOf, that each shard keeps its share of this limit.
func (g *group) recordsShares(limit int64) bool {
	for _, a := range g.shards {
		if !a.found || !a.hasSharesOf || a.sharesOf != limit {
			return false
		}
	}
	return true
}
