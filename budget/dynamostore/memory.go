package dynamostore

import (
	"context"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// maxRemembered bounds what a store keeps in memory. None of it is needed: it saves reads.
const maxRemembered = 8192

// entryMemory holds reservations that this store made and that are pending as far as it knows, so that their settlement needs no read. A
// pending reservation changes only when it is resolved, and each transaction requires it to be as remembered. The zero value is empty.
type entryMemory struct {
	mu    sync.Mutex
	known map[driver.ID]*entry
}

// put remembers an entry. If there is no room, it forgets some other one.
func (m *entryMemory) put(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[driver.ID]*entry)
	}
	if len(m.known) >= maxRemembered {
		for id := range m.known {
			delete(m.known, id)
			break
		}
	}
	m.known[e.id] = e
}

// take returns the entry of an id, or nil, and forgets it, because the caller is about to resolve it.
func (m *entryMemory) take(id driver.ID) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.known[id]
	delete(m.known, id)
	return e
}

// blindFailures remembers accounts at which a reservation without a read would probably fail, so that the next one reads first: for a client
// that keeps trying although its budget is spent, a read is cheaper than a cancelled transaction and loads the account's partition less. Its
// zero value is empty.
type blindFailures struct {
	mu       sync.Mutex
	accounts map[driver.Key]bool
}

// any reports whether the account of one of the lines is remembered.
func (w *blindFailures) any(lines []driver.Line) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range lines {
		if w.accounts[lines[i].Account] {
			return true
		}
	}
	return false
}

// set remembers an account, or forgets it. If there is no room, all others are forgotten.
func (w *blindFailures) set(account driver.Key, fails bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !fails {
		delete(w.accounts, account)
		return
	}
	if w.accounts == nil || len(w.accounts) >= maxRemembered {
		w.accounts = make(map[driver.Key]bool)
	}
	w.accounts[account] = true
}

// accountLocks serialises the steps of this process that require an account to be unchanged since they read it: at the same time, all but one
// of them would fail and be repeated. Steps of other processes still get in between, so that the locks save repetitions and nothing
// rests on them. Accounts share 64 locks. Make one with newAccountLocks.
type accountLocks [64]chan struct{}

// newAccountLocks returns locks that nobody has.
func newAccountLocks() (locks accountLocks) {
	for i := range locks {
		locks[i] = make(chan struct{}, 1)
	}
	return locks
}

// lock waits for the account's lock. The caller has to call unlock.
func (l *accountLocks) lock(ctx context.Context, account driver.Key) (unlock func(), err error) {
	return stepLock(l[int(account[0])%len(l)]).lock(ctx)
}

// stepLock is had by one step at a time, in the order in which they came. It has room for one value.
type stepLock chan struct{}

// lock waits for the lock. The caller has to call unlock.
func (l stepLock) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
