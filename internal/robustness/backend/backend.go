// Package backend gives the robustness tests one way to every store: how to start what it runs on, how a process opens a
// ledger there by its address, and what can go wrong with it. One file a store; this one holds what they share.
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
	// Remote says that its servers are Networked, Replicates that they are Replicated.
	Remote, Replicates bool
	// Start starts what the store runs on and stops it when the test ends. What is missing skips the test, or fails it
	// under CI=true.
	Start func(tb testing.TB) Server
	// StartAt does the same with a server that also listens on another address of this machine. Nil says that there is none.
	StartAt func(tb testing.TB, host string) Server

	open func(ctx context.Context, place string, o Options) (budget.Store, error)
}

// Server is what a store runs on.
type Server interface {
	// NewLedger returns the address of a new and empty ledger, made by the Options' clock.
	NewLedger(tb testing.TB, optFns ...func(*Options)) (address string)
	// Faults returns what can be done to the server. Each fault is begun and ended by turns.
	Faults() []Fault
}

// Networked is a Server that is reached over TCP, so that a proxy can stand in between.
type Networked interface {
	Server
	// HostPort is where the server listens, for a proxy to forward to.
	HostPort() string
}

// Replicated is a Server that can have a replica which lags behind.
type Replicated interface {
	Networked
	// NewReplica starts a replica, and returns where it listens once it knows all that the server knows. From detach on
	// it takes in nothing any more, and can be asked in the server's place.
	NewReplica(tb testing.TB) (hostPort string, detach func() error)
}

// Fault is something that happens to a server.
type Fault struct {
	Name string
	// Begin does it to the server, or to the ledger at an address alone. End mends it; nil says that there is nothing to do.
	Begin, End func(address string) error
	// Forgets says that acknowledged steps may be gone afterwards, so that handles that were open must refuse for good.
	Forgets bool
}

// Options says how a handle is opened. Its zero value is a handle as a user has it.
type Options struct {
	// Clock is the store's time. Nil is the store's own.
	Clock func() time.Time
	// Via is the host and port of a proxy in front of the server. Empty is the server itself.
	Via string
	// Timeout is how long one step waits for a server that does not answer, where the store leaves that to its client.
	// Zero is the client's default.
	Timeout time.Duration
	// Relaxed lets a store skip what only a loss of power would need, where it leaves the choice.
	Relaxed bool
	// Retention is how long resolved reservations are remembered. Zero is longer than any clock of these tests runs, and
	// DefaultRetention the store's own.
	Retention time.Duration

	create bool // the ledger is made
}

// DefaultRetention stands for a store's own retention.
const DefaultRetention time.Duration = -1

// retention is longer than any clock of these tests runs.
const retention = 50 * 366 * 24 * time.Hour

func (o *Options) retention() time.Duration { return cmp.Or(o.Retention, retention) }

// options collects what functions say.
func options(optFns []func(*Options)) (o Options) {
	for _, fn := range optFns {
		fn(&o)
	}
	return o
}

// all returns every store there is.
func all() []Backend { return []Backend{memory, sqlite, redisBackend, postgres, dynamo} }

// Selected returns the stores that tests are asked to try: those that ROBUSTNESS_STORES names, with commas in between, or
// all of them.
func Selected() []Backend {
	names := os.Getenv("ROBUSTNESS_STORES")
	if names == "" {
		return all()
	}
	return slices.DeleteFunc(all(), func(b Backend) bool { return !slices.Contains(strings.Split(names, ","), b.Name) })
}

// Each runs a test for every store that is wanted, on a server of its own. A nil wanted wants all.
func Each(t *testing.T, wanted func(Backend) bool, test func(t *testing.T, b Backend, s Server)) {
	for _, b := range Selected() {
		if wanted == nil || wanted(b) {
			t.Run(b.Name, func(t *testing.T) { test(t, b, b.Start(t)) })
		}
	}
}

// Named wants one store.
func Named(name string) func(Backend) bool { return func(b Backend) bool { return b.Name == name } }

// Remote wants stores whose servers are Networked.
func Remote(b Backend) bool { return b.Remote }

// Replicates wants stores whose servers are Replicated.
func Replicates(b Backend) bool { return b.Replicates }

// Open opens one more handle on the ledger at an address, as any process may. Closing the store closes all of it.
func Open(ctx context.Context, address string, optFns ...func(*Options)) (budget.Store, error) {
	o := options(optFns)
	name, place, _ := strings.Cut(address, ":")
	for _, b := range all() {
		if b.Name == name {
			return b.open(ctx, place, o)
		}
	}
	return nil, fmt.Errorf("backend: no store is named %q", name)
}

// Patient lets a handle wait for as long as a slow machine may need, so that an error is never one of the machine's.
func Patient(o *Options) { o.Timeout = time.Minute }

// MustOpen opens a handle that is Patient, unless it is told otherwise, and closed when the test ends.
func MustOpen(tb testing.TB, address string, optFns ...func(*Options)) budget.Store {
	tb.Helper()
	s, err := Open(context.Background(), address, append([]func(*Options){Patient}, optFns...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}
