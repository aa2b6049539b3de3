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

// A gate is an item that names the ledger by its epoch, a random name, and holds the token of the kill flags in force. There are gateCount of them,
// all alike. The token is the exclusive or of a salt, which is in the gate, and of a nonce of each flag, so that flags that are gone show.

// known is what this process knows of the ledger. It is immutable.
type known struct {
	epoch  [16]byte
	accept []byte // the id of the change by which an operator accepted the last loss; empty if there was none
}

// epoch returns the epoch that is known, zeros before there is one.
func (s *Store) epoch() [16]byte {
	if k := s.ledger.Load(); k != nil {
		return k.epoch
	}
	return [16]byte{}
}

// know takes the ledger of a gate as the one that this process knows from now on.
func (s *Store) know(ctx context.Context, g gate) error {
	if g.shards != s.shards { // the number of shards never changes
		return errReplaced
	}
	// flagsOf also remembers the flags, by which the next reservation goes.
	if _, err := s.flagsOf(ctx, g); err != nil && !errors.Is(err, driver.ErrLost) {
		return err // with flags that are gone it opens, so that an operator can accept the loss
	}
	s.identity.adopt(g.table)
	s.ledger.Store(&known{g.epoch, g.accept})
	return nil
}

// lookEvery is how often a process that found a loss out looks whether somebody has accepted it.
const lookEvery = 100 * time.Millisecond

// accepted reports whether an operator, through any process, has accepted the loss that a step met. Then this process takes the ledger as it is. It
// asks the service at most once in lookEvery, and reports false in between.
func (s *Store) accepted(ctx context.Context) bool {
	k := s.ledger.Load() // nil until Open has found the ledger
	if k == nil || !s.identity.mayAsk() {
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
	if err != nil {
		return false
	}
	ofThisTable := g.table == aws.ToString(table.TableId)
	acceptedSince := len(g.accept) > 0 && !bytes.Equal(g.accept, k.accept) // since this process took the ledger as it knows it
	if !ofThisTable || !acceptedSince {
		return false
	}
	if s.know(ctx, g) != nil { // from here on this process takes the ledger as the gate says
		return false
	}
	s.identity.confirmed()
	return true
}

// mayAsk reports whether a step may ask the service if a loss was accepted: no other one has in the last lookEvery. It notes that this one does.
func (i *identity) mayAsk() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.lookedAt) < lookEvery {
		return false
	}
	i.lookedAt = time.Now()
	return true
}

// The flags are read again so often, with such pauses, before flags that do not add up to a gate's token are taken for a loss: a query may see a
// part of a change that is being carried out.
const (
	flagLooks = 10
	flagPause = 20 * time.Millisecond
)

// flagsGone says why the flags that were found do not add up to the token of gate g: errReplaced if they stay as they are, because one of them is
// gone, or errMoved if they were being changed.
func (s *Store) flagsGone(ctx context.Context, g gate, found flags) error {
	for range flagLooks {
		if !pause(ctx, flagPause, 1) { // the context has ended before it is certain
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
		if now.token != g.token || again.token.toggled(g.salt) != found.token { // flagsOf has put the salt into found's token
			return errMoved
		}
	}
	return errReplaced
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
	// do would first look whether the table is the one that was opened, and fail because it is not.
	return s.anyway(ctx, "accept loss", func(ctx context.Context, t *step) error { return s.acceptLoss(ctx, t, r) })
}

// acceptLoss is one attempt at AcceptLoss: it writes the record of that into the audit trail, and new gates.
func (s *Store) acceptLoss(ctx context.Context, t *step, r driver.Record) error {
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
	if !change.fresh[0] { // it is superseded, or an earlier attempt made it: then the next step finds the new gates (see accepted)
		return change.superseded()
	}
	g, actions, err := s.newGates(ctx, *table.TableId, r.ID)
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
	// From here on the table, with these gates, is the ledger for this process.
	s.identity.confirmed()
	return s.know(ctx, g)
}

// newGates returns the gate that all gates are from now on, for the table and the flags that are there now, and the actions that write it in the
// place of each gate that was read. accepted is the id of the change that accepts the loss.
func (s *Store) newGates(ctx context.Context, table string, accepted driver.ID) (next gate, actions []types.TransactWriteItem, err error) {
	raws := make([]item, gateCount) // empty where a gate is gone
	for n := range raws {
		if raws[n], err = s.get(ctx, gateKey(n)); err != nil {
			return gate{}, nil, err
		}
	}
	if next, err = s.continued(ctx, table, raws); err != nil {
		return gate{}, nil, err
	}
	found, err := s.readFlags(ctx)
	if err != nil {
		return gate{}, nil, err
	}
	// found's token is the exclusive or of the flags' nonces, still without a salt.
	next.salt, next.accept = next.token.toggled(found.token), accepted[:]
	for n := range raws {
		x := &expression{}
		if len(raws[n]) == 0 {
			x.requireNone(partitionKey)
		} else { // nobody has written the gate since it was read
			x.require(attrEpoch, "=", raws[n][attrEpoch])
			x.require(attrToken, "=", raws[n][attrToken])
		}
		actions = append(actions, s.put(next.encode(n), x))
	}
	return next, actions, nil
}

// continued returns a new gate with the number of shards and, in the same table, the epoch of a gate that is left. If all gates are gone, or name
// another table, the epoch is a new one. A table without anything in it is errNone: it is no ledger of which a part was lost.
func (s *Store) continued(ctx context.Context, table string, raws []item) (gate, error) {
	next := newGate(table, s.shards)
	var left item // the last gate that is left
	for _, raw := range raws {
		if len(raw) > 0 {
			left = raw
		}
	}
	if left == nil {
		if empty, err := s.empty(ctx); err != nil || empty {
			return gate{}, errors.Join(errNone, err)
		}
		return next, nil
	}
	before, err := decodeGate(left)
	if err != nil {
		return gate{}, err
	}
	if next.shards = before.shards; before.table == table {
		next.epoch = before.epoch
	}
	return next, nil
}
