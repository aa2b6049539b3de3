package lease

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// DefaultRemembered is how many resolved calls are remembered at most when Options.MaxRemembered is zero.
const DefaultRemembered = 500_000

// call is a reservation that was made through this process. One with a lease was admitted from it; one without was sent to the store inside.
// A process remembers many calls, so the struct is small: one field holds the deadline or the moment of resolution, and amounts are packed.
type call struct {
	id        driver.ID
	owner     driver.Key
	lease     *lease
	packed    string        // reserved and actual amounts, then the provider's request id
	at        time.Duration // when it was reserved, since its lease was first drawn, by this process's clock
	moment    time.Duration // likewise: when it expires, or, once it is resolved, when that happened
	changes   *corrections  // nil for calls without corrections, which are most
	whose     *driver.Call  // the scope, model and operation; nil if none was given
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

// later returns the moment at which a TTL ends that starts at the moment at. A negative TTL ends at once.
func later(at, ttl time.Duration) time.Duration {
	if sum := at + max(ttl, 0); sum >= at {
		return sum
	}
	return math.MaxInt64
}

// pack encodes two charges, neither of which may be negative, as a mask of the units that are not zero, followed by their amounts.
func pack(reserved, actual driver.Charge) string {
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

// unpack decodes what pack has encoded. rest is what was appended to it.
func unpack(packed string) (reserved, actual driver.Charge, rest string) {
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

// forget drops calls that were resolved more than a retention ago, and older ones early if there are too many. The calls of a lease are
// dropped together, because from then on the entries of its grants stand for them. Requires mu held.
func (s *Store) forget(now time.Time) {
	s.forgetOver(&s.spent, now, s.retention, s.forgetOrKeep)
	s.forgetOver(&s.late, now, max(s.retention, lateness), s.forgetLease)
	for len(s.notes) > 0 && now.Sub(s.notes[0].at) >= s.retention {
		s.forgetNote(now)
	}
	s.forgetOldest(now)
}

// forgetNote drops the oldest note and its call. A call that a lease serves by now is kept with the lease; one that the store inside is
// being asked about gets a new note. Requires mu held.
func (s *Store) forgetNote(now time.Time) {
	n := s.notes[0]
	s.notes = s.notes[1:]
	switch c := s.calls[n.id]; {
	case c == nil || c.lease != nil:
	case c.users > 0:
		s.notes = append(s.notes, note{n.id, now})
	default:
		delete(s.calls, n.id)
	}
}

// forgetOldest drops the calls that were resolved first, until no more than MaxRemembered are left. Expired calls are dropped last, because
// they may still be settled. Requires mu held.
func (s *Store) forgetOldest(now time.Time) {
	for range len(s.spent) + len(s.notes) + len(s.late) {
		switch {
		case s.known+len(s.notes) <= s.maxRemembered:
			return
		case len(s.notes) > 0 && (len(s.spent) == 0 || s.notes[0].at.Before(s.spent[0].givenBackAt)):
			s.forgetNote(now)
		case len(s.spent) > 0:
			s.forgetFirst(&s.spent, s.forgetOrKeep)
		case len(s.late) > 0:
			s.forgetFirst(&s.late, s.forgetLease)
		}
	}
}

// forgetFirst passes the first lease of a queue to over, unless it is live: then it is queued again when it has been given back. Requires mu
// held.
func (s *Store) forgetFirst(queue *[]*lease, over func(*lease)) {
	l := s.dequeue(queue)
	if _, live := s.live[l]; !live {
		over(l)
	}
}

// enqueue appends a lease to a queue of leases to forget. Requires mu held.
func (s *Store) enqueue(queue *[]*lease, l *lease) {
	l.queued, l.known = true, len(l.calls)
	s.known += l.known
	*queue = append(*queue, l)
}

// dequeue removes the first lease of a queue of leases to forget. Requires mu held.
func (s *Store) dequeue(queue *[]*lease) *lease {
	l := (*queue)[0]
	*queue = (*queue)[1:]
	l.queued = false
	s.known -= l.known
	return l
}

// forgetOrKeep drops the calls of a lease; if one of them has expired, it moves the lease to the queue late. Requires mu held.
func (s *Store) forgetOrKeep(l *lease) {
	if slices.ContainsFunc(l.calls, func(c *call) bool { return c.state == driver.Expired }) {
		s.enqueue(&s.late, l)
		return
	}
	s.forgetLease(l)
}

// forgetOver passes to over those leases at the head of a queue that were given back at least keep ago. A lease that is live again moves to
// the end. Requires mu held.
func (s *Store) forgetOver(queue *[]*lease, now time.Time, keep time.Duration, over func(*lease)) {
	for len(*queue) > 0 {
		l := (*queue)[0]
		_, live := s.live[l]
		if !live && now.Sub(l.givenBackAt) < keep {
			break
		}
		if s.dequeue(queue); live {
			s.enqueue(queue, l)
			break
		}
		over(l)
	}
}

// forgetGroups drops groups that no call uses any more. Requires mu held.
func (s *Store) forgetGroups(now time.Time) {
	for key, g := range s.groups {
		if len(g.open) == 0 && !g.drawMu.locked() && now.Sub(g.used) >= max(s.retention, quotaLives*s.length) {
			delete(s.groups, key)
		}
	}
}

func (s *Store) forgetLease(l *lease) {
	for _, c := range l.calls {
		if s.calls[c.id] == c {
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
