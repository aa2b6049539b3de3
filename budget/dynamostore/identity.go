package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	// verifyEvery is how often the table's id is looked up. A table that was restored from a backup holds the same gates;
	// only its id differs. Deleting a table and restoring it takes longer than this, and a step that finds no table meanwhile looks at once.
	verifyEvery = time.Minute
	// verifyGrace is how long a look-up may fail before steps do.
	verifyGrace = 10 * time.Minute
)

// identity is what is known of the table beside its items: its id, and how sure it is that this is still the table.
type identity struct {
	mu       sync.Mutex
	table    string        // the id that DynamoDB gave it; empty until the ledger is known
	lookedAt time.Time     // when somebody last looked whether a loss was accepted
	every    time.Duration // how often the id is looked up: verifyEvery, except in tests
	next     time.Time     // when a step looks the id up again
	verified time.Time     // when the id was last found to be the same
	doubted  bool          // no step may go on before the id was looked up
}

// doubt asks for a look before the next step.
func (i *identity) doubt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.doubted = true
}

// due reports whether it is this caller's turn to look the table's id up, and whether it must not go on if that fails: because there is doubt, or
// because the last success is too long ago.
func (i *identity) due() (look, must bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	must = i.doubted || now.Sub(i.verified) > i.every+verifyGrace
	if look = must || !now.Before(i.next); look {
		i.next = now.Add(i.every) // no other caller looks before that, unless it must
	}
	return look, must
}

// of returns the id of the table that is known, empty until one is.
func (i *identity) of() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.table
}

// adopt makes a table the one that is known.
func (i *identity) adopt(table string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.table = table
}

// confirmed notes that the table was the same one.
func (i *identity) confirmed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.verified, i.doubted = time.Now(), false
	i.next = i.verified.Add(i.every)
}

// verify looks the table's id up when it is time, and returns an error if the table is another one or can't be used. If the look-up itself fails, the
// step goes on, unless it must not.
func (s *Store) verify(ctx context.Context) error {
	look, must := s.identity.due()
	if !look {
		return nil
	}
	table, err := s.describe(ctx)
	switch {
	case missing(err) || err == nil && aws.ToString(table.TableId) != s.identity.of(): // the table is gone, or another one
		s.identity.doubt()
		return errors.Join(errReplaced, err)
	case err != nil && (must || ctx.Err() != nil): // must: there is doubt, or no look-up has succeeded for too long
		return err
	case err != nil:
		return nil // the data path goes on; somebody looks again soon
	}
	if err := usable(table); err != nil {
		s.identity.doubt()
		return err
	}
	s.identity.confirmed()
	return nil
}

// describe asks the service what the table is.
func (s *Store) describe(ctx context.Context) (*types.TableDescription, error) {
	began := s.clock.began() // by which saw and sawError learn the service's time from the response
	out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if err != nil {
		s.clock.sawError(err, began)
		return nil, classify(ctx, err, 1) // says whether it may pass; the number matters for a transaction alone
	}
	s.clock.saw(out.ResultMetadata, began)
	if out.Table == nil {
		return nil, errors.New("dynamostore: the service describes no table")
	}
	return out.Table, nil
}

// usable refuses tables that can't hold a hard limit.
func usable(table *types.TableDescription) error {
	keys := make(map[types.KeyType]string)
	for _, k := range table.KeySchema {
		keys[k.KeyType] = aws.ToString(k.AttributeName)
	}
	for _, a := range table.AttributeDefinitions {
		if name := aws.ToString(a.AttributeName); (name == partitionKey || name == sortKey) && a.AttributeType != types.ScalarAttributeTypeS {
			keys[types.KeyTypeHash] = "" // a key that is no string: refused below
		}
	}
	switch {
	case keys[types.KeyTypeHash] != partitionKey || keys[types.KeyTypeRange] != sortKey:
		return fmt.Errorf("dynamostore: the table needs a partition key %q and a sort key %q, both strings: CreateTable makes one", partitionKey, sortKey)
	case table.TableStatus != types.TableStatusActive && table.TableStatus != types.TableStatusUpdating:
		return &transientError{fmt.Errorf("dynamostore: the table is %s", table.TableStatus)}
	case len(table.Replicas) > 0 || table.GlobalTableVersion != nil:
		return errors.New("dynamostore: the table is a global table: where the last writer wins there is no hard limit: use a table of one region")
	case aws.ToString(table.TableId) == "":
		return errors.New("dynamostore: the service names no id of the table")
	}
	return nil
}

