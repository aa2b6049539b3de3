package dynamostore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// known is what this process knows of the ledger. It is immutable.
type known struct {
	epoch  [16]byte
	accept []byte // the loss that was accepted last
}

func (s *Store) epoch() [16]byte {
	if k := s.ledger.Load(); k != nil {
		return k.epoch
	}
	return [16]byte{}
}

// know takes a gate for that of the ledger.
func (s *Store) know(ctx context.Context, g gate) error {
	if g.shards != s.shards {
		return errMemory
	}
	if _, err := s.flagsOf(ctx, g); err != nil && !errors.Is(err, driver.ErrLost) {
		return err // with flags that are gone it opens, so that an operator can accept the loss
	}
	s.identity.adopt(g.table)
	s.ledger.Store(&known{g.epoch, g.accept})
	return nil
}

// lookEvery is how often a process that found a loss out looks whether somebody has accepted it.
const lookEvery = 100 * time.Millisecond

// accepted reports whether somebody has accepted the loss that a step met, and knows what is there then.
func (s *Store) accepted(ctx context.Context) bool {
	k := s.ledger.Load()
	s.identity.mu.Lock()
	due := k != nil && time.Since(s.identity.lookedAt) >= lookEvery
	if due {
		s.identity.lookedAt = time.Now()
	}
	s.identity.mu.Unlock()
	if !due {
		return false
	}
	table, err := s.describe(ctx)
	if err != nil || usable(table) != nil {
		return false
	}
	raw, err := s.get(ctx, gateKey(0))
	if err != nil {
		return false
	}
	g, err := decodeGate(raw)
	if err != nil || g.table != aws.ToString(table.TableId) || len(g.accept) == 0 || bytes.Equal(g.accept, k.accept) {
		return false
	}
	if s.know(ctx, g) != nil {
		return false
	}
	s.identity.passed()
	return true
}

// The flags are read again so often, before what does not add up is taken for a loss: a change that is being carried out is seen
// in part.
const (
	flagLooks = 10
	flagPause = 20 * time.Millisecond
)

// gone returns errMoved if flags that did not add up were being changed, errMemory if one of them is gone.
func (s *Store) gone(ctx context.Context, g gate, found flags) error {
	for range flagLooks {
		if !pause(ctx, flagPause, 1) {
			return errMoved
		}
		raw, err := s.get(ctx, gateKey(0))
		if err != nil {
			return err
		}
		now, err := decodeGate(raw)
		if err != nil {
			return err
		}
		again, err := s.readFlags(ctx)
		if err != nil {
			return err
		}
		if now.token != g.token || again.token.toggled(g.salt) != found.token {
			return errMoved
		}
	}
	return errMemory
}

// AcceptLoss implements driver.Store. It goes on with the table that is there now.
func (s *Store) AcceptLoss(ctx context.Context, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	r := driver.Record{Change: c, Kind: driver.ChangeAcceptLoss}
	if s.closed.Load() {
		return errClosed
	}
	return s.anyway(ctx, "accept loss", func(ctx context.Context, t *step) error {
		table, err := s.describe(ctx)
		if err == nil {
			err = usable(table)
		}
		if err != nil {
			return err
		}
		change, err := s.readChange(ctx, t, r)
		if err != nil {
			return err
		}
		if !change.fresh[0] {
			return change.superseded()
		}
		g, actions, err := s.newGates(ctx, *table.TableId, c.ID)
		if err != nil {
			return err
		}
		now, err := s.clock.now()
		if err != nil {
			return err
		}
		record, err := s.recordChange(change, now)
		if err != nil {
			return err
		}
		if err := s.write(ctx, append(record, actions...)); err != nil {
			return err
		}
		s.identity.passed()
		return s.know(ctx, g)
	})
}

// newGates returns the gates of what is there, with a new epoch if that is another table than the gates name.
func (s *Store) newGates(ctx context.Context, table string, accepted driver.ID) (g gate, actions []types.TransactWriteItem, err error) {
	raws := make([]item, gateCount)
	for n := range raws {
		if raws[n], err = s.get(ctx, gateKey(n)); err != nil {
			return g, nil, err
		}
	}
	there := -1
	for n := range raws {
		if len(raws[n]) > 0 {
			there = n
		}
	}
	next := newGate(table, s.shards)
	if there >= 0 {
		if g, err = decodeGate(raws[there]); err != nil {
			return g, nil, err
		}
		if next.shards = g.shards; g.table == table {
			next.epoch = g.epoch
		}
	} else if empty, err := s.empty(ctx); err != nil || empty {
		return g, nil, errors.Join(errNone, err)
	}
	found, err := s.readFlags(ctx)
	if err != nil {
		return g, nil, err
	}
	next.salt, next.accept = next.token.toggled(found.token), accepted[:]
	for n := range raws {
		x := &expression{}
		if len(raws[n]) == 0 {
			x.requireNone(partitionKey)
		} else {
			x.require(attrEpoch, "=", raws[n][attrEpoch])
			x.require(attrToken, "=", raws[n][attrToken])
		}
		actions = append(actions, s.put(next.encode(n), x))
	}
	return next, actions, nil
}
