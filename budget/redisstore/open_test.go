package redisstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

func TestNewRefusesServersThatForget(t *testing.T) {
	server := own(t)
	rdb, name := dial(t, server.Addr), named()
	_, err := Open(t.Context(), rdb, with(name))
	require.ErrorContains(t, err, "appendonly is off")
	require.NotContains(t, err.Error(), "noeviction")
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	_, err = Open(t.Context(), rdb, with(name))
	require.ErrorContains(t, err, "appendonly is off")
	require.ErrorContains(t, err, "maxmemory-policy is allkeys-lru")
	_, err = Open(t.Context(), rdb, with(name, func(o *Options) { o.AllowNoAppendOnly = true }))
	require.ErrorContains(t, err, "Options.AllowEviction")
	require.Zero(t, rdb.DBSize(t.Context()).Val(), "what is refused leaves nothing behind")
	s, err := Open(t.Context(), rdb, with(name, func(o *Options) { o.AllowNoAppendOnly, o.AllowEviction = true, true }))
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// A server that does not tell how it is configured, as some managed ones, is opened by those who say that they know.
func TestNewRefusesServersThatDoNotTell(t *testing.T) {
	server := own(t, "appendonly yes", "user limited on >secret ~bedrockguard:* &* +@all -@admin -@dangerous")
	rdb := dial(t, server.Addr, func(o *redis.Options) { o.Username, o.Password = "limited", "secret" })
	require.ErrorContains(t, rdb.ConfigGet(t.Context(), "*").Err(), "NOPERM")
	_, err := Open(t.Context(), rdb, with(named()))
	require.ErrorContains(t, err, "Options.AllowEviction")
	require.ErrorContains(t, err, "Options.AllowNoAppendOnly")
	s, err := Open(t.Context(), rdb, with(named(), func(o *Options) { o.AllowEviction, o.AllowNoAppendOnly = true, true }))
	require.NoError(t, err)
	defer s.Close()
	for step, err := range everyStep(t, s, reservation(1, daily(1, 10))) {
		if step != "Reserve again" && step != "Void" { // its id is voided or settled by then, whatever came first
			require.NoError(t, err, step)
		}
	}

	wrong := dial(t, server.Addr, func(o *redis.Options) { o.Username, o.Password = "limited", "hunter2" })
	_, err = Open(t.Context(), wrong, with(named()))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

// The rights that the package asks for suffice.
func TestAUserNeedsNoMoreRights(t *testing.T) {
	server := own(t, "appendonly yes", "user least on >secret ~bedrockguard:* &bedrockguard:* +@connection +@scripting +@hash +@sortedset +exists +time +publish +subscribe +info +wait")
	s, err := Open(t.Context(), dial(t, server.Addr, func(o *redis.Options) { o.Username, o.Password = "least", "secret" }), with(named()))
	require.NoError(t, err)
	defer s.Close()
	changed, _, _ := heard(t, s)
	for step, err := range everyStep(t, s, reservation(1, daily(1, 10))) {
		if step != "Void" { // it is settled by then
			require.NoError(t, err, step)
		}
	}
	hears(t, changed)
}

// CONFIG may be forbidden: INFO tells what is needed.
func TestNewNeedsNoConfig(t *testing.T) {
	server := own(t, "appendonly yes", `rename-command CONFIG ""`)
	s, err := Open(t.Context(), dial(t, server.Addr), with(named()))
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestReplicasAreRefused(t *testing.T) {
	primary := own(t, "appendonly yes")
	replica := own(t, "appendonly yes", servers.ReplicaOf(primary))
	s, err := Open(t.Context(), dial(t, primary.Addr), with(named()))
	require.NoError(t, err)
	defer s.Close()
	r := reservation(3, daily(1, 10))
	_, err = s.Reserve(t.Context(), r)
	require.NoError(t, err)
	behind := dial(t, replica.Addr)
	require.Eventually(t, func() bool { return behind.Exists(t.Context(), s.keys.ledger).Val() == 1 }, 30*time.Second, 5*time.Millisecond)
	for _, create := range []bool{false, true} {
		_, err = Open(t.Context(), behind, Options{Ledger: s.opts.Ledger, Create: create})
		require.ErrorContains(t, err, "the server is a slave: a ledger needs the primary")
	}

	// A primary that was made a replica serves nobody any more, not even those who only read.
	require.NoError(t, s.rdb.(*redis.Client).ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	for step, err := range everyStep(t, s, r) {
		require.ErrorContains(t, err, "READONLY", step)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	servers.Require(t, sharedErr)
	_, err := Open(t.Context(), nil, Options{})
	require.ErrorContains(t, err, "no client")
	rdb := dial(t, shared.Addr)
	_, err = Open(t.Context(), rdb, with(named(), func(o *Options) { o.MinReplicas = -1 }))
	require.ErrorContains(t, err, "MinReplicas")
	_, err = Open(t.Context(), struct{ redis.UniversalClient }{rdb}, with(named(), func(o *Options) { o.MinReplicas = 1 }))
	require.ErrorIs(t, err, errReplicaClient)
	endless := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{shared.Addr}, ReadTimeout: -1})
	defer endless.Close()
	_, err = Open(t.Context(), endless, with(named()))
	require.ErrorContains(t, err, "without end")
	nobody := dial(t, "127.0.0.1:1")
	_, err = Open(t.Context(), nobody, with(named()))
	require.ErrorContains(t, err, "refused")

	s := open(t)
	require.NoError(t, s.rdb.HSet(t.Context(), s.keys.ledger, "v", "99").Err())
	_, err = Open(t.Context(), rdb, Options{Ledger: s.opts.Ledger})
	require.ErrorContains(t, err, `layout "99"`)
	foreign := newKeySpace("foreign")
	require.NoError(t, rdb.Set(t.Context(), foreign.ledger, "something else", 0).Err())
	_, err = Open(t.Context(), rdb, Options{Ledger: "foreign", Create: true})
	require.ErrorContains(t, err, "WRONGTYPE")
}

// Processes that open a new ledger at once open the same one.
func TestManyOpenAtOnce(t *testing.T) {
	servers.Require(t, sharedErr)
	name := named()
	var mu sync.Mutex
	epochs := make(map[string]int)
	var all sync.WaitGroup
	for range 16 {
		rdb := dial(t, shared.Addr)
		all.Go(func() {
			s, err := Open(t.Context(), rdb, with(name))
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Reserve(t.Context(), reservation(1, daily(1, 100))); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			epochs[s.known.Load().epoch]++
		})
	}
	all.Wait()
	require.Len(t, epochs, 1)
	s, err := Open(t.Context(), dial(t, shared.Addr), with(name))
	require.NoError(t, err)
	defer s.Close()
	stands(t, s, daily(1, 100), 0, 16)
}

// Ledgers of different names know nothing of each other.
func TestLedgersAreApart(t *testing.T) {
	a, b := open(t), open(t)
	_, err := a.Reserve(t.Context(), reservation(3, daily(1, 10)))
	require.NoError(t, err)
	require.NoError(t, a.Kill(t.Context(), driver.Kill{}, storetest.NewChange()))
	stands(t, b, daily(1, 10), 0, 0)
	d, err := b.Reserve(t.Context(), reservation(10, daily(1, 10)))
	require.NoError(t, err)
	require.True(t, d.Admitted)
}

// The hard cap holds through the Ledger, over two processes' handles on one server.
func TestALedgerOverIt(t *testing.T) {
	first := open(t)
	second := open(t, func(o *Options) { o.Ledger, o.Create = first.opts.Ledger, false })
	policy := budget.Policy{Limits: []budget.Limit{{Name: "calls", Max: budget.Calls(10), Window: driver.Daily}}}
	admitted := 0
	for i, s := range []*Store{first, second, first, second} {
		ledger, err := budget.Open(t.Context(), s, policy)
		require.NoError(t, err)
		for range 4 {
			r, err := ledger.Reserve(t.Context(), budget.Request{Worst: driver.ChargeOf(price.Usage{}, 0)})
			if err != nil {
				require.ErrorIs(t, err, budget.ErrExceeded, fmt.Sprint(i))
				continue
			}
			admitted++
			_, err = ledger.Settle(t.Context(), r, driver.ChargeOf(price.Usage{}, 0), false)
			require.NoError(t, err)
		}
	}
	require.Equal(t, 10, admitted)
}
