package pgstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// bounced returns how the shared server is reached through a pooler in transaction mode, whose few sessions serve everybody.
func bounced(t *testing.T) string {
	dsn(t)
	pooler, err := servers.StartPgBouncer(serverDir, sharedServer, "default_pool_size=4", "min_pool_size=4")
	servers.Require(t, err)
	t.Cleanup(func() { require.NoError(t, pooler.Stop()) })
	return pooler.DSN()
}

// Nothing that a step needs may live in a session, because the next step gets another one: the way that the driver
// prepares statements by default fails here, and the store works beside it in the same sessions.
func TestStepsNeedNoSession(t *testing.T) {
	through := bounced(t)
	pool := newPool(t, through)
	s := open(t, pool, newSchema())
	l := line(1, driver.Monthly, 1<<40)
	var all sync.WaitGroup
	var mu sync.Mutex
	var prepared error
	for range 24 {
		all.Go(func() {
			for range 10 {
				r := hold(2, l)
				if d, err := s.Reserve(t.Context(), r); err != nil || !d.Admitted {
					t.Errorf("%+v: %v", d, err)
				}
				if _, err := s.Settle(t.Context(), settlement(r, 1)); err != nil {
					t.Error(err)
				}
				_, err := pool.Exec(t.Context(), "SELECT $1::int + 1", 1)
				mu.Lock()
				prepared = errors.Join(prepared, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Error(t, prepared, "statements prepared by name are lost or taken")
	stands(t, s, l, 240, 0)
}

// The timeouts hold in each step behind the pooler, and leave nothing behind in its sessions.
func TestTimeoutsHoldBehindPgBouncer(t *testing.T) {
	pool := newPool(t, bounced(t))
	s := open(t, pool, newSchema(), func(o *Options) { o.LockTimeout, o.Timeout = millis(50), millis(2000) })
	l := line(1, driver.Monthly, 100)
	admitted(t, s, hold(1, l))
	direct := newPool(t, dsn(t))
	stranger := begin(t, direct)
	_, err := stranger.Exec(t.Context(), "SELECT FROM "+s.opts.quoted()+".account FOR UPDATE")
	require.NoError(t, err)
	try := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), s.opts.Timeout)
		defer cancel()
		c := s.reserveCall(hold(1, l))
		_, _, err := s.try(ctx, &c, s.recalled(), manner{now: time.Now().UnixNano()})
		return err
	}
	require.True(t, isCode(try(), "55P03"), "lock_timeout")
	s.opts.LockTimeout = time.Minute
	require.True(t, isCode(try(), "57014"), "statement_timeout")
	require.NoError(t, stranger.Rollback(t.Context()))
	for range 20 {
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		row, err := queryRow(t.Context(), conn, "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
		conn.Release()
		require.NoError(t, err)
		require.Equal(t, []string{"0", "0"}, row)
	}
	admitted(t, s, hold(1, l))
	stands(t, s, l, 0, 2)
}
