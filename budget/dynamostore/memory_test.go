package dynamostore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// steps are all methods, on a reservation that exists.
func steps(s *Store, r driver.Reservation) map[string]func(context.Context) error {
	fresh := hold(1, r.Lines...)
	return map[string]func(context.Context) error{
		"Reserve": func(ctx context.Context) error { _, err := s.Reserve(ctx, fresh); return err },
		"Settle":  func(ctx context.Context) error { _, err := s.Settle(ctx, settlement(r, 1)); return err },
		"Orphan":  func(ctx context.Context) error { _, err := s.Settle(ctx, settlement(fresh, 1)); return err },
		"Void":    func(ctx context.Context) error { return s.Void(ctx, r.ID, r.Owner) },
		"Correct": func(ctx context.Context) error {
			_, err := s.Correct(ctx, driver.Correction{ID: r.ID, Actual: usd(1), Change: storetest.NewChange()})
			return err
		},
		"Expire":   func(ctx context.Context) error { _, err := s.Expire(ctx, 10); return err },
		"Balances": func(ctx context.Context) error { _, err := s.Balances(ctx, r.Lines); return err },
		"Override": func(ctx context.Context) error {
			return s.Override(ctx, r.Lines[0].Account, &driver.Override{Max: 9}, storetest.NewChange())
		},
		"Unlatch": func(ctx context.Context) error {
			return s.Unlatch(ctx, []driver.Key{r.Lines[0].Account}, storetest.NewChange())
		},
		"Kill": func(ctx context.Context) error { return s.Kill(ctx, driver.Kill{Reason: "x"}, storetest.NewChange()) },
		"Revive": func(ctx context.Context) error {
			return s.Revive(ctx, driver.Flag{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange())
		},
		"Kills":   func(ctx context.Context) error { _, err := s.Kills(ctx); return err },
		"Entries": func(ctx context.Context) error { _, err := s.Entries(ctx, driver.Query{Max: 10}); return err },
	}
}

func allFail(t *testing.T, s *Store, r driver.Reservation) {
	t.Helper()
	for name, step := range steps(s, r) {
		err := step(t.Context())
		require.ErrorIs(t, err, errReplaced, name)
		unanswered(t, err)
	}
}

// A table that is deleted, or made again, under an open store is an error in every step; never a zero balance.
func TestADeletedOrRecreatedTableIsAnError(t *testing.T) {
	s := newStore(t)
	r := hold(5, line(1, driver.Daily, 10))
	admitted(t, s, r)
	dropTable(t, s.client, s.table)
	allFail(t, s, r)
	require.NoError(t, CreateTable(t.Context(), s.client, s.table, unprotected))
	allFail(t, s, r) // it is empty
	again := open(t, s.client, s.table)
	allFail(t, s, r) // it holds another ledger
	require.Equal(t, [2]int64{0, 0}, stands(t, again, r.Lines[0]))

	// Without the look at the table's id, the epoch alone tells, in every step that could say zero.
	s.identity.table, s.identity.doubted = again.identity.table, false
	allFail(t, s, r)
}

// aMinuteLater makes every step look at the table's id.
func aMinuteLater(s *Store) { s.identity.every, s.identity.next = 0, time.Time{} }

// restore puts the items of a backup into a new table of the same name.
func restore(t *testing.T, s *Store, backup map[string]item) {
	t.Helper()
	dropTable(t, s.client, s.table)
	require.NoError(t, CreateTable(t.Context(), s.client, s.table, unprotected))
	for _, whole := range backup {
		_, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.table, Item: whole})
		require.NoError(t, err)
	}
}

