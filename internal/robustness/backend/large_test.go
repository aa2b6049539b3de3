package backend

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// large is how large the ledger of BenchmarkLarge is.
func large(variable string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return otherwise
}

// account names one of many accounts.
func largeAccount(n int) (key budget.Key) {
	binary.BigEndian.PutUint64(key[:], uint64(n)*0x9e3779b97f4a7c15)
	return key
}

func largeCall(n int) *driver.Call {
	return &driver.Call{Scope: budget.Scope{Principal: "ci", Workflow: fmt.Sprintf("workflow-%d", n%1000), Model: "anthropic.claude-sonnet-5", Region: "us-east-1"}, Operation: "Converse"}
}

func largeReservation(n int) driver.Reservation {
	var charge budget.Charge
	for u := budget.UnitUSD; u <= budget.UnitCalls; u++ {
		charge[u] = 1
	}
	call := largeCall(n)
	return driver.Reservation{
		ID: driver.NewID(), Charge: charge, TTL: time.Hour, Call: call, Dims: call.Scope.Dims(),
		Lines: []driver.Line{{Account: largeAccount(n), Limit: "workflow-month", Scope: budget.Scope{Workflow: call.Scope.Workflow}, Unit: budget.UnitUSD, Window: budget.Monthly, Max: 1 << 50}},
	}
}

// together does something n times, 64 at a time.
func together(b *testing.B, n int, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, 64)
	for w := range errs {
		all.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[w] = do(i)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// copies makes so many copies of every reservation of a ledger, each with an id and a reference of its own, in the database. It is for stores
// that keep reservations in a table, and recognise a loss by rows that are deleted.
func copies(b *testing.B, server Server, address string, times int) {
	b.Helper()
	var err error
	switch s := server.(type) {
	case *dynamoServer:
		err = copyItems(b, address, func(partition, _ string) (keys []itemKey) {
			if strings.HasPrefix(partition, "entry#") {
				for range times {
					id := driver.NewID().String()
					keys = append(keys, itemKey{"entry#" + id[:1], id})
				}
			}
			return keys
		})
	case *sqliteServer:
		var db *sql.DB
		if db, err = sql.Open("sqlite", sqlitePath(address)); err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		const others = "owner, state, estimated, orphan, reserved, actual, bookings, reserved_at, resolved_at, expires_at, whose, uses"
		_, err = db.Exec("WITH RECURSIVE again (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM again WHERE i < ?) INSERT INTO reservation (id, reference, "+others+
			") SELECT randomblob(16), randomblob(16), "+others+" FROM reservation, again", times)
		if err == nil {
			_, err = db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
		}
	case *postgresServer:
		table := schemaOf(address) + ".reservation"
		const others = "owner, state, estimated, orphan, tombstone, reserved, actual, accounts, units, starts, reserved_at, resolved_at, expires_at, whose, usage, shares"
		err = s.exec(fmt.Sprintf("INSERT INTO %s (id, reference, %s) SELECT gen_random_uuid(), uuid_send(gen_random_uuid()), %[2]s FROM %[1]s, generate_series(1, %[3]d)",
			table, others, times), "VACUUM ANALYZE "+table)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// copying reports whether reservations of a server's ledgers can be copied.
func copying(server Server) bool {
	switch server.(type) {
	case *sqliteServer, *postgresServer, *dynamoServer:
		return true
	default:
		return false
	}
}

// copyAccounts copies the first accounts of a ledger in DynamoDB, in which something is booked, until there are as many as wanted.
func copyAccounts(b *testing.B, address string, booked, wanted int) {
	b.Helper()
	name := func(n int) string { key := largeAccount(n); return hex.EncodeToString(key[:]) }
	numbers := map[string]int{}
	for n := range booked {
		numbers[name(n)] = n
	}
	err := copyItems(b, address, func(partition, sort string) (keys []itemKey) { // an account has an item of its own, and one in the list
		own, isAccount := strings.CutPrefix(partition, "account#")
		own, shard, _ := strings.Cut(own, "#")
		if !isAccount {
			own = sort
		}
		n, known := numbers[own]
		if !known || !isAccount && partition != "accounts" {
			return nil
		}
		for n += booked; n < wanted; n += booked {
			if isAccount {
				keys = append(keys, itemKey{"account#" + name(n) + "#" + shard, sort})
			} else {
				keys = append(keys, itemKey{partition, name(n)})
			}
		}
		return keys
	})
	if err != nil {
		b.Fatal(err)
	}
}

// itemKey is the key of an item in dynamostore's table.
type itemKey struct{ partition, sort string }

// copyItems writes items of a table again, each under the keys that again returns for its own key.
func copyItems(b *testing.B, address string, again func(partition, sort string) []itemKey) error {
	b.Helper()
	client, table, closeClient := dynamoClient(address)
	defer closeClient()
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	textOf := func(v types.AttributeValue) string { return v.(*types.AttributeValueMemberS).Value }
	var puts []types.WriteRequest
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return err
		}
		for _, whole := range page.Items {
			for _, key := range again(textOf(whole["pk"]), textOf(whole["sk"])) {
				own := maps.Clone(whole)
				own["pk"], own["sk"] = text(key.partition), text(key.sort)
				puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: own}})
			}
		}
	}
	batches := slices.Collect(slices.Chunk(puts, 25)) // the most that a request takes
	together(b, len(batches), func(i int) error {
		out, err := client.BatchWriteItem(context.Background(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: batches[i]}})
		if err == nil && len(out.UnprocessedItems) > 0 {
			err = errors.New("items were not written")
		}
		return err
	})
	return nil
}

