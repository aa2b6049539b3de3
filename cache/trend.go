package cache

import "time"

// ttlClasses are the lifetimes that outcomes are kept apart for: what an entry of five minutes would have missed, one of an hour
// may have met.
var ttlClasses = [...]time.Duration{FiveMinutes, OneHour}

// ttlClass returns which of the ttlClasses a lifetime counts as.
func ttlClass(ttl time.Duration) int {
	if ttl > FiveMinutes {
		return 1
	}
	return 0
}

// trend tells from what became of a conversation's earlier prefixes whether the next one is likely to be read again. An
// outcome is noted for each request, whether or not it had a cache point there. What followed a prefix that was met again and
// what followed one that was not are counted apart, so that a change now and then is told from one in each request. The zero
// value knows nothing.
type trend struct {
	last   uint8       // 0 nothing is known, 1 the last prefix was not met again, 2 it was
	counts [2][2]uint8 // by the outcome before and the outcome after it
}

// maxOutcomes is how many outcomes are counted before older ones lose half of their weight.
const maxOutcomes = 16

func (t *trend) add(met bool) {
	now := uint8(1)
	if met {
		now = 2
	}
	if t.last > 0 {
		row := &t.counts[t.last-1]
		row[now-1]++
		if row[0]+row[1] > maxOutcomes {
			row[0], row[1] = row[0]/2, row[1]/2
		}
	}
	t.last = now
}

// likely reports whether more than half of the outcomes that followed one like the last were good. One good outcome is taken
// as granted after a good one, and one bad outcome after a bad one.
func (t *trend) likely() bool {
	switch t.last {
	case 1:
		return t.counts[0][1] > t.counts[0][0]+1
	case 2:
		return t.counts[1][1]+1 > t.counts[1][0]
	default:
		return false
	}
}

// habit is what is known of how a conversation goes on.
type habit struct {
	tail   [len(ttlClasses)]trend // of the prefix up to the newest user turn
	before [len(ttlClasses)]trend // of the prefix up to the user turn before it
	turns  int                    // requests seen, this one included
	misses int                    // responses in a row that read less than the conversation should have had in the cache
	trial  bool                   // its last request wrote its newest turn before anything was known of it
	step   int                    // the number of its last request among the tracker's steps
	drops  int                    // requests that had lost tool turns
	wrote  time.Duration          // the lifetime for which its last request wrote its newest turn; 0 if it did not
}

// knownPrefix is the end of tools or system prompt, or the place behind which a request began to differ from the one before
// it, as it was seen in earlier requests of the workflow.
type knownPrefix struct {
	chain, place uint64
	at           time.Time // last seen
	seen         [len(ttlClasses)]int
	ttl          time.Duration // that it was written for; 0 if it was not
	read         bool          // a later request met what was written
	answered     bool          // a request that had it is answered or over
}

// maxPrefixes bounds how many are remembered of a workflow; the one seen longest ago goes first.
const maxPrefixes = 64

// sight notes that a request has a prefix, and returns how often requests had it before, each within the lifetime of the one
// before it. first is what a prefix counts that was not noted yet.
func (s *session) sight(chain, location uint64, at time.Time, first [len(ttlClasses)]int) [len(ttlClasses)]int {
	oldest := -1
	for i := range s.prefixes {
		k := &s.prefixes[i]
		if k.chain != chain || k.place != location {
			if oldest < 0 || k.at.Before(s.prefixes[oldest].at) {
				oldest = i
			}
			continue
		}
		gap := at.Sub(k.at)
		if !k.answered && s.tracker.policy.HoldFanOut <= 0 {
			return [len(ttlClasses)]int{} // those that had it run at the same time, and can't read what this one writes
		}
		for n, life := range ttlClasses {
			if gap < life {
				k.seen[n]++
			} else {
				k.seen[n] = 0
			}
		}
		switch {
		case k.ttl > 0 && gap >= k.ttl:
			k.ttl, k.read = 0, false // it has lapsed
		case k.ttl > 0 && !k.read:
			k.read = true
			s.unread = max(s.unread-1, 0)
		}
		k.at = at
		return k.seen
	}
	k := knownPrefix{chain: chain, place: location, at: at, seen: first, answered: first != [len(ttlClasses)]int{}}
	if len(s.prefixes) < maxPrefixes {
		s.prefixes = append(s.prefixes, k)
	} else {
		s.prefixes[oldest] = k
	}
	return k.seen
}

// wrote notes that a prefix is written on the strength of having been seen before.
func (s *session) wrote(w knownPrefix) {
	for i := range s.prefixes {
		if k := &s.prefixes[i]; k.chain == w.chain && k.place == w.place {
			k.ttl, k.read = w.ttl, false
			s.unread = min(s.unread+1, maxUnread)
			return
		}
	}
}

// answered notes that a request that had a prefix is answered or over, so that later ones do not run at the same time.
func (s *session) answered(k knownPrefix) {
	for i := range s.prefixes {
		if o := &s.prefixes[i]; o.chain == k.chain && o.place == k.place {
			o.answered = true
			return
		}
	}
}