// adopt takes the ledger in the table as this store's. A gate is an item that names the ledger, its table and its number of shards; if these are not
// what the store expects, adopt returns an error. It makes the gates in an empty table, and with Options.Adopt gives a restored one a new epoch.
func (s *Store) adopt(ctx context.Context, tableID string) error {
	raw, err := s.get(ctx, gateKey(0))
	if err != nil {
		return err
	}
	if len(raw) == 0 && !s.opts.Create {
		return s.absent(ctx)
	}
	if len(raw) == 0 {
		return s.initialise(ctx, tableID)
	}
	g, err := decodeGate(raw)
	switch {
	case err != nil:
		return err
	case s.opts.Shards != 0 && s.opts.Shards != g.shards:
		return fmt.Errorf("dynamostore: the ledger was made with %d shards, not %d: they can't be changed", g.shards, s.opts.Shards)
	case g.table == tableID: // the ledger was made in this table
	case !s.opts.Adopt:
		return errRestored
	default:
		if g, err = s.giveNewEpoch(ctx, g, tableID); err != nil {
			return err
		}
	}
	s.shards = g.shards
	return s.know(ctx, g) // which also reads the kill flags that are in force
}

// initialise makes the gates of a new ledger, all or none: of two processes that try at once one wins.
func (s *Store) initialise(ctx context.Context, tableID string) error {
	empty, err := s.empty(ctx)
	if err != nil {
		return err
	}
	if !empty {
		if raw, err := s.get(ctx, gateKey(0)); err != nil || len(raw) > 0 {
			return errors.Join(err, errMoved) // another process made them just now
		}
		return errForeign
	}
	g := newGate(tableID, max(s.opts.Shards, 1))
	actions := make([]types.TransactWriteItem, gateCount)
	for n := range actions {
		x := &expression{}
		x.requireNone(partitionKey)
		actions[n] = s.put(g.encode(n), x)
	}
	if err := s.write(ctx, actions); err != nil {
		return err
	}
	s.shards = g.shards
	return s.know(ctx, g)
}

// empty reports whether the table holds nothing.
func (s *Store) empty(ctx context.Context) (bool, error) {
	began := s.clock.began() // sawError learns the service's time from an error; the other requests learn it from answers, too
	out, err := s.client.Scan(ctx, &dynamodb.ScanInput{TableName: &s.table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(1)})
	if err != nil {
		s.clock.sawError(err, began)
		return false, classify(ctx, err, 1)
	}
	return len(out.Items) == 0, nil
}

// absent says why there is no ledger.
func (s *Store) absent(ctx context.Context) error {
	empty, err := s.empty(ctx)
	switch {
	case err != nil:
		return err
	case empty:
		return errNone
	default:
		return errForeign
	}
}

var errForeign = errors.New("dynamostore: the table holds items and no ledger: it belongs to something else, or lost its epoch")

// giveNewEpoch gives a restored ledger a new epoch, its random name, which shuts out all stores that were open on the one before.
func (s *Store) giveNewEpoch(ctx context.Context, g gate, tableID string) (gate, error) {
	next := newGate(tableID, g.shards)
	next.token, next.salt, next.accept = g.token, g.salt, g.accept // the kill flags are those of the backup
	actions := make([]types.TransactWriteItem, gateCount)
	for n := range actions {
		x := &expression{}
		x.require(attrEpoch, "=", blob(g.epoch[:]))
		actions[n] = s.put(next.encode(n), x)
	}
	return next, s.write(ctx, actions)
}
