// Package storeurl opens a store by its address, such as sqlite:spend.db or redis://host/0.
package storeurl

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/awsenv"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/dynamostore"
	"github.com/bedrockguard/bedrockguard-go/budget/pgstore"
	"github.com/bedrockguard/bedrockguard-go/budget/redisstore"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// forever is the retention for commands that read or change a ledger: they must not delete what the processes that enforce the limits keep.
const forever = 100 * 365 * 24 * time.Hour

// connectTimeout bounds an attempt to connect to PostgreSQL.
const connectTimeout = 2 * time.Second

// storeURL is the parsed address of a ledger.
type storeURL struct {
	kind string     // sqlite, redis, postgres or dynamodb
	file string     // of sqlite; empty for other kinds
	url  *url.URL   // for the driver, without our own parameters; nil for sqlite
	own  url.Values // our own parameters; nil for sqlite

	create    bool          // make a ledger if there is none
	retention time.Duration // how long entries are kept; zero is the store's default
}

// ownParameters names, for each kind, the parameters of a URL that are for this program and not for the driver. Most are options of the store's
// package with the same name.
var ownParameters = map[string][]string{
	"redis":    {"ledger", "retention", "allow-eviction", "allow-no-append-only", "min-replicas"},
	"postgres": {"schema", "retention", "allow-volatile", "listen"},
	"dynamodb": {"region", "endpoint", "profile", "retention", "shards"},
}

// Open opens the ledger at a URL, and creates it if create is set and there is none. The returned function closes the store and its
// client. Errors contain no part of the URL that may be secret.
func Open(ctx context.Context, at string, create bool) (budget.Store, func() error, error) {
	u, err := parseStoreURL(at)
	if err != nil {
		return nil, nil, err
	}
	u.create = create
	o, err := u.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	return o.Store, o.Close, nil
}

// Opened is a store together with what budget.Store lacks.
type Opened struct {
	Store budget.Store
	Close func() error                             // closes the store and its client
	Clock func(context.Context) (time.Time, error) // returns the store's time
}

// OpenToSteer opens a ledger for reading or changing it. Nothing is deleted, whatever retention the processes that enforce the limits have.
func OpenToSteer(ctx context.Context, at string) (*Opened, error) {
	u, err := parseStoreURL(at)
	if err != nil {
		return nil, err
	}
	u.retention = forever
	return u.open(ctx)
}

// parseStoreURL parses the address of a ledger. Its errors do not quote the address, which may hold a password.
func parseStoreURL(at string) (*storeURL, error) {
	if at == "" {
		return nil, exit.UsageError("no store is named: give --store or set BEDROCKGUARD_STORE to sqlite:FILE, redis://…, postgres://… or dynamodb://TABLE")
	}
	scheme, rest, _ := strings.Cut(at, ":")
	switch scheme {
	case "sqlite":
		file := strings.TrimPrefix(rest, "//")
		if file == "" {
			return nil, exit.UsageError("the store sqlite: names no file")
		}
		return &storeURL{kind: "sqlite", file: file}, nil
	case "redis", "rediss", "unix":
		return parseServerURL("redis", at)
	case "postgres", "postgresql":
		return parseServerURL("postgres", at)
	case "dynamodb":
		return parseServerURL("dynamodb", at)
	}
	return nil, exit.UsageError("a store begins with sqlite:, redis://, rediss://, postgres:// or dynamodb://")
}

// parseServerURL parses the URL of a store that is a server, and takes our own parameters out of it.
func parseServerURL(kind, at string) (*storeURL, error) {
	parsed, err := url.Parse(at)
	if err != nil { // the error would quote the URL, and so its password
		return nil, exit.UsageError("the store is no URL that can be read: special characters in a password are written as %%XX")
	}
	u := &storeURL{kind: kind, url: parsed, own: make(url.Values)}
	query := parsed.Query()
	for _, name := range ownParameters[kind] {
		if query.Has(name) {
			u.own.Set(name, query.Get(name))
			query.Del(name)
		}
	}
	parsed.RawQuery = query.Encode()
	if text := u.own.Get("retention"); text != "" {
		if u.retention, err = time.ParseDuration(text); err != nil || u.retention <= 0 {
			return nil, exit.UsageError("the store's retention is no duration such as 840h")
		}
	}
	return u, nil
}

// enabled reports whether a parameter of ours is true. A parameter that is missing or malformed counts as false.
func (u *storeURL) enabled(parameter string) bool {
	on, err := strconv.ParseBool(u.own.Get(parameter))
	return err == nil && on
}

// number returns the value of a parameter of ours, and 0 if it is not set or is no number.
func (u *storeURL) number(parameter string) (n int) {
	n, _ = strconv.Atoi(u.own.Get(parameter))
	return n
}

// open opens the store. SQLite's clock is that of this host.
func (u *storeURL) open(ctx context.Context) (*Opened, error) {
	switch u.kind {
	case "sqlite":
		s, err := sqlitestore.Open(ctx, u.file, sqlitestore.Options{Create: u.create, Retention: u.retention})
		if err != nil {
			return nil, err
		}
		return &Opened{Store: s, Close: s.Close, Clock: func(context.Context) (time.Time, error) { return time.Now(), nil }}, nil
	case "redis":
		return u.openRedis()
	case "postgres":
		return u.openPostgres(ctx)
	default:
		return u.openDynamoDB(ctx)
	}
}

