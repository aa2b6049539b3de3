package redisstore

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// The server that tests share, each with a ledger of its own.
var (
	shared    *servers.Redis
	sharedErr error
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "redisstore")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared, sharedErr = servers.StartRedis(dir, "appendonly yes")
	code := m.Run()
	if sharedErr == nil {
		err = errors.Join(err, shared.Stop())
	}
	if err = errors.Join(err, goleak.Find()); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

var ledgers atomic.Int64

// named gives a test a ledger of its own on the server that tests share.
func named() func(*Options) {
	name := fmt.Sprintf("test %d", ledgers.Add(1))
	return func(o *Options) { o.Ledger, o.Create, o.Timeout = name, true, 20*time.Second }
}

// dial returns a client as most users make it.
func dial(t testing.TB, addr string, change ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{Addr: addr}
	for _, f := range change {
		f(o)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// open returns a store over a new ledger on the shared server.
func open(t testing.TB, optFns ...func(*Options)) *Store {
	servers.Require(t, sharedErr)
	s, err := Open(t.Context(), dial(t, shared.Addr), with(append([]func(*Options){named()}, optFns...)...))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// own starts a server for one test alone.
func own(t testing.TB, options ...string) *servers.Redis {
	dir, err := os.MkdirTemp("", "redisstore")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	server, err := servers.StartRedis(dir, options...)
	servers.Require(t, err)
	t.Cleanup(func() { server.Kill() })
	return server
}

// with returns what changes make of the zero options.
func with(changes ...func(*Options)) (o Options) {
	for _, change := range changes {
		change(&o)
	}
	return o
}
