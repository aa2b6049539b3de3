package dynamostore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Each account is in a partition of its own, so that accounts can't be enumerated without a list. An item of the list is written before its
// account, and again when a window begins. Once the account exists, its list item holds until when the account matters: if the account is
// missing before that, it was lost, and what was spent in it is not known.
//
// In the code, a group is one account with all its shards, the items over which it is spread, as they were read; its version is nil if the
// account does not exist. An expression collects what one action of a transaction requires and changes.

// The attributes of an item of the list.
const (
	attrName     = "nm" // the account's limit and scope, see account.EncodeName
	attrListed   = "li" // always 1: what an update sets that has nothing else to set
	attrMatters  = "un" // until when the account matters: it is deleted a retention later at the earliest
	attrAccepted = "ua" // the last loss that had been accepted when attrMatters was written
)

const listPartition = "accounts"

// listKey returns the key of an account's item in the list.
func listKey(account driver.Key) itemKey {
	return itemKey{listPartition, hex.EncodeToString(account[:])}
}

// listIfNew puts the account of a line into the list if the account is about to be rewritten: created, or moved to a new window. That is so
// whenever the amount can't be booked by increments of the sums. ruled is how the line judged the reservation, and id is the reservation's.
func (s *Store) listIfNew(ctx context.Context, ruled *ruling, id driver.ID) error {
	if _, sharesKept := ruled.parts(pick(id, s.shards)); ruled.canIncrement(sharesKept) {
		return nil
	}
	return s.list(ctx, ruled.group, ruled.line, ruled.now)
}

// list puts an account into the list. The list keeps the name of the first line that it is given; line is nil for a step that does not know it.
// list returns errAccount if the account was not found although, by the list, it must exist.
func (s *Store) list(ctx context.Context, g *group, line *driver.Line, now time.Time) error {
	key := g.shards[0].key
	in := s.listUpdate(g, line, now)
	began := s.clock.began() // by which saw and sawError learn the service's time from the response
	out, err := s.client.UpdateItem(ctx, in)
	if err != nil {
		s.clock.sawError(err, began)
		return classify(ctx, err, 1) // says whether it may pass; the number matters for a transaction alone
	}
	s.clock.saw(out.ResultMetadata, began)
	if g.version == nil {
		g.listed = out.Attributes // the item before this update, with which recordCreated compares
		return s.checkLost(ctx, accountKey(key, 0), out.Attributes, now)
	}
	return nil
}

// listUpdate returns the request that writes an account's item in the list. It asks for the item as it was before.
func (s *Store) listUpdate(g *group, line *driver.Line, now time.Time) *dynamodb.UpdateItemInput {
	x := &expression{}
	end := now.UnixNano() // the item may be deleted some time after this
	if line != nil {
		end = line.Window.At(now).End
	}
	if ttl, ends := expiry(end, changeTrail); ends {
		x.set(ttlAttribute, number(ttl))
	}
	x.set(attrListed, number(1))
	s.recordPresence(x, g)
	update := aws.ToString(x.update())
	if line != nil { // so far update is a SET clause alone, which this continues; nm is attrName, and a name that is there stays
		update += ", nm = if_not_exists(nm, :name)"
		if x.values == nil {
			x.values = item{}
		}
		x.values[":name"] = blob(account.EncodeName(line))
	}
	return &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: listKey(g.shards[0].key).attributes(), UpdateExpression: &update, ExpressionAttributeNames: x.names,
		ExpressionAttributeValues: x.values, ReturnValues: types.ReturnValueAllOld,
	}
}

// recordPresence adds to an update of an account's item in the list until when the account matters. It adds nothing if there is no account yet.
func (s *Store) recordPresence(x *expression, g *group) {
	if g.version == nil {
		return
	}
	x.set(attrMatters, number(g.shards[0].last())) // until when it has an effect: the same for all shards, which are written together
	x.set(attrAccepted, blob(s.acceptance()))
}

// acceptance returns the id of the change by which an operator accepted the last loss; it is empty if there was none.
func (s *Store) acceptance() []byte {
	if k := s.ledger.Load(); k != nil && len(k.accept) > 0 {
		return k.accept
	}
	return []byte{}
}

// checkLost is for an account that was not found. It returns errAccount if the account's item in the list, listed, says that it must exist, errMoved
// if the account was created since it was looked for, and nil if nothing is lost.
func (s *Store) checkLost(ctx context.Context, account itemKey, listed item, now time.Time) error {
	r := reader{item: listed}
	until, told := r.number(attrMatters)
	accepted := r.blob(attrAccepted, -1) // the last loss that had been accepted then
	if r.err != nil {
		return r.err
	}
	if !told || !bytes.Equal(accepted, s.acceptance()) { // the list says nothing of the account, or another loss was accepted since
		return nil
	}
	if second, ends := expiry(until, DefaultRetention); ends && now.Unix() >= second { // the table's time to live may have deleted it
		return nil
	}
	if found, err := s.get(ctx, account); err != nil {
		return err
	} else if len(found) > 0 {
		return errMoved
	}
	return errAccount
}

