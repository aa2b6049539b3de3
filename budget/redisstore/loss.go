package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

var (
	errMemory    = fmt.Errorf("%w: it was deleted, replaced or set back on the server, or keys or fields of it are gone", driver.ErrLost)
	errForgotten = fmt.Errorf("%w: the server's clock went back behind the time up to which sums were forgotten", driver.ErrLost)
)

// known is what this process knows of the ledger. It is immutable.
type known struct {
	epoch    string
	accepted string       // the last loss that an operator has accepted
	lost     bool         // the ledger was found to be another one, older, or incomplete. That stays so until the loss is accepted, because the ledger's numbers grow again and would hide it
	lookedAt atomic.Int64 // when somebody last checked whether the loss was accepted
}

func (s *Store) epoch() []byte { return []byte(s.known.Load().epoch) }

// adopt makes what was found the ledger that this process knows.
func (s *Store) adopt(f *found) {
	s.seen.Store(f.sequence)
	s.time.set(f.now)
	s.known.Store(&known{epoch: f.epoch, accepted: f.accepted})
}

// sound returns what is known of the ledger for a step, or why no step can be done.
func (s *Store) sound(ctx context.Context) (*known, error) {
	k := s.known.Load()
	if !k.lost {
		return k, nil
	}
	err := s.recover(ctx)
	return s.known.Load(), err
}

// outcome returns the error in an answer to a step, and records a loss.
func (s *Store) outcome(k *known, r *reply) error {
	err := r.outcome()
	if errors.Is(err, errMemory) {
		s.known.CompareAndSwap(k, &known{epoch: k.epoch, accepted: k.accepted, lost: true})
	}
	return err
}

// lookEvery bounds how often a process that has found a loss checks whether it was accepted.
const lookEvery = 100 * time.Millisecond

// recover returns an error until an operator has accepted a loss that this process has found.
func (s *Store) recover(ctx context.Context) error {
	k, now := s.known.Load(), time.Now().UnixNano()
	last := k.lookedAt.Load()
	if now-last < int64(lookEvery) || !k.lookedAt.CompareAndSwap(last, now) {
		return errMemory
	}
	f, err := s.look(ctx, scriptInspect, "i")
	if err != nil {
		return err
	}
	if f.epoch == "" || f.layout != layout || f.accepted == k.accepted {
		return errMemory
	}
	s.adopt(f)
	return nil
}

// AcceptLoss implements driver.Store. It counts what the ledger has, which takes as long as reading all of it.
func (s *Store) AcceptLoss(ctx context.Context, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	change, row, err := changed(&driver.Record{Change: c, Kind: driver.ChangeAcceptLoss})
	if err != nil {
		return err
	}
	epoch := driver.NewID()
	_, clock := s.guess()
	value, err := s.run(ctx, scriptAccept, s.keys.shard[:], []byte(newHead(epoch[:]).numbers(clock)), layout, s.opts.Ledger, change, row)
	if err != nil {
		return err
	}
	answer, err := parseReply(value)
	if err = made(answer, orOutcome(&answer, err)); err != nil {
		return err
	}
	f, err := s.look(ctx, scriptInspect, "i")
	if err != nil {
		return err
	}
	if f.epoch == "" || f.layout != layout {
		return errMemory
	}
	s.adopt(f)
	return nil
}

// orOutcome returns err if there is one, or else the error in an answer.
func orOutcome(r *reply, err error) error {
	if err != nil {
		return err
	}
	return r.outcome()
}
