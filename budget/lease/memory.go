package lease

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A lease is a share of limits that this process has drawn from the store inside, in grants: each of them is one reservation there. The lease's calls
// are known to this process alone. Once its grants are settled (it is given back), it waits in a queue until its calls are forgotten.

// DefaultRemembered is how many resolved calls are remembered at most when Options.MaxRemembered is zero.
const DefaultRemembered = 500_000

// call is a reservation that was made through this process. One with a lease was admitted from it; one without was sent to the store inside.
// A process remembers many calls, so the struct is small: one field holds the deadline or the moment of resolution, and amounts are packed.
type call struct {
	id        driver.ID
	owner     driver.Key
	lease     *lease
	packed    string        // reserved and actual amounts, then the provider's request id
	at        time.Duration // when it was reserved, counted from lease.sent, by this process's clock
	moment    time.Duration // likewise: when it expires, or, once it is resolved, when that happened
	changes   *corrections  // nil for calls without corrections, which are most
	whose     *driver.Call  // the scope and the operation; nil if they are not known
	users     int32         // for a call without a lease: how many goroutines are asking the store inside about it
	state     driver.State
	estimated bool
	kept      bool // for a call without a lease: the store inside knows it
}

// corrections are the corrections of one call inside a lease.
type corrections struct {
	ids  []driver.ID // ids of the corrections, in the order in which they were made
	last int64       // Store.corrected after the last of them
}

// reserved returns the worst case that was reserved.
func (c *call) reserved() driver.Charge {
	reserved, _, _ := unpack(c.packed)
	return reserved
}

// actual returns what is posted, and zero before anything is.
func (c *call) actual() driver.Charge {
	_, actual, _ := unpack(c.packed)
	return actual
}

// later returns at + ttl, at most the largest duration. A negative ttl counts as zero.
func later(at, ttl time.Duration) time.Duration {
	if sum := at + max(ttl, 0); sum >= at {
		return sum
	}
	return math.MaxInt64
}

// pack encodes two charges, neither of which may be negative. Each is written as a mask, in which the bit 1<<u says that unit u is not zero,
// followed by the amounts of these units, all of them as varints.
func pack(reserved, actual driver.Charge) string {
	// Enough for two masks, and for two amounts of each unit.
	var stack [2*binary.MaxVarintLen64 + 2*driver.NumUnits*binary.MaxVarintLen64]byte
	buf := stack[:0]
	for _, c := range [...]*driver.Charge{&reserved, &actual} {
		var there uint64
		for u, n := range c {
			if n != 0 {
				there |= 1 << u
			}
		}
		buf = binary.AppendUvarint(buf, there)
		for _, n := range c {
			if n != 0 {
				buf = binary.AppendUvarint(buf, uint64(n))
			}
		}
	}
	return string(buf)
}

// unpack decodes what pack has encoded. rest is what was appended to it. It reads the varints itself, because binary.Uvarint would need a copy of
// the text as bytes.
func unpack(packed string) (reserved, actual driver.Charge, rest string) {
	// next reads a varint off the front of packed: seven bits in each byte, the lowest ones first; the last byte is below 0x80.
	next := func() (n uint64) {
		for shift := 0; len(packed) > 0; shift += 7 {
			b := packed[0]
			packed = packed[1:]
			if n |= uint64(b&0x7f) << shift; b < 0x80 {
				break
			}
		}
		return n
	}
	for _, c := range [...]*driver.Charge{&reserved, &actual} {
		there := next()
		for u := range c {
			if there&(1<<u) != 0 {
				c[u] = int64(next())
			}
		}
	}
	return reserved, actual, packed
}

// lateness is how long a call that expired in a lease is remembered at least. A Settle that comes within that time replaces its worst case,
// as every store promises; a later one is charged in addition.
const lateness = 24 * time.Hour

// forget drops calls that were resolved more than a retention ago, and the oldest ones early if there are too many. The calls of a lease are
// dropped together, because from then on the entries of its grants stand for them. Leases wait for that in two queues: in toForget, and, if one of
// their calls has expired and may still be settled, for longer in toForgetLater. Requires mu held.
func (s *Store) forget(now time.Time) {
	s.forgetOver(&s.toForget, now, s.retention, s.forgetOrKeep)
	s.forgetOver(&s.toForgetLater, now, max(s.retention, lateness), s.forgetLease)
	for len(s.directCalls) > 0 && now.Sub(s.directCalls[0].at) >= s.retention {
		s.forgetDirectCall(now)
	}
	s.forgetOldest(now)
}

