// Package backend lets the robustness tests use every store in the same way: how to start its server, how a process opens a ledger there by
// its address, and what can go wrong. Each store has a file; this one has what they share.
//
// A ledger's address is the backend's name, a colon and its place, by which any process can open it. A place is a file (SQLite), a number
// (memory), or host:port/name of the ledger. A handle is an open budget.Store.
package backend

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Backend is one kind of store.
type Backend struct {
	Name string
	// Shared says that several processes can open one ledger, and that it survives the death of each of them.
	Shared bool
	// Remote says that its servers are Networked, and Replicates that they are Replicated (the interfaces below).
	Remote, Replicates bool
	// Start starts the server of the store and stops it when the test ends. If it is not installed, the test is skipped, or fails with
	// CI=true.
	Start func(tb testing.TB) Server
	// StartAt does the same with a server that also listens on another address of this machine. Nil if the store can't.
	StartAt func(tb testing.TB, host string) Server

	open func(ctx context.Context, place string, o Options) (budget.Store, error)
}

// Server is what a store runs on.
type Server interface {
	// NewLedger makes an empty ledger, with the clock of the options, and returns its address.
	NewLedger(tb testing.TB, optFns ...func(*Options)) (address string)
	// Faults returns what can be done to the server. Each fault is begun and ended in turn.
	Faults() []Fault
}

// Networked is a Server that is reached over TCP, so that a proxy can be put in front of it.
type Networked interface {
	Server
	// HostPort is the server's address, for a proxy.
	HostPort() string
}

// Replicated is a Server that can have a replica which falls behind.
type Replicated interface {
	Networked
	// NewReplica starts a replica, waits until it has all that the server has, and returns its address. From detach on it receives nothing
	// more, and can be used instead of the server.
	NewReplica(tb testing.TB) (hostPort string, detach func() error)
}

// Fault is something that happens to a server.
type Fault struct {
	Name string
	// Begin starts the fault, on the server or only on the ledger at an address. End ends it; nil says that there is nothing to end.
	Begin, End func(address string) error
	// Forgets says that steps which the store has acknowledged may be lost, so that open handles must refuse every call from then on.
	Forgets bool
}

// Options says how a handle is opened. The zero value opens it as a user does.
type Options struct {
	// Clock is the store's clock. Nil is the store's own.
	Clock func() time.Time
	// Via is the host and port of a proxy in front of the server. Empty means no proxy.
	Via string
	// Timeout is how long one step waits for a server that does not answer, if the store leaves that to its client. Zero is the client's
	// default.
	Timeout time.Duration
	// Relaxed lets a store omit what only a loss of power makes necessary, such as waiting for the disk, if it has such an option.
	Relaxed bool
	// Retention is how long resolved reservations are remembered. Zero is longer than any clock of these tests runs, and DefaultRetention is
	// the store's default.
	Retention time.Duration

	create bool // make the ledger
}

// DefaultRetention is the value of Options.Retention that uses the store's default.
const DefaultRetention time.Duration = -1

// retention is longer than any clock of these tests runs, so that nothing is deleted.
const retention = 50 * 366 * 24 * time.Hour

// retention returns what a store is opened with. A store takes DefaultRetention, which is negative, for its own default.
func (o *Options) retention() time.Duration { return cmp.Or(o.Retention, retention) }

// options applies functions to Options.
func options(optFns []func(*Options)) (o Options) {
	for _, fn := range optFns {
		fn(&o)
	}
	return o
}

// all returns every store.
func all() []Backend { return []Backend{memory, sqlite, redisBackend, postgres, dynamo} }

// Selected returns the stores that are tested: those in ROBUSTNESS_STORES, separated by commas, or all.
func Selected() []Backend {
	names := os.Getenv("ROBUSTNESS_STORES")
	if names == "" {
		return all()
	}
	return slices.DeleteFunc(all(), func(b Backend) bool { return !slices.Contains(strings.Split(names, ","), b.Name) })
}

// Each runs a test for every store that wanted selects, each with a server of its own. A nil wanted selects all.
func Each(t *testing.T, wanted func(Backend) bool, test func(t *testing.T, b Backend, s Server)) {
	for _, b := range Selected() {
		if wanted == nil || wanted(b) {
			t.Run(b.Name, func(t *testing.T) { test(t, b, b.Start(t)) })
		}
	}
}

// Named selects one store.
func Named(name string) func(Backend) bool { return func(b Backend) bool { return b.Name == name } }

// Remote selects stores whose servers are Networked.
func Remote(b Backend) bool { return b.Remote }

// Replicates selects stores whose servers are Replicated.
func Replicates(b Backend) bool { return b.Replicates }

// Open opens another handle on the ledger at an address, as any process may. Closing the store also closes its client.
func Open(ctx context.Context, address string, optFns ...func(*Options)) (budget.Store, error) {
	o := options(optFns)
	name, place, _ := strings.Cut(address, ":")
	for _, b := range all() { // not only those that are tested
		if b.Name == name {
			return b.open(ctx, place, o)
		}
	}
	return nil, fmt.Errorf("backend: no store is named %q", name)
}

// Patient gives a handle a long timeout, so that errors never come from a slow machine.
func Patient(o *Options) { o.Timeout = time.Minute }

// MustOpen opens a handle that is Patient, unless the options say otherwise, and closes it when the test ends.
func MustOpen(tb testing.TB, address string, optFns ...func(*Options)) budget.Store {
	tb.Helper()
	s, err := Open(context.Background(), address, append([]func(*Options){Patient}, optFns...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}
