package dynamostore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// endpointEnv points the tests at a server of your own: DynamoDB Local, or the service itself, with credentials in
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and AWS_REGION. They make and delete tables whose names
// begin with "bedrockguard-test-".
const endpointEnv = "DYNAMODB_ENDPOINT"

// shared is the one server of all tests that do not stop it.
var shared struct {
	once     sync.Once
	dir      string
	server   *servers.DynamoDB
	err      error
	endpoint string
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if shared.server != nil {
			_ = shared.server.Stop()
		}
		_ = os.RemoveAll(shared.dir)
		os.Exit(code)
	}), goleak.IgnoreAnyFunction("github.com/bedrockguard/bedrockguard-go/internal/servers.start.func1"))
}

// endpoint is the URL of the server that all tests share.
func endpoint(tb testing.TB) string {
	tb.Helper()
	shared.once.Do(func() {
		if shared.endpoint = os.Getenv(endpointEnv); shared.endpoint != "" {
			return
		}
		if shared.dir, shared.err = os.MkdirTemp("", "dynamostore"); shared.err != nil {
			return
		}
		if shared.server, shared.err = servers.StartDynamoDB(shared.dir); shared.err == nil {
			shared.endpoint = shared.server.Endpoint()
		}
	})
	servers.Require(tb, shared.err)
	return shared.endpoint
}

// newClient returns a client of a server.
func newClient(tb testing.TB, endpoint string, optFns ...func(*dynamodb.Options)) *dynamodb.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	tb.Cleanup(transport.CloseIdleConnections)
	env := func(name, otherwise string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	o := dynamodb.Options{
		BaseEndpoint: &endpoint, Region: env("AWS_REGION", "us-east-1"), HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: env("AWS_ACCESS_KEY_ID", "test"), SecretAccessKey: env("AWS_SECRET_ACCESS_KEY", "test"), SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
		}),
	}
	return dynamodb.New(o, optFns...)
}

func unprotected(in *dynamodb.CreateTableInput) { in.DeletionProtectionEnabled = aws.Bool(false) }

// newTable makes a table that is gone after the test.
func newTable(tb testing.TB, client *dynamodb.Client) string {
	tb.Helper()
	var name [8]byte
	rand.Read(name[:])
	table := "bedrockguard-test-" + hex.EncodeToString(name[:])
	require.NoError(tb, CreateTable(context.Background(), client, table, unprotected))
	tb.Cleanup(func() { dropTable(tb, client, table) })
	return table
}

func dropTable(tb testing.TB, client *dynamodb.Client, table string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table}); err != nil && !missing(err) {
		tb.Errorf("delete table: %v", err)
		return
	}
	if err := dynamodb.NewTableNotExistsWaiter(client).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, time.Minute); err != nil {
		tb.Errorf("delete table: %v", err)
	}
}

// patience is a Timeout for machines that do much else at the same time: no test is about how long a step takes.
const patience = 3 * time.Minute

// open opens a store that is closed after the test.
func open(tb testing.TB, client *dynamodb.Client, table string, optFns ...func(*Options)) *Store {
	tb.Helper()
	patient := func(o *Options) { o.Create, o.Timeout = true, patience }
	s, err := Open(context.Background(), client, table, with(append([]func(*Options){patient}, optFns...)...))
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// newStore opens a store on a table of its own, on the server that all share.
func newStore(tb testing.TB, optFns ...func(*Options)) *Store {
	tb.Helper()
	client := newClient(tb, endpoint(tb))
	return open(tb, client, newTable(tb, client), optFns...)
}

func usd(n int64) (c driver.Charge) {
	c[driver.UnitUSD] = n
	return c
}

func line(account byte, w driver.Window, limit int64) driver.Line {
	return driver.Line{Account: driver.Key{account}, Unit: driver.UnitUSD, Window: w, Max: limit}
}

func hold(n int64, lines ...driver.Line) driver.Reservation {
	return driver.Reservation{ID: driver.NewID(), Charge: usd(n), Lines: lines, TTL: time.Hour}
}

func settlement(r driver.Reservation, n int64) driver.Settlement {
	return driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(n), Lines: r.Lines}
}

// stands returns where an account stands.
func stands(tb testing.TB, s *Store, l driver.Line) [2]int64 {
	tb.Helper()
	all, err := s.Balances(context.Background(), []driver.Line{l})
	require.NoError(tb, err)
	return [2]int64{all[0].Settled, all[0].Pending}
}

// with returns what changes make of the zero options.
func with(changes ...func(*Options)) (o Options) {
	for _, change := range changes {
		change(&o)
	}
	return o
}
