package pgstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// conform runs the conformance suite over one pool. Its server does not wait for the disk, which the suite could not see, so
// that the suite's many ledgers and steps take the time of the memory.
func conform(t *testing.T, pool *pgxpool.Pool, seeds, steps int) {
	options := func(schema string, clock *storetest.Clock) func(*Options) {
		return func(o *Options) {
			o.Schema, o.Clock, o.Retention, o.UsageRows, o.AllowVolatile = schema, clock.Now, storetest.Retention, storetest.UsageRows, true
		}
	}
	var ledgers emptied
	storetest.Run(t, storetest.Harness{
		Seeds: seeds, Steps: steps,
		Open: func(t *testing.T, clock *storetest.Clock) driver.Store {
			schema := ledgers.take(t, pool)
			return open(t, pool, schema, options(schema, clock))
		},
		Reopen: func(t *testing.T, store driver.Store, clock *storetest.Clock) driver.Store {
			schema := store.(*Store).opts.Schema
			return open(t, pool, schema, options(schema, clock))
		},
		Wipe: func(t *testing.T, store driver.Store) {
			s := store.(*Store)
			_, err := pool.Exec(t.Context(), "DROP SCHEMA "+s.opts.quoted()+" CASCADE")
			require.NoError(t, err)
			open(t, pool, s.opts.Schema, func(o *Options) { o.AllowVolatile = true })
		},
		Lose: func(t *testing.T, store driver.Store, n int) string {
			return loseRow(t, pool, store.(*Store).opts.quoted(), n)
		},
	})
}

// loseRow deletes the n-th row of a ledger, and says which it was.
func loseRow(t *testing.T, pool *pgxpool.Pool, schema string, n int) string {
	for _, table := range []string{"meta", "account", "bucket", "reservation", "kill", "change", "revision", "usage", "usage_day", "pattern", "policy"} {
		var rows int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+"."+table).Scan(&rows))
		if n >= rows {
			n -= rows
			continue
		}
		done, err := pool.Exec(t.Context(), fmt.Sprintf("DELETE FROM %[1]s.%[2]s WHERE ctid = (SELECT ctid FROM %[1]s.%[2]s ORDER BY ctid OFFSET %[3]d LIMIT 1)", schema, table, n))
		require.NoError(t, err)
		require.Equal(t, int64(1), done.RowsAffected())
		return fmt.Sprintf("%s row %d", table, n)
	}
	return ""
}

// emptied holds schemas whose ledgers were emptied after use: to make one takes longer than what most rules do with it.
type emptied struct{ schemas []string }

// take returns a schema without a ledger, or with an empty one, and takes it back when the test is over.
func (e *emptied) take(t *testing.T, pool *pgxpool.Pool) string {
	schema := newSchema()
	if n := len(e.schemas); n > 0 {
		schema, e.schemas = e.schemas[n-1], e.schemas[:n-1]
	}
	t.Cleanup(func() {
		name := `"` + schema + `".`
		_, err := pool.Exec(context.Background(), "TRUNCATE "+name+"account, "+name+"bucket, "+name+"reservation, "+name+"kill, "+name+"change, "+name+"usage, "+name+"usage_day, "+name+"pattern, "+name+"policy; UPDATE "+name+"revision SET value = 0; "+
			"UPDATE "+name+"meta SET lost = false, accepted = NULL, patterns = '00000000000000000000000000000000', judged = NULL, horizon = -9223372036854775808")
		if err == nil {
			e.schemas = append(e.schemas, schema)
		}
	})
	return schema
}

func TestConformance(t *testing.T) {
	conform(t, newPool(t, ownServer(t, "fsync=off").DSN()), 4, 500)
}

func TestConformanceThroughPgBouncer(t *testing.T) {
	pooler, err := servers.StartPgBouncer(serverDir, ownServer(t, "fsync=off"), "default_pool_size=4")
	servers.Require(t, err)
	t.Cleanup(func() { require.NoError(t, pooler.Stop()) })
	conform(t, newPool(t, pooler.DSN()), 1, 200)
}
