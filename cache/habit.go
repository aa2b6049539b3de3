package cache

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/odds"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// ttlClasses are the lifetimes for which outcomes are counted separately: an entry of an hour may outlive one of five minutes.
var ttlClasses = [...]time.Duration{prompt.FiveMinutes, prompt.OneHour}

// ttlClass returns the index in ttlClasses for a lifetime.
func ttlClass(ttl time.Duration) int {
	if ttl > prompt.FiveMinutes {
		return 1
	}
	return 0
}

// timesSeen is, by lifetime, how many requests in a row had a prefix, each within that lifetime of the one before it.
type timesSeen [len(ttlClasses)]int

// habit is what is known of how a conversation continues. A Trend counts for how many requests the next one had the same prefix and came within the
// lifetime, and so could read it, whether a point had written it or not.
type habit struct {
	tail   [len(ttlClasses)]odds.Trend // by lifetime, for the prefix up to the newest user turn
	before [len(ttlClasses)]odds.Trend // by lifetime, for the prefix up to the user turn before it
	turns  int                         // requests, including this one
	misses int                         // responses in a row that read less than they should have
	trial  bool                        // its last request wrote its newest turn before anything was known of the conversation
	step   int                         // the number of its last request in Tracker.steps; -1 once another one has followed
	drops  int                         // requests that had lost tool turns
	wrote  time.Duration               // the lifetime with which its last request wrote its newest turn; 0 if it did not
}

// knownPrefix is a prefix of earlier requests of the workflow: tools, tools with the system prompt, or what two requests in a row had in common.
type knownPrefix struct {
	chain    uint64        // the hash of all its blocks
	place    uint64        // the hash of what a cache entry depends on besides: model, location and settings
	at       time.Time     // last seen
	seen     timesSeen     // before the last request that had it
	ttl      time.Duration // the lifetime with which it was written; 0 if it was not
	read     bool          // a later request read what was written
	answered bool          // a request that had it has its answer, or has ended
}

// maxPrefixes bounds how many are remembered of a workflow; the one that was seen longest ago is dropped first.
const maxPrefixes = 64

// sight records that a request has a prefix, and returns how often requests had it before. chain and place identify the prefix: see knownPrefix.
// first is the result for a prefix that is not known.
func (s *session) sight(chain, place uint64, at time.Time, first timesSeen) timesSeen {
	oldest := -1
	for i := range s.prefixes {
		if k := &s.prefixes[i]; k.chain == chain && k.place == place {
			return s.sightAgain(k, at)
		}
		if oldest < 0 || s.prefixes[i].at.Before(s.prefixes[oldest].at) {
			oldest = i
		}
	}
	// If the request before had the prefix too, which first says, that one has its answer.
	k := knownPrefix{chain: chain, place: place, at: at, seen: first, answered: first != timesSeen{}}
	if len(s.prefixes) < maxPrefixes {
		s.prefixes = append(s.prefixes, k)
	} else {
		s.prefixes[oldest] = k
	}
	return k.seen
}

// sightAgain is sight for a prefix that is known. If it was written and has not expired, it counts as read by this request.
func (s *session) sightAgain(k *knownPrefix, at time.Time) timesSeen {
	// With HoldFanOut the request waits until one that runs has written, so that it reads what that one wrote.
	if !k.answered && s.tracker.policy.HoldFanOut <= 0 {
		return timesSeen{} // the requests that had it still run, and can't read what this one writes
	}
	gap := at.Sub(k.at)
	for class, life := range ttlClasses {
		if gap < life {
			k.seen[class]++
		} else {
			k.seen[class] = 0
		}
	}
	switch {
	case k.ttl > 0 && gap >= k.ttl:
		k.ttl, k.read = 0, false // what was written has expired; if nobody has read it, it stays counted in s.unread
	case k.ttl > 0 && !k.read:
		k.read = true
		s.unread = max(s.unread-1, 0)
	}
	k.at = at
	return k.seen
}

// wrote records that a prefix is written because it was seen before. Until sight finds a request that reads it, it counts as unread.
func (s *session) wrote(w knownPrefix) {
	for i := range s.prefixes {
		if k := &s.prefixes[i]; k.chain == w.chain && k.place == w.place {
			k.ttl, k.read = w.ttl, false
			s.unread = min(s.unread+1, maxUnread)
			return
		}
	}
}

// answered records that a request that had a prefix has its answer or has ended, so that later ones can read what it wrote.
func (s *session) answered(k knownPrefix) {
	for i := range s.prefixes {
		if o := &s.prefixes[i]; o.chain == k.chain && o.place == k.place {
			o.answered = true
			return
		}
	}
}
