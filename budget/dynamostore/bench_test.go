package dynamostore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

func benchLines(worker int) []driver.Line {
	account := func(n byte) driver.Key { return driver.Key{n, byte(worker)} }
	return []driver.Line{
		{Account: account(1), Unit: driver.UnitUSD, Window: driver.Monthly, Max: 1 << 60},
		{Account: account(2), Unit: driver.UnitCalls, Window: driver.Daily, Max: 1 << 60},
		{Account: account(3), Unit: driver.UnitUncachedInputTokens, Window: driver.Rolling(time.Hour), Max: 1 << 60},
	}
}

// storeSteps returns a step of the store: reservations and what settles them, in turns. Its transactions hold six actions
// and five: a record, a due date, a gate and three accounts; a record, a due date and three accounts.
func storeSteps(s *Store, worker int) func() error {
	ctx, lines := context.Background(), benchLines(worker)
	var charge driver.Charge
	for u := driver.UnitUSD; u <= driver.UnitCalls; u++ {
		charge[u] = 1
	}
	n := 0
	var id driver.ID
	return func() error {
		n++
		if n%2 == 1 {
			id = driver.NewID()
			_, err := s.Reserve(ctx, driver.Reservation{ID: id, Charge: charge, Lines: lines, TTL: time.Hour})
			return err
		}
		_, err := s.Settle(ctx, driver.Settlement{ID: id, Actual: charge, Lines: lines})
		return err
	}
}

// bareSteps returns a bare transaction of as many actions: two puts and sums that are added to without any condition, six
// actions and five in turns. It has no limit, no kill flag and no memory of what it did.
func bareSteps(client *dynamodb.Client, table string, worker int) func() error {
	ctx := context.Background()
	payload := blob(make([]byte, 200))
	n := 0
	return func() error {
		n++
		id := driver.NewID().String()
		actions := []types.TransactWriteItem{
			{Put: &types.Put{TableName: &table, Item: item{partitionKey: text("a#" + id[:1]), sortKey: text(id), "payload": payload}}},
			{Put: &types.Put{TableName: &table, Item: item{partitionKey: text("b#" + id[:1]), sortKey: text(id)}}},
		}
		for i := range 4 - n%2 {
			x := &expression{}
			x.add("u", 1)
			x.add("v", 1)
			actions = append(actions, types.TransactWriteItem{Update: &types.Update{
				TableName: &table, Key: item{partitionKey: text(fmt.Sprintf("c#%d#%d", worker, i)), sortKey: text("c")},
				UpdateExpression: x.update(), ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.values,
			}})
		}
		_, err := client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: actions})
		return err
	}
}

// chunkSteps is how many steps of one kind each worker makes before it is the other's turn, so that both see the same machine.
const chunkSteps = 40

// BenchmarkStore_AgainstBareTransaction times steps of the store and bare transactions of as many actions in turns, on tables
// of one server. speed-ratio is the bare time divided by the store's: 0.5 is half as fast. p50 and p99 are of the store's
// steps. The server does one thing after the other; on the service it is latency that counts, and both make one round trip.
func BenchmarkStore_AgainstBareTransaction(b *testing.B) {
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			s := newStore(b)
			client := newClient(b, endpoint(b))
			table := newTable(b, client)
			kinds := [2][]func() error{}
			for w := range workers {
				kinds[0] = append(kinds[0], storeSteps(s, w))
				kinds[1] = append(kinds[1], bareSteps(client, table, w))
			}
			for _, kind := range kinds { // warm up
				timeChunk(b, kind, 4)
			}
			var store, bare []time.Duration
			var wall [2]time.Duration
			for b.Loop() {
				some, took := timeChunk(b, kinds[0], chunkSteps)
				store, wall[0] = append(store, some...), wall[0]+took
				some, took = timeChunk(b, kinds[1], chunkSteps)
				bare, wall[1] = append(bare, some...), wall[1]+took
			}
			slices.Sort(store)
			slices.Sort(bare)
			b.ReportMetric(float64(wall[1])/float64(wall[0]), "speed-ratio")
			b.ReportMetric(float64(len(store))/wall[0].Seconds(), "steps/s")
			b.ReportMetric(milliseconds(store, 50), "p50-ms")
			b.ReportMetric(milliseconds(store, 99), "p99-ms")
			b.ReportMetric(milliseconds(bare, 50), "bare-p50-ms")
			b.ReportMetric(milliseconds(bare, 99), "bare-p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func milliseconds(sorted []time.Duration, percent int) float64 {
	return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
}

// timeChunk has each worker make so many steps and returns how long each step took, and all together.
func timeChunk(b *testing.B, workers []func() error, steps int) (each []time.Duration, took time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := time.Now()
	for _, step := range workers {
		all.Go(func() {
			for range steps {
				began := time.Now()
				err := step()
				ended := time.Since(began)
				mu.Lock()
				each = append(each, ended)
				mu.Unlock()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return each, time.Since(begin)
}

// BenchmarkStore_ReserveDenied is what a loop that ran out of budget costs: one read.
func BenchmarkStore_ReserveDenied(b *testing.B) {
	s := newStore(b)
	lines := benchLines(0)
	for i := range lines {
		lines[i].Max = 0
	}
	b.ReportAllocs()
	for b.Loop() {
		d, err := s.Reserve(context.Background(), driver.Reservation{ID: driver.NewID(), Charge: usd(1), Lines: lines, TTL: time.Hour})
		require.NoError(b, err)
		require.False(b, d.Admitted)
	}
}
