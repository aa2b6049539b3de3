package dynamostore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// The attributes of the items of changes: of the head, which holds the revision; of each object, which holds what changed it last;
// and of the rows of the audit trail.
const (
	attrRevision = "rv"
	attrChange   = "ci" // the change's id
	attrMadeAt   = "ca"
	attrRecord   = "cr" // the row, as account.EncodeRecord encodes it
)

// changePartition holds the rows of the audit trail, sorted by revision.
const changePartition = "changes"

// changeTrail is how long rows of the audit trail are kept: thirteen months.
const changeTrail = 400 * 24 * time.Hour

// changeHeadKey returns the key of the head, the item with the ledger's revision.
func changeHeadKey() itemKey { return itemKey{"change", "head"} }

// objectKey returns the key of the item that says what changed an object last.
func objectKey(object driver.Key) itemKey {
	return itemKey{"object#" + hex.EncodeToString(object[:]), "object"}
}

// changeKey returns the key of a row of the audit trail.
func changeKey(revision int64) itemKey { return itemKey{changePartition, sortable(revision)} }

// changing is the state of the audit trail on which a change is based: the ledger's revision, and which of the change's records have still to be
// made. An object is what a record changes: an account, a flag, a reservation, the policy. The head is the item with the revision.
type changing struct {
	revision int64
	began    bool // there is a head: before the first change there is none
	records  []driver.Record
	fresh    []bool  // by record: it has to be made. It has not if it was made before, or is refused
	known    []bool  // by record: its object was changed before
	refused  []error // by record: ErrSuperseded if somebody else has changed its object since its caller looked
}

// readChange reads the state of the audit trail in one atomic read, for one attempt at a change. It notes in the step the revision that the
// attempt would make, by which a later attempt finds out whether this one has made the change.
func (s *Store) readChange(ctx context.Context, t *step, records ...driver.Record) (*changing, error) {
	keys := []itemKey{changeHeadKey()}
	for i := range records {
		keys = append(keys, objectKey(records[i].Object()))
	}
	items, err := s.snapshot(ctx, keys)
	if err != nil {
		return nil, err
	}
	c := &changing{records: records, fresh: make([]bool, len(records)), known: make([]bool, len(records)), refused: make([]error, len(records))}
	if err := s.readHead(ctx, c, items[0]); err != nil {
		return nil, err
	}
	for i := range records {
		if err := c.judge(i, items[i+1]); err != nil {
			return nil, err
		}
	}
	done, err := s.carriedOut(ctx, t, records[0].ID) // all records of one step have the id of its change
	if err != nil {
		return nil, err
	}
	for i := range records { // an attempt makes all records in one transaction, so that done holds for each
		if done {
			c.fresh[i], c.known[i], c.refused[i] = false, true, nil
		}
	}
	// This attempt would give its first record this revision, and a later one looks there.
	if !slices.Contains(t.revisions, c.revision+1) {
		t.revisions = append(t.revisions, c.revision+1)
	}
	return c, nil
}

// readHead takes the ledger's revision from the head, whose item is empty if there is none. Then the rows of the audit trail tell whether there
// should be one: a head that is lost is an error, unless the change accepts that.
func (s *Store) readHead(ctx context.Context, c *changing, head item) (err error) {
	if c.began = len(head) > 0; c.began {
		r := reader{item: head}
		c.revision = r.required(attrRevision)
		return r.err
	}
	if c.revision, err = s.lastRevision(ctx); err != nil {
		return err
	}
	if c.revision > 0 && c.records[0].Kind != driver.ChangeAcceptLoss {
		return s.headless(ctx)
	}
	return nil
}

// judge decides, by the item that says what changed its object last, whether the record at index i has to be made. The item is empty if nothing has
// ever changed the object.
func (c *changing) judge(i int, object item) error {
	if len(object) == 0 {
		c.fresh[i] = true
		return nil
	}
	c.known[i] = true
	r := reader{item: object}
	revision, id := r.required(attrRevision), r.bytes16(attrChange)
	switch {
	case r.err != nil:
		return r.err
	case id == [16]byte(c.records[i].ID): // it was made before
	case revision > c.records[i].Seen: // Seen is the ledger's revision when the caller looked
		c.refused[i] = driver.ErrSuperseded
	default:
		c.fresh[i] = true
	}
	return nil
}

