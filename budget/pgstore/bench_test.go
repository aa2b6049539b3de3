package pgstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

const (
	benchClients = 64
	// benchPairs is how many reservations one client makes and settles before it is another kind's turn, so that all kinds
	// see the same machine.
	benchPairs = 5
)

// contender is one way to do what a reservation and its settlement do.
type contender struct {
	name string
	pair func(ctx context.Context) error
	took []time.Duration // of single pairs
	wall time.Duration   // of all clients together
}

// BenchmarkStore_AgainstBareLoop has 64 clients reserve and settle on the same limits, in turns with two bare loops over a
// row for each: SELECT FOR UPDATE, UPDATE, COMMIT, twice for a pair, as separate statements (bare) and in one round trip (piped).
// A ratio is the store's throughput divided by the other's. Commits that reach the disk hide what the processors do, so
// everything is measured without waiting for the disk too.
func BenchmarkStore_AgainstBareLoop(b *testing.B) {
	for _, commit := range []string{"on", "off"} {
		for _, limits := range []int{1, 8} {
			b.Run(fmt.Sprintf("synchronous_commit=%s/limits=%d", commit, limits), func(b *testing.B) {
				pool := newPool(b, dsn(b), func(c *pgxpool.Config) {
					c.MaxConns = benchClients
					c.ConnConfig.RuntimeParams["synchronous_commit"] = commit
				})
				s := open(b, pool, newSchema(), func(o *Options) { o.AllowVolatile = true })
				table := bareTable(b, limits)
				all := []*contender{
					{name: "store", pair: storePair(s, limits)},
					{name: "bare", pair: barePair(pool, table)},
					{name: "piped", pair: pipedPair(pool, table)},
				}
				for _, c := range all { // connections, plans and caches
					c.run(b)
					c.took, c.wall = nil, 0
				}
				b.ResetTimer()
				for b.Loop() {
					for _, c := range all {
						c.run(b)
					}
				}
				report(b, all)
			})
		}
	}
}

// run has all clients do their pairs at the same time.
func (c *contender) run(b *testing.B) {
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := time.Now()
	for range benchClients {
		all.Go(func() {
			for range benchPairs {
				since := time.Now()
				if err := c.pair(context.Background()); err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				c.took = append(c.took, time.Since(since))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	c.wall += time.Since(begin)
}

func report(b *testing.B, all []*contender) {
	rate := func(c *contender) float64 { return float64(len(c.took)) / c.wall.Seconds() }
	for _, c := range all {
		slices.Sort(c.took)
		b.ReportMetric(rate(c), c.name+"-pairs/s")
	}
	store := all[0].took
	b.ReportMetric(float64(store[len(store)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(store[len(store)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(rate(all[0])/rate(all[1]), "ratio-to-bare")
	b.ReportMetric(rate(all[0])/rate(all[2]), "ratio-to-piped")
	b.ReportMetric(0, "ns/op")
}

func storePair(s *Store, limits int) func(context.Context) error {
	var lines []driver.Line
	for i := range limits {
		lines = append(lines, line(byte(i+1), driver.Monthly, 1<<60))
	}
	return func(ctx context.Context) error {
		r := hold(3, lines...)
		d, err := s.Reserve(ctx, r)
		if err == nil && !d.Admitted {
			err = fmt.Errorf("refused: %+v", d)
		}
		if err == nil {
			_, err = s.Settle(ctx, settlement(r, 2))
		}
		return err
	}
}

// bareTable makes a row for each limit.
func bareTable(b *testing.B, limits int) string {
	table := newSchema()
	admin(b, dsn(b), "CREATE TABLE "+table+" (key int PRIMARY KEY, used int8 NOT NULL) WITH (fillfactor = 50)",
		fmt.Sprintf("INSERT INTO %s SELECT i, 0 FROM generate_series(1, %d) i", table, limits))
	return table
}

func barePair(pool *pgxpool.Pool, table string) func(context.Context) error {
	half := func(ctx context.Context, amount int) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, "SELECT used FROM "+table+" ORDER BY key FOR UPDATE")
			if err != nil {
				return err
			}
			if _, err := pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "UPDATE "+table+" SET used = used + $1", amount)
			return err
		})
	}
	return func(ctx context.Context) error {
		if err := half(ctx, 3); err != nil {
			return err
		}
		return half(ctx, -1)
	}
}

func pipedPair(pool *pgxpool.Pool, table string) func(context.Context) error {
	half := func(ctx context.Context, amount int) error {
		batch := &pgx.Batch{}
		batch.Queue("SELECT used FROM " + table + " ORDER BY key FOR UPDATE")
		batch.Queue("UPDATE "+table+" SET used = used + $1", amount)
		return pool.SendBatch(ctx, batch).Close()
	}
	return func(ctx context.Context) error {
		if err := half(ctx, 3); err != nil {
			return err
		}
		return half(ctx, -1)
	}
}
