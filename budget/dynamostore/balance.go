package dynamostore

import (
	"context"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Balances implements driver.Store. An account has as many items as the table has shards. For up to 99 items of accounts it is one atomic read, and
// for more several, each of as many accounts as have room in it.
func (s *Store) Balances(ctx context.Context, lines []driver.Line) (all []driver.Balance, err error) {
	err = s.do(ctx, "balances", func(ctx context.Context, _ *step) error {
		all = make([]driver.Balance, 0, len(lines))
		for { // also for no lines, because balancesOf finds out whether this is still the ledger
			some := lines[len(all):]
			some = some[:min(len(some), (maxActions-1)/s.shards)] // readGroups reads one more item
			page, err := s.balancesOf(ctx, some)
			if err != nil {
				return err
			}
			if all = append(all, page...); len(all) == len(lines) {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// balancesOf returns the balances of as many lines as one transaction can read.
func (s *Store) balancesOf(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	groups, err := s.readGroups(ctx, accountsOf(lines))
	if err != nil {
		return nil, err
	}
	at, err := s.clock.now()
	if err != nil {
		return nil, err
	}
	if err := s.requirePresent(ctx, groups, at); err != nil {
		return nil, err
	}
	all := make([]driver.Balance, len(lines))
	for i := range lines {
		line, g := &lines[i], groups[lines[i].Account]
		now, span := g.moment(line.Window, at, s.keepPast)
		b, _ := g.balance(line, span, now, 0) // sums that don't fit into an int64 are cut
		used, _ := plus(b.Settled, b.Pending)
		// How long it takes until all of it has left the window.
		b.ResetAfter = g.wait(line.Window, span, now, used)
		all[i] = b
	}
	return all, nil
}

// readGroups reads accounts, each with all its shards, in one atomic read. It also reads a gate, an item that names the ledger, which must be the
// one that was opened.
func (s *Store) readGroups(ctx context.Context, accounts []driver.Key) (map[driver.Key]*group, error) {
	keys := []itemKey{gateKey(0)}
	groups := make(map[driver.Key]*group, len(accounts))
	var unique []driver.Key
	for _, account := range accounts {
		if _, known := groups[account]; known {
			continue
		}
		groups[account], unique = nil, append(unique, account)
		for shard := range s.shards {
			keys = append(keys, accountKey(account, shard))
		}
	}
	items, err := s.snapshot(ctx, keys)
	if err != nil {
		return nil, err
	}
	if _, err := s.gate(items[0]); err != nil {
		return nil, err
	}
	items = items[1:]
	for i, account := range unique {
		if groups[account], err = s.decodeGroup(account, items[i*s.shards:(i+1)*s.shards]); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// reshapeItems returns the actions that write a group's shape, what its shards have in common, such as an override, into each of them. They require
// the version as it was read and change no sum. If a shard is missing they write the group completely.
func (s *Store) reshapeItems(g *group) []types.TransactWriteItem {
	version := newVersion()
	actions := make([]types.TransactWriteItem, 0, len(g.shards))
	for _, a := range g.shards {
		if !a.found {
			return s.rewriteAsIs(g)
		}
		x := &expression{}
		x.require(attrVersion, "=", blob(a.version)) // as it was read: it is a part of the shape
		a.shape = g.shape
		x.set(attrVersion, blob(version))
		s.setShape(x, a)
		x.add(attrChanges, 1)
		actions = append(actions, s.update(accountKey(a.key, a.shard), x))
	}
	return actions
}

// setShape adds to x what an item holds of its account's shape, the version apart, and what depends on that.
func (s *Store) setShape(x *expression, a *accountItem) {
	x.set(attrLatched, number(a.latchedUntil))
	o := driver.Override{Until: time.Unix(0, 0)} // one that has ended stands for none
	if a.override != nil {
		o = *a.override
	}
	// Thresholds are fractions of the Max in force, which may be another now. Zeros are the hash of no line: the next settlement reads all shards.
	x.set(attrThresholds, blob(make([]byte, versionBytes)))
	x.set(attrMax, number(o.Max))
	x.set(attrMaxUntil, number(o.Until.UnixNano()))
	if a.end == math.MaxInt64 { // a lifetime window has no time to live
		return
	}
	ttl, ends := a.ttl(s.opts.Retention)
	if !ends { // the latest second, in the place of an earlier one that the item may have
		ttl = math.MaxInt64 / int64(time.Second)
	}
	x.set(ttlAttribute, number(ttl))
}
