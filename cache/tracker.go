package cache

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/internal/odds"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// The bounds of a Tracker's memory. If they are exceeded, the workflow that was silent longest is forgotten.
const (
	maxSessions           = 1024
	maxConversations      = 8         // conversations and branches that are remembered of a workflow
	maxConversationBlocks = 8192      // of one conversation; blocks after that are not compared
	maxAllRecords         = 1 << 19   // of blocks and texts, of all workflows
	maxAllRetained        = 256 << 20 // bytes of texts that are kept alive, of all workflows
)

// Call is what a Tracker needs to know about a request besides its prompt.
type Call struct {
	// Workflow names the agent or job. Requests of one workflow are only compared with each other.
	Workflow string
	Model    Model
	// Place names the cache besides the model: region, profile, account. Different places never share a cache.
	Place string
	// At is the time of the request.
	At time.Time
	// Compacted says that the history may have been rewritten on purpose.
	Compacted bool
}

// compactionKey is the key of WithCompaction in a context.
type compactionKey struct{}

// WithCompaction returns a context that announces that the workflow's next call may rewrite its history, once, so that this is no finding.
func WithCompaction(ctx context.Context) context.Context {
	return context.WithValue(ctx, compactionKey{}, true)
}

// Compacted reports whether a context announces a compaction.
func Compacted(ctx context.Context) bool {
	announced, _ := ctx.Value(compactionKey{}).(bool)
	return announced
}

// Usage is what a response reports about its input. Each token is in one class only.
type Usage struct {
	InputTokens        int64 // neither read nor written
	CacheReadTokens    int64
	CacheWrite5mTokens int64
	CacheWrite1hTokens int64
	// Contradicts says that the response's counters contradict each other.
	Contradicts bool
	// Billed is how many earlier attempts of the same call were charged although no answer came.
	Billed int
}

func (u Usage) written() int64 { return estimate.Sum(u.CacheWrite5mTokens, u.CacheWrite1hTokens) }
func (u Usage) total() int64   { return estimate.Sum(u.InputTokens, u.CacheReadTokens, u.written()) }

// Tracker remembers what each workflow sent, and compares it with new requests. It keeps hashes and sizes. It also keeps the memory of long
// texts of recent requests alive, up to 256 MB in all, to recognise them without reading them again; for a text that was cut out of a larger
// string, that is the whole string. It is safe for concurrent use. Make one with NewTracker.
type Tracker struct {
	policy Policy

	mu       sync.Mutex
	sessions map[string]*list.Element // of *session
	order    *list.List               // the most recently used first
	memory   memoryUse                // of all sessions
	rejects  map[uint64]time.Time     // by model and location: until when cache points count as rejected there
	steps    odds.Steps               // which of the last requests were followed by another one
	begun    uint64                   // how many sessions have been made
}

// memoryUse is the memory of a session, or of all: records of blocks and texts, and the bytes of texts that they keep alive.
type memoryUse struct {
	records   int
	retained  int64
	forgotten bool // the session was forgotten: it is no longer counted
}

// NewTracker returns an empty tracker.
func NewTracker(p Policy) *Tracker {
	return &Tracker{policy: p, sessions: make(map[string]*list.Element), order: list.New(), rejects: make(map[uint64]time.Time)}
}

// session returns the session of a workflow, what is remembered of it, and makes one if there is none.
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
	t.forget() // with this one there may be too many
	return s
}

// grown adds to the sums how many records and retained bytes a session remembers more, or less if negative, and forgets sessions if the sums exceed
// their bounds. The caller has locked its session, so a session that has to be forgotten is only unlinked: goroutines that still use it keep it.
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

// forget unlinks the sessions that were silent longest until the memory is within its bounds. The last one stays, however large it is, because it is
// in use. Requires t.mu held.
func (t *Tracker) forget() {
	for t.order.Len() > 1 && (t.memory.records > maxAllRecords || t.memory.retained > maxAllRetained || t.order.Len() > maxSessions) {
		t.unlink(t.order.Back())
	}
}

// unlink forgets a session: its workflow begins anew with its next request. Requires t.mu held.
func (t *Tracker) unlink(e *list.Element) {
	s := t.order.Remove(e).(*session)
	delete(t.sessions, s.workflow)
	t.memory.records -= s.memory.records
	t.memory.retained -= s.memory.retained
	s.memory = memoryUse{forgotten: true}
}

// Revive resets the workflows that selects returns true for, such as tripped ones: all that is known of them is forgotten. It returns how many there
// were.
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

// rejectionAge is how long a rejection of cache points is remembered.
const rejectionAge = time.Hour

// Rejected records that a model rejected a request at a location because of its cache points: for an hour points count as unsupported there.
func (t *Tracker) Rejected(c Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rejects) >= maxSessions { // bounds the memory: a rejection that is forgotten is learned again
		clear(t.rejects)
	}
	t.rejects[locationHash(c.Model.ID, c.Place)] = c.At.Add(rejectionAge)
}

// Knows returns the model's rules, corrected by what was learned at the call's location: if the model rejected cache points there within the last
// hour, it takes none.
func (t *Tracker) Knows(c Call) Model {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := c.Model
	if until, ok := t.rejects[locationHash(m.ID, c.Place)]; ok && c.At.Before(until) {
		m.Explicit, m.doubtful = false, true
	}
	return m
}

// Check compares a request with what its workflow sent before. The Turn has the findings. Its methods have to be called as the request goes
// on: Send, then Begin, and in any case one of End and Fail. If the first call is Fail, the request is not remembered. The prompt may be
// reset once Send or Fail has returned.
func (t *Tracker) Check(c Call, p *prompt.Prompt) *Turn {
	s := t.session(c.Workflow)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check(c, p)
}
