package redisstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

func TestConformance(t *testing.T) {
	servers.Require(t, sharedErr)
	storetest.Run(t, storetest.Harness{
		Seeds: 4, Steps: 500, MaxSum: 1<<53 - 1,
		Open: func(t *testing.T, clock *storetest.Clock) budget.Store {
			return open(t, func(o *Options) { o.Clock, o.Retention = clock.Now, storetest.Retention })
		},
		Reopen: func(t *testing.T, store budget.Store, clock *storetest.Clock) budget.Store {
			opts := store.(*Store).opts
			opts.Create = false
			s, err := New(dial(t, shared.Addr), func(o *Options) { *o = opts })
			require.NoError(t, err)
			return s
		},
		Wipe: func(t *testing.T, store budget.Store) {
			s := store.(*Store)
			require.NoError(t, s.rdb.Del(t.Context(), append(s.keys.entries[:], s.keys.ledger, s.keys.due, s.keys.buckets, s.keys.kills)...).Err())
			again, err := New(s.rdb, func(o *Options) { *o = s.opts })
			require.NoError(t, err)
			require.NoError(t, again.Close())
		},
	})
}

var _ = time.Now
