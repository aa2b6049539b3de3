package dynamostore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Accounts are found by a list of their own, because their items lie in partitions of their own. An item of the list is written
// before the account it stands for, and again when a window begins. Once the account is there, it says until when at least: an account
// that is not there before that has been lost, and what was spent in it is not known.

// The attributes of an item of the list.
const (
	attrName     = "nm" // what the account is called, in the library's form
	attrListed   = "li"
	attrMatters  = "un" // until when the account matters: it is deleted a retention later at the earliest
	attrAccepted = "ua" // the loss that had been accepted last when that was written
)

const listPartition = "accounts"

func listKey(account budget.Key) itemKey {
	return itemKey{listPartition, hex.EncodeToString(account[:])}
}

// listIfNew puts the account of a line into the list if it is about to be written whole: made, or given a new window.
func (s *Store) listIfNew(ctx context.Context, j *ruling, id budget.ID) error {
	if _, even := j.parts(pick(id, s.shards)); j.ready(even) {
		return nil
	}
	return s.list(ctx, j.group, j.line, j.now)
}

// list puts an account into the list, as it was read. Its name is that of the first line that is told; nil is none. It returns errAccount
// if the account must be there and is not.
func (s *Store) list(ctx context.Context, g *group, line *budget.Line, now time.Time) error {
	key, x := g.shards[0].key, &expression{}
	end := now.UnixNano()
	if line != nil {
		end = line.Window.At(now).End
	}
	if ttl, ends := expiry(end, changeTrail); ends {
		x.set(ttlAttribute, number(ttl))
	}
	x.set(attrListed, number(1))
	s.vouch(x, g)
	in := &dynamodb.UpdateItemInput{TableName: &s.table, Key: listKey(key).attributes(), ReturnValues: types.ReturnValueAllOld}
	update := aws.ToString(x.update())
	if line != nil {
		update += ", nm = if_not_exists(nm, :name)"
		if x.values == nil {
			x.values = item{}
		}
		x.values[":name"] = blob(account.EncodeName(line))
	}
	in.UpdateExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = &update, x.names, x.values
	began := s.clock.began()
	out, err := s.client.UpdateItem(ctx, in)
	if err != nil {
		s.clock.sawError(err, began)
		return classify(ctx, err, 1)
	}
	s.clock.saw(out.ResultMetadata, began)
	if g.version == nil {
		g.listed = out.Attributes
		return s.missed(ctx, accountKey(key, 0), out.Attributes, now)
	}
	return nil
}

// vouch notes that an account is there, if it is.
func (s *Store) vouch(x *expression, g *group) {
	if g.version == nil {
		return
	}
	x.set(attrMatters, number(g.shards[0].last()))
	x.set(attrAccepted, blob(s.acceptance()))
}

// acceptance names the loss that was accepted last.
func (s *Store) acceptance() []byte {
	if k := s.ledger.Load(); k != nil && len(k.accept) > 0 {
		return k.accept
	}
	return []byte{}
}

// missed returns errAccount if an item of the list says that an account that was not found must be there. It returns errMoved if the
// account was made since it was looked for.
func (s *Store) missed(ctx context.Context, account itemKey, listed item, now time.Time) error {
	r := reader{item: listed}
	until, vouched := r.number(attrMatters)
	since := r.blob(attrAccepted, -1)
	if r.err != nil || !vouched || !bytes.Equal(since, s.acceptance()) {
		return r.err
	}
	if second, ends := expiry(until, max(s.opts.Retention, DefaultRetention)); ends && now.Unix() >= second {
		return nil
	}
	if found, err := s.get(ctx, account); err != nil {
		return err
	} else if len(found) > 0 {
		return errMoved
	}
	return errAccount
}