// recordCreated writes into the list that accounts exist which this step has created, unless another process has changed their items in the
// meantime. After some tries its errors are ignored: then the list does not know of the account until its next window, in which it is listed again,
// and would not notice if the account were lost before that.
func (s *Store) recordCreated(ctx context.Context, groups ...*group) {
	for _, g := range groups {
		if !g.created {
			continue
		}
		_ = s.anyway(ctx, "list", func(ctx context.Context, _ *step) error {
			x := &expression{}
			// g.listed is the account's item in the list before list's update, which leaves these two attributes alone as long as there is no
			// account. So they are still the same, unless another process has written them since.
			for _, name := range [...]string{attrMatters, attrAccepted} {
				if old, told := g.listed[name]; told {
					x.require(name, "=", old)
				} else {
					x.requireNone(name)
				}
			}
			s.recordPresence(x, g)
			err := s.write(ctx, []types.TransactWriteItem{s.update(listKey(g.shards[0].key), x)})
			if errors.Is(err, errMoved) { // somebody else has noted it, or this is a repetition
				return nil
			}
			return err
		})
	}
}

// requirePresent returns errAccount if one of these accounts was not found although it must exist.
func (s *Store) requirePresent(ctx context.Context, groups map[driver.Key]*group, now time.Time) error {
	var accounts []driver.Key
	for key, g := range groups {
		if g.version == nil {
			accounts = append(accounts, key)
		}
	}
	for some := range slices.Chunk(accounts, maxActions) { // as many as one atomic read may have
		keys := make([]itemKey, len(some))
		for i, key := range some {
			keys[i] = listKey(key)
		}
		items, err := s.snapshot(ctx, keys)
		if err != nil {
			return err
		}
		for i, listed := range items {
			if err := s.checkLost(ctx, accountKey(some[i], 0), listed, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// Accounts implements driver.Store. It reads the list of accounts page by page, and then the accounts' overrides and latches. An account that
// changes while it reads is returned in its old or in its new state. A limit that is out of range is replaced with the nearest valid one,
// from 1 to maxEntries.
func (s *Store) Accounts(ctx context.Context, after driver.Key, limit int) (all []driver.Account, err error) {
	limit = max(1, min(limit, maxEntries))
	now, err := s.checkTable(ctx, "accounts")
	if err != nil {
		return nil, err
	}
	err = s.do(ctx, "accounts", func(ctx context.Context, _ *step) error {
		all = []driver.Account{}
		in := dynamodb.QueryInput{
			KeyConditionExpression:    aws.String("pk = :list AND sk > :after"),
			ExpressionAttributeValues: item{":list": text(listPartition), ":after": text(hex.EncodeToString(after[:]))},
			Limit:                     aws.Int32(int32(limit)),
		}
		return s.query(ctx, in, func(raw item) (bool, error) {
			a, err := decodeListed(raw)
			if err != nil {
				return false, err
			}
			all = append(all, a)
			return len(all) < limit, nil
		})
	})
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(all, maxActions) {
		if err := s.fillOverridesAndLatches(ctx, chunk, now); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// decodeListed decodes an item of the list: the account's key and, once a line has been seen, its limit and scope.
func decodeListed(raw item) (a driver.Account, err error) {
	r := reader{item: raw}
	key, err := hex.DecodeString(r.text(sortKey))
	if err != nil || len(key) != len(a.Key) {
		return a, errEncoding
	}
	a.Key = driver.Key(key)
	a.Limit, a.Scope, err = account.DecodeName(r.blob(attrName, -1)) // a name that is missing is nil, and decodes as no name
	return a, err
}

// fillOverridesAndLatches reads the items of up to maxActions accounts, and sets the fields Override and Latched of each: an override that
// was taken back, and a latch that is open again by now, are left out.
func (s *Store) fillOverridesAndLatches(ctx context.Context, accounts []driver.Account, now time.Time) error {
	return s.do(ctx, "accounts", func(ctx context.Context, _ *step) error {
		keys := make([]itemKey, len(accounts))
		for i := range accounts {
			keys[i] = accountKey(accounts[i].Key, 0) // all shards have them in common
		}
		items, err := s.snapshot(ctx, keys)
		if err != nil {
			return err
		}
		for i := range accounts {
			a, err := decodeAccount(accounts[i].Key, 0, items[i])
			if err != nil {
				return err
			}
			accounts[i].Override, accounts[i].Latched = a.override, time.Time{}
			if a.override != nil && a.override.Until.UnixNano() == 0 { // it was taken back
				accounts[i].Override = nil
			}
			if a.latchedUntil > now.UnixNano() {
				accounts[i].Latched = time.Unix(0, a.latchedUntil)
			}
		}
		return nil
	})
}
