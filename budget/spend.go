package budget

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// UsageRetention is how long rows of usage are kept, counted from their day: long enough to compare a month with the same month of the year
// before.
const UsageRetention = 400 * 24 * time.Hour

// DefaultUsageRows is how many rows of usage a store keeps for one day by default. Usage that would need more rows is added to the row
// OtherUsage.
const DefaultUsageRows = 100_000

// OtherUsage is the key of the row for all usage of a day that found no room for a row of its own.
var OtherUsage = keyOf("usage", "other")

// UsageRow is the sum of one UTC day over the calls with the same principal, workflow, model, region and tags. Every amount that is settled,
// expired or corrected is in one row, of the day of its reservation, whatever the limits are.
type UsageRow struct {
	Day    time.Time // its beginning, in UTC
	Key    Key       // names the row within its day
	Scope  Scope     // without Profile and Project; empty for OtherUsage
	Charge Charge
}

// Share is the part of one call in an amount that was settled for several calls.
type Share struct {
	Call   *Call // nil if its scope is not known
	Amount Charge
}

// MaxShares is how many shares a settlement may have.
const MaxShares = 24

// validateShares reports shares that are not sorted by the UsageKey of their calls, have the same key twice, or do not add up to the amount.
func validateShares(actual *Charge, shares []Share) error {
	if len(shares) == 0 {
		return nil
	}
	if len(shares) > MaxShares {
		return fmt.Errorf("%w: %d shares, at most %d", ErrInvalidCharge, len(shares), MaxShares)
	}
	var sum Charge
	var before Key
	for i := range shares {
		if err := errors.Join(shares[i].Amount.Validate(), shares[i].Call.validate()); err != nil {
			return err
		}
		if shares[i].Amount == (Charge{}) {
			return fmt.Errorf("%w: share %d is of nothing", ErrInvalidCharge, i)
		}
		key := shares[i].Call.UsageKey()
		if i > 0 && bytes.Compare(before[:], key[:]) >= 0 {
			return fmt.Errorf("%w: share %d is not in the order of usage keys", ErrInvalidCharge, i)
		}
		var fits bool
		if sum, fits = sum.Plus(shares[i].Amount); !fits {
			return ErrOverflow
		}
		before = key
	}
	if sum != *actual {
		return fmt.Errorf("%w: the shares add up to %v of %v", ErrInvalidCharge, sum, *actual)
	}
	return nil
}

// UsageScope returns the values by which a call is assigned to a row of usage. A nil call has none.
func (c *Call) UsageScope() Scope {
	if c == nil {
		return Scope{}
	}
	s := c.Scope
	s.Profile, s.Project = "", ""
	return s
}

// UsageKey names the row of usage, within a day, to which the call's amounts are added.
func (c *Call) UsageKey() Key {
	if c == nil {
		return nobodysUsage
	}
	if c.usage != (Key{}) {
		return c.usage
	}
	return usageKey(c.UsageScope())
}

func usageKey(s Scope) Key {
	parts := []string{"usage", "of"}
	for name, value := range s.values() {
		parts = append(parts, name, value)
	}
	return keyOf(parts...)
}

var nobodysUsage = usageKey(Scope{})

// UsageDay returns the beginning of the UTC day that a moment is in.
func UsageDay(at time.Time) time.Time { return at.UTC().Truncate(24 * time.Hour) }

// Calendar says over which periods Usage adds up.
type Calendar uint8

// The periods over which Usage adds up, all of them in UTC.
const (
	Throughout Calendar = iota // the whole time in one sum
	ByDay
	ByMonth
)

// UsageQuery asks who spent what.
type UsageQuery struct {
	// Since and Until select whole UTC days: those that begin at Since or later, and before Until. The zero Since starts with the oldest
	// row, and the zero Until ends with today.
	Since, Until time.Time
	// Where selects rows. The zero value selects all.
	Where Match
	// By and ByTags say for which values there are separate sums. PerProfile and PerProject are not stored. The zero value gives one sum.
	By     Per
	ByTags []string
	// Every says over which periods the days are added up.
	Every Calendar
}

