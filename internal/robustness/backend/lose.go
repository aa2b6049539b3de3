package backend

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// Loser is a Server of whose ledgers a part can get lost.
type Loser interface {
	Server
	// Lose removes one part of a ledger, drawn at random: a row, a key, a field or a member of what the store has written. It works
	// directly on the database, so that the store does not know of it, and returns a text that says what it has removed.
	Lose(ctx context.Context, address string, random *rand.Rand) (string, error)
}

// Loses wants stores whose servers are Losers.
func Loses(b Backend) bool {
	return b.Name == sqlite.Name || b.Name == redisBackend.Name || b.Name == postgres.Name || b.Name == dynamo.Name
}

// table is a table of a ledger. key is an SQL expression whose value differs from row to row.
type table struct{ name, key string }

// loseRow deletes one row, drawn from all rows of the tables together. count runs a query that counts, and remove one that deletes.
func loseRow(tables []table, random *rand.Rand, count func(query string) (int, error), remove func(query string) error) (string, error) {
	rows, all := make([]int, len(tables)), 0
	for i, t := range tables {
		var err error
		if rows[i], err = count("SELECT count(*) FROM " + t.name); err != nil {
			return "", err
		}
		all += rows[i]
	}
	n := random.IntN(all) // the number of the row among those of all tables; the loop makes it the number in its own table
	for i, t := range tables {
		if n < rows[i] {
			// The %[1]s is the table's name, %[2]s its key and %[3]d the number of the row in the order of the keys.
			query := fmt.Sprintf("DELETE FROM %[1]s WHERE %[2]s = (SELECT %[2]s FROM %[1]s ORDER BY 1 LIMIT 1 OFFSET %[3]d)", t.name, t.key, n)
			return fmt.Sprintf("row %d of %s", n, t.name), remove(query)
		}
		n -= rows[i]
	}
	return "", nil // never: n is less than all rows
}

// Lose removes a row.
func (s *sqliteServer) Lose(ctx context.Context, address string, random *rand.Rand) (string, error) {
	db, err := sql.Open("sqlite", sqlitePath(address))
	if err != nil {
		return "", err
	}
	defer db.Close()
	// The column one is the key of tables that have one row. Where two columns are the key together, || joins their texts.
	tables := []table{{"meta", "one"}, {"account", "key"}, {"bucket", "account || start"}, {"reservation", "id"}, {"flag", "key"}, {"change", "revision"}, {"usage", "day || key"}, {"policy", "one"}}
	count := func(query string) (n int, err error) {
		err = db.QueryRowContext(ctx, query).Scan(&n)
		return n, err
	}
	return loseRow(tables, random, count, func(query string) error {
		_, err := db.ExecContext(ctx, query)
		return err
	})
}

// Lose removes a row. ctid is Postgres's own number of a row in its table.
func (s *postgresServer) Lose(ctx context.Context, address string, random *rand.Rand) (string, error) {
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var tables []table
	for _, name := range []string{"meta", "account", "bucket", "reservation", "kill", "change", "revision", "usage", "policy"} {
		tables = append(tables, table{schemaOf(address) + "." + name, "ctid"})
	}
	count := func(query string) (n int, err error) {
		err = conn.QueryRow(ctx, query).Scan(&n)
		return n, err
	}
	return loseRow(tables, random, count, func(query string) error {
		_, err := conn.Exec(ctx, query)
		return err
	})
}

// Lose removes a field of a hash or a member of a sorted set; one time in four it removes the whole key. The names of the ledger's keys have a hash
// of its name in braces.
func (s *redisServer) Lose(ctx context.Context, address string, random *rand.Rand) (string, error) {
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer rdb.Close()
	_, ledger, _ := strings.Cut(address, "/")
	sum := sha256.Sum256([]byte(ledger))
	keys, err := rdb.Keys(ctx, "bedrockguard:{"+hex.EncodeToString(sum[:8])+"}:*").Result()
	if err != nil {
		return "", err
	}
	key := keys[random.IntN(len(keys))]
	kind, err := rdb.Type(ctx, key).Result()
	switch {
	case err != nil:
		return "", err
	case random.IntN(4) == 0:
		return key, rdb.Del(ctx, key).Err()
	case kind == "hash":
		return loseField(ctx, rdb, key, random)
	default: // a sorted set: the store has no keys of any other type
		return loseMember(ctx, rdb, key, random)
	}
}

// loseField removes a field of a hash.
func loseField(ctx context.Context, rdb *redis.Client, key string, random *rand.Rand) (string, error) {
	fields, err := rdb.HKeys(ctx, key).Result()
	if err != nil {
		return "", err
	}
	field := fields[random.IntN(len(fields))]
	return fmt.Sprintf("field %q of %s", field, key), rdb.HDel(ctx, key, field).Err()
}

// loseMember removes a member of a sorted set.
func loseMember(ctx context.Context, rdb *redis.Client, key string, random *rand.Rand) (string, error) {
	members, err := rdb.ZRange(ctx, key, 0, -1).Result()
	if err != nil {
		return "", err
	}
	member := members[random.IntN(len(members))]
	return fmt.Sprintf("member %q of %s", member, key), rdb.ZRem(ctx, key, member).Err()
}

// Lose removes an item. One time in four it is a gate, one of 64 equal items of which each transaction checks one; else it is drawn from all others.
func (s *dynamoServer) Lose(ctx context.Context, address string, random *rand.Rand) (string, error) {
	client, table, closeClient := dynamoClient(address)
	defer closeClient()
	from, gates, err := keysOf(ctx, client, table)
	if err != nil {
		return "", err
	}
	if random.IntN(4) == 0 {
		from = gates
	}
	// In a fixed order, so that the same random numbers draw the same item.
	slices.SortFunc(from, func(a, b map[string]types.AttributeValue) int {
		return cmp.Or(strings.Compare(textOf(a["pk"]), textOf(b["pk"])), strings.Compare(textOf(a["sk"]), textOf(b["sk"])))
	})
	key := from[random.IntN(len(from))]
	_, err = client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key})
	return textOf(key["pk"]) + " " + textOf(key["sk"]), err
}

// keysOf returns the keys of all items of a table: of the gates, and of the others.
func keysOf(ctx context.Context, client *dynamodb.Client, table string) (others, gates []map[string]types.AttributeValue, err error) {
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("pk, sk")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, key := range page.Items {
			if strings.HasPrefix(textOf(key["pk"]), "gate#") {
				gates = append(gates, key)
			} else {
				others = append(others, key)
			}
		}
	}
	return others, gates, nil
}

// textOf returns the text of an attribute that has one.
func textOf(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	return s.Value
}
