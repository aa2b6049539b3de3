package pgstore

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Entries implements driver.Store. A Max out of range is replaced with the nearest valid one. The function knows nothing of scopes, and may find
// entries that the query does not select: Entries asks for pages until it has enough of those that it does.
func (s *Store) Entries(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
	limit := max(1, min(q.Max, maxEntries))
	since, until := bounds(&q)
	all := []driver.Entry{}
	for after := q.After; len(all) < limit; {
		a, err := s.step(ctx, call{function: "list_entries", args: func(*placement) []any {
			return []any{int32(q.State), q.Estimated, since, until, []byte(q.Reference), [16]byte(after), int64(limit)}
		}})
		if err != nil {
			return nil, err
		}
		for i := range a.detail.Entries {
			e, err := a.detail.Entries[i].public()
			if err != nil {
				return nil, failed("entries", err)
			}
			after = e.ID // the next page begins after the last entry, whether it is selected or not
			if q.Selects(&e) && len(all) < limit {
				all = append(all, e)
			}
		}
		if len(a.detail.Entries) < limit { // it was the last page
			break
		}
	}
	return all, nil
}

// bounds returns between which moments, in nanoseconds since 1970, a query looks for entries: the first of them, and the first that is too late.
func bounds(q *driver.Query) (since, until int64) {
	since, until = math.MinInt64, math.MaxInt64 // as good as no bounds
	if !q.Since.IsZero() {
		since = nanos(q.Since)
	}
	if !q.Until.IsZero() {
		until = nanos(q.Until)
	}
	return since, until
}

// charge converts stored amounts, which are indexed by unit; index 0 is that of no unit. If there are more units than this library knows, a newer
// library has written them; units that an older one did not know stay zero.
func charge(raw []int64) (c driver.Charge, err error) {
	if len(raw) > len(c) {
		return c, problem(fmt.Sprintf("a stored charge counts %d units, this library knows %d: use a newer library", len(raw)-1, len(c)-1))
	}
	for i, n := range raw {
		if n < 0 {
			return c, errAnswer
		}
		c[i] = n
	}
	return c, nil
}

// public converts an entry of the server's answer, and refuses one whose parts do not fit together.
func (e *entry) public() (out driver.Entry, err error) {
	id, err := parseKey(e.ID)
	if err != nil || len(e.Reserved) == 0 || len(e.Actual) == 0 || len(e.Accounts) != len(e.Units) || len(e.Accounts) != len(e.Starts) {
		return driver.Entry{}, errAnswer
	}
	out = driver.Entry{
		ID: id, State: e.State, Estimated: e.Estimated, Orphan: e.Orphan, ReservedAt: time.Unix(0, e.ReservedAt), Reference: string(e.Reference),
	}
	if out.Reserved, err = charge(e.Reserved); err != nil {
		return driver.Entry{}, err
	}
	if out.Actual, err = charge(e.Actual); err != nil {
		return driver.Entry{}, err
	}
	amounts := &out.Actual // what counts in the entry's accounts
	if e.State == driver.Pending {
		amounts = &out.Reserved
	} else {
		out.ResolvedAt = time.Unix(0, e.ResolvedAt)
	}
	c, _, err := account.DecodeCall(e.Whose) // the reference in it is empty: it has a column of its own
	if err != nil {
		return driver.Entry{}, problem(err.Error())
	}
	out.Scope, out.Operation = c.Scope, c.Operation
	if out.Lines, err = e.bookings(amounts); err != nil {
		return driver.Entry{}, err
	}
	return out, nil
}

// bookings returns where an entry is booked: each booking has that of the amounts which is in its account's unit.
func (e *entry) bookings(amounts *driver.Charge) (all []driver.Booking, err error) {
	for i := range e.Accounts {
		key, err := parseKey(e.Accounts[i])
		if err != nil || !e.Units[i].Valid() {
			return nil, errAnswer
		}
		all = append(all, driver.Booking{Account: key, Unit: e.Units[i], Start: time.Unix(0, e.Starts[i]), Amount: amounts[e.Units[i]]})
	}
	return all, nil
}

// parseKey reads a key or an id, which the database keeps as a uuid.
func parseKey(text string) (key [16]byte, err error) {
	var id pgtype.UUID
	if err := id.Scan(text); err != nil {
		return key, errAnswer
	}
	return id.Bytes, nil
}

// accountRow is an account in the server's answer. Times are in nanoseconds since 1970.
type accountRow struct {
	Key                        string // a uuid
	Name                       []byte // the limit's name and the account's scope, as account.EncodeName encodes them; empty if nothing was booked yet
	OverrideMax, OverrideUntil *int64 // nil without an override
	LatchedUntil               int64  // 0 if no refusal has closed its latch
}

// period is a bucket in the server's answer. Start is in nanoseconds since 1970, the others are sums in the account's unit.
type period struct{ Start, Settled, Pending, Forgotten int64 }

// Accounts implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Accounts(ctx context.Context, after driver.Key, limit int) ([]driver.Account, error) {
	a, err := s.step(ctx, call{function: "list_accounts", args: func(*placement) []any {
		return []any{[16]byte(after), int64(max(1, min(limit, maxEntries)))}
	}})
	if err != nil {
		return nil, err
	}
	now := a.clock // the server's clock; the function is not sent that of Options.Clock, which replaces it here
	if s.opts.Clock != nil {
		now = nanos(s.opts.Clock())
	}
	all := make([]driver.Account, len(a.detail.Accounts))
	for i, raw := range a.detail.Accounts {
		key, err := parseKey(raw.Key)
		if err != nil {
			return nil, failed("accounts", err)
		}
		all[i].Key = key
		if all[i].Limit, all[i].Scope, err = account.DecodeName(raw.Name); err != nil {
			return nil, failed("accounts", problem(err.Error()))
		}
		if raw.OverrideMax != nil && raw.OverrideUntil != nil {
			all[i].Override = &driver.Override{Max: *raw.OverrideMax, Until: time.Unix(0, *raw.OverrideUntil)}
		}
		if raw.LatchedUntil > now { // else no refusal has closed the latch, or it has opened again
			all[i].Latched = time.Unix(0, raw.LatchedUntil)
		}
	}
	return all, nil
}

// Periods implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Periods(ctx context.Context, key driver.Key, after time.Time, limit int) ([]driver.Period, error) {
	since := int64(math.MinInt64) // before all periods
	if !after.IsZero() {
		since = nanos(after)
	}
	a, err := s.step(ctx, call{function: "list_periods", args: func(*placement) []any {
		return []any{[16]byte(key), since, int64(max(1, min(limit, maxEntries)))}
	}})
	if err != nil {
		return nil, err
	}
	all := make([]driver.Period, len(a.detail.Periods))
	for i, p := range a.detail.Periods {
		all[i] = driver.Period{Start: time.Unix(0, p.Start), Settled: p.Settled, Pending: p.Pending, Forgotten: p.Forgotten}
	}
	return all, nil
}
