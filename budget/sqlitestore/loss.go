package sqlitestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// meta is the only row of the table meta. Times are in nanoseconds since 1970 UTC.
type meta struct {
	epoch    []byte // the ledger's random name of 16 bytes
	sequence int64  // counts the transactions that may write
	accepted []byte // the id of the change by which an operator accepted the last loss; empty if none did
	lost     bool   // rows were deleted by something else, and nobody has accepted that yet
	judged   int64  // the time by which it is decided what is old enough to be forgotten
	reached  int64  // the highest such time at which anything was forgotten; 0 for none
}

// scan reads the row from a statement that returns it.
func (m *meta) scan(stmt *sql.Stmt) error {
	return stmt.QueryRow().Scan(&m.epoch, &m.sequence, &m.accepted, &m.lost, &m.judged, &m.reached)
}

// adopt makes what is in the file the ledger that this process knows. It clears lost, which recover sets again if nobody has
// accepted the loss.
func (s *Store) adopt(file os.FileInfo, m *meta) {
	s.file, s.epoch, s.sequence, s.accepted, s.lost = file, m.epoch, m.sequence, m.accepted, false
}

// checkLedger compares the file with what this process knows of it: it must be the same file with the same epoch, and its sequence must not
// have gone back. Otherwise the ledger has lost data: errReplaced stands for what this process finds by comparing, and errPart for rows that are
// gone by the file's own record. If the transaction may write, checkLedger counts the sequence up, so that it has to be above the known one. Then it
// takes over what the file says.
func (t *tx) checkLedger(write bool) error {
	s := t.store
	if now, err := os.Stat(s.path); err != nil || !os.SameFile(now, s.file) {
		return errReplaced
	}
	q := sqlSequenceNow
	if write {
		q = sqlSequence // counts up and returns the new number
	}
	var m meta
	err := m.scan(t.stmt(q))
	isOlder := m.sequence < s.sequence || write && m.sequence == s.sequence
	switch {
	// The row of meta, or all tables, were removed.
	case errors.Is(err, sql.ErrNoRows), err != nil && strings.Contains(err.Error(), "no such table"):
		return errReplaced
	case err != nil:
		return err
	case !bytes.Equal(m.epoch, s.epoch) || isOlder:
		return errReplaced
	case m.lost:
		return errPart
	}
	s.sequence, s.accepted, t.judged, t.reached = m.sequence, m.accepted, m.judged, m.reached
	return nil
}

// lookEvery bounds how often a process that has found a loss checks whether it was accepted.
const lookEvery = 100 * time.Millisecond

// recover returns an error until an operator, in any process, has accepted a loss that this process has found; then it continues with the file that
// exists now. The caller is the queue's runner, the only goroutine that uses the connection.
func (s *Store) recover() error {
	if !s.lost {
		return nil
	}
	if time.Since(s.lookedAt) < lookEvery {
		return errReplaced
	}
	s.lookedAt = time.Now()
	epoch, accepted := s.epoch, s.accepted
	// reopen adopts what is in the file. If the id of the accepted loss is another one than before, an operator has accepted this loss.
	if s.reopen() == nil && !bytes.Equal(s.accepted, accepted) {
		return nil
	}
	// Nobody has accepted the loss, so these, which reopen may have replaced, are put back. The file and its sequence need not be: they are compared
	// with nothing while lost is set.
	s.epoch, s.accepted, s.lost = epoch, accepted, true
	return errReplaced
}

// reopen connects to the file that exists now. The caller is the runner.
func (s *Store) reopen() error {
	create := s.opts.Create
	s.opts.Create = false // a process that has known a ledger must not make a new one if that is gone
	defer func() { s.opts.Create = create }()
	return s.open(context.Background())
}

// AcceptLoss implements driver.Store. It continues with the file that exists now. No step runs meanwhile: it takes the place of the queue's runner.
func (s *Store) AcceptLoss(ctx context.Context, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.queue.runner <- struct{}{}:
		defer func() { <-s.queue.runner }()
	case <-s.queue.ended:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.queue.isClosed() {
		return errClosed
	}
	known, file, accepted := meta{epoch: s.epoch, sequence: s.sequence, accepted: s.accepted, lost: s.lost}, s.file, false
	// Unless the loss is accepted in the end, what reopen replaces is put back, so that later steps still find the loss when they compare. This is
	// deferred, because writeAcceptance calls Options.Clock, which may panic.
	defer func() {
		if !accepted {
			s.adopt(file, &known)
			s.lost = known.lost
		}
	}()
	// Without a row in meta, which is part of the loss, open has kept the connection, and sqlAccept makes the row.
	if err := s.reopen(); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := s.writeAcceptance(ctx, c); err != nil {
		return err
	}
	accepted = true
	// Once more, to adopt the ledger as sqlAccept has left it.
	return s.reopen()
}

// writeAcceptance notes in the file that an operator has accepted its loss, in a transaction of its own: the queue's steps begin with checkLedger,
// which refuses a ledger that is lost. The caller is the runner.
func (s *Store) writeAcceptance(ctx context.Context, c driver.Change) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.BusyTimeout)
	defer cancel()
	return transaction(s.conn, ctx.Err, "BEGIN IMMEDIATE", func() error {
		t := &tx{store: s, now: s.opts.Clock()}
		return t.change(&driver.Record{Change: c, Kind: driver.ChangeAcceptLoss}, func(t *tx) error {
			var epoch [16]byte
			rand.Read(epoch[:])
			// The new epoch is for a row that has to be made; one that is there keeps its own.
			return t.exec(sqlAccept, epoch[:], c.ID[:], t.now.UnixNano())
		})
	})
}
