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
	number   uint64 // from 1
	held     held   // guarded by the tracker's lock

	mu      sync.Mutex // guards what follows, and the turns of the session
	paths   []*path    // the last used first
	marks   []mark     // what the cache should hold, the newest last
	running []*Turn    // sent, their responses not begun
	scale   scale
	calls   callTimes
	gaps    Gaps
	ratio   hitRatio
	streak  streaks
	tripped []Finding
	asks    [maxAsks]uint64 // the ends of the last requests
	asksN   int
	doubled bool // a response told twice what it wrote

	// What decides whether writing to the cache pays.
	prefixes  []knownPrefix
	unread    int // writes that were not read: prefixes seen before, and newest turns
	costs     lifetimeCosts
	step      int // the number of the workflow's last request among the tracker's steps, of its first three
	trials    int // newest turns that were written before anything was known of them, and not read
	trialsWon int // and read
	losses    int // how often in a row nothing was read of what should have been cached
	pause     int // for how many requests nothing is to be written
	everRead  bool
}

// path is one conversation, or one branch of it: the longest request that was seen of it. Requests only ever extend it.
type path struct {
	blocks   []blockRecord
	leaves   []leafRecord
	tools    int // blocks
	system   int // blocks
	place    string
	model    string
	settings uint64
	images   bool
	lastAt   time.Time
	points   []pathPoint
	sent     int    // how many blocks the last request had
	begun    int    // how many blocks had a request whose response has begun
	forks    int    // requests in a row that left it at its last message
	told     told   // what the last response counted of it
	level    uint64 // of the messages
	levels   [len(sectionNames)]uint64
	kinds    [numSettings]uint64
	userEnd  int // how many blocks the last request had up to the end of its newest user turn
	before   int // and up to the end of the user turn before that; 0 for none
	habit    habit
}

// pathPoint is a point of a path's last request.
type pathPoint struct {
	block int
	ttl   time.Duration
}

// mark is a prefix that the cache should hold, or will once a running request is answered.
type mark struct {
	chain    uint64
	block    int // the last block of the prefix
	place    uint64
	settings uint64 // of the level of its last section
	tokens   int64
	ttl      time.Duration
	expires  time.Time
	size     size
	exact    bool  // tokens were told by a response
	wrote    int64 // how many of them it said that it wrote
	message  bool  // the prefix ends in the messages
}

const (
	maxMarks = 256
	maxAsks  = 256
)

// asked returns how many of the last requests ended with a block.
func (s *session) asked(chain uint64) int {
	n := 0
	for _, c := range s.asks[:min(s.asksN, maxAsks)] {
		if c == chain {
			n++
		}
	}
	return n
}

