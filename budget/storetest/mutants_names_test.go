package storetest_test

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// telling changes what entries are told.
func telling(change func(*driver.Entry)) func(*broken, *storetest.Clock) {
	return func(b *broken, _ *storetest.Clock) {
		b.entries = func(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
			all, err := b.Store.Entries(ctx, q)
			for i := range all {
				change(&all[i])
			}
			return all, err
		}
	}
}

// selecting changes what entries are asked for.
func selecting(change func(*driver.Query)) func(*broken, *storetest.Clock) {
	return func(b *broken, _ *storetest.Clock) {
		b.entries = func(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
			change(&q)
			return b.Store.Entries(ctx, q)
		}
	}
}

func init() {
	names := map[string]struct {
		rules []string
		spoil func(*broken, *storetest.Clock)
	}{
		"forgets whose an entry is":      {[]string{"EntriesSayWhoseTheyAre", "EntriesOfOrphansSayWhoseTheyAre"}, telling(func(e *driver.Entry) { e.Scope = driver.Scope{} })},
		"forgets the region of an entry": {[]string{"EntriesSayWhoseTheyAre"}, telling(func(e *driver.Entry) { e.Scope.Region = "" })},
		"forgets the operation":          {[]string{"EntriesSayWhoseTheyAre"}, telling(func(e *driver.Entry) { e.Operation = "" })},
		"forgets the reference":          {[]string{"EntriesSayWhoseTheyAre"}, telling(func(e *driver.Entry) { e.Reference = "" })},
		"tells lines without amounts": {[]string{"EntriesTellTheirLines", "SettledIsWhatEntriesPosted"}, telling(func(e *driver.Entry) {
			for i := range e.Lines {
				e.Lines[i].Amount = 0
			}
		})},
		"ignores the scope of a query":     {[]string{"EntriesAreSelectedByWhoseTheyAre"}, selecting(func(q *driver.Query) { q.Scope = driver.Scope{} })},
		"ignores the time of a query":      {[]string{"EntriesAreSelectedByWhoseTheyAre"}, selecting(func(q *driver.Query) { q.Since = time.Time{} })},
		"ignores the end of a query":       {[]string{"EntriesAreSelectedByWhoseTheyAre"}, selecting(func(q *driver.Query) { q.Until = time.Time{} })},
		"ignores the reference of a query": {[]string{"EntriesAreSelectedByWhoseTheyAre"}, selecting(func(q *driver.Query) { q.Reference = "" })},
		"keeps no names of accounts": {[]string{"AccountsHaveNames"}, func(b *broken, _ *storetest.Clock) {
			b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
				return b.Store.Reserve(ctx, changed(r, func(l *driver.Line) { l.Limit, l.Scope = "", driver.Scope{} }))
			}
		}},
		"tells no overrides": {[]string{"AccountsTellOverridesAndLatches"}, func(b *broken, _ *storetest.Clock) {
			b.accounts = func(ctx context.Context, after driver.Key, max int) ([]driver.Account, error) {
				all, err := b.Store.Accounts(ctx, after, max)
				for i := range all {
					all[i].Override = nil
				}
				return all, err
			}
		}},
		"tells no latches": {[]string{"AccountsTellOverridesAndLatches"}, func(b *broken, _ *storetest.Clock) {
			b.accounts = func(ctx context.Context, after driver.Key, max int) ([]driver.Account, error) {
				all, err := b.Store.Accounts(ctx, after, max)
				for i := range all {
					all[i].Latched = time.Time{}
				}
				return all, err
			}
		}},
		"begins each page of accounts anew": {[]string{"AccountsComeInPages"}, func(b *broken, _ *storetest.Clock) {
			b.accounts = func(ctx context.Context, after driver.Key, max int) ([]driver.Account, error) {
				all, err := b.Store.Accounts(ctx, after, max)
				if (after != driver.Key{}) && len(all) > 1 {
					all = all[1:]
				}
				return all, err
			}
		}},
		"tells the last period alone": {[]string{"PeriodsTellWhatWasSpentWhen"}, func(b *broken, _ *storetest.Clock) {
			b.periods = func(ctx context.Context, account driver.Key, after time.Time, limit int) ([]driver.Period, error) {
				all, err := b.Store.Periods(ctx, account, after, limit)
				return all[max(len(all)-1, 0):], err
			}
		}},
		"tells periods that are off by one": {[]string{"PeriodsTellWhatWasSpentWhen", "SettledIsWhatEntriesPosted"}, func(b *broken, _ *storetest.Clock) {
			b.periods = func(ctx context.Context, account driver.Key, after time.Time, max int) ([]driver.Period, error) {
				all, err := b.Store.Periods(ctx, account, after, max)
				for i := range all {
					all[i].Settled++
				}
				return all, err
			}
		}},
	}
	for name, m := range names {
		mutants[name] = m
	}
}