func (q *UsageQuery) validate() error {
	switch {
	case q.By&^(PerPrincipal|PerWorkflow|PerModel|PerRegion) != 0:
		return fmt.Errorf("%w: usage is told by principal, workflow, model, region and tags", ErrInvalidQuery)
	case q.Where.Profile != "" || q.Where.Project != "":
		return fmt.Errorf("%w: usage is not kept by profile or project", ErrInvalidQuery)
	case q.Every > ByMonth:
		return fmt.Errorf("%w: usage is told throughout, by day or by month", ErrInvalidQuery)
	}
	return nil
}

// Usage yields what was spent, oldest first and then by the values of By and ByTags, or one error. A row's Day is the beginning of its day
// or month, and zero for Throughout. Usage from the rows OtherUsage, which can't be split by value, comes last in a row of its own. Pending
// calls are not included. A day with 100,000 rows takes the time and the memory for that many.
func (o *Operator) Usage(ctx context.Context, q UsageQuery) iter.Seq2[UsageRow, error] {
	return func(yield func(UsageRow, error) bool) {
		rows, err := o.usage(ctx, q)
		if err != nil {
			yield(UsageRow{}, err)
			return
		}
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

func (o *Operator) usage(ctx context.Context, q UsageQuery) ([]UsageRow, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	sums := make(map[usageSum]*UsageRow)
	from := UsageMark{Day: UsageDay(q.Since)}
	if q.Since.After(from.Day) {
		from.Day = from.Day.AddDate(0, 0, 1)
	}
	for {
		page, err := o.store.Usage(ctx, from, maxEntries)
		if err != nil {
			return nil, storeError("usage", err)
		}
		for _, row := range page {
			if !q.Until.IsZero() && !row.Day.Before(q.Until) {
				return sorted(sums), nil
			}
			if err := q.add(sums, row); err != nil {
				return nil, err
			}
		}
		if len(page) == 0 {
			return sorted(sums), nil
		}
		last := page[len(page)-1]
		from = UsageMark{Day: last.Day, After: last.Key}
	}
}

// UsageMark is where a page of usage begins: after a key of a day, and then with the following days.
type UsageMark struct {
	Day   time.Time // its beginning, in UTC; the zero time is before all days
	After Key       // the zero Key is before all keys
}

type usageSum struct {
	day int64
	key Key
}

func (q *UsageQuery) add(sums map[usageSum]*UsageRow, row UsageRow) error {
	if row.Key != OtherUsage {
		if !q.Where.Selects(row.Scope) {
			return nil
		}
		row.Scope = Limit{Per: q.By, PerTags: q.ByTags}.split(row.Scope)
		row.Key = usageKey(row.Scope)
	}
	switch q.Every {
	case Throughout:
		row.Day = time.Time{}
	case ByMonth:
		row.Day = time.Date(row.Day.Year(), row.Day.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	at := usageSum{row.Day.Unix(), row.Key}
	sum := sums[at]
	if sum == nil {
		sums[at] = &row
		return nil
	}
	var fits bool
	if sum.Charge, fits = sum.Charge.Plus(row.Charge); !fits {
		return fmt.Errorf("%w: usage of %s", ErrOverflow, row.Scope)
	}
	return nil
}

// sorted builds the list of values once for each row, and not in each comparison: a day may have 100,000 rows.
func sorted(sums map[usageSum]*UsageRow) []UsageRow {
	type listed struct {
		row    *UsageRow
		values []string
	}
	all := make([]listed, 0, len(sums))
	for row := range maps.Values(sums) {
		all = append(all, listed{row, row.Scope.list()})
	}
	last := func(r *UsageRow) int {
		if r.Key == OtherUsage {
			return 1
		}
		return 0
	}
	slices.SortFunc(all, func(a, b listed) int {
		if days := a.row.Day.Compare(b.row.Day); days != 0 {
			return days
		}
		return cmp.Or(last(a.row)-last(b.row), slices.Compare(a.values, b.values), bytes.Compare(a.row.Key[:], b.row.Key[:]))
	})
	rows := make([]UsageRow, len(all))
	for i := range all {
		rows[i] = *all[i].row
	}
	return rows
}

// list returns the scope's values in a fixed order, tags with their names.
func (s *Scope) list() []string {
	all := s.fields()
	out := all[:]
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		out = append(out, k, s.Tags[k])
	}
	return out
}
