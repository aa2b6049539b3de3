package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/redisstore"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

var redisBackend = Backend{Name: "redis", Shared: true, Remote: true, Replicates: true, Start: startRedis, StartAt: startRedisAt, open: openRedis}

// redisServer is a server that holds many ledgers, told apart by their names.
type redisServer struct {
	*servers.Redis
	dir  string         // of its files
	made atomic.Int64   // how many ledgers were made on it, for their names
	busy sync.WaitGroup // the request of occupy that does not end
}

// quiet drops the messages that the client would print for each connection that a fault breaks.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// durable configures a server that loses nothing that it has acknowledged when it is killed. With appendfsync everysec it could: during a
// flush to the disk, Redis acknowledges for up to two seconds what is not in its file yet.
var durable = []string{"appendonly yes", "appendfsync always", "repl-diskless-sync-delay 0"}

func startRedis(tb testing.TB) Server { return startRedisWith(tb, durable) }

// startRedisAt starts a server that also listens at host, where it answers without a password.
func startRedisAt(tb testing.TB, host string) Server {
	return startRedisWith(tb, append([]string{"bind 127.0.0.1 " + host, "protected-mode no"}, durable...))
}

// startRedisWith starts a server with lines of configuration.
func startRedisWith(tb testing.TB, settings []string) Server {
	redis.SetLogger(quiet{})
	dir := tb.TempDir()
	server, err := servers.StartRedis(dir, settings...)
	servers.Require(tb, err) // ends the test if the server did not start: it skips if the program is not installed
	tb.Cleanup(func() { _ = server.Kill() })
	return &redisServer{Redis: server, dir: dir}
}

func (s *redisServer) HostPort() string { return s.Addr }

// NewLedger implements Server.
func (s *redisServer) NewLedger(tb testing.TB, optFns ...func(*Options)) string {
	address := fmt.Sprintf("%s:%s/ledger-%d", redisBackend.Name, s.Addr, s.made.Add(1))
	if err := makeRedis(address, optFns...); err != nil {
		tb.Fatal(err)
	}
	return address
}

// makeRedis makes an empty ledger at an address.
func makeRedis(address string, optFns ...func(*Options)) error {
	place := strings.TrimPrefix(address, redisBackend.Name+":")
	store, err := newRedis(context.Background(), place, options(optFns), true)
	if err != nil {
		return err
	}
	return store.Close()
}

// Faults are of the whole server. Those that forget delete every ledger on it.
func (s *redisServer) Faults() []Fault {
	flush := s.command("FLUSHALL")
	return []Fault{
		{Name: "server killed", Begin: func(string) error { return s.Kill() }, End: func(string) error { return s.Restart() }},
		{Name: "server stopped", Begin: func(string) error { return s.Stop() }, End: func(string) error { return s.Restart() }},
		{Name: "server paused", Begin: func(string) error { return s.Pause() }, End: func(string) error { return s.Resume() }},
		{Name: "server busy with a script", Begin: s.occupy, End: s.release},
		// With a limit of one byte it refuses what needs memory; 0 is no limit.
		{Name: "server out of memory", Begin: s.command("CONFIG", "SET", "maxmemory", "1"), End: s.command("CONFIG", "SET", "maxmemory", "0")},
		// Nobody listens on port 1, so that it waits for its primary and refuses writes.
		{Name: "server became a replica", Begin: s.command("REPLICAOF", "127.0.0.1", "1"), End: s.command("REPLICAOF", "NO", "ONE")},
		// It refuses writes while no replica follows it.
		{Name: "server without its replicas", Begin: s.command("CONFIG", "SET", "min-replicas-to-write", "1"), End: s.command("CONFIG", "SET", "min-replicas-to-write", "0")},
		{Name: "flushed", Begin: flush, Forgets: true},
		{Name: "flushed and made anew", Begin: func(address string) error { return errors.Join(flush(address), makeRedis(address)) }, Forgets: true},
		{Name: "restarted without its files", Begin: func(string) error { return s.Kill() }, End: s.restartEmpty, Forgets: true},
	}
}

// NewReplica implements Replicated. detach makes the replica a primary of its own.
func (s *redisServer) NewReplica(tb testing.TB) (string, func() error) {
	replica, err := servers.StartRedis(tb.TempDir(), append([]string{servers.ReplicaOf(s.Redis)}, durable...)...)
	servers.Require(tb, err)
	tb.Cleanup(func() { _ = replica.Kill() })
	for inStep := int64(0); inStep == 0; { // the number of replicas that have received the latest write
		if inStep, err = waitForReplica(s.Addr); err != nil {
			tb.Fatal(err)
		}
	}
	return replica.Addr, func() error { return doRedis(replica.Addr, "REPLICAOF", "NO", "ONE") }
}

// waitForReplica writes something, waits for up to 100 ms until a replica has received it, and returns how many have.
func waitForReplica(addr string) (int64, error) {
	rdb := redis.NewClient(&redis.Options{Addr: addr, ReadTimeout: time.Minute})
	defer rdb.Close()
	if err := rdb.Set(context.Background(), "beat", 1, 0).Err(); err != nil {
		return 0, err
	}
	return rdb.Wait(context.Background(), 1, 100*time.Millisecond).Result()
}

// command returns a fault that sends one command to the server.
func (s *redisServer) command(args ...any) func(string) error {
	return func(string) error { return s.do(args...) }
}

func (s *redisServer) do(args ...any) error { return doRedis(s.Addr, args...) }

// doRedis sends one command to a server on a new connection, once.
func doRedis(addr string, args ...any) error {
	rdb := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ReadTimeout: time.Minute}) // -1: it does not retry
	defer rdb.Close()
	return rdb.Do(context.Background(), args...).Err()
}

// occupy keeps the server busy with a script that never ends, so that it answers BUSY to all others.
func (s *redisServer) occupy(string) error {
	// After one millisecond of a script the server answers BUSY; until then all others would wait.
	if err := s.do("CONFIG", "SET", "busy-reply-threshold", "1"); err != nil {
		return err
	}
	s.busy.Go(func() { _ = s.do("EVAL", "while true do end", "0") }) // ends with release
	for s.do("PING") == nil {                                        // until the server refuses it as busy
		time.Sleep(time.Millisecond)
	}
	return nil
}

// release ends the script of occupy.
func (s *redisServer) release(string) error {
	err := s.do("SCRIPT", "KILL")
	s.busy.Wait()
	return err
}

// restartEmpty starts the server again on an empty disk.
func (s *redisServer) restartEmpty(string) error {
	files, err := filepath.Glob(filepath.Join(s.dir, "appendonlydir", "*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	return errors.Join(err, s.Restart())
}

// redisStore is a store whose Close also closes its client.
type redisStore struct {
	*redisstore.Store
	rdb *redis.Client
}

func (s redisStore) Close() error { return errors.Join(s.Store.Close(), s.rdb.Close()) }

func openRedis(ctx context.Context, place string, o Options) (budget.Store, error) {
	return newRedis(ctx, place, o, false)
}

// newRedis opens a handle on the ledger at a place, host:port/name, or makes the ledger.
func newRedis(ctx context.Context, place string, o Options, create bool) (budget.Store, error) {
	addr, ledger, _ := strings.Cut(place, "/")
	if o.Via != "" {
		addr = o.Via
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr, ReadTimeout: o.Timeout, DialTimeout: o.Timeout, PoolTimeout: o.Timeout})
	store, err := redisstore.Open(ctx, rdb, redisstore.Options{Ledger: ledger, Create: create, Clock: o.Clock, Retention: o.retention(), Timeout: o.Timeout})
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return redisStore{store, rdb}, nil
}