// A backup that is restored holds the same epoch; the table's id gives it away, and only Adopt accepts it.
func TestARestoredTableIsAnErrorUntilItIsAdopted(t *testing.T) {
	s := newStore(t)
	l := line(1, driver.Lifetime, 10)
	r := hold(2, l)
	admitted(t, s, r)
	backup := dump(t, s)
	admitted(t, s, hold(7, l))
	restore(t, s, backup)
	aMinuteLater(s)
	allFail(t, s, r)

	_, err := Open(t.Context(), s.client, s.table, Options{})
	require.ErrorIs(t, err, errRestored)
	old := open(t, s.client, s.table, func(o *Options) { o.Adopt = true })
	require.Equal(t, [2]int64{0, 2}, stands(t, old, l))
	settled(t, old, r, 1)
	newer := open(t, s.client, s.table)
	require.Equal(t, [2]int64{1, 0}, stands(t, newer, l))
	allFail(t, s, r)

	// Adopting again shuts out whoever adopted before.
	restore(t, old, dump(t, newer))
	open(t, s.client, s.table, func(o *Options) { o.Adopt = true })
	old.identity.table = newer.identity.table
	_, err = old.Reserve(t.Context(), hold(1, l))
	require.ErrorIs(t, err, errReplaced)
}

// A table that goes away for a moment, as the service's control plane may say, and is the same one afterwards, goes on.
func TestATableThatComesBackGoesOn(t *testing.T) {
	l := line(1, driver.Daily, 10)
	w, s := wired(t)
	w.follow(func(c *call) (*http.Response, error) {
		if c.op == "TransactWriteItems" {
			return failure(http.StatusBadRequest, "ResourceNotFoundException", nil)
		}
		return c.pass()
	})
	_, err := s.Reserve(t.Context(), hold(1, l))
	require.ErrorIs(t, err, errReplaced)
	w.follow(nil)
	admitted(t, s, hold(1, l))
	require.Equal(t, "DescribeTable", w.calls()[0])
}

// describing changes what the service says of the table.
func describing(change func(table map[string]any)) func(*call) (*http.Response, error) {
	return func(c *call) (*http.Response, error) {
		resp, err := c.pass()
		if c.op != "DescribeTable" || err != nil {
			return resp, err
		}
		var out map[string]map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			return nil, err
		}
		_ = resp.Body.Close()
		change(out["Table"])
		raw, err := json.Marshal(out)
		if err != nil {
			return nil, err
		}
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
		resp.Header.Del("X-Amz-Crc32")
		resp.Header.Set("Content-Length", strconv.Itoa(len(raw)))
		return resp, nil
	}
}

// Where the last writer wins there is no limit: a global table is refused, when it is opened and when it becomes one.
func TestAGlobalTableIsRefused(t *testing.T) {
	w, s := wired(t)
	replicated := describing(func(table map[string]any) { table["Replicas"] = []map[string]string{{"RegionName": "eu-west-1"}} })
	w.follow(replicated)
	_, err := Open(t.Context(), s.client, s.table, Options{})
	require.ErrorContains(t, err, "global table")
	aMinuteLater(s)
	_, err = s.Reserve(t.Context(), hold(1, line(1, driver.Daily, 10)))
	require.ErrorContains(t, err, "global table")
	w.follow(nil)
	admitted(t, s, hold(1, line(1, driver.Daily, 10)))
}

// The look-up of the id may fail for a while: it is control plane, and the data path goes on. Not for ever.
func TestTheIdentityMayBeUnknownForAWhile(t *testing.T) {
	w, s := wired(t)
	aMinuteLater(s)
	w.follow(func(c *call) (*http.Response, error) {
		if c.op == "DescribeTable" {
			return failure(http.StatusBadRequest, "ThrottlingException", nil)
		}
		return c.pass()
	})
	l := line(1, driver.Daily, 10)
	admitted(t, s, hold(1, l))
	s.identity.verified = time.Now().Add(-2 * verifyGrace)
	s.opts.Timeout = 100 * time.Millisecond
	_, err := s.Reserve(t.Context(), hold(1, l))
	unanswered(t, err)
}

