package backend

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

var memory = Backend{Name: "memory", Start: startMemory, open: openMemory}

// ledgers has each *memoryLedger of this process, by its place.
var ledgers sync.Map

// ledgersMade is how many were made, for their places.
var ledgersMade atomic.Int64

// memoryLedger is a store that all handles of a ledger share. The first handle makes it. Its clock is that of the handle that was opened last with
// a clock.
type memoryLedger struct {
	*memstore.Store
	made  sync.Once
	clock atomic.Pointer[func() time.Time]
}

// now is the store's clock: the handles', if one has set any.
func (l *memoryLedger) now() time.Time {
	if clock := l.clock.Load(); clock != nil {
		return (*clock)()
	}
	return time.Now()
}

// memoryHandle is one of a ledger's handles: closing it leaves the others open.
type memoryHandle struct{ *memstore.Store }

// Close implements budget.Store.
func (memoryHandle) Close() error { return nil }

type memoryServer struct{}

func startMemory(testing.TB) Server { return memoryServer{} }

// NewLedger implements Server. The first Open makes the store.
func (memoryServer) NewLedger(tb testing.TB, _ ...func(*Options)) string {
	place := strconv.FormatInt(ledgersMade.Add(1), 10)
	ledgers.Store(place, &memoryLedger{})
	tb.Cleanup(func() { ledgers.Delete(place) })
	return memory.Name + ":" + place
}

// Faults returns none: what lives in the memory of a process can only end with that process.
func (memoryServer) Faults() []Fault { return nil }

// openMemory opens a handle on a ledger of this process.
func openMemory(_ context.Context, place string, o Options) (budget.Store, error) {
	found, ok := ledgers.Load(place)
	if !ok {
		return nil, fmt.Errorf("backend: no ledger %q in this process", place)
	}
	l := found.(*memoryLedger)
	if o.Clock != nil {
		l.clock.Store(&o.Clock)
	}
	l.made.Do(func() { // with the retention of the first handle, which the others share
		l.Store = memstore.New(memstore.Options{Clock: l.now, Retention: o.retention()})
	})
	return memoryHandle{l.Store}, nil
}
