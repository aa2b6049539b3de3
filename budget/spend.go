package budget

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

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

// validate reports what can't be answered, because stores keep no sums for it.
func (q *UsageQuery) validate() error {
	switch {
	case q.By&^(PerPrincipal|PerWorkflow|PerModel|PerRegion) != 0:
		return fmt.Errorf("%w: usage is told by principal, workflow, model, region and tags", driver.ErrInvalidQuery)
	case q.Where.Profile != "" || q.Where.Project != "":
		return fmt.Errorf("%w: usage is not kept by profile or project", driver.ErrInvalidQuery)
	case q.Every > ByMonth:
		return fmt.Errorf("%w: usage is told throughout, by day or by month", driver.ErrInvalidQuery)
	}
	return nil
}

// Usage yields what was spent, oldest first and then by the values of By and ByTags, or one error. A row's Day is the beginning of its day
// or month, and zero for Throughout. Usage from the rows driver.OtherUsage, which can't be split by value, comes last in a row of its own.
// Pending calls are not included. A day with 100,000 rows takes the time and the memory for that many.
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

// usage reads all rows of the query's days, page by page, and adds them up.
func (o *Operator) usage(ctx context.Context, q UsageQuery) ([]UsageRow, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	sums := make(map[usageSum]*UsageRow)
	from := driver.UsageMark{Day: driver.UsageDay(q.Since)} // where the next page begins
	if q.Since.After(from.Day) {                            // Since is in the middle of that day: the next one is the first to begin after it
		from.Day = from.Day.AddDate(0, 0, 1)
	}
	for {
		page, err := o.store.Usage(ctx, from, maxEntries)
		if err != nil {
			return nil, storeError("usage", err)
		}
		for _, row := range page {
			if !q.Until.IsZero() && !row.Day.Before(q.Until) { // rows come in the order of their days: none of the rest is wanted
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
		from = driver.UsageMark{Day: last.Day, After: last.Key}
	}
}

// usageSum says to which sum a row is added: of which period, and of which values.
type usageSum struct {
	day int64 // the beginning of the day or month in seconds since 1970; the same number for all rows if the query has no periods
	key Key   // of the values by which the query splits
}

// add adds a row, if the query selects it, to the sum of its values and its period. The row of driver.OtherUsage holds the calls for which a day
// had no room for rows of their own: it has no values, so that the query's Where can't be asked.
func (q *UsageQuery) add(sums map[usageSum]*UsageRow, row UsageRow) error {
	if row.Key != driver.OtherUsage {
		if !q.Where.Selects(row.Scope) {
			return nil
		}
		row.Scope = Limit{Per: q.By, PerTags: q.ByTags}.split(row.Scope) // only the values that the query splits by, as a limit splits
		// The key of the values that are left, by which rows with the same ones come into one sum.
		row.Key = (&driver.Call{Scope: row.Scope}).UsageKey()
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
		sums[at] = &row // row is this call's own copy, so that it can become the sum
		return nil
	}
	var fits bool
	if sum.Charge, fits = sum.Charge.Plus(row.Charge); !fits {
		return fmt.Errorf("%w: usage of %s", ErrOverflow, row.Scope)
	}
	return nil
}

// sorted returns the sums in the order that Usage promises: by day, then by values, with OtherUsage last. It builds the list of values once for
// each row, and not in each comparison, because a day may have 100,000 rows.
func sorted(sums map[usageSum]*UsageRow) []UsageRow {
	type listed struct {
		row    *UsageRow
		values []string
	}
	all := make([]listed, 0, len(sums))
	for row := range maps.Values(sums) {
		all = append(all, listed{row, valuesOf(&row.Scope)})
	}
	last := func(r *UsageRow) int {
		if r.Key == driver.OtherUsage {
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

// valuesOf returns a scope's values in a fixed order, tags with their names.
func valuesOf(s *Scope) []string {
	all := fieldsOf(s)
	out := all[:]
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		out = append(out, k, s.Tags[k])
	}
	return out
}