// made notes that accounts are there which were made just now, if what the list says of them is what it said before. It does not matter if
// it fails, but that a loss before their next window would go unnoticed, so that it is tried again.
func (s *Store) made(ctx context.Context, groups ...*group) {
	for _, g := range groups {
		if !g.created {
			continue
		}
		_ = s.anyway(ctx, "list", func(ctx context.Context, _ *step) error {
			x := &expression{}
			for _, name := range [...]string{attrMatters, attrAccepted} {
				if old, told := g.listed[name]; told {
					x.require(name, "=", old)
				} else {
					x.requireNone(name)
				}
			}
			s.vouch(x, g)
			err := s.write(ctx, []types.TransactWriteItem{s.update(listKey(g.shards[0].key), x)})
			if errors.Is(err, errMoved) { // somebody else has noted it, or this is a repetition
				return nil
			}
			return err
		})
	}
}

// there returns errAccount if one of these accounts was not found and must be there.
func (s *Store) there(ctx context.Context, groups map[budget.Key]*group, now time.Time) error {
	var accounts []budget.Key
	for key, g := range groups {
		if g.version == nil {
			accounts = append(accounts, key)
		}
	}
	for some := range slices.Chunk(accounts, maxActions) {
		keys := make([]itemKey, len(some))
		for i, key := range some {
			keys[i] = listKey(key)
		}
		items, err := s.snapshot(ctx, keys)
		if err != nil {
			return err
		}
		for i, listed := range items {
			if err := s.missed(ctx, accountKey(some[i], 0), listed, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// Accounts implements budget.Store. It reads page by page: an account that changes meanwhile is as it was or as it is. A max out
// of range is moved into it.
func (s *Store) Accounts(ctx context.Context, after budget.Key, limit int) (all []budget.Account, err error) {
	limit = max(1, min(limit, maxEntries))
	now, err := s.present(ctx, "accounts")
	if err != nil {
		return nil, err
	}
	err = s.do(ctx, "accounts", func(ctx context.Context, _ *step) error {
		all = []budget.Account{}
		in := dynamodb.QueryInput{
			KeyConditionExpression:    aws.String("pk = :list AND sk > :after"),
			ExpressionAttributeValues: item{":list": text(listPartition), ":after": text(hex.EncodeToString(after[:]))},
			Limit:                     aws.Int32(int32(limit)),
		}
		return s.query(ctx, in, func(raw item) (bool, error) {
			r := reader{item: raw}
			key, err := hex.DecodeString(r.text(sortKey))
			if err != nil || len(key) != len(budget.Key{}) {
				return false, errEncoding
			}
			a := budget.Account{Key: budget.Key(key)}
			if a.Limit, a.Scope, err = account.DecodeName(r.blob(attrName, -1)); err != nil {
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
		if err := s.tellTerms(ctx, chunk, now); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// tellTerms fills in the overrides and latches of accounts.
func (s *Store) tellTerms(ctx context.Context, accounts []budget.Account, now time.Time) error {
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

// Periods implements budget.Store. The sums of windows that have passed are not kept, but with Options.Clock, and what entries had
// posted that DynamoDB has deleted is not told apart. A max out of range is moved into it.
func (s *Store) Periods(ctx context.Context, key budget.Key, after time.Time, limit int) (all []budget.Period, err error) {
	since := int64(math.MinInt64)
	if !after.IsZero() {
		since = account.Nanos(after)
	}
	err = s.do(ctx, "periods", func(ctx context.Context, _ *step) error {
		all = []budget.Period{}
		groups, err := s.readGroups(ctx, []budget.Key{key})
		if err != nil {
			return err
		}
		for _, a := range groups[key].shards {
			for _, b := range a.buckets {
				if b.start <= since {
					continue
				}
				start := time.Unix(0, b.start)
				i, found := slices.BinarySearchFunc(all, start, func(p budget.Period, at time.Time) int { return p.Start.Compare(at) })
				if !found {
					all = slices.Insert(all, i, budget.Period{Start: start})
				}
				all[i].Settled, all[i].Pending = all[i].Settled+b.settled, all[i].Pending+b.pending
			}
		}
		all = all[:min(len(all), max(1, min(limit, maxEntries)))]
		return nil
	})
	if err == nil {
		_, err = s.present(ctx, "periods")
	}
	return all, err
}