// openRedis opens a store in Redis. Closing it also closes the client.
func (u *storeURL) openRedis() (*Opened, error) {
	client, err := u.redisClient()
	if err != nil {
		return nil, err
	}
	// The context never ends: while the store opens, the client's own time limits of some seconds apply, and not that of the command.
	s, err := redisstore.Open(context.Background(), client, redisstore.Options{
		Create:            u.create,
		Retention:         u.retention,
		Ledger:            u.own.Get("ledger"),
		AllowEviction:     u.enabled("allow-eviction"),
		AllowNoAppendOnly: u.enabled("allow-no-append-only"),
		MinReplicas:       u.number("min-replicas"),
	})
	if err != nil {
		_ = client.Close() // nothing was written
		return nil, err
	}
	clock := func(ctx context.Context) (time.Time, error) { return client.Time(ctx).Result() }
	return &Opened{Store: s, Close: func() error { return errors.Join(s.Close(), client.Close()) }, Clock: clock}, nil
}

// redisClient returns a client of one server, or of a cluster if the URL names further nodes.
func (u *storeURL) redisClient() (redis.UniversalClient, error) {
	if u.url.Query().Has("addr") { // the other nodes of a cluster
		o, err := redis.ParseClusterURL(u.url.String())
		if err != nil {
			return nil, u.unreadable()
		}
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(u.url.String())
	if err != nil {
		return nil, u.unreadable()
	}
	return redis.NewClient(o), nil
}

// unreadable is returned in place of the driver's own error, which may quote the URL and its password.
func (u *storeURL) unreadable() error {
	return exit.UsageError("the %s URL of the store can't be read: its host, database or parameters make no sense", u.kind)
}

// poolConfig parses the URL of a PostgreSQL server, into the settings of a pool of connections.
func (u *storeURL) poolConfig() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(u.url.String())
	if err != nil {
		return nil, u.unreadable()
	}
	return config, nil
}

// openPostgres opens a store in PostgreSQL. Closing it also closes the pool.
func (u *storeURL) openPostgres(ctx context.Context) (*Opened, error) {
	config, err := u.poolConfig()
	if err != nil {
		return nil, err
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	// This does not connect yet, so that an error is about the configuration.
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, u.unreadable()
	}
	s, err := pgstore.Open(ctx, pool, u.postgresOptions(config))
	if err != nil {
		pool.Close()
		return nil, err
	}
	closeBoth := func() error {
		err := s.Close()
		pool.Close()
		return err
	}
	clock := func(ctx context.Context) (at time.Time, err error) {
		return at, pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&at)
	}
	return &Opened{Store: s, Close: closeBoth, Clock: clock}, nil
}

// postgresOptions returns the store's options. With listen the store opens a connection of its own beside the pool, to be told of changes at once.
func (u *storeURL) postgresOptions(config *pgxpool.Config) pgstore.Options {
	o := pgstore.Options{Create: u.create, Retention: u.retention, Schema: u.own.Get("schema"), AllowVolatile: u.enabled("allow-volatile")}
	if u.enabled("listen") {
		o.Listen = config.ConnConfig
	}
	return o
}

// openDynamoDB opens a store in DynamoDB, and creates its table if create is set and there is none.
func (u *storeURL) openDynamoDB(ctx context.Context) (*Opened, error) {
	table := u.url.Host
	if table == "" || strings.Trim(u.url.Path, "/") != "" || u.url.User != nil {
		return nil, exit.UsageError("a DynamoDB store is dynamodb://TABLE, with ?region=… if need be")
	}
	client, err := u.dynamoClient(ctx)
	if err != nil {
		return nil, err
	}
	options := dynamostore.Options{Create: u.create, Retention: u.retention, Shards: u.number("shards")}
	s, err := dynamostore.Open(ctx, client, table, options)
	// In other stores Open makes all that a ledger needs. In DynamoDB the table has to be there first.
	if u.create && NoTable(err) {
		if err = dynamostore.CreateTable(ctx, client, table); err == nil {
			s, err = dynamostore.Open(ctx, client, table, options)
		}
	}
	if err != nil {
		return nil, err
	}
	clock := func(ctx context.Context) (time.Time, error) { return dynamoTime(ctx, client, table) }
	return &Opened{Store: s, Close: s.Close, Clock: clock}, nil
}

// dynamoTime returns the service's time, which is the date in the header of an answer; what the answer says of the table is of no interest.
func dynamoTime(ctx context.Context, client *dynamodb.Client, table string) (time.Time, error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return time.Time{}, err
	}
	at, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok {
		return time.Time{}, errors.New("the service did not tell its time")
	}
	return at, nil
}

// NoTable reports whether DynamoDB said that there is no such table.
func NoTable(err error) bool {
	var missing *types.ResourceNotFoundException
	return errors.As(err, &missing)
}

// dynamoClient returns a client with AWS's configuration, except for what the URL sets: region, profile or endpoint.
func (u *storeURL) dynamoClient(ctx context.Context) (*dynamodb.Client, error) {
	var with []func(*awsconfig.LoadOptions) error
	if region := u.own.Get("region"); region != "" {
		with = append(with, awsconfig.WithRegion(region))
	}
	if profile := u.own.Get("profile"); profile != "" {
		with = append(with, awsconfig.WithSharedConfigProfile(profile))
	}
	config, err := awsenv.Load(ctx, with...)
	if err != nil {
		return nil, fmt.Errorf("the configuration of AWS: %w", err)
	}
	return dynamodb.NewFromConfig(config, func(o *dynamodb.Options) {
		if endpoint := u.own.Get("endpoint"); endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	}), nil
}
