package dynamostore

import (
	"context"
	"encoding/hex"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Accounts are found by a list of their own, because their items lie in partitions of their own. An item of the list is written
// before the account it stands for, and again when a window begins.

// attrName is what an account is called, in the library's form.
const attrName = "nm"

const listPartition = "accounts"

func listKey(account budget.Key) itemKey {
	return itemKey{listPartition, hex.EncodeToString(account[:])}
}

// listIfNew puts the account of a line into the list if it is about to be written whole: made, or given a new window.
func (s *Store) listIfNew(ctx context.Context, j *ruling, id budget.ID) error {
	if _, even := j.parts(pick(id, s.shards)); j.ready(even) {
		return nil
	}
	return s.list(ctx, j.line.Account, j.line, j.now)
}

// list puts an account into the list. Its name is that of the first line that is told; nil is none.
func (s *Store) list(ctx context.Context, key budget.Key, line *budget.Line, now time.Time) error {
	x := &expression{}
	end := now.UnixNano()
	if line != nil {
		end = line.Window.At(now).End
	}
	if ttl, ends := expiry(end, changeTrail); ends {
		x.set(ttlAttribute, number(ttl))
	}
	x.set("li", number(1))
	in := &dynamodb.UpdateItemInput{TableName: &s.table, Key: listKey(key).attributes()}
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
