package lease

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// DefaultRemembered is how many resolved calls are remembered at most when Options.Remembered is zero.
const DefaultRemembered = 500_000

// call is a reservation that was made through this process. One without a lease is the store's own. A process remembers many, so it
// is small: what is resolved needs no deadline, what is not no moment, and amounts are packed.
type call struct {
	id        budget.ID
	owner     budget.Key
	lease     *lease
	packed    string        // reserved, actual, and then the provider's id of the request
	at        time.Duration // by this process's clock, since its lease was drawn first
	moment    time.Duration // likewise: when it expires; of a resolved one, when it was resolved
	changes   *corrections  // nil for most
	whose     *budget.Call  // nil when nobody said
	users     int32         // of a call without a lease: who is asking the store about it
	state     budget.State
	estimated bool
	kept      bool // of a call without a lease: the store knows it
}

// corrections are those of a call inside a lease.
type corrections struct {
	ids  []budget.ID // in order
	last int64       // how many this process had made by the last of them
}

// reserved is the worst case that was set aside.
func (c *call) reserved() budget.Charge {
	reserved, _, _ := unpack(c.packed)
	return reserved
}

// actual is what is posted; zero as long as nothing is.
func (c *call) actual() budget.Charge {
	_, actual, _ := unpack(c.packed)
	return actual
}

// later is a moment a reservation's TTL after another one; of a negative TTL, that one.
func later(at, ttl time.Duration) time.Duration {
	if sum := at + max(ttl, 0); sum >= at {
		return sum
	}
	return math.MaxInt64
}

// pack writes two charges, neither of which may be negative: which amounts there are, and these.
func pack(reserved, actual budget.Charge) string {
	var stack [2*binary.MaxVarintLen64 + 2*budget.NumUnits*binary.MaxVarintLen64]byte
	buf := stack[:0]
	for _, c := range [...]*budget.Charge{&reserved, &actual} {
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

// unpack reads what pack wrote, and what was put behind it.
func unpack(packed string) (reserved, actual budget.Charge, rest string) {
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
	for _, c := range [...]*budget.Charge{&reserved, &actual} {
		there := next()
		for u := range c {
			if there&(1<<u) != 0 {
				c[u] = int64(next())
			}
		}
	}
	return reserved, actual, packed
}

// lateness is how long a call that expired in a lease is remembered at least, as stores do: settled any later, it would be
// charged on top of its worst case.
const lateness = 24 * time.Hour

// forget drops calls that were resolved a retention ago, and sooner if there are too many: those of a lease all together, because the entries of its grants
// stand for them from then on. Requires mu held.
func (s *Store) forget(now time.Time) {
	s.forgetOver(&s.spent, now, s.retention, s.forgetOrKeep)
	s.forgetOver(&s.late, now, max(s.retention, lateness), s.forgetLease)
	for len(s.notes) > 0 && now.Sub(s.notes[0].at) >= s.retention {
		s.forgetNote(now)
	}
	s.forgetOldest(now)
}

// forgetNote drops the oldest note, and the call with it unless somebody is asking the store about it. Requires mu held.
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

// forgetOldest drops the calls that were resolved first while there are more than are remembered; last of all those that expired, which
// may be settled yet. Requires mu held.
func (s *Store) forgetOldest(now time.Time) {
	for range len(s.spent) + len(s.notes) + len(s.late) {
		switch {
		case s.known+len(s.notes) <= s.maxRemembered:
			return
		case len(s.notes) > 0 && (len(s.spent) == 0 || s.notes[0].at.Before(s.spent[0].touched)):
			s.forgetNote(now)
		case len(s.spent) > 0:
			s.forgetFirst(&s.spent, s.forgetOrKeep)
		case len(s.late) > 0:
			s.forgetFirst(&s.late, s.forgetLease)
		}
	}
}

// forgetFirst hands on the lease at the head of a queue. One that is live comes again once it was given back. Requires mu held.
func (s *Store) forgetFirst(queue *[]*lease, over func(*lease)) {
	l := s.dequeue(queue)
	if _, live := s.live[l]; !live {
		over(l)
	}
}

// enqueue adds a lease to those that are to be forgotten. Requires mu held.
func (s *Store) enqueue(queue *[]*lease, l *lease) {
	l.queued, l.known = true, len(l.calls)
	s.known += l.known
	*queue = append(*queue, l)
}

// dequeue takes the first lease out of such a queue. Requires mu held.
func (s *Store) dequeue(queue *[]*lease) *lease {
	l := (*queue)[0]
	*queue = (*queue)[1:]
	l.queued = false
	s.known -= l.known
	return l
}

// forgetOrKeep drops the calls of a lease, unless one of them has expired. Requires mu held.
func (s *Store) forgetOrKeep(l *lease) {
	if slices.ContainsFunc(l.calls, func(c *call) bool { return c.state == budget.Expired }) {
		s.enqueue(&s.late, l)
		return
	}
	s.forgetLease(l)
}

// forgetOver hands on the leases at the head of a queue that were given back so long ago. One that is live again goes to its
// end. Requires mu held.
func (s *Store) forgetOver(queue *[]*lease, now time.Time, keep time.Duration, over func(*lease)) {
	for len(*queue) > 0 {
		l := (*queue)[0]
		_, live := s.live[l]
		if !live && now.Sub(l.touched) < keep {
			break
		}
		if s.dequeue(queue); live {
			s.enqueue(queue, l)
			break
		}
		over(l)
	}
}

// forgetGroups drops those that are not used any more. Requires mu held.
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