func TestOpenRefusesWhatIsNoLedger(t *testing.T) {
	client := newClient(t, endpoint(t))
	_, err := Open(t.Context(), client, "bedrockguard-test-missing", Options{})
	require.ErrorContains(t, err, "no such table")
	_, err = Open(t.Context(), nil, "x", Options{})
	require.Error(t, err)
	_, err = Open(t.Context(), client, "", Options{})
	require.Error(t, err)
	_, err = Open(t.Context(), client, "x", Options{Shards: MaxShards + 1})
	require.ErrorContains(t, err, "shards")

	foreign := newTable(t, client)
	_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &foreign, Item: item{partitionKey: text("customer"), sortKey: text("1")}})
	require.NoError(t, err)
	_, err = Open(t.Context(), client, foreign, Options{Create: true})
	require.ErrorContains(t, err, "something else")

	wrong := foreign + "-keys"
	_, err = client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &wrong, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { dropTable(t, client, wrong) })
	_, err = Open(t.Context(), client, wrong, Options{})
	require.ErrorContains(t, err, "partition key")

	// A ledger that lost its gates is not an empty one.
	s := newStore(t)
	admitted(t, s, hold(1, line(1, driver.Daily, 10)))
	for n := range gateCount {
		_, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.table, Key: gateKey(n).attributes()})
		require.NoError(t, err)
	}
	_, err = Open(t.Context(), client, s.table, Options{})
	require.ErrorContains(t, err, "lost its epoch")
	allFail(t, s, hold(1, line(1, driver.Daily, 10)))

	newer := newStore(t)
	_, err = client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &newer.table, Key: gateKey(0).attributes(), UpdateExpression: aws.String("SET sv = :v"), ExpressionAttributeValues: item{":v": number(99)},
	})
	require.NoError(t, err)
	_, err = Open(t.Context(), client, newer.table, Options{})
	require.ErrorContains(t, err, "schema version 99")
}

// Of many processes that open an empty table at once, one makes the ledger and all use it.
func TestManyOpenAnEmptyTableAtOnce(t *testing.T) {
	client := newClient(t, endpoint(t))
	table := newTable(t, client)
	stores := make(chan *Store, 8)
	for range cap(stores) {
		go func() {
			s, err := Open(context.Background(), client, table, Options{Create: true})
			if err != nil {
				t.Error(err)
			}
			stores <- s
		}()
	}
	epochs := make(map[string]bool)
	for range cap(stores) {
		if s := <-stores; s != nil {
			epochs[fmt.Sprintf("%x", s.epoch())] = true
			require.NoError(t, s.Close())
		}
	}
	require.Len(t, epochs, 1)
}

// A server that is killed, stopped and started again has what it acknowledged; one that hangs is an error in the caller's
// time, and over when it goes on.
func TestAServerThatDiesHangsAndComesBack(t *testing.T) {
	server, err := servers.StartDynamoDB(t.TempDir())
	servers.Require(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	client := newClient(t, server.Endpoint())
	table := newTable(t, client)
	s := open(t, client, table)
	l := line(1, driver.Daily, 1000)
	for range 10 {
		admitted(t, s, hold(1, l))
	}
	require.NoError(t, server.Kill())
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	_, err = s.Reserve(short, hold(1, l))
	cancel()
	unanswered(t, err)
	answered := make(chan error, 1)
	go func() { // a caller that has time waits for it
		_, err := s.Reserve(context.Background(), hold(1, l))
		answered <- err
	}()
	require.NoError(t, server.Restart())
	require.NoError(t, <-answered)
	require.Equal(t, [2]int64{0, 11}, stands(t, s, l))

	require.NoError(t, server.Pause())
	short, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	_, err = s.Reserve(short, hold(1, l))
	cancel()
	unanswered(t, err)
	require.NoError(t, server.Resume())
	r := hold(1, l)
	admitted(t, s, r)
	settled(t, s, r, 1)
}
