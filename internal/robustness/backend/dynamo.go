package backend

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/dynamostore"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// dynamoName is the name of dynamo: a constant, because openDynamo, to which dynamo refers, needs it.
const dynamoName = "dynamodb"

var dynamo = Backend{Name: dynamoName, Shared: true, Remote: true, Start: startDynamo, open: openDynamo}

// dynamoServer is a server with a table for each ledger.
type dynamoServer struct {
	*servers.DynamoDB
	made atomic.Int64 // how many ledgers were made on it, for their names
}

// startDynamo implements Backend.Start.
func startDynamo(tb testing.TB) Server {
	server, err := servers.StartDynamoDB(tb.TempDir())
	servers.Require(tb, err) // ends the test if the server did not start: it skips if the program is not installed
	tb.Cleanup(func() { _ = server.Kill() })
	return &dynamoServer{DynamoDB: server}
}

func (s *dynamoServer) HostPort() string { return strings.TrimPrefix(s.Endpoint(), "http://") }

// NewLedger implements Server. A DynamoDB ledger has no clock of its own when it is made, so the options do not matter.
func (s *dynamoServer) NewLedger(tb testing.TB, _ ...func(*Options)) string {
	address := fmt.Sprintf("%s:%s/ledger-%d", dynamoName, s.HostPort(), s.made.Add(1))
	if err := makeDynamo(address); err != nil {
		tb.Fatal(err)
	}
	return address
}

// makeDynamo makes a table, and an empty ledger in it.
func makeDynamo(address string) error {
	client, table, closeClient := dynamoClient(address)
	defer closeClient()
	// Without the protection of CreateTable's default, so that a fault can delete the table.
	err := dynamostore.CreateTable(context.Background(), client, table, func(in *dynamodb.CreateTableInput) { in.DeletionProtectionEnabled = nil })
	if err != nil {
		return err
	}
	store, err := dynamostore.Open(context.Background(), client, table, dynamostore.Options{Create: true})
	if err != nil {
		return err
	}
	return store.Close()
}

// deleteDynamo deletes the table of a ledger.
func deleteDynamo(address string) error {
	client, table, closeClient := dynamoClient(address)
	defer closeClient()
	_, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &table})
	return err
}

// dynamoClient returns a client for the host of an address or a place, and the table's name.
func dynamoClient(address string) (client *dynamodb.Client, table string, closeClient func()) {
	host, table, _ := strings.Cut(strings.TrimPrefix(address, dynamoName+":"), "/")
	transport := &http.Transport{MaxIdleConnsPerHost: poolSize} // as many as a process holds to Postgres; the default is 2
	// Any credentials will do: the server checks no signature.
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String("http://" + host), Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}), table, transport.CloseIdleConnections
}

// Faults are of the server, except that the last two delete the ledger.
func (s *dynamoServer) Faults() []Fault {
	return []Fault{
		{Name: "server killed", Begin: func(string) error { return s.Kill() }, End: func(string) error { return s.Restart() }},
		{Name: "server stopped", Begin: func(string) error { return s.Stop() }, End: func(string) error { return s.Restart() }},
		{Name: "server paused", Begin: func(string) error { return s.Pause() }, End: func(string) error { return s.Resume() }},
		{Name: "table deleted", Begin: deleteDynamo, Forgets: true},
		{Name: "table deleted and made anew", Begin: func(address string) error {
			if err := deleteDynamo(address); err != nil {
				return err
			}
			return makeDynamo(address)
		}, Forgets: true},
	}
}

// dynamoStore is a store whose Close also closes its client's connections.
type dynamoStore struct {
	*dynamostore.Store
	closeClient func()
}

func (s dynamoStore) Close() error {
	err := s.Store.Close()
	s.closeClient()
	return err
}

// openDynamo opens a handle on the ledger at a place, host:port/table.
func openDynamo(ctx context.Context, place string, o Options) (budget.Store, error) {
	if o.Via != "" {
		_, table, _ := strings.Cut(place, "/")
		place = o.Via + "/" + table
	}
	client, table, closeClient := dynamoClient(place)
	store, err := dynamostore.Open(ctx, client, table, dynamostore.Options{
		Clock:     o.Clock,
		Retention: o.retention(),
		Timeout:   o.Timeout,
	})
	if err != nil {
		closeClient()
		return nil, err
	}
	return dynamoStore{store, closeClient}, nil
}
