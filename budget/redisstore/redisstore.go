// Package redisstore keeps a ledger's accounts in Redis 7 or Valkey: for the processes of many hosts.
//
// Each step is one Lua script, so that it is atomic, and the server's clock is the ledger's. A ledger lives in one hash slot:
// in a cluster it has the speed of one core of one node, and moves as a whole. A step that got no answer may be repeated:
// scripts know reservations by their ids, and the client's own retries are switched off for them.
//
// A user of the server needs ~bedrockguard:* +@connection +@scripting +@hash +@sortedset +exists +time; for Signal also
// &bedrockguard:* +publish +subscribe; +info, unless Options vouch for the server; and +wait for Options.MinReplicas.
//
// # What can be lost
//
// Open refuses a server that may evict keys or that keeps no append-only file, unless Options say otherwise. With
// appendonly and appendfsync=everysec, the server's default, a killed process loses nothing that it acknowledged; a power
// loss can take the last second or so, with appendfsync=always nothing.
//
// Replication is asynchronous. A failover, by Sentinel, Cluster or a managed service, can lose what the old primary had
// acknowledged and the new one had not received, and whatever a primary that was cut off acknowledges until it steps down
// (cluster-node-timeout, or the time that Sentinel needs). Limits may then be exceeded by at most the reservations that
// were acknowledged in that stretch: their rate times the lag of the replication. A lost kill flag has to be set again.
// Options.MinReplicas narrows this to the loss of more replicas than that at once, at the price of a round trip between
// servers; it does not make Redis strongly consistent. min-replicas-to-write on the server stops a primary that was cut off.
//
// If a process finds that the ledger is gone, was replaced, or is older than what it has seen, it returns driver.ErrLost from then on,
// until an operator accepts the loss. If other processes write to a ledger that was restored to an older state, its sequence may pass
// what this process has seen before it looks; then neither this process nor one that starts later can notice. If a key or
// a field is gone, because it was evicted or deleted, every process notices, because each step stores how many there
// are. Without Options.Create a process refuses a ledger that is gone.
//
// Once a process has opened a ledger of an earlier version of the library, processes with that version refuse it.
//
// # Limits
//
// A sum is at most 2^53-1, for USD about 9 million dollars: what would exceed it is driver.ErrOverflow. Windows are kept to
// the microsecond. Entries looks at about 20,000 entries in one step; a page that takes more is put together from several,
// each entry as it was when its part was read. Expire charges 500 reservations and forgets 1,000 in one step, and goes on
// with the next.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Store is a driver.Store in Redis. It is safe for concurrent use. Open returns one.
type Store struct {
	opts Options
	rdb  redis.UniversalClient
	// punctual says that rdb obeys the deadlines of contexts; otherwise each step needs a goroutine of its own.
	punctual bool
	keys     *keySpace                // the names of the ledger's keys on the server
	known    atomic.Pointer[known]    // which ledger this process has opened, and whether it was found to be lost
	seen     atomic.Int64             // the highest sequence in any answer: a ledger with a lower one was set back
	time     estimate                 // of the server's time
	flags    atomic.Pointer[patterns] // the kill flags with patterns, which this process matches for the server

	retention int64 // Options.Retention in microseconds

	mu     sync.Mutex // guards closed, and is held while steps grows, so that no step begins after closed was set
	closed bool
	steps  sync.WaitGroup     // running scripts, including those that nobody waits for
	ctx    context.Context    // ends with Close: it ends Signal
	end    context.CancelFunc // ends ctx
}

var (
	_ driver.Store    = (*Store)(nil)
	_ driver.Signaler = (*Store)(nil)
)

// errClosed is returned by every step after Close.
var errClosed = errors.New("redisstore: closed: open a new store")

// Open opens the ledger with the name Options.Ledger; see Options.Create for its first start. The caller has to close the client, after the
// Store. Any client can be used, as long as its reads end: its retries are not used, and it need not obey contexts.
func Open(ctx context.Context, rdb redis.UniversalClient, o Options) (*Store, error) {
	if err := o.complete(rdb); err != nil {
		return nil, err
	}
	// own is rdb, or a copy that obeys the deadlines of contexts; punctual says whether it does.
	own, punctual, err := o.adopt(rdb)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: o, rdb: own, punctual: punctual, keys: newKeySpace(o.Ledger), retention: micros(o.Retention)}
	s.ctx, s.end = context.WithCancel(context.Background())
	if err := s.open(ctx); err != nil {
		_ = s.Close() // ends s.ctx; Close never fails
		return nil, fmt.Errorf("redisstore: open: %w", err)
	}
	return s, nil
}

// enter counts a running step, for which Close waits, or refuses it if the store is closed. Whoever calls it calls steps.Done at the end.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	// Under the lock, so that no step is added once Close waits.
	s.steps.Add(1)
	return nil
}

// Close ends Signal and waits for running steps. Later calls return an error; closing again does not. The client stays open.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.steps.Wait()
	return nil
}