// carriedOut reports whether an earlier attempt of this step made the change, and its answer was lost. Others may have changed the same object since,
// so that the object does not tell: it looks at the rows with the revisions that the attempts would have made. The ledger's revision has to be
// read before that: an earlier attempt that arrives at the service later either fails, or raises the revision, so that this attempt fails.
func (s *Store) carriedOut(ctx context.Context, t *step, id driver.ID) (done bool, err error) {
	var open []int64 // revisions that nobody has made yet
	for some := range slices.Chunk(t.revisions, maxActions) {
		keys := make([]itemKey, len(some))
		for i, revision := range some {
			keys[i] = changeKey(revision)
		}
		items, err := s.snapshot(ctx, keys)
		if err != nil {
			return false, err
		}
		for i, raw := range items {
			if len(raw) == 0 {
				open = append(open, some[i])
				continue
			}
			r, err := decodeChange(raw)
			if err != nil {
				return false, err
			}
			done = done || r.Change.ID == id
		}
	}
	t.revisions = open // a row that is there never changes, so that no attempt has to read it again
	return done, nil
}

// errHead says that a ledger has had changes, as its audit trail or a flag shows, and that the head, which has its revision, is gone.
var errHead = fmt.Errorf("%w: what it says of its changes is gone", driver.ErrLost)

// headless returns errHead, or errMoved if the first change of all was made since its head was looked for.
func (s *Store) headless(ctx context.Context) error {
	head, err := s.get(ctx, changeHeadKey())
	if err != nil {
		return err
	}
	if len(head) > 0 {
		return errMoved
	}
	return errHead
}

// lastRevision returns the revision of the last row of the audit trail, 0 if there is none.
func (s *Store) lastRevision(ctx context.Context) (revision int64, err error) {
	in := dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :p"), Limit: aws.Int32(1), ScanIndexForward: aws.Bool(false),
		ExpressionAttributeValues: item{":p": text(changePartition)},
	}
	err = s.query(ctx, in, func(raw item) (bool, error) {
		r := reader{item: raw}
		revision = r.required(attrRevision)
		return false, r.err // one row is enough
	})
	return revision, err
}

// superseded returns ErrSuperseded if one of the records is.
func (c *changing) superseded() error { return errors.Join(c.refused...) }

// recordChange returns the actions that write the fresh records into the audit trail, the last change of each object, and the revision. They require
// the revision as it was read, so that of two changes that are made at once only one goes through. Without a fresh record there are none.
func (s *Store) recordChange(c *changing, now time.Time) ([]types.TransactWriteItem, error) {
	revision := c.revision
	var actions []types.TransactWriteItem
	for i := range c.records {
		if !c.fresh[i] {
			continue
		}
		revision++
		row, object, err := s.writeRecord(&c.records[i], revision, now)
		if err != nil {
			return nil, err
		}
		actions = append(actions, row, object)
	}
	if len(actions) == 0 {
		return nil, nil
	}
	x := &expression{}
	if c.began {
		x.require(attrRevision, "=", number(c.revision))
	} else {
		x.requireNone(partitionKey)
	}
	return append(actions, s.put(changeHeadKey().with(item{attrRevision: number(revision)}), x)), nil
}

// writeRecord returns the actions that write a record with its revision into the audit trail, and as the last change of its object. That item of the
// object is written without a condition: that the head is as it was read, which recordChange requires, stands for it.
func (s *Store) writeRecord(r *driver.Record, revision int64, now time.Time) (row, object types.TransactWriteItem, err error) {
	raw, err := account.EncodeRecord(r)
	if err != nil {
		return row, object, err
	}
	ttl, _ := expiry(now.UnixNano(), changeTrail) // it always ends: expiry says otherwise only near the end of int64
	whole := item{
		attrRevision: number(revision), attrMadeAt: number(now.UnixNano()), attrRecord: blob(raw), ttlAttribute: number(ttl),
	}
	none := &expression{}
	none.requireNone(partitionKey)
	last := item{attrRevision: number(revision), attrChange: blob(r.ID[:]), ttlAttribute: number(ttl)}
	return s.put(changeKey(revision).with(whole), none), s.put(objectKey(r.Object()).with(last), &expression{}), nil
}