// BenchmarkLarge compares a Reserve in a ledger of 10,000 kill flags, 100,000 accounts and 1,000,000 reservations with one in an empty
// ledger, in turns, and tells how long pages of 1,000 take and what a resolved reservation costs in bytes. In SQLite and PostgreSQL each account
// gets one reservation by the library, and the rest are copies; in DynamoDB, which gets 1,000 flags and 100,000 reservations, every
// fiftieth account does, and the others are copies, too. LARGE_FLAGS, LARGE_ACCOUNTS and LARGE_RESERVATIONS make it smaller.
func BenchmarkLarge(b *testing.B) {
	for _, kind := range Selected() {
		b.Run(kind.Name, func(b *testing.B) {
			server := kind.Start(b)
			address := server.NewLedger(b)
			empty, full := MustOpen(b, server.NewLedger(b)), MustOpen(b, address)
			flags, accounts, reservations := large("LARGE_FLAGS", 10_000), large("LARGE_ACCOUNTS", 100_000), large("LARGE_RESERVATIONS", 1_000_000)
			byLibrary := accounts
			if kind.Name == dynamoName { // takes a hundredth of a second for a transaction, and more for a kill, which reads all flags
				flags, reservations, byLibrary = flags/10, reservations/10, accounts/50
			}
			ctx := context.Background()
			begin := time.Now()
			together(b, flags, func(i int) error {
				scope := budget.Scope{Principal: "ci", Workflow: fmt.Sprintf("stopped-%d", i)}
				return full.Kill(ctx, budget.Kill{Scope: scope, Reason: "stopped"}, storetest.NewChange())
			})
			before := bytesOf(b, server, address)
			booked := reservations
			if copying(server) {
				booked = min(reservations, byLibrary)
			}
			together(b, booked, func(i int) error {
				r := largeReservation(i % accounts)
				d, err := full.Reserve(ctx, r)
				if err == nil && !d.Admitted {
					err = fmt.Errorf("not admitted: %+v", d)
				}
				if err == nil {
					_, err = full.Settle(ctx, driver.Settlement{ID: r.ID, Actual: r.Charge, Lines: r.Lines, Call: r.Call, Reference: r.ID.String()})
				}
				return err
			})
			if booked < reservations {
				copies(b, server, address, reservations/booked-1)
			}
			after := bytesOf(b, server, address)
			if kind.Name == dynamoName {
				copyAccounts(b, address, booked, accounts)
			}
			b.Logf("%d flags, %d accounts, %d reservations in %s", flags, accounts, reservations, time.Since(begin).Round(time.Second))
			var times [2][]time.Duration
			for i := range 10_000 { // of which the slowest hundredth is compared
				for which, store := range []budget.Store{empty, full} {
					r := largeReservation(i * 37 % accounts)
					begun := time.Now()
					d, err := store.Reserve(ctx, r)
					if took := time.Since(begun); i >= 50 { // connections, plans and caches
						times[which] = append(times[which], took)
					}
					if err != nil || !d.Admitted {
						b.Fatalf("admitted %t: %v", d.Admitted, err)
					}
				}
			}
			p := func(which, percent int) float64 {
				slices.Sort(times[which])
				return float64(times[which][len(times[which])*percent/100].Microseconds())
			}
			for range b.N {
			}
			b.ReportMetric(p(0, 99), "p99-empty-µs")
			b.ReportMetric(p(1, 99)/max(p(0, 99), 1), "p99-ratio")
			b.ReportMetric(p(1, 50)/max(p(0, 50), 1), "p50-ratio")
			b.ReportMetric(page(b, func() (int, error) {
				all, err := full.Accounts(ctx, largeAccount(accounts/2), 1000)
				return len(all), err
			}), "accounts-page-ms")
			b.ReportMetric(page(b, func() (int, error) {
				all, err := full.Entries(ctx, budget.Query{Max: 1000})
				return len(all), err
			}), "entries-page-ms")
			b.ReportMetric(page(b, func() (int, error) {
				all, err := full.Usage(ctx, driver.UsageMark{}, 1000)
				return len(all), err
			}), "usage-page-ms")
			if after > 0 {
				b.ReportMetric(float64(after-before)/float64(reservations), "bytes/reservation")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// page times the fastest of five pages.
func page(b *testing.B, read func() (int, error)) float64 {
	b.Helper()
	best := time.Hour
	for range 5 {
		begun := time.Now()
		n, err := read()
		if err != nil || n == 0 {
			b.Fatalf("%d on a page: %v", n, err)
		}
		best = min(best, time.Since(begun))
	}
	return float64(best.Microseconds()) / 1000
}

// itemOverhead is what DynamoDB charges for each item beside its attributes when it adds up what a table stores.
const itemOverhead = 100

// dynamoBytes adds up what DynamoDB would charge a table's storage by: names and values of attributes, of numbers a byte for two digits and one more.
func dynamoBytes(address string) (n int64, err error) {
	client, name, closeClient := dynamoClient(address)
	defer closeClient()
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return 0, err
		}
		for _, whole := range page.Items {
			n += itemOverhead
			for attribute, v := range whole {
				n += int64(len(attribute))
				switch v := v.(type) {
				case *types.AttributeValueMemberS:
					n += int64(len(v.Value))
				case *types.AttributeValueMemberB:
					n += int64(len(v.Value))
				case *types.AttributeValueMemberN:
					n += int64((len(strings.TrimRight(v.Value, "0"))+1)/2 + 1)
				}
			}
		}
	}
	return n, nil
}

// bytesOf tells what a ledger takes where it is kept; 0 where nobody can tell.
func bytesOf(b *testing.B, s Server, address string) (n int64) {
	b.Helper()
	var err error
	switch s := s.(type) {
	case *sqliteServer:
		for _, suffix := range []string{"", "-wal"} {
			if info, err := os.Stat(sqlitePath(address) + suffix); err == nil {
				n += info.Size()
			}
		}
	case *redisServer:
		rdb := redis.NewClient(&redis.Options{Addr: s.Addr})
		defer rdb.Close()
		var info string
		info, err = rdb.Info(context.Background(), "memory").Result()
		_, rest, _ := strings.Cut(info, "used_memory:")
		digits, _, _ := strings.Cut(rest, "\r\n")
		if err == nil {
			n, err = strconv.ParseInt(digits, 10, 64)
		}
	case *postgresServer:
		var conn *pgx.Conn
		if conn, err = pgx.Connect(context.Background(), s.DSN()); err == nil {
			defer conn.Close(context.Background())
			err = conn.QueryRow(context.Background(), "SELECT pg_database_size(current_database())").Scan(&n)
		}
	case *dynamoServer:
		n, err = dynamoBytes(address)
	case memoryServer:
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		n = int64(stats.HeapAlloc)
	}
	if err != nil {
		b.Fatal(err)
	}
	return n
}
