package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A script answers with one of these two if the ledger can't be trusted any more.
var (
	errReplaced  = fmt.Errorf("%w: it was deleted, replaced or set back on the server, or keys or fields of it are gone", driver.ErrLost)
	errForgotten = fmt.Errorf("%w: the server's clock went back behind the time up to which sums were forgotten", driver.ErrLost)
)

// known is what this process knows of the ledger. Only lookedAt changes after it was made.
type known struct {
	epoch    string // the ledger's random name of 16 bytes: another ledger in its place, or one that was lost and made anew, has another
	accepted string // the id of the change by which an operator accepted the last loss; empty if there was none
	// lost says that the ledger was found to be another one, older, or incomplete. It stays set until the loss is accepted, because the ledger's
	// numbers grow again and would hide the loss.
	lost     bool
	lookedAt atomic.Int64 // when somebody last checked whether the loss was accepted, in nanoseconds since 1970
}

// epoch returns the epoch of the ledger that this process knows: every request begins with it, and the script compares it.
func (s *Store) epoch() []byte { return []byte(s.known.Load().epoch) }

// adopt makes what was found the ledger that this process knows. It takes the ledger's sequence as the highest seen, even if it is lower than
// before: an operator has accepted that.
func (s *Store) adopt(f *found) {
	s.seen.Store(f.sequence)
	s.time.set(f.now)
	s.known.Store(&known{epoch: f.epoch, accepted: f.accepted})
}

// sound returns what is known of the ledger, or, if this process has found a loss that nobody has accepted yet, an error. Each step begins
// with it.
func (s *Store) sound(ctx context.Context) (*known, error) {
	k := s.known.Load()
	if !k.lost {
		return k, nil
	}
	err := s.recover(ctx)
	return s.known.Load(), err
}

// outcome returns the error in an answer to a step, and records a loss. k is what was known when the step was sent: if another ledger was
// adopted meanwhile, the loss is not that one's. Only errReplaced is recorded: the scripts find errForgotten anew each time, by the server's clock
// and the ledger, and it ends once that clock is right again.
func (s *Store) outcome(k *known, r *reply) error {
	err := r.outcome()
	if errors.Is(err, errReplaced) {
		// It does nothing if s.known is not k any more.
		s.known.CompareAndSwap(k, &known{epoch: k.epoch, accepted: k.accepted, lost: true})
	}
	return err
}

// lookEvery bounds how often a process that has found a loss checks whether it was accepted.
const lookEvery = 100 * time.Millisecond

// recover returns an error until an operator, through any process, has accepted a loss that this process has found; then it adopts the ledger
// as it is. It asks the server at most once in lookEvery, in one of the steps that call it.
func (s *Store) recover(ctx context.Context) error {
	k, now := s.known.Load(), time.Now().UnixNano()
	last := k.lookedAt.Load()
	if now-last < int64(lookEvery) || !k.lookedAt.CompareAndSwap(last, now) {
		return errReplaced
	}
	// look returns what the ledger is now.
	f, err := s.look(ctx, scriptInspect, actionInspect)
	if err != nil {
		return err
	}
	unusable := f.epoch == "" || f.layout != layout // there is no ledger, or one of another version
	if acceptedSince := f.accepted != k.accepted; unusable || !acceptedSince {
		return errReplaced
	}
	s.adopt(f)
	return nil
}

// AcceptLoss implements driver.Store. It counts what the ledger has, which takes as long as reading all of it.
func (s *Store) AcceptLoss(ctx context.Context, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	change, row, err := encodeChange(&driver.Record{Change: c, Kind: driver.ChangeAcceptLoss})
	if err != nil {
		return err
	}
	epoch := driver.NewID() // 16 random bytes, for the case that the ledger's own epoch is gone
	_, clock := s.guess()
	// Not by ask, which fails while the ledger is lost. The script counts what is there as if that were all that ever was.
	value, err := s.run(ctx, scriptAccept, s.keys.shard[:], []byte(newHead(epoch[:]).numbers(clock)), layout, s.opts.Ledger, change, row)
	if err != nil {
		return err
	}
	answer, unreadable := parseReply(value)
	// orOutcome uses reply.outcome. Store.outcome would also remember a loss, and this step is there to accept one. changeError adds an error for
	// the code of an answer that no change has.
	if err := changeError(answer, orOutcome(&answer, unreadable)); err != nil {
		return err
	}
	return s.adoptPresent(ctx)
}

// adoptPresent makes the ledger that is on the server now the one that this process knows: its epoch, which after a loss may be another one than
// before, and its sequence. If there is none, or one of another version, the error is errReplaced.
func (s *Store) adoptPresent(ctx context.Context) error {
	f, err := s.look(ctx, scriptInspect, actionInspect)
	if err != nil {
		return err
	}
	if f.epoch == "" || f.layout != layout {
		return errReplaced
	}
	s.adopt(f)
	return nil
}

// orOutcome returns unreadable, if that is not nil, or else the error that the answer's letter stands for, or nil.
func orOutcome(r *reply, unreadable error) error {
	if unreadable != nil {
		return unreadable
	}
	return r.outcome()
}