// Override implements driver.Store. It rewrites what all shards of the account have in common, and no sum: see reshape.
func (s *Store) Override(ctx context.Context, key driver.Key, o *driver.Override, c driver.Change) error {
	if o != nil && o.Max < 0 {
		return fmt.Errorf("%w: an override to %d", driver.ErrInvalidCharge, o.Max)
	}
	if err := c.Validate(); err != nil {
		return err
	}
	// A nil override removes one. The function below reports whether there is something to write.
	r := driver.Record{Change: c, Kind: driver.ChangeOverride, Account: key, Override: o}
	return s.reshape(ctx, "override", []driver.Record{r}, func(g *group) bool {
		if o == nil {
			had := g.override != nil
			g.override = nil
			return had
		}
		own := *o
		g.override = &own
		return true
	})
}

// Unlatch implements driver.Store. It is one step for as many accounts as one transaction holds, and one for each so many beyond
// that.
func (s *Store) Unlatch(ctx context.Context, accounts []driver.Key, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	var superseded error
	for len(accounts) > 0 {
		// A transaction has the gate and the head, and for each account its shards, a row of the audit trail and the object's item.
		some := accounts[:min(len(accounts), (maxActions-2)/(s.shards+2))]
		accounts = accounts[len(some):]
		records := make([]driver.Record, len(some))
		for i, key := range some {
			records[i] = driver.Record{Change: c, Kind: driver.ChangeUnlatch, Account: key}
		}
		err := s.reshape(ctx, "unlatch", records, func(g *group) bool {
			had := g.latchedUntil != 0
			g.latchedUntil = 0
			return had
		})
		if errors.Is(err, driver.ErrSuperseded) {
			superseded = err // all but the accounts that others have changed are opened
		} else if err != nil {
			return err
		}
	}
	if superseded == nil { // also if there was no account, and so no step that would have found a lost table
		_, err := s.checkTable(ctx, "unlatch")
		return err
	}
	return superseded
}

// reshape changes what all shards of the records' accounts have in common, such as an override or a latch, and touches no sum. It requires only their
// version, which changes with everything but sums, so that reservations may go on at the same time. change changes the account as it was read,
// and reports whether there is something to write.
func (s *Store) reshape(ctx context.Context, op string, records []driver.Record, change func(*group) bool) error {
	accounts := make([]driver.Key, len(records))
	for i := range records {
		accounts[i] = records[i].Account
	}
	return s.do(ctx, op, func(ctx context.Context, t *step) error {
		unlock, err := s.changeLock.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		// This read comes first: if an account is reshaped after it, the ledger's revision changes, too, and the transaction fails.
		c, err := s.readChange(ctx, t, records...)
		if err != nil {
			return err
		}
		groups, err := s.readGroups(ctx, accounts)
		if err != nil {
			return err
		}
		return s.reshapeGroups(ctx, c, groups, change)
	})
}

// reshapeGroups is reshape for accounts as they were read: groups has that of each record of the change c. It returns ErrSuperseded if a record is,
// after it has written the others.
func (s *Store) reshapeGroups(ctx context.Context, c *changing, groups map[driver.Key]*group, change func(*group) bool) error {
	now, err := s.clock.now()
	if err != nil {
		return err
	}
	noted, err := s.recordChange(c, now)
	if err != nil || len(noted) == 0 { // no record is fresh: each was made before, or is superseded
		return errors.Join(err, c.superseded())
	}
	// checkEpoch requires that the table still holds the ledger that was opened.
	actions := append([]types.TransactWriteItem{s.checkEpoch(driver.ID{})}, noted...)
	for i := range c.records {
		if g := groups[c.records[i].Account]; c.fresh[i] && change(g) {
			reshaped, err := s.writeReshaped(ctx, g, now)
			if err != nil {
				return err
			}
			actions = append(actions, reshaped...)
		}
	}
	if err := s.write(ctx, actions); err != nil {
		return err
	}
	for i := range c.records { // it does nothing for an account that rewriteAsIs has not just created
		s.recordCreated(ctx, groups[c.records[i].Account])
	}
	return c.superseded()
}