// forgetDirectCall drops the oldest call that was sent to the store inside. If a lease serves that id by now, it is kept with the lease. If the
// store inside is just being asked about it, it moves to the end of the list. Requires mu held.
func (s *Store) forgetDirectCall(now time.Time) {
	n := s.directCalls[0]
	s.directCalls = s.directCalls[1:]
	switch c := s.calls[n.id]; {
	case c == nil || c.lease != nil:
	case c.users > 0: // some goroutine is asking the store inside about it now
		s.directCalls = append(s.directCalls, directCall{n.id, now})
	default:
		delete(s.calls, n.id)
	}
}

// forgetOldest drops the calls that were resolved first, until no more than MaxRemembered are left. Expired calls are dropped last, because
// they may still be settled. Requires mu held.
func (s *Store) forgetOldest(now time.Time) {
	for range len(s.toForget) + len(s.directCalls) + len(s.toForgetLater) { // each at most once, because some are kept
		if s.queuedCalls+len(s.directCalls) <= s.maxRemembered {
			return
		}
		directIsOldest := len(s.directCalls) > 0 && (len(s.toForget) == 0 || s.directCalls[0].at.Before(s.toForget[0].givenBackAt))
		switch {
		case directIsOldest:
			s.forgetDirectCall(now)
		case len(s.toForget) > 0:
			s.forgetFirst(&s.toForget, s.forgetOrKeep)
		case len(s.toForgetLater) > 0:
			s.forgetFirst(&s.toForgetLater, s.forgetLease)
		}
	}
}

// forgetFirst takes the first lease out of a queue and passes it to drop, unless it is live: then it is queued again when it has been given back.
// Requires mu held.
func (s *Store) forgetFirst(queue *[]*lease, drop func(*lease)) {
	l := s.dequeue(queue)
	if _, live := s.live[l]; !live {
		drop(l)
	}
}

// enqueue appends a lease to a queue of leases to forget. Requires mu held.
func (s *Store) enqueue(queue *[]*lease, l *lease) {
	l.queued, l.queuedCalls = true, len(l.calls)
	s.queuedCalls += l.queuedCalls
	*queue = append(*queue, l)
}

// dequeue removes the first lease of a queue of leases to forget. Requires mu held.
func (s *Store) dequeue(queue *[]*lease) *lease {
	l := (*queue)[0]
	*queue = (*queue)[1:]
	l.queued = false
	s.queuedCalls -= l.queuedCalls
	return l
}

// forgetOrKeep drops the calls of a lease; if one of them has expired, it moves the lease to the queue toForgetLater instead. Requires mu held.
func (s *Store) forgetOrKeep(l *lease) {
	if slices.ContainsFunc(l.calls, func(c *call) bool { return c.state == driver.Expired }) {
		s.enqueue(&s.toForgetLater, l)
		return
	}
	s.forgetLease(l)
}

// forgetOver passes to drop those leases at the head of a queue that were given back at least keep ago. A lease that is live again, because a call
// in it was settled late or corrected, moves to the end. Requires mu held.
func (s *Store) forgetOver(queue *[]*lease, now time.Time, keep time.Duration, drop func(*lease)) {
	for len(*queue) > 0 {
		l := (*queue)[0]
		_, live := s.live[l]
		if !live && now.Sub(l.givenBackAt) < keep {
			break
		}
		s.dequeue(queue)
		if live {
			s.enqueue(queue, l)
			break
		}
		drop(l)
	}
}

// forgetGroups drops groups (sets of accounts) in which no call has counted for so long that nothing they remember is valid: a quota is valid for
// quotaLives lengths. Requires mu held.
func (s *Store) forgetGroups(now time.Time) {
	for key, g := range s.groups {
		if len(g.open) == 0 && !g.drawMu.locked() && now.Sub(g.lastUsed) >= max(s.retention, quotaLives*s.length) {
			delete(s.groups, key)
		}
	}
}

// forgetLease drops the calls of a lease, and the ids of its entries in the store inside. Requires mu held.
func (s *Store) forgetLease(l *lease) {
	for _, c := range l.calls {
		if s.calls[c.id] == c { // else the id has been taken over since by a call that was sent to the store inside
			delete(s.calls, c.id)
		}
	}
	for _, g := range l.grants {
		delete(s.leases, g.id)
	}
	for _, id := range l.thresholdIDs {
		delete(s.leases, id)
	}
}
