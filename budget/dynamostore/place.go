package dynamostore

import (
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A ruling is how one line, a limit that applies to the call, judges a reservation: its account, as it was read, the window, and the limit in force.
// An account may be spread over several items, its shards, each of which holds a share of the limit. The home shard is the one that the reservation's
// id picks. While every shard has used no more than its share, a reservation needs to look at one shard only.

// place returns the actions that book an admitted amount, and the bookings. If possible the actions are conditional increments, which steps of other
// processes don't disturb. Otherwise all shards are rewritten, on the condition that they are still as they were read.
func (s *Store) place(ruled *ruling, home int) (actions []types.TransactWriteItem, bookings []booking) {
	parts, sharesKept := ruled.parts(home)
	bookings = ruled.bookings(parts, home)
	if ruled.canIncrement(sharesKept) {
		for _, b := range bookings {
			x := &expression{}
			ruled.requireRoom(x, b)
			actions = append(actions, s.addPending(x, b, ruled.span, ruled.now))
		}
		return actions, bookings
	}
	// With one shard there are no shares to record. The amounts are added here, and rewrite writes the shards as they are then.
	for i, a := range ruled.group.shards {
		a.hasSharesOf, a.sharesOf = sharesKept && s.shards > 1, ruled.max
		if parts[i] > 0 {
			a.bucket(ruled.span.Start).pending += parts[i]
		}
	}
	return s.rewrite(ruled.group, ruled.line, ruled.span, ruled.now, newVersion()), bookings
}

// requireRoom adds to x the requirement that the line would judge a booking as it did: that the booking's shard still has room in its share of the
// limit in force. A line that is full and still takes the amount is observe-only, and has one shard (see parts): the decision reports it as full, so
// it has to be full still.
func (ruled *ruling) requireRoom(x *expression, b booking) {
	shards := len(ruled.group.shards)
	room := less(share(ruled.max, b.shard, shards), b.amount)
	if ruled.full {
		x.require(attrUsed, ">", number(room))
		room = math.MaxInt64 - b.amount // it takes what fits into an int64
	}
	x.require(attrUsed, "<=", number(room))
	if shards > 1 { // the shards keep their shares of this limit
		x.require(attrSharesOf, "=", number(ruled.max))
	}
	// The limit in force is the one that was read: by the same override, or by none.
	if o := ruled.group.override; o != nil && ruled.now.Before(o.Until) {
		x.require(attrMax, "=", number(o.Max))
		x.require(attrMaxUntil, "=", number(o.Until.UnixNano()))
	} else {
		x.requireUnless(attrMaxUntil, "<=", number(ruled.now.UnixNano()))
	}
}

// incrementsHomeOnly reports whether the whole amount is booked by one increment in the home shard. Such a step needs no lock on the account.
func (ruled *ruling) incrementsHomeOnly(home int) bool {
	parts, sharesKept := ruled.parts(home)
	return ruled.canIncrement(sharesKept) && parts[home] == ruled.amount
}

// canIncrement reports whether the amount can be booked by conditional increments. Otherwise all shards have to be rewritten: some don't exist
// yet, are in an earlier window or are latched, or they don't all keep and record their share of the limit.
func (ruled *ruling) canIncrement(sharesKept bool) bool {
	for _, a := range ruled.group.shards {
		if !a.found || a.since != ruled.span.Since {
			return false
		}
	}
	if ruled.group.latchedUntil > ruled.now.UnixNano() { // an observe-only line whose account another policy latched
		return false
	}
	if len(ruled.group.shards) == 1 {
		return true
	}
	return sharesKept && ruled.group.recordsShares(ruled.max)
}

// parts spreads an amount over the shards, the home shard first, so that each keeps its share of the limit. That is possible
// whenever the limit has room and no shard is beyond its share. Otherwise all of it goes to the home shard, and each reservation reads
// all shards until every shard is within its share again.
func (ruled *ruling) parts(home int) (parts []int64, sharesKept bool) {
	shards := len(ruled.group.shards)
	parts = make([]int64, shards)
	if shards == 1 {
		parts[0] = ruled.amount
		return parts, true
	}
	if ruled.full || !ruled.group.keepsShares(ruled.max, ruled.span) {
		parts[home] = ruled.amount
		return parts, false
	}
	rest := ruled.amount
	for n := range shards {
		i := (home + n) % shards
		room := share(ruled.max, i, shards) - ruled.group.shards[i].used(ruled.span.Since) // at least 0, as keepsShares has found
		parts[i] = min(rest, room)
		rest -= parts[i]
	}
	return parts, true
}

// bookings returns the parts in the form in which the entry records them. A line that reserves nothing is booked in the home shard.
func (ruled *ruling) bookings(parts []int64, home int) (all []booking) {
	for n := range parts {
		i := (home + n) % len(parts)
		if parts[i] > 0 || n == 0 {
			all = append(all, booking{account: ruled.line.Account, shard: i, unit: ruled.line.Unit, start: ruled.span.Start, amount: parts[i]})
		}
	}
	return all
}

// rewrite returns the actions that move all shards of a group to a window, the span, and write them completely, with a new version. They require all
// shards to be as they were read.
func (s *Store) rewrite(g *group, line *driver.Line, span driver.Span, now time.Time, version []byte) []types.TransactWriteItem {
	n := g.notice(line, span, now)
	g.created, g.rewritten = g.version == nil, true
	nothingBooked := g.created || g.shards[0].since == noWindow
	if nothingBooked && !s.keepPast { // keepPast says that the clock may be set back, so that older buckets may still come
		g.archivedTo = g.firstKept(span.Since)
	}
	actions := make([]types.TransactWriteItem, 0, len(g.shards))
	for _, a := range g.shards {
		x := &expression{}
		a.unchanged(x) // x requires that the item is as it was read
		a.roll(span)
		a.shape = g.shape
		a.version = version
		actions = append(actions, s.put(a.encode(n, s.opts.Retention), x))
	}
	g.version = version
	return actions
}

// firstKept returns the archivedTo of an account in which nothing was booked before the window that begins at since: a moment before all buckets that
// the shards have, so that no older bucket will be looked for in the items.
func (g *group) firstKept(since int64) int64 {
	first := int64(math.MaxInt64)
	for _, a := range g.shards {
		first = min(first, a.firstKept(since))
	}
	return first
}