// Gaps are the pauses between a workflow's requests, as far as they decide which lifetime pays.
type Gaps struct {
	Short  int // up to five minutes
	Medium int // up to an hour
	Long   int
	// PrefixTokens and NewTokens are what a request finds of the one before it, and adds to it, on average.
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

// perDay returns how many calls a day the present rate makes, or 0 while it is not known.
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

// streaks count what happened in so many calls in a row.
type streaks struct {
	same      int // equal requests
	lastChain uint64
	idle      int // nothing read, nothing written
	idleTotal int64
	written   int // something written, nothing read
	missed    int // less read than expected, without a reason
	rules     map[Rule]int
}

// repeated says of each finding how many calls in a row have had it, and returns the counts as they are once this call is
// sent.
func (k *streaks) repeated(found []Finding) map[Rule]int {
	if len(found) == 0 {
		return nil
	}
	next := make(map[Rule]int, len(found))
	for i := range found {
		next[found[i].Rule] = k.rules[found[i].Rule] + 1
		found[i].Repeated = next[found[i].Rule]
	}
	return next
}

func placeHash(model, place string) uint64 { return mix(hashString(model), hashString(place)) }

// knownLeaves returns the leaves of the remembered requests, the last used first.
func (s *session) knownLeaves(buf [][]leafRecord) [][]leafRecord {
	for _, p := range s.paths {
		buf = append(buf, p.leaves)
	}
	return buf
}

// keep remembers a request: it extends a path, or lies on one, or begins one.
func (s *session) keep(c *Call, p *Prompt) *path {
	n := min(len(p.records), maxPathBlocks)
	if n == 0 {
		return nil
	}
	best := -1
	for i, q := range s.paths {
		shared := commonChain(q.blocks, p.records[:n])
		if (shared == len(q.blocks) || shared == n) && (best < 0 || len(q.blocks) > len(s.paths[best].blocks)) {
			best = i
		}
	}
	var q *path
	if best >= 0 {
		q = s.paths[best]
		s.paths = slices.Delete(s.paths, best, best+1)
	} else {
		q = s.newPath()
	}
	s.paths = slices.Insert(s.paths, 0, q)
	if n > len(q.blocks) {
		s.extend(q, p, n)
	}
	tools, system := p.count()
	q.tools, q.system = min(tools, n), min(system, n-min(tools, n))
	q.place, q.model, q.settings, q.images, q.lastAt = c.Place, c.Model.ID, p.settings, p.images, c.At
	q.points, q.sent, q.forks = q.points[:0], n, 0
	q.level, q.levels, q.kinds = p.level(), p.sectionLevels(c.Model.Provider), p.levels
	q.userEnd, q.before = p.turnEnds()
	for _, pt := range p.Points {
		if pt.Block >= 0 && !pt.Nested {
			q.points = append(q.points, pathPoint{pt.Block, max(pt.TTL, FiveMinutes)})
		}
	}
	return q
}

// newPath returns an empty path. Where there are enough, the one used longest ago is forgotten and its memory serves again;
// a request that is still on its way keeps the empty husk.
func (s *session) newPath() *path {
	if len(s.paths) < maxPaths {
		return new(path)
	}
	old := s.paths[len(s.paths)-1]
	s.paths = s.paths[:len(s.paths)-1]
	s.tracker.grown(s, -len(old.blocks)-len(old.leaves), -retainedBy(old.leaves))
	clear(old.leaves)
	q := &path{blocks: old.blocks[:0], leaves: old.leaves[:0], points: old.points[:0]}
	*old = path{}
	return q
}

// extend appends to a path what the request has more. Leaves that lie elsewhere than they did are replaced: those of a request
// that was built anew. None is written that has not changed, for a write of a pointer is dear while garbage is collected.
func (s *session) extend(q *path, p *Prompt, n int) {
	records := n - len(q.blocks) - len(q.leaves)
	q.blocks = append(q.blocks, p.records[len(q.blocks):n]...)
	leaves := p.leaves[:p.Blocks[n-1].leafEnd]
	if len(leaves) > maxPathLeaves || !slices.ContainsFunc(leaves, func(l leaf) bool { return l.lasts() }) {
		leaves = nil // there are too many to remember, or none of them could be recognised
	}
	retained := -retainedBy(q.leaves[min(len(leaves), len(q.leaves)):])
	clear(q.leaves[min(len(leaves), len(q.leaves)):])
	q.leaves = q.leaves[:min(len(leaves), len(q.leaves))]
	for i := range leaves {
		r := leafRecord{leafHash: p.leafHashes[i]}
		if leaves[i].lasts() {
			r.at = leaves[i].id
		}
		switch {
		case i == len(q.leaves):
			q.leaves = append(q.leaves, r)
		case q.leaves[i] != r:
			retained -= q.leaves[i].retains()
			q.leaves[i] = r
		default:
			continue
		}
		retained += r.retains()
	}
	s.tracker.grown(s, records+len(q.leaves), retained)
}

// retains returns how many bytes the record keeps alive.
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

// commonTalk returns how many blocks of messages two requests have in common from the first message on.
func commonTalk(a, b []blockRecord) int {
	low, high := 0, min(len(a), len(b))
	for low < high {
		mid := (low + high + 1) / 2
		if a[mid-1].talk == b[mid-1].talk {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}
