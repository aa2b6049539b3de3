package cache

import (
	"slices"
	"sync"
	"time"
)

// session is what is remembered of one workflow.
type session struct {
	tracker  *Tracker
	workflow string
	number   uint64    // from 1
	memory   memoryUse // guarded by the tracker's lock

	mu            sync.Mutex      // guards the following fields, and the turns of the session
	conversations []*conversation // the most recently used first
	cached        []cachedPrefix  // prefixes that the cache should hold, the newest last
	running       []*Turn         // requests that were sent and whose responses have not begun
	scale         scale
	calls         callTimes
	gaps          Gaps
	ratio         hitRatio
	streak        streaks
	tripped       []Finding
	asks          [maxAsks]uint64 // the chain hashes of the last requests
	asksN         int
	doubled       bool // a response reported its writes twice

	// The following fields decide whether writing to the cache pays.
	prefixes  []knownPrefix
	unread    int // how many writes were not read: of prefixes that were seen before, and of newest turns
	costs     lifetimeCosts
	step      int // the number of the workflow's last request in Tracker.steps; only its first three have one
	trials    int // how many newest turns were written as a trial and not read
	trialsWon int // how many were, and read
	losses    int // how many responses in a row read nothing of what should have been cached
	pause     int // for how many requests nothing is written
	everRead  bool
}

// conversation is one conversation of a workflow, or one branch of it: the longest request that was seen of it. Later requests only extend
// it.
type conversation struct {
	blocks   []blockRecord
	leaves   []leafRecord
	tools    int // how many blocks the tools have
	system   int // how many blocks the system prompt has
	location string
	model    string
	settings uint64
	images   bool
	lastAt   time.Time
	points   []conversationPoint
	sent     int           // how many blocks the last request had
	begun    int           // how many blocks the last request had whose response has begun
	forks    int           // how many requests in a row have replaced its last message
	counted  countedTokens // the token count of the last response, for its blocks
	level    uint64        // Prompt.level of the last request
	levels   [len(sectionNames)]uint64
	kinds    [numSettings]uint64
	userEnd  int // how many blocks the last request had up to the end of its newest user turn
	before   int // the same for the user turn before that; 0 if there was none
	habit    habit
}

// conversationPoint is a cache point of a conversation's last request.
type conversationPoint struct {
	block int
	ttl   time.Duration
}

// cachedPrefix is a prefix that the cache should hold, or will hold when a running request gets its answer.
type cachedPrefix struct {
	chain    uint64
	block    int // the last block of the prefix
	location uint64
	settings uint64 // levelOf its last section
	tokens   int64
	ttl      time.Duration
	expires  time.Time
	size     size
	exact    bool  // tokens is a count from a response
	wrote    int64 // how many tokens that response said that it wrote
	message  bool  // the prefix ends in the messages
}

const (
	maxCached = 256
	maxAsks   = 256
)

// asked returns how many of the last requests ended with the same blocks.
func (s *session) asked(chain uint64) int {
	n := 0
	for _, c := range s.asks[:min(s.asksN, maxAsks)] {
		if c == chain {
			n++
		}
	}
	return n
}

// Gaps are the pauses between a workflow's requests, counted by length. They decide which lifetime pays.
type Gaps struct {
	Short  int // up to five minutes
	Medium int // up to an hour
	Long   int
	// PrefixTokens and NewTokens are, on average, how many tokens a request has in common with the one before it, and how many it adds.
	PrefixTokens, NewTokens int64
}

func (g *Gaps) add(d time.Duration) {
	switch {
	case d <= FiveMinutes:
		g.Short++
	case d <= OneHour:
		g.Medium++
	default:
		g.Long++
	}
}

// average moves an average by an eighth of the difference.
func average(old, value int64) int64 {
	if old == 0 {
		return value
	}
	return old + (value-old)/8
}

// callTimes remembers when the last calls were made.
type callTimes struct {
	at [32]time.Time
	n  int
}

func (c *callTimes) add(t time.Time) {
	c.at[c.n%len(c.at)] = t
	c.n++
}

// perDay returns how many calls a day are made at the present rate, or 0 if that is not known.
func (c *callTimes) perDay() float64 {
	k := min(c.n, len(c.at))
	if k < 3 {
		return 0
	}
	last, first := c.at[(c.n-1)%len(c.at)], c.at[(c.n-k)%len(c.at)]
	span := last.Sub(first)
	if span < time.Second {
		return 0
	}
	return float64(k-1) * float64(24*time.Hour) / float64(span)
}

// streaks count for how many calls in a row something has happened.
type streaks struct {
	same      int // the request was the same
	lastChain uint64
	idle      int // nothing was read and nothing written
	idleTotal int64
	written   int // something was written and nothing read
	missed    int // less was read than expected, for no known reason
	rules     map[Rule]int
}

// repeated returns, for each finding's rule, how many calls in a row have had it, including this one.
func (streak *streaks) repeated(found []Finding) map[Rule]int {
	if len(found) == 0 {
		return nil
	}
	next := make(map[Rule]int, len(found))
	for i := range found {
		next[found[i].Rule] = streak.rules[found[i].Rule] + 1
		found[i].Repeated = next[found[i].Rule]
	}
	return next
}

