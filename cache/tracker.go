package cache

import (
	"container/list"
	"sync"
	"time"
)

// The bounds of a Tracker's memory. What is forgotten is the workflow that was silent longest.
const (
	maxSessions    = 1024
	maxPaths       = 8       // conversations and branches remembered of a workflow
	maxPathBlocks  = 8192    // of one conversation; what lies behind is not compared
	maxAllBlocks   = 1 << 18 // of all workflows
	maxAllRetained = 256 << 20
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

func (u Usage) written() int64 { return u.CacheWrite5mTokens + u.CacheWrite1hTokens }
func (u Usage) total() int64   { return u.InputTokens + u.CacheReadTokens + u.written() }

// Tracker remembers what each workflow sent, and compares. It holds hashes and sizes, and keeps the memory of long texts
// of a workflow's recent requests alive, up to 256 MB in all, so as to recognise them without reading them again. It is
// safe for concurrent use. Make one with NewTracker.
type Tracker struct {
	policy Policy

	mu       sync.Mutex
	sessions map[string]*list.Element // of *session
	order    *list.List               // the last used first
	blocks   int
	retained int64
	rejects  map[string]bool // models that refused cache points though the rules say that they take them
}

// NewTracker returns a tracker that has seen nothing.
func NewTracker(p Policy) *Tracker {
	return &Tracker{policy: p, sessions: make(map[string]*list.Element), order: list.New(), rejects: make(map[string]bool)}
}

// session returns a workflow's memory.
func (t *Tracker) session(workflow string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.sessions[workflow]; ok {
		t.order.MoveToFront(e)
		return e.Value.(*session)
	}
	s := &session{tracker: t, workflow: workflow}
	t.sessions[workflow] = t.order.PushFront(s)
	t.forget()
	return s
}

// grown accounts for what a session remembers more, or less. The caller holds the session's lock, so a session that has to be
// forgotten is only unlinked: who still uses it keeps it.
func (t *Tracker) grown(blocks int, retained int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blocks += blocks
	t.retained += retained
	t.forget()
}

// forget unlinks the sessions that were silent longest until the bounds hold. Requires t.mu held.
func (t *Tracker) forget() {
	for t.order.Len() > 1 && (t.blocks > maxAllBlocks || t.retained > maxAllRetained || t.order.Len() > maxSessions) {
		s := t.order.Remove(t.order.Back()).(*session)
		delete(t.sessions, s.workflow)
		t.blocks -= int(s.held.blocks.Swap(0))
		t.retained -= s.held.retained.Swap(0)
		s.held.gone.Store(true)
	}
}

// Revive lets a workflow that tripped go on. What is known of it is forgotten.
func (t *Tracker) Revive(workflow string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.sessions[workflow]
	if !ok {
		return
	}
	s := t.order.Remove(e).(*session)
	delete(t.sessions, workflow)
	t.blocks -= int(s.held.blocks.Swap(0))
	t.retained -= s.held.retained.Swap(0)
	s.held.gone.Store(true)
}

// Rejected notes that a model refused a request for its cache points: from then on they count as unsupported there.
func (t *Tracker) Rejected(modelID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rejects) < maxSessions {
		t.rejects[modelID] = true
	}
}

// Knows returns the model's rules with what was learned of them.
func (t *Tracker) Knows(m Model) Model {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rejects[m.ID] {
		m.Explicit = false
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
