package dynamostore

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Balances implements budget.Store. It is one atomic read for up to 99 items; beyond that, one for each 99.
func (s *Store) Balances(ctx context.Context, lines []budget.Line) (all []budget.Balance, err error) {
	err = s.do(ctx, "balances", func(ctx context.Context, _ *step) error {
		all = make([]budget.Balance, 0, len(lines))
		for {
			some := lines[len(all):]
			some = some[:min(len(some), (maxActions-1)/s.shards)]
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

func (s *Store) balancesOf(ctx context.Context, lines []budget.Line) ([]budget.Balance, error) {
	groups, err := s.readGroups(ctx, accountsOf(lines))
	if err != nil {
		return nil, err
	}
	at, err := s.clock.now()
	if err != nil {
		return nil, err
	}
	all := make([]budget.Balance, len(lines))
	for i := range lines {
		line, g := &lines[i], groups[lines[i].Account]
		now, span := g.moment(line.Window, at, s.keepPast)
		b, _ := g.balance(line, span, now, 0)
		used, _ := plus(b.Settled, b.Pending)
		b.ResetAfter = g.wait(line.Window, span, now, used)
		all[i] = b
	}
	return all, nil
}

// readGroups reads accounts in one atomic read, with a gate that must be of the table that was opened.
func (s *Store) readGroups(ctx context.Context, accounts []budget.Key) (map[budget.Key]*group, error) {
	keys := []itemKey{gateKey(0)}
	groups := make(map[budget.Key]*group, len(accounts))
	var unique []budget.Key
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
		if groups[account], err = decodeGroup(account, items[i*s.shards:(i+1)*s.shards]); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// Override implements budget.Store.
func (s *Store) Override(ctx context.Context, account budget.Key, o *budget.Override) error {
	if o != nil && o.Max < 0 {
		return fmt.Errorf("%w: an override to %d", budget.ErrInvalidCharge, o.Max)
	}
	return s.reshape(ctx, "override", []budget.Key{account}, func(g *group) bool {
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

// Unlatch implements budget.Store. It is one step for up to 96 items, and one for each 96 beyond that.
func (s *Store) Unlatch(ctx context.Context, accounts []budget.Key) error {
	for {
		some := accounts[:min(len(accounts), maxAccountItems/s.shards)]
		accounts = accounts[len(some):]
		err := s.reshape(ctx, "unlatch", some, func(g *group) bool {
			had := g.latchedUntil != 0
			g.latchedUntil = 0
			return had
		})
		if err != nil || len(accounts) == 0 {
			return err
		}
	}
}

// reshape changes what all shards of accounts have in common, and touches no sum: it requires their version alone, so
// that reservations may go on at the same time. change reports whether there is something to write.
func (s *Store) reshape(ctx context.Context, op string, accounts []budget.Key, change func(*group) bool) error {
	return s.do(ctx, op, func(ctx context.Context, _ *step) error {
		groups, err := s.readGroups(ctx, accounts)
		if err != nil {
			return err
		}
		actions := []types.TransactWriteItem{s.checkEpoch(budget.ID{})}
		for _, g := range groups {
			if !change(g) {
				continue
			}
			if g.version == nil {
				actions = append(actions, s.rewriteAsIs(g)...)
				continue
			}
			actions = append(actions, s.reshapeItems(g)...)
		}
		if len(actions) == 1 {
			return nil
		}
		return s.write(ctx, actions)
	})
}

// reshapeItems gives each item of a group its new shape.
func (s *Store) reshapeItems(g *group) []types.TransactWriteItem {
	version := newVersion()
	actions := make([]types.TransactWriteItem, 0, len(g.shards))
	for _, a := range g.shards {
		if !a.found {
			return s.rewriteAsIs(g)
		}
		x := &expression{}
		x.require(attrVersion, "=", blob(a.version))
		a.shape = g.shape
		x.set(attrVersion, blob(version))
		x.set(attrLatched, number(a.latchedUntil))
		o := budget.Override{Until: time.Unix(0, 0)} // one that has passed is none
		if a.override != nil {
			o = *a.override
		}
		x.set(attrMarks, blob(make([]byte, versionBytes))) // they are fractions of another Max now: the next settlement looks
		x.set(attrMax, number(o.Max))
		x.set(attrMaxUntil, number(o.Until.UnixNano()))
		if a.end != math.MaxInt64 {
			ttl, ends := a.ttl(s.opts.Retention)
			if !ends {
				ttl = math.MaxInt64 / int64(time.Second)
			}
			x.set(ttlAttribute, number(ttl))
		}
		x.add(attrChanges, 1)
		actions = append(actions, s.update(accountKey(a.key, a.shard), x))
	}
	return actions
}
