package redisstore

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

func usd(n int64) (c driver.Charge) {
	c[driver.UnitUSD] = n
	return c
}

func daily(account byte, limit int64) []driver.Line {
	return []driver.Line{{Account: driver.Key{account}, Unit: driver.UnitUSD, Window: driver.Daily, Max: limit}}
}

func reservation(n int64, lines []driver.Line) driver.Reservation {
	return driver.Reservation{ID: driver.NewID(), Owner: driver.Key{7}, Charge: usd(n), Lines: lines, TTL: time.Hour}
}

func stands(t *testing.T, s *Store, lines []driver.Line, settled, pending int64) {
	t.Helper()
	all, err := s.Balances(t.Context(), lines)
	require.NoError(t, err)
	require.Equal(t, [2]int64{settled, pending}, [2]int64{all[0].Settled, all[0].Pending}, "settled and pending")
}

// clients are the ways in which a client may be configured: with retries, as it comes, and without; and one that watches no
// contexts, behind a type that the store can't look into.
var clients = map[string]func(t *testing.T, addr string) redis.UniversalClient{
	"as it comes": func(t *testing.T, addr string) redis.UniversalClient { return dial(t, addr) },
	"retries off": func(t *testing.T, addr string) redis.UniversalClient {
		return dial(t, addr, func(o *redis.Options) { o.MaxRetries = -1 })
	},
	"wrapped": func(t *testing.T, addr string) redis.UniversalClient {
		return struct{ redis.UniversalClient }{dial(t, addr, func(o *redis.Options) { o.ReadTimeout = time.Second })}
	},
}

// A reply that is lost leaves the caller with an error, and the ledger with one reservation: the client sends nothing twice,
// and who repeats a step by its id changes nothing.
func TestALostReplyCountsOnce(t *testing.T) {
	servers.Require(t, sharedErr)
	warm := open(t) // so that the server knows the scripts, and none has to be sent a second time, whole
	r := reservation(1, daily(1, 10))
	_, err := warm.Reserve(t.Context(), r)
	require.NoError(t, err)
	_, err = warm.Settle(t.Context(), driver.Settlement{ID: r.ID, Owner: r.Owner, Lines: r.Lines})
	require.NoError(t, err)
	_, err = warm.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(1), Change: storetest.NewChange()})
	require.NoError(t, err)
	require.NoError(t, warm.Void(t.Context(), driver.NewID(), driver.Key{}))
	require.NoError(t, warm.Revive(t.Context(), driver.Flag{Scope: driver.Scope{}}, storetest.NewChange()))
	for client, connect := range clients {
		for name, what := range faults {
			t.Run(client+"/"+name, func(t *testing.T) {
				t.Parallel()
				proxy := newLossy(t, shared.Addr)
				s, err := Open(t.Context(), connect(t, proxy.addr), with(named(), func(o *Options) { o.Timeout = time.Second }))
				require.NoError(t, err)
				defer s.Close()
				lines, honest := daily(1, 1<<40), open(t, func(o *Options) { o.Ledger = s.opts.Ledger })
				n := 4
				if what == blackHole { // each one lasts until the timeout
					n = 1
				}
				for range n {
					r := reservation(3, lines)
					s.loses(t, proxy, what, func() error { _, err := s.Reserve(t.Context(), r); return err })
					d, err := honest.Reserve(t.Context(), r)
					require.NoError(t, err)
					require.True(t, d.Replayed, "the reservation whose reply was lost was made")
					st := driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(2), Lines: lines}
					s.loses(t, proxy, what, func() error { _, err := s.Settle(t.Context(), st); return err })
					p, err := honest.Settle(t.Context(), st)
					require.NoError(t, err)
					require.True(t, p.Replayed)
					s.loses(t, proxy, what, func() error {
						_, err := s.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(1), Change: storetest.NewChange()})
						return err
					})
					c, err := honest.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(1), Change: storetest.NewChange()})
					require.NoError(t, err)
					require.True(t, c.Replayed)

					voided := reservation(5, lines)
					s.loses(t, proxy, what, func() error { return s.Void(t.Context(), voided.ID, voided.Owner) })
					s.loses(t, proxy, what, func() error {
						return s.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange())
					})
					s.loses(t, proxy, what, func() error {
						return s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange())
					})
				}
				stands(t, honest, lines, int64(n), 0)
				kills, err := honest.Kills(t.Context())
				require.NoError(t, err)
				require.Empty(t, kills)
			})
		}
	}
}

// loses runs a step whose reply gets lost, and asserts that it failed and that the client sent it once.
func (s *Store) loses(t *testing.T, proxy *lossy, what fault, step func() error) {
	t.Helper()
	before := proxy.scripts.Load()
	proxy.next.Store(int32(what))
	err := step()
	require.Error(t, err)
	for _, domain := range []error{budget.ErrExceeded, driver.ErrKilled, driver.ErrOverflow, driver.ErrInvalidCharge, driver.ErrIDConflict, driver.ErrResolved, driver.ErrNotFound} {
		require.NotErrorIs(t, err, domain)
	}
	require.Equal(t, int64(1), proxy.scripts.Load()-before, "scripts sent for one step")
}
