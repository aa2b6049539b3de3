package pgstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// conform runs the conformance suite over one pool. Commits are not waited for, which the suite could not see, so that its
// many steps run at the speed of the memory.
func conform(t *testing.T, pool *pgxpool.Pool, seeds, steps int) {
	options := func(schema string, clock *storetest.Clock) func(*Options) {
		return func(o *Options) {
			o.Schema, o.Clock, o.Retention, o.AllowVolatile = schema, clock.Now, storetest.Retention, true
		}
	}
	storetest.Run(t, storetest.Harness{
		Seeds: seeds, Steps: steps,
		Open: func(t *testing.T, clock *storetest.Clock) budget.Store {
			return open(t, pool, newSchema(), options(newSchema(), clock))
		},
		Reopen: func(t *testing.T, store budget.Store, clock *storetest.Clock) budget.Store {
			schema := store.(*Store).opts.Schema
			return open(t, pool, schema, options(schema, clock))
		},
		Wipe: func(t *testing.T, store budget.Store) {
			s := store.(*Store)
			_, err := pool.Exec(t.Context(), "DROP SCHEMA "+s.opts.quoted()+" CASCADE")
			require.NoError(t, err)
			open(t, pool, s.opts.Schema, func(o *Options) { o.AllowVolatile = true })
		},
	})
}

func TestConformance(t *testing.T) {
	conform(t, newPool(t, dsn(t), func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	}), 5, 800)
}
