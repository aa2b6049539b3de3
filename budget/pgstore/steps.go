package pgstore

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// outcome converts a status that is one of the contract's errors.
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

// Reserve implements driver.Store. An id that is known is judged first, then kill flags, then room.
func (s *Store) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if err := r.Validate(); err != nil {
		return driver.Decision{}, err
	}
	a, err := s.step(ctx, s.reserveCall(r))
	if err != nil {
		return driver.Decision{}, err
	}
	d, err := a.decision(r.Lines)
	return d, failed("reserve", err)
}

// reserveCall returns the call of the function reserve. Its arguments are made anew for each try, because they depend on the present windows and on
// the flags with patterns that this process knows.
func (s *Store) reserveCall(r driver.Reservation) call {
	whose, usage := encodeCall(r.Call), r.Call.UsageKey()
	return call{function: "reserve", moments: true, lines: some(r.Lines), makes: true, args: func(at *placement) []any {
		known := s.flags.Load()
		return []any{
			[16]byte(r.ID), [16]byte(r.Owner), r.Charge[:], int64(max(r.TTL, 0)), r.Tentative, r.RefuseObserved, uuids(r.Dims),
			at.accounts, at.units, at.starts, at.widths, at.ends, at.steps, at.maxes, at.observe, at.latch, whose, at.names,
			known.id(), known.matches(r.Call), [16]byte(usage), at.extra,
		}
	}}
}

// encodeCall encodes the call of a reservation; nil if there is none.
func encodeCall(c *driver.Call) []byte {
	if c == nil {
		return nil
	}
	return account.EncodeCall(c, "")
}

// decision decodes the answer to a Reserve. If it can't be decoded nothing is admitted.
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

// denials returns the refusals of lines without room.
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

// some returns lines that are not nil, because nil would mean that a step has none.
func some(lines []driver.Line) []driver.Line {
	if lines == nil {
		return []driver.Line{}
	}
	return lines
}

// Settle implements driver.Store. With shares it gets a transaction of its own.
func (s *Store) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	if err := st.Validate(); err != nil {
		return driver.Posting{}, err
	}
	whose, usage, shares := encodeCall(st.Call), usageOf(st.Call), encodeShares(st.Shares)
	a, err := s.step(ctx, call{function: "settle", moments: true, lines: some(st.Lines), makes: true, settles: &st.ID, lone: len(st.Shares) > 0, args: func(at *placement) []any {
		return []any{
			[16]byte(st.ID), [16]byte(st.Owner), st.Actual[:], st.Estimated,
			at.accounts, at.units, at.starts, at.widths, at.ends, at.steps, at.maxes, at.markLines, at.markNumber, at.marks,
			whose, []byte(st.Reference), at.names, usage, shares, int64(s.opts.UsageRows), at.extra,
		}
	}})
	if err != nil {
		return driver.Posting{}, posting(err)
	}
	p := driver.Posting{Replayed: a.status == "replayed", From: driver.State(a.value)}
	for _, c := range a.detail.Crossed {
		if c[0] < 0 || c[0] >= int64(len(st.Lines)) || c[1] < 0 || c[1] >= int64(len(st.Lines[c[0]].Notify)) {
			return driver.Posting{}, failed("settle", errAnswer)
		}
		p.Crossed = append(p.Crossed, driver.Crossing{Line: int(c[0]), Mark: int(c[1]), Settled: c[2], Max: c[3]})
	}
	return p, nil
}

// posting converts the server's error for an overflow of bigint into the contract's.
func posting(err error) error {
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
