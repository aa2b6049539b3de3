package cache

import (
	"container/list"
	"math"
	"sync"
	"time"
)

// The bounds of a Tracker's memory. What is forgotten is the workflow that was silent longest.
const (
	maxSessions           = 1024
	maxConversations      = 8       // conversations and branches remembered of a workflow
	maxConversationBlocks = 8192    // of one conversation; what lies behind is not compared
	maxConversationLeaves = 1 << 15 // texts of one conversation; more are read again each time
	maxAllRecords         = 1 << 19 // of blocks and texts, of all workflows
	maxAllRetained        = 256 << 20
)

// Call is what a Tracker is told of a request besides its prompt.
type Call struct {
	// Workflow names who is speaking. Requests of one workflow are compared with each other, and with no others.
	Workflow string
	Model    Model
	// Place names where the cache lies besides the model: region, profile, account. A cache is never shared between places.
	Place string
	// At is the time of the request.
	At time.Time
	// Compacted says that the history may have been rewritten on purpose.
	Compacted bool
}

// Usage is what a response tells of its input. The classes exclude each other.
type Usage struct {
	InputTokens        int64 // neither read nor written
	CacheReadTokens    int64
	CacheWrite5mTokens int64
	CacheWrite1hTokens int64
	// Contradicts says that the response's counters contradict each other.
	Contradicts bool
	// Billed is how many earlier attempts of the same call were charged without an answer.
	Billed int
}

func (u Usage) written() int64 { return sum(u.CacheWrite5mTokens, u.CacheWrite1hTokens) }
func (u Usage) total() int64   { return sum(u.InputTokens, u.CacheReadTokens, u.written()) }

// sum adds counts that are not negative. It saturates.
func sum(counts ...int64) int64 {
	var n int64
	for _, c := range counts {
		if n > math.MaxInt64-max(c, 0) {
			return math.MaxInt64
		}
		n += max(c, 0)
	}
	return n
}

// Tracker remembers what each workflow sent, and compares. It holds hashes and sizes, and keeps the memory of long texts of
// a workflow's recent requests alive, up to 256 MB of text in all, so as to recognise them without reading them again; a text
// that was cut out of a larger one keeps all of that. It is safe for concurrent use. Make one with NewTracker.
type Tracker struct {
	policy Policy

	mu       sync.Mutex
	sessions map[string]*list.Element // of *session
	order    *list.List               // the last used first
	memory   memoryUse
	rejects  map[uint64]time.Time // until when models count as refusing cache points at a location
	steps    steps
	begun    uint64 // how many sessions there have been
}

// memoryUse is what is remembered: records of blocks and texts, and the bytes of texts that are kept alive by them.
type memoryUse struct {
	records   int
	retained  int64
	forgotten bool // the session was forgotten: nothing of it is accounted any more
}

// NewTracker returns a tracker that has seen nothing.
func NewTracker(p Policy) *Tracker {
	return &Tracker{policy: p, sessions: make(map[string]*list.Element), order: list.New(), rejects: make(map[uint64]time.Time)}
}

// session returns a workflow's memory.
func (t *Tracker) session(workflow string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.sessions[workflow]; ok {
		t.order.MoveToFront(e)
		return e.Value.(*session)
	}
	t.begun++
	s := &session{tracker: t, workflow: workflow, number: t.begun}
	t.sessions[workflow] = t.order.PushFront(s)
	t.forget()
	return s
}

// grown accounts for what a session remembers more, or less. The caller holds the session's lock, so a session that has to be
// forgotten is only unlinked: who still uses it keeps it.
func (t *Tracker) grown(s *session, records int, retained int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.memory.forgotten {
		return
	}
	s.memory.records += records
	s.memory.retained += retained
	t.memory.records += records
	t.memory.retained += retained
	t.forget()
}

// forget unlinks the sessions that were silent longest until the bounds hold. Requires t.mu held.
func (t *Tracker) forget() {
	for t.order.Len() > 1 && (t.memory.records > maxAllRecords || t.memory.retained > maxAllRetained || t.order.Len() > maxSessions) {
		t.unlink(t.order.Back())
	}
}

// unlink requires t.mu held.
func (t *Tracker) unlink(e *list.Element) {
	s := t.order.Remove(e).(*session)
	delete(t.sessions, s.workflow)
	t.memory.records -= s.memory.records
	t.memory.retained -= s.memory.retained
	s.memory = memoryUse{forgotten: true}
}

// Revive lets workflows that tripped go on: those whose name the function selects. What is known of them is forgotten. It
// returns how many there were.
func (t *Tracker) Revive(selects func(workflow string) bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for name, e := range t.sessions {
		if selects(name) {
			t.unlink(e)
			n++
		}
	}
	return n
}

// rejectionAge is how long a refusal of cache points is believed.
const rejectionAge = time.Hour

// Rejected notes that a model refused a request at a location for its cache points: for an hour they count as unsupported there.
func (t *Tracker) Rejected(c Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rejects) >= maxSessions {
		clear(t.rejects)
	}
	t.rejects[locationHash(c.Model.ID, c.Place)] = c.At.Add(rejectionAge)
}

// Knows returns the model's rules with what was learned of them at the call's location.
func (t *Tracker) Knows(c Call) Model {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := c.Model
	if until, ok := t.rejects[locationHash(m.ID, c.Place)]; ok && c.At.Before(until) {
		m.Explicit, m.doubtful = false, true
	}
	return m
}

// Check compares a request with what its workflow sent before. The Turn holds the findings; it has to be told what becomes
// of the request: Send, then Begin, and in any case one of End and Fail. A Turn that fails unsent leaves no trace. The prompt
// may be reset once Send or Fail has returned.
func (t *Tracker) Check(c Call, p *Prompt) *Turn {
	s := t.session(c.Workflow)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check(c, p)
}
