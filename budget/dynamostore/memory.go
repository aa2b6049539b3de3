package dynamostore

import (
	"context"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// maxRemembered bounds what a store keeps in memory. None of it is needed: it saves reads.
const maxRemembered = 8192

// entryMemory holds reservations that this store made and that are pending as far as it knows, so that their settlement
// needs no read: a pending reservation never changes but by being resolved, and each transaction requires it to be as
// remembered. Its zero value is empty.
type entryMemory struct {
	mu    sync.Mutex
	known map[budget.ID]*entry
}

func (m *entryMemory) put(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[budget.ID]*entry)
	}
	if len(m.known) >= maxRemembered {
		for id := range m.known {
			delete(m.known, id)
			break
		}
	}
	m.known[e.id] = e
}

// take returns what is known of an id, and forgets it: whoever takes it resolves it.
func (m *entryMemory) take(id budget.ID) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.known[id]
	delete(m.known, id)
	return e
}

// wariness remembers accounts at which a reservation would probably fail, so that the next one looks before it writes: a
// read costs a loop that ran out of budget less than a cancelled transaction does, and keeps the account's partition free.
// Its zero value is empty.
type wariness struct {
	mu       sync.Mutex
	accounts map[budget.Key]bool
}

func (w *wariness) of(lines []budget.Line) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range lines {
		if w.accounts[lines[i].Account] {
			return true
		}
	}
	return false
}

func (w *wariness) set(account budget.Key, wary bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !wary {
		delete(w.accounts, account)
		return
	}
	if w.accounts == nil || len(w.accounts) >= maxRemembered {
		w.accounts = make(map[budget.Key]bool)
	}
	w.accounts[account] = true
}

// turns lets the steps of this process that must write an account as they read it go one after the other: they would only
// take the account from under each other. Steps of other processes still may. Its zero value is not ready.
type turns [64]chan struct{}

func newTurns() (t turns) {
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return t
}

// take waits for the account's turn. The caller gives it back.
func (t *turns) take(ctx context.Context, account budget.Key) (giveBack func(), err error) {
	turn := t[int(account[0])%len(t)]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
