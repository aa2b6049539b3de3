package pgstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// recalled returns a copy of what this process knows of the ledger now: each step sends it, and its function refuses a ledger that is another
// one, or older.
func (s *Store) recalled() memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory
}

// suspect records a loss if a step's error says that the ledger is another one, or older, than the one that the step knew. If the process has
// learned another ledger since, because an operator has accepted a loss, the error says nothing about that ledger.
func (s *Store) suspect(known memory, err error) {
	if !isCode(err, codeReplaced) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory.epoch == known.epoch && s.memory.accepted == known.accepted {
		s.memory.lost = true
	}
}

// lookEvery bounds how often a process that has found a loss checks whether it was accepted.
const lookEvery = 100 * time.Millisecond

// usable returns an error if no step can be done, because the store is closed or a loss was found. After a loss it asks the server at most once in
// lookEvery whether an operator has accepted the loss, in any process; then it takes the ledger as it is.
func (s *Store) usable(ctx context.Context) error {
	known, ask, err := s.mustAsk()
	if !ask {
		return err
	}
	found, err := s.find(ctx)
	if err != nil {
		return err
	}
	if found.lost || found.accepted == known.accepted { // no loss was accepted since this process learned of the ledger
		return errReplaced
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory = found
	return nil
}

// mustAsk reports whether a step has to ask the server, before it can be done, if a loss was accepted. It notes that, so that no other step asks
// meanwhile. If the step need not ask, err says why it can't be done, and is nil if it can.
func (s *Store) mustAsk() (known memory, ask bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, now := s.memory, time.Now()
	switch {
	case s.life.Err() != nil:
		return known, false, errClosed
	case !known.lost:
		return known, false, nil
	case now.Sub(known.lookedAt) < lookEvery: // another step has just asked
		return known, false, errReplaced
	}
	s.memory.lookedAt = now
	return known, true, nil
}

// find reads the state of the ledger from the server, on a connection of the pool.
func (s *Store) find(ctx context.Context) (memory, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return memory{}, err
	}
	defer conn.Release()
	return s.ask(ctx, conn)
}

// learn reads the state of the ledger from the server and keeps it as known.
func (s *Store) learn(ctx context.Context, conn *pgxpool.Conn) error {
	found, err := s.ask(ctx, conn)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory = found
	return nil
}

// ask reads the state of the ledger from the server, on a connection: its epoch, the number of the table that holds it, the last step, and whether
// rows are gone. The transaction id is 0: this process has none that was acknowledged yet. Without Options.Clock, ask also measures how far the
// server's clock is ahead of this process's.
func (s *Store) ask(ctx context.Context, conn *pgxpool.Conn) (memory, error) {
	// If the only row of the table meta is missing, the query returns no row: the ledger is lost.
	rows, err := conn.Conn().PgConn().Exec(ctx, fmt.Sprintf("SELECT epoch, oid, step, xid, clock, lost, accepted FROM %[1]s.about(), %[1]s.losses() WHERE epoch IS NOT NULL", s.opts.quoted())).ReadAll()
	if err != nil {
		return memory{}, err
	}
	if len(rows) != 1 || len(rows[0].Rows) > 1 {
		return memory{}, errAnswer
	}
	if len(rows[0].Rows) == 0 {
		return memory{lost: true}, nil
	}
	row := rows[0].Rows[0] // epoch, oid, step, xid, clock, lost, accepted
	var id pgtype.UUID     // the epoch
	if len(row) != 7 || id.Scan(string(row[0])) != nil {
		return memory{}, errAnswer
	}
	var numbers [4]int64 // oid, step, xid, clock
	for i := range numbers {
		if numbers[i], err = strconv.ParseInt(string(row[i+1]), 10, 64); err != nil {
			return memory{}, errAnswer
		}
	}
	if s.opts.Clock == nil {
		s.skew.Store(numbers[3] - time.Now().UnixNano())
	}
	return memory{epoch: id.Bytes, oid: numbers[0], step: numbers[1], xid: numbers[2], lost: string(row[5]) == "t", accepted: string(row[6])}, nil
}

// AcceptLoss implements driver.Store. It does not run as other steps do, through do, because those are refused until the loss is accepted.
func (s *Store) AcceptLoss(ctx context.Context, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if s.life.Err() != nil {
		return failed("accept loss", errClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	// failed leaves nil as it is.
	return failed("accept loss", s.acceptLoss(ctx, driver.Record{Change: c, Kind: driver.ChangeAcceptLoss}))
}

// acceptLoss accepts the loss in the database, with the record's row of the audit trail, and learns the state of the ledger from then on.
func (s *Store) acceptLoss(ctx context.Context, r driver.Record) error {
	raw, err := account.EncodeRecord(&r)
	if err != nil {
		return err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	// The function does not check, as those of other steps do, whether the server is the primary and its commits are durable.
	if err := s.suits(ctx, conn); err != nil {
		return err
	}
	sql, err := s.acceptSQL(r, raw)
	if err != nil {
		return err
	}
	row, err := queryRow(ctx, conn, sql)
	switch {
	case err != nil:
		return err
	case len(row) != 1:
		return errAnswer
	case row[0] == "superseded": // somebody else has accepted a loss since the caller looked
		return driver.ErrSuperseded
	}
	return s.learn(ctx, conn)
}

// acceptSQL returns the SQL text that calls the function accept for a record; raw is the record as it is encoded.
func (s *Store) acceptSQL(r driver.Record, raw []byte) (string, error) {
	// nil becomes a null, with which the function reads the server's clock.
	var now any
	if s.opts.Clock != nil {
		now = nanos(s.opts.Clock())
	}
	// The version is for the row of meta, which may have to be made again.
	args := []any{int32(len(migrations)), now, [16]byte(r.Object()), [16]byte(r.ID), r.Seen, raw}
	sql := []byte("SELECT " + s.opts.quoted() + ".accept(")
	for i, arg := range args {
		if i > 0 {
			sql = append(sql, ", "...)
		}
		var err error
		if sql, err = appendLiteral(sql, arg); err != nil {
			return "", err
		}
	}
	return string(append(sql, ')')), nil
}