// writeReshaped returns the actions that write what the shards of an account have in common, after it has changed. An account that does not exist yet
// gets items without sums, and before that an item in the list of accounts: without its name, which only a line tells, and this step has none.
func (s *Store) writeReshaped(ctx context.Context, g *group, now time.Time) ([]types.TransactWriteItem, error) {
	if g.version != nil {
		return s.reshapeItems(g), nil
	}
	if err := s.list(ctx, g, nil, now); err != nil {
		return nil, err
	}
	return s.rewriteAsIs(g), nil
}

// Correct implements driver.Store. A tombstone, which Void writes for an id that it does not know so that a late Reserve of it fails, is not found:
// it has no accounts to which an amount could be posted.
func (s *Store) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	if err := c.Validate(); err != nil {
		return driver.Posting{}, err
	}
	actual := c.Actual
	q := &resolving{id: c.ID, record: &driver.Record{Change: c.Change, Kind: driver.ChangeCorrect, Reservation: c.ID, To: actual}}
	// q.change, the state of the audit trail, has been read before this is called.
	q.decide = func(e *entry, _ time.Time) (outcome, driver.Posting, error) {
		switch {
		case e == nil || e.state == driver.Pending || e.tombstone:
			return outcome{}, driver.Posting{}, driver.ErrNotFound
		case q.change.refused[0] != nil:
			return outcome{}, driver.Posting{}, driver.ErrSuperseded
		case !q.change.fresh[0]:
			return outcome{}, driver.Posting{Replayed: true, From: e.state}, nil
		case e.actual == actual && !e.estimated && e.divided(&c): // what it asks for is posted already, and not as an estimate, which it would confirm
			// No sum changes, but the audit trail gets a record, so that an older correction that arrives after this one is superseded.
			return outcome{state: e.state, actual: actual, unchanged: true}, driver.Posting{Replayed: true, From: e.state}, nil
		}
		return outcome{state: driver.Settled, actual: actual, shares: c.Shares, correction: true}, driver.Posting{From: e.state}, nil
	}
	return s.resolve(ctx, "correct", q)
}

// Revision implements driver.Store. If the item with the revision is missing although there are rows of the audit trail, the ledger has lost
// a part.
func (s *Store) Revision(ctx context.Context) (revision int64, err error) {
	err = s.do(ctx, "revision", func(ctx context.Context, _ *step) error {
		items, err := s.snapshot(ctx, []itemKey{gateKey(0), changeHeadKey()})
		if err != nil {
			return err
		}
		if _, err := s.gate(items[0]); err != nil { // the table does not hold the ledger that was opened
			return err
		}
		if len(items[1]) > 0 {
			r := reader{item: items[1]}
			revision = r.required(attrRevision)
			return r.err
		}
		if revision, err = s.lastRevision(ctx); err == nil && revision > 0 {
			revision, err = 0, s.headless(ctx)
		}
		return err
	})
	return revision, err
}

// maxRecords is the most that one page of Changes holds.
const maxRecords = 10_000

// Changes implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (all []driver.Record, err error) {
	limit = max(1, min(limit, maxRecords))
	err = s.do(ctx, "changes", func(ctx context.Context, _ *step) error {
		all = []driver.Record{}
		in := dynamodb.QueryInput{
			KeyConditionExpression: aws.String("pk = :p AND sk > :after"), Limit: aws.Int32(int32(limit)),
			ExpressionAttributeValues: item{":p": text(changePartition), ":after": text(sortable(after))},
		}
		return s.query(ctx, in, func(raw item) (bool, error) {
			r, err := decodeChange(raw)
			all = append(all, r)
			return len(all) < limit, err
		})
	})
	if err != nil {
		return nil, err
	}
	_, err = s.checkTable(ctx, "changes")
	return all, err
}

// decodeChange decodes a row of the audit trail.
func decodeChange(raw item) (driver.Record, error) {
	r := reader{item: raw}
	revision, at, record := r.required(attrRevision), r.required(attrMadeAt), r.blob(attrRecord, -1)
	if r.err != nil {
		return driver.Record{}, r.err
	}
	return account.DecodeRecord(record, revision, at)
}
