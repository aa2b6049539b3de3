package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// benchLines are limits of each kind of window, as policies mix them: two of eight are rolling.
func benchLines(n int) []driver.Line {
	windows := []driver.Window{driver.Monthly, driver.Daily, driver.Rolling(time.Hour), driver.Hourly, driver.Lifetime, driver.Weekly, driver.Rolling(24 * time.Hour), driver.Monthly}
	lines := make([]driver.Line, n)
	for i := range lines {
		lines[i] = driver.Line{Account: driver.Key{byte(i + 1)}, Unit: driver.UnitUSD + driver.Unit(i%7), Window: windows[i], Max: 1 << 50}
	}
	return lines
}

func benchCharge() (c driver.Charge) {
	for u := driver.UnitUSD; u <= driver.UnitCalls; u++ {
		c[u] = 12_345
	}
	return c
}

// storePair returns one call's bookkeeping: a reservation and its settlement.
func storePair(s *Store, lines []driver.Line) func(context.Context) error {
	charge := benchCharge()
	return func(ctx context.Context) error {
		r := driver.Reservation{ID: driver.NewID(), Charge: charge, Lines: lines, TTL: time.Hour}
		if d, err := s.Reserve(ctx, r); err != nil || !d.Admitted {
			return fmt.Errorf("admitted %t: %w", d.Admitted, err)
		}
		_, err := s.Settle(ctx, driver.Settlement{ID: r.ID, Actual: charge, Lines: lines})
		return err
	}
}

// bareScript makes the same calls on as many keys and fields as a step of the store, and decides nothing: it reads so many
// fields, and writes those that follow with their values.
func bareScript(read int) *redis.Script {
	return redis.NewScript(fmt.Sprintf(`local call = redis.call
call('TIME')
call('HMGET', KEYS[1], unpack(ARGV, 4, %[1]d))
call('HGET', KEYS[5], ARGV[1])
call('ZADD', KEYS[2], ARGV[2], ARGV[1])
call('HSET', KEYS[5], ARGV[1], ARGV[3])
call('HSET', KEYS[1], unpack(ARGV, %[1]d + 1))
return 'A 1234567 1234567812345678'`, read+3))
}

// barePair returns what the bare calls of a Reserve and of a Settle cost through the same client, with as much data.
func barePair(rdb *redis.Client, keys *keySpace, lines []driver.Line) func(context.Context) error {
	reads, writes := [2]int{1, 1}, [2]int{1, 1}
	for i := range lines {
		reads[0], reads[1], writes[0], writes[1] = reads[0]+2, reads[1]+1, writes[0]+1, writes[1]+1
		if span := lines[i].Window.At(time.Now()); span.Start != span.Since { // rolling
			reads[0], reads[1], writes[0], writes[1] = reads[0]+1, reads[1]+1, writes[0]+1, writes[1]+1
		}
	}
	var scripts [2]*redis.Script
	var args [2][]any
	for i := range scripts {
		scripts[i], args[i] = bareScript(reads[i]), []any{nil, nil, strings.Repeat("x", 154+34*len(lines))}
		for n := range reads[i] {
			args[i] = append(args[i], fmt.Sprintf("account and start %06d", n))
		}
		for n := range writes[i] {
			args[i] = append(args[i], fmt.Sprintf("account and start %06d", n), "settled, pending")
		}
	}
	return func(ctx context.Context) error {
		id := driver.NewID()
		names := []string{keys.ledger, keys.due, keys.buckets, keys.kills, keys.entries[id[0]]}
		for i, sc := range scripts {
			all := slices.Clone(args[i])
			all[0], all[1] = id[:], time.Now().UnixMicro()
			if err := sc.Run(ctx, rdb, names, all...).Err(); err != nil {
				return err
			}
		}
		return nil
	}
}

// drive makes so many callers do pairs at once, and returns how long it took and how long each pair did.
func drive(b *testing.B, callers, pairs int, pair func(context.Context) error) (time.Duration, []time.Duration) {
	ctx, each := context.Background(), make([]time.Duration, callers*pairs)
	var all sync.WaitGroup
	begin := time.Now()
	for c := range callers {
		all.Go(func() {
			for i := range pairs {
				start := time.Now()
				if err := pair(ctx); err != nil {
					b.Error(err)
					return
				}
				each[c*pairs+i] = time.Since(start)
			}
		})
	}
	all.Wait()
	return time.Since(begin), each
}

// BenchmarkStore_AgainstBareScripts times reservations with their settlements, and bare scripts that make the same calls
// on as many keys and fields, in turns on one server. speed-ratio is the bare scripts' time divided by the store's: the median
// of all turns, because a turn that somebody else's work fell into says nothing. Each iteration takes 2,048 pairs of either kind.
func BenchmarkStore_AgainstBareScripts(b *testing.B) {
	servers.Require(b, sharedErr)
	for _, callers := range []int{1, 64} {
		for _, limits := range []int{1, 8} {
			b.Run(fmt.Sprintf("callers=%d/limits=%d", callers, limits), func(b *testing.B) {
				lines, rdb := benchLines(limits), dial(b, shared.Addr, func(o *redis.Options) { o.PoolSize = callers })
				s, err := Open(b.Context(), rdb, with(named()))
				require.NoError(b, err)
				store, bare := storePair(s, lines), barePair(rdb, newKeySpace("bare "+s.opts.Ledger), lines)
				for _, pair := range []func(context.Context) error{store, bare} { // connections and scripts
					drive(b, callers, 5, pair)
				}
				var took [2]time.Duration
				var each []time.Duration
				var ratios []float64
				for b.Loop() {
					for range 16 { // turns short enough that both kinds see the same machine
						d, e := drive(b, callers, 128/callers, store)
						bd, _ := drive(b, callers, 128/callers, bare)
						took[0], took[1], each = took[0]+d, took[1]+bd, append(each, e...)
						ratios = append(ratios, float64(bd)/float64(d))
					}
				}
				slices.Sort(each)
				slices.Sort(ratios)
				n := float64(len(each))
				b.ReportMetric(n/took[0].Seconds(), "pairs/s")
				b.ReportMetric(n/took[1].Seconds(), "bare-pairs/s")
				b.ReportMetric(ratios[len(ratios)/2], "speed-ratio")
				b.ReportMetric(float64(each[len(each)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(each[len(each)*99/100].Microseconds()), "p99-µs")
				b.ReportMetric(0, "ns/op")
				require.NoError(b, s.Close())
			})
		}
	}
}
