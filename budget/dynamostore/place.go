package dynamostore

import (
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// place books an admitted amount. An item that is as the blind transaction expects it is changed by arithmetic, so that
// others may change it at the same time; any other is written whole, and must be as it was read.
func (s *Store) place(j *ruling, home int) ([]types.TransactWriteItem, []booking) {
	parts, even := j.parts(home)
	if !j.ready(even) {
		for i, a := range j.group.shards {
			a.isEven, a.even = even && s.shards > 1, j.max
			if parts[i] > 0 {
				a.bucket(j.span.Start).pending += parts[i]
			}
		}
		return s.rewrite(j.group, j.line, j.span, j.now, newVersion()), j.bookings(parts, home)
	}
	var actions []types.TransactWriteItem
	bookings := j.bookings(parts, home)
	for _, b := range bookings {
		x := &expression{}
		room := less(share(j.max, b.shard, s.shards), b.amount)
		if j.full { // observe-only: it is reported as full, and must be
			x.require(attrUsed, ">", number(room))
			room = math.MaxInt64 - b.amount
		}
		x.require(attrUsed, "<=", number(room))
		if s.shards > 1 {
			x.require(attrEven, "=", number(j.max))
		}
		if o := j.group.override; o != nil && j.now.Before(o.Until) {
			x.require(attrMax, "=", number(o.Max))
			x.require(attrMaxUntil, "=", number(o.Until.UnixNano()))
		} else {
			x.requireUnless(attrMaxUntil, "<=", number(j.now.UnixNano()))
		}
		actions = append(actions, s.addPending(x, b, j.span, j.now))
	}
	return actions, bookings
}

// simple reports whether the amount goes to the home shard by arithmetic, which others do not hinder.
func (j *ruling) simple(home int) bool {
	parts, even := j.parts(home)
	return j.ready(even) && parts[home] == j.amount
}

// ready reports whether arithmetic will do.
func (j *ruling) ready(even bool) bool {
	for _, a := range j.group.shards {
		if !a.found || a.since != j.span.Since {
			return false
		}
	}
	if j.group.latchedUntil > j.now.UnixNano() { // an observe-only line whose account another policy latched
		return false
	}
	if len(j.group.shards) == 1 {
		return true
	}
	_, says := j.group.even(j.max, j.span)
	return even && says
}

// parts spreads an amount over the shards, the home shard first, so that each keeps its share of the limit. That is possible
// whenever the limit has room and no shard is beyond its share; otherwise all of it goes to the home shard, and from then on
// each reservation looks at all shards, until they are even again.
func (j *ruling) parts(home int) (parts []int64, even bool) {
	shards := len(j.group.shards)
	parts = make([]int64, shards)
	if shards == 1 {
		parts[0] = j.amount
		return parts, true
	}
	keeps, _ := j.group.even(j.max, j.span)
	if !keeps || j.full {
		parts[home] = j.amount
		return parts, false
	}
	left := j.amount
	for n := range shards {
		i := (home + n) % shards
		room := share(j.max, i, shards) - j.group.shards[i].used(j.span.Since)
		parts[i] = min(left, room)
		left -= parts[i]
	}
	return parts, true
}

// bookings are the parts as they are remembered. A line that reserves nothing is booked at home.
func (j *ruling) bookings(parts []int64, home int) (all []booking) {
	for n := range parts {
		i := (home + n) % len(parts)
		if parts[i] > 0 || n == 0 {
			all = append(all, booking{account: j.line.Account, shard: i, unit: j.line.Unit, start: j.span.Start, amount: parts[i]})
		}
	}
	return all
}

// rewrite writes all shards of a group whole, moved to a span.
func (s *Store) rewrite(g *group, line *budget.Line, span budget.Span, now time.Time, version []byte) []types.TransactWriteItem {
	n := g.notice(line, span, now)
	g.created = g.version == nil
	actions := make([]types.TransactWriteItem, 0, len(g.shards))
	for _, a := range g.shards {
		x := &expression{}
		a.unchanged(x)
		a.roll(span, s.keepPast)
		a.shape = g.shape
		a.version = version
		actions = append(actions, s.put(a.encode(n, s.opts.Retention), x))
	}
	g.version = version
	return actions
}
