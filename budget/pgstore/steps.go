package pgstore

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// outcome returns the error of driver's contract that an answer's status stands for, nil for a status that its step handles. Two others, stale and
// moved, never come here: for them do tries again.
func (a *answer) outcome(step string) error {
	switch a.status {
	case "resolved":
		return driver.ErrResolved
	case "conflict":
		return driver.ErrIDConflict
	case "unknown":
		return driver.ErrNotFound
	case "superseded":
		return driver.ErrSuperseded
	case "overflow":
		return driver.ErrOverflow
	case "crowded":
		return driver.ErrTooManyFlags
	case "admitted", "replayed", "killed", "denied", "done":
		return nil
	default:
		return failed(step, errAnswer)
	}
}

// step runs a call and returns its answer, or one of the contract's errors.
func (s *Store) step(ctx context.Context, c call) (answer, error) {
	a, err := s.do(ctx, c)
	if err == nil {
		err = a.outcome(c.function)
	}
	return a, err
}

// Reserve implements driver.Store. The function judges an id that it knows first, then kill flags, then room.
func (s *Store) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if err := r.Validate(); err != nil {
		return driver.Decision{}, err
	}
	a, err := s.step(ctx, s.reserveCall(r))
	if err != nil {
		return driver.Decision{}, err
	}
	d, err := a.decision(r.Lines)
	return d, failed("reserve", err) // nil stays nil
}

// reserveCall returns the call of the function reserve. Its arguments are made anew for each try, because they depend on the present windows and on
// the flags with patterns that this process knows.
func (s *Store) reserveCall(r driver.Reservation) call {
	encodedCall, usage := encodeCall(r.Call), r.Call.UsageKey() // usage is the key of the row of usage to which Settle will add
	// From encodedCall on, the arguments come in the order in which versions of the function added them: hence at.extra is not beside at.ends.
	return call{function: "reserve", moments: true, lines: notNil(r.Lines), makes: true, args: func(at *placement) []any {
		known := s.flags.Load() // the flags with patterns; nil if this process knows none, and then the id is zero
		return []any{
			[16]byte(r.ID), [16]byte(r.Owner), r.Charge[:], int64(max(r.TTL, 0)), r.Tentative, r.RefuseObserved, uuids(r.Dims),
			at.accounts, at.units, at.starts, at.widths, at.ends, at.steps, at.maxes, at.observe, at.latch, encodedCall, at.names,
			known.id(), known.matches(r.Call), [16]byte(usage), at.extra,
		}
	}}
}

// encodeCall encodes the call of a reservation, which is its scope and operation; nil if there is none.
func encodeCall(c *driver.Call) []byte {
	if c == nil {
		return nil
	}
	return account.EncodeCall(c, "")
}

// decision decodes the answer to a Reserve. If it can't be decoded nothing is admitted. The value of an answer that admits is when the reservation
// expires.
func (a *answer) decision(lines []driver.Line) (d driver.Decision, err error) {
	switch a.status {
	case "killed":
		if a.detail.Killed == nil {
			return driver.Decision{}, errAnswer
		}
		k, err := a.detail.Killed.public()
		return driver.Decision{Killed: &k}, err
	case "denied":
		if len(a.detail.Denied) == 0 {
			return driver.Decision{}, errAnswer
		}
		d.Denied, err = denials(a.detail.Denied, lines, a.clock)
		return d, err
	case "admitted", "replayed":
		if d.Observed, err = denials(a.detail.Observed, lines, a.clock); err != nil {
			return driver.Decision{}, err
		}
		d.Admitted, d.Replayed, d.ExpiresAt = true, a.status == "replayed", time.Unix(0, a.value)
		return d, nil
	default:
		return driver.Decision{}, errAnswer
	}
}

// denials converts the standings of lines without room; now is the server's clock in nanoseconds.
func denials(standings []standing, lines []driver.Line, now int64) (all []driver.Denial, err error) {
	for i := range standings {
		denial, err := standings[i].denial(lines, now)
		if err != nil {
			return nil, err
		}
		all = append(all, denial)
	}
	return all, nil
}

// notNil returns lines that are not nil: in a call, nil means that the function has no arguments for lines.
func notNil(lines []driver.Line) []driver.Line {
	if lines == nil {
		return []driver.Line{}
	}
	return lines
}

// Settle implements driver.Store. With shares, by which the amount divides among several rows of usage, it does not run in a transaction with
// other steps: what settlements in such a transaction leave to its end can't be divided.
func (s *Store) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	if err := st.Validate(); err != nil {
		return driver.Posting{}, err
	}
	// usage is the key of the row of usage to which the amount is added. Without a call it is null: the function takes the reservation's row, or,
	// without a reservation, that of calls without a scope. shares is an empty text if there are none.
	encodedCall, usage, shares := encodeCall(st.Call), usageOf(st.Call), encodeShares(st.Shares)
	a, err := s.step(ctx, call{function: "settle", moments: true, lines: notNil(st.Lines), makes: true, settles: &st.ID, lone: len(st.Shares) > 0, args: func(at *placement) []any {
		return []any{
			[16]byte(st.ID), [16]byte(st.Owner), st.Actual[:], st.Estimated,
			at.accounts, at.units, at.starts, at.widths, at.ends, at.steps, at.maxes, at.markLines, at.markNumber, at.marks,
			encodedCall, []byte(st.Reference), at.names, usage, shares, int64(s.opts.UsageRows), at.extra,
		}
	}})
	if err != nil {
		return driver.Posting{}, overflowOr(err)
	}
	// The value is the state of the reservation before, 0 if there was none.
	p := driver.Posting{Replayed: a.status == "replayed", From: driver.State(a.value)}
	for _, c := range a.detail.Crossed { // the line, its threshold, what is settled, and the Max in force
		if c[0] < 0 || c[0] >= int64(len(st.Lines)) || c[1] < 0 || c[1] >= int64(len(st.Lines[c[0]].Notify)) {
			return driver.Posting{}, failed("settle", errAnswer)
		}
		p.Crossed = append(p.Crossed, driver.Crossing{Line: int(c[0]), Mark: int(c[1]), Settled: c[2], Max: c[3]})
	}
	return p, nil
}

// overflowOr returns driver.ErrOverflow for the server's error that a sum does not fit in a bigint (SQLSTATE 22003), and other errors as they are.
func overflowOr(err error) error {
	if isCode(err, "22003") {
		return driver.ErrOverflow
	}
	return err
}

// Void implements driver.Store. If there is no reservation, the function writes a tombstone, so that a Reserve of the same id that comes late is
// refused.
func (s *Store) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	_, err := s.step(ctx, call{function: "void", moments: true, args: func(*placement) []any {
		return []any{[16]byte(id), [16]byte(owner)}
	}})
	return err
}