func locationHash(model, place string) uint64 { return mix(hashString(model), hashString(place)) }

// knownLeaves returns the leaves of the remembered requests, the most recently used first.
func (s *session) knownLeaves(buf [][]leafRecord) [][]leafRecord {
	for _, p := range s.conversations {
		buf = append(buf, p.leaves)
	}
	return buf
}

// keep remembers a request: it extends a conversation, or is a part of one, or begins a new one.
func (s *session) keep(c *Call, p *Prompt) *conversation {
	n := min(len(p.records), maxConversationBlocks)
	if n == 0 {
		return nil
	}
	best := -1
	for i, conv := range s.conversations {
		shared := commonChain(conv.blocks, p.records[:n])
		oneExtendsTheOther := shared == len(conv.blocks) || shared == n
		isLonger := best < 0 || len(conv.blocks) > len(s.conversations[best].blocks)
		if oneExtendsTheOther && isLonger {
			best = i
		}
	}
	var conv *conversation
	if best >= 0 {
		conv = s.conversations[best]
		s.conversations = slices.Delete(s.conversations, best, best+1)
	} else {
		conv = s.newConversation()
	}
	s.conversations = slices.Insert(s.conversations, 0, conv)
	if n > len(conv.blocks) {
		s.extend(conv, p, n)
	}
	tools, system := p.count()
	conv.tools, conv.system = min(tools, n), min(system, n-min(tools, n))
	conv.location, conv.model, conv.settings, conv.images, conv.lastAt = c.Place, c.Model.ID, p.settings, p.images, c.At
	conv.points, conv.sent, conv.forks = conv.points[:0], n, 0
	conv.level, conv.levels, conv.kinds = p.level(), p.sectionLevels(c.Model.Provider), p.levels
	conv.userEnd, conv.before = p.turnEnds()
	for _, pt := range p.Points {
		if pt.Block >= 0 && !pt.Nested {
			conv.points = append(conv.points, conversationPoint{pt.Block, max(pt.TTL, FiveMinutes)})
		}
	}
	return conv
}

// newConversation returns an empty conversation. If there are enough, the one that was used longest ago is forgotten. Its slices are used
// for the new one, which saves an allocation for each conversation; a Turn that still points at the old one then finds it empty, and
// compares nothing.
func (s *session) newConversation() *conversation {
	if len(s.conversations) < maxConversations {
		return new(conversation)
	}
	old := s.conversations[len(s.conversations)-1]
	s.conversations = s.conversations[:len(s.conversations)-1]
	s.tracker.grown(s, -len(old.blocks)-len(old.leaves), -retainedBy(old.leaves))
	clear(old.leaves)
	conv := &conversation{blocks: old.blocks[:0], leaves: old.leaves[:0], points: old.points[:0]}
	*old = conversation{}
	return conv
}

// extend appends to a conversation what the request has more. Leaves with a new address, because the request was built again, are replaced.
// Leaves that did not change are not written again: while the garbage collector runs, it tracks each write of a pointer.
func (s *session) extend(conv *conversation, p *Prompt, n int) {
	records := n - len(conv.blocks) - len(conv.leaves)
	conv.blocks = append(conv.blocks, p.records[len(conv.blocks):n]...)
	leaves := p.leaves[:p.Blocks[n-1].leafEnd]
	if len(leaves) > maxConversationLeaves || !slices.ContainsFunc(leaves, func(l leaf) bool { return l.lasts() }) {
		leaves = nil // too many to remember, or none of them could be recognised
	}
	retained := -retainedBy(conv.leaves[min(len(leaves), len(conv.leaves)):])
	clear(conv.leaves[min(len(leaves), len(conv.leaves)):])
	conv.leaves = conv.leaves[:min(len(leaves), len(conv.leaves))]
	for i := range leaves {
		r := leafRecord{leafHash: p.leafHashes[i]}
		if leaves[i].lasts() {
			r.at = leaves[i].id
		}
		switch {
		case i == len(conv.leaves):
			conv.leaves = append(conv.leaves, r)
		case conv.leaves[i] != r:
			retained -= conv.leaves[i].retains()
			conv.leaves[i] = r
		default:
			continue
		}
		retained += r.retains()
	}
	s.tracker.grown(s, records+len(conv.leaves), retained)
}

// retains returns how many bytes of text the record keeps in memory.
func (r *leafRecord) retains() int64 {
	if r.at == nil {
		return 0
	}
	return int64(r.n)
}

func retainedBy(leaves []leafRecord) (n int64) {
	for i := range leaves {
		n += leaves[i].retains()
	}
	return n
}

// commonChain returns how many blocks two requests have in common from the start.
func commonChain(a, b []blockRecord) int {
	low, high := 0, min(len(a), len(b))
	for low < high {
		mid := (low + high + 1) / 2
		if a[mid-1].chain == b[mid-1].chain {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// commonMessages returns how many blocks of messages two requests have in common from the first message on.
func commonMessages(a, b []blockRecord) int {
	low, high := 0, min(len(a), len(b))
	for low < high {
		mid := (low + high + 1) / 2
		if a[mid-1].messagesChain == b[mid-1].messagesChain {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}
