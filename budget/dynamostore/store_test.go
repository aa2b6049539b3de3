package dynamostore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func TestConformance(t *testing.T) {
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) {
			t.Parallel() // most of the time is spent in waiting for the server
			options := func(clock *storetest.Clock) func(*Options) {
				return func(o *Options) {
					o.Clock, o.Retention, o.UsageRows, o.Shards = clock.Now, storetest.Retention, storetest.UsageRows, shards
				}
			}
			h := storetest.Harness{
				Seeds: 3, Steps: 400,
				Open: func(t *testing.T, clock *storetest.Clock) driver.Store { return newStore(t, options(clock)) },
				Reopen: func(t *testing.T, store driver.Store, clock *storetest.Clock) driver.Store {
					return open(t, newClient(t, endpoint(t)), store.(*Store).table, options(clock))
				},
				Wipe: func(t *testing.T, store driver.Store) {
					s := store.(*Store)
					dropTable(t, s.client, s.table)
					require.NoError(t, CreateTable(t.Context(), s.client, s.table, unprotected))
					require.NoError(t, open(t, s.client, s.table, func(o *Options) { o.Shards = shards }).Close())
				},
			}
			if shards > 1 { // a ledger with shards has all kinds of items
				h.Lose = func(t *testing.T, store driver.Store, n int) string {
					s := store.(*Store)
					return loseItem(t, s.client, s.table, n)
				}
			}
			storetest.Run(t, h)
		})
	}
}

// loseItem deletes the n-th item of a table, and says which it was.
func loseItem(t *testing.T, client *dynamodb.Client, table string, n int) string {
	var keys []itemKey
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, raw := range page.Items {
			r := reader{item: raw}
			keys = append(keys, itemKey{r.text(partitionKey), r.text(sortKey)})
		}
	}
	gates := 0
	keys = slices.DeleteFunc(keys, func(k itemKey) bool { // all gates are alike
		if strings.HasPrefix(k.partition, "gate#") {
			gates++
		}
		return strings.HasPrefix(k.partition, "gate#") && gates > 2
	})
	slices.SortFunc(keys, func(a, b itemKey) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.sort, b.sort))
	})
	if n >= len(keys) {
		return ""
	}
	_, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: keys[n].attributes()})
	require.NoError(t, err)
	return keys[n].partition + " " + keys[n].sort
}

// Every sentence of the contract holds, to the last unit, when requests and replies are lost, cut, delivered twice,
// throttled and in conflict.
func TestConformanceOverABadWire(t *testing.T) {
	seed := uint64(0)
	bad := func(t *testing.T) *dynamodb.Client {
		w, client := newWire(t)
		seed++
		w.follow(chaos(seed))
		return client
	}
	options := func(clock *storetest.Clock) func(*Options) {
		return func(o *Options) {
			o.Clock, o.Retention, o.UsageRows = clock.Now, storetest.Retention, storetest.UsageRows
		}
	}
	storetest.Run(t, storetest.Harness{
		Seeds: 2, Steps: 300, Workers: 8,
		Open: func(t *testing.T, clock *storetest.Clock) driver.Store {
			return open(t, bad(t), newTable(t, newClient(t, endpoint(t))), options(clock))
		},
		Reopen: func(t *testing.T, store driver.Store, clock *storetest.Clock) driver.Store {
			return open(t, bad(t), store.(*Store).table, options(clock))
		},
	})
}
