package faults

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// TestFailover lets a replica take over. One that is in step goes on where the primary was. One that lags has lost what
// was acknowledged in between: a store that was open must notice and refuse for good, instead of handing out the room of
// reservations that it knows of a second time.
func TestFailover(t *testing.T) {
	backend.Each(t, backend.Replicates, func(t *testing.T, b backend.Backend, server backend.Server) {
		r, m := server.(backend.Replicated), newMatrix()
		for _, behind := range []int{0, 1, 20} {
			proxy := NewProxy(t, r.HostPort())
			var replica string
			c := &cell{address: server.NewLedger(t), trouble: trouble{
				name: fmt.Sprintf("failover, replica %d steps behind", 2*behind), via: proxy.Addr(), forgets: behind > 0,
				begin: func(string) error { proxy.Redirect(replica); return nil }, end: nothing,
			}}
			t.Run(c.name, func(t *testing.T) {
				var detach func() error
				replica, detach = r.NewReplica(t)
				c.failOver(t, behind, detach)
			})
			m.add(b.Name, c)
		}
		t.Log(m)
	})
}

// failOver makes so many calls that the replica never hears of, before it takes over.
func (c *cell) failOver(t *testing.T, behind int, detach func() error) {
	ctx := t.Context()
	ledger := c.open(ctx, t)
	require.NoError(t, detach())
	for n := range behind {
		eventually(t, func() error { return c.around.serve(ctx, ledger, fmt.Sprintf("unheard-%d", n)) })
	}
	require.NoError(t, c.begin(c.address))
	if c.forgets {
		c.load(ctx, ledger)
		require.Empty(t, c.during.admitted)
		c.refusesForGood(ctx, t, ledger)
		return
	}
	c.resumes(ctx, t, ledger)
}
