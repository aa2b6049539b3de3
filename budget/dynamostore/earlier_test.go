package dynamostore

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/earlier"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// earlierTable returns a table with the items that an earlier library wrote.
func earlierTable(t *testing.T, client *dynamodb.Client) string {
	packed, err := os.Open("testdata/schema1.json.gz")
	require.NoError(t, err)
	defer packed.Close()
	raw, err := gzip.NewReader(packed)
	require.NoError(t, err)
	var rows []map[string]struct {
		N, S *string
		B    []byte
	}
	require.NoError(t, json.NewDecoder(raw).Decode(&rows))
	table := newTable(t, client)
	for _, row := range rows {
		whole := make(item, len(row))
		for name, v := range row {
			switch {
			case v.N != nil:
				whole[name] = &types.AttributeValueMemberN{Value: *v.N}
			case v.S != nil:
				whole[name] = text(*v.S)
			default:
				whole[name] = blob(append([]byte{}, v.B...))
			}
		}
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: whole})
		require.NoError(t, err)
	}
	return table
}

// A table that an earlier library wrote, which is a copy here, keeps what it holds, and refuses what it refused.
func TestATableOfAnEarlierLibraryGoesOn(t *testing.T) {
	client, clock := newClient(t, endpoint(t)), storetest.NewClock(earlier.Now)
	table := earlierTable(t, client)
	earlier.Check(t, clock, func() driver.Store {
		return open(t, client, table, func(o *Options) { o.Clock, o.Adopt = clock.Now, true })
	})
}

// A charge in a unit that only a later library knows is not read as one without it.
func TestATableWithALaterUnitIsRefusedByName(t *testing.T) {
	client, clock := newClient(t, endpoint(t)), storetest.NewClock(earlier.Now)
	s := open(t, client, earlierTable(t, client), func(o *Options) { o.Clock, o.Adopt = clock.Now, true })
	key := entryKey(driver.ID{5})
	whole, err := s.get(t.Context(), key)
	require.NoError(t, err)
	reserved := whole[attrReserved].(*types.AttributeValueMemberB).Value
	whole[attrReserved] = blob(appendInt64(append([]byte{}, reserved...), 7))
	_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.table, Item: whole})
	require.NoError(t, err)
	_, err = s.Entries(t.Context(), driver.Query{Max: 100})
	require.ErrorContains(t, err, "counts 8 units, this library knows 7: use a newer one")
	_, err = s.Settle(t.Context(), driver.Settlement{ID: driver.ID{5}, Owner: driver.Key{9}})
	require.ErrorContains(t, err, "use a newer one")
}
