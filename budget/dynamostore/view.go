package dynamostore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// maxAccountItems is how many items of accounts one transaction may touch, beside those that a correction needs: the reservation, three
// for the change, and two rows of usage. A settlement whose amount divides among more rows of usage has room for fewer items of accounts.
const maxAccountItems = maxActions - 6

// view is everything that a decision about one reservation rests on, as it stood at one moment.
type view struct {
	now    time.Time             // by the service's clock
	gate   gate                  // an item with the ledger's epoch, its random name, and what stands for the kill flags in force
	entry  *entry                // the reservation; nil if there is none
	groups map[driver.Key]*group // the accounts, each with all the items over which it is spread, its shards
}

// look reads a reservation, a gate and accounts in one atomic read.
func (s *Store) look(ctx context.Context, id driver.ID, accounts []driver.Key) (*view, error) {
	keys := []itemKey{entryKey(id), gateKey(pick(id, gateCount))}
	unique := withoutRepeats(accounts)
	if err := s.fits(len(unique), 0); err != nil { // 0, because no rows of usage are read here
		return nil, err
	}
	for _, account := range unique {
		for shard := range s.shards {
			keys = append(keys, accountKey(account, shard))
		}
	}
	items, err := s.snapshot(ctx, keys)
	if err != nil {
		return nil, err
	}
	v := &view{groups: make(map[driver.Key]*group, len(unique))}
	if v.gate, err = s.gate(items[1]); err != nil {
		return nil, err
	}
	if v.entry, err = decodeEntry(id, items[0]); err != nil {
		return nil, err
	}
	items = items[2:] // the shards of the accounts, one account after the other
	for _, account := range unique {
		if v.groups[account], err = s.decodeGroup(account, items[:s.shards]); err != nil {
			return nil, err
		}
		items = items[s.shards:]
	}
	v.now, err = s.clock.now()
	return v, err
}

// withoutRepeats returns the accounts in their order, each of them once, in a slice of its own.
func withoutRepeats(accounts []driver.Key) (unique []driver.Key) {
	known := make(map[driver.Key]bool, len(accounts))
	for _, account := range accounts {
		if !known[account] {
			known[account] = true
			unique = append(unique, account)
		}
	}
	return unique
}

// decodeGroup puts an account together. All of its shards are made in one step: if some of them are missing, the ledger has lost a part, unless an
// operator has accepted that.
func (s *Store) decodeGroup(account driver.Key, items []item) (*group, error) {
	shards := make([]*accountItem, len(items))
	for i := range items {
		var err error
		if shards[i], err = decodeAccount(account, i, items[i]); err != nil {
			return nil, err
		}
	}
	g := newGroup(shards) // which has a version if any of the shards was found
	someMissing := slices.ContainsFunc(shards, func(a *accountItem) bool { return !a.found })
	if g.version != nil && someMissing && len(s.acceptance()) == 0 {
		return nil, errAccount
	}
	return g, nil
}

// fits refuses a step that one transaction can't hold: with so many accounts, each of as many items as the table has shards, and so many shares, each
// of which takes a row of usage; maxAccountItems leaves room for two of these.
func (s *Store) fits(accounts, shares int) error {
	if n := accounts*s.shards + max(shares-2, 0); n > maxAccountItems {
		return fmt.Errorf("dynamostore: %d accounts of %d shards are %d items, and a transaction holds %d: use fewer limits, or a table with fewer shards", accounts, s.shards, n, maxAccountItems)
	}
	return nil
}

// accountsOf returns the keys of the lines' accounts.
func accountsOf(lines []driver.Line) []driver.Key {
	keys := make([]driver.Key, len(lines))
	for i := range lines {
		keys[i] = lines[i].Account
	}
	return keys
}
