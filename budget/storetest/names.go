package storetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest/internal/walk"
)

// fullScope is a scope in which everything is set, some of it to values that are no valid text.
var fullScope = driver.Scope{
	Principal: "p\xff", Workflow: "w", Model: "m", Region: "us-east-1", Profile: "us.m", Project: "{x}",
	Tags: map[string]string{"team": "core", "": "", "\x00": "'"},
}

// accounts returns one page of accounts.
func (s *subject) accounts(after driver.Key, limit int) []driver.Account {
	s.t.Helper()
	all, err := s.store.Accounts(s.ctx, after, limit)
	require.NoError(s.t, err)
	return all
}

// periods returns one page of the periods of a line's account.
func (s *subject) periods(l driver.Line, after time.Time, limit int) []driver.Period {
	s.t.Helper()
	all, err := s.store.Periods(s.ctx, l.Account, after, limit)
	require.NoError(s.t, err)
	return all
}

// sameTimes puts the times of bookings into one form, in which equal moments are equal values. It changes them in place.
func sameTimes(all []driver.Booking) []driver.Booking {
	for i := range all {
		all[i].Start = time.Unix(0, all[i].Start.UnixNano())
	}
	return all
}

// The rules of what entries tell of their calls: whose they are, and where they count. callScope and fullScope are the scopes of calls, the latter
// with a value for everything. s.admit makes a reservation that s.newReservation returned, s.reserve does both, and s.settleWith makes a settlement
// that s.settlement returned. s.entry returns what the store remembers of a reservation, and whether it does. s.expire(n) requires that n
// reservations are charged.
var entryNameRules = []rule{
	{"EntriesSayWhoseTheyAre", "an entry tells the scope and the operation of its call, and the provider's id of the request once that is known", func(s *subject) {
		l := line("a", driver.Daily, 100)
		r := s.newReservation(3, l)
		r.Call = &driver.Call{Scope: fullScope, Operation: "Converse"}
		s.admit(r)
		e, _ := s.entry(r.ID)
		require.Equal(s.t, fullScope, e.Scope)
		require.Equal(s.t, "Converse", e.Operation)
		require.Empty(s.t, e.Reference)
		st := s.settlement(r, 2)
		st.Call, st.Reference = r.Call, "0b1c\xff"
		s.settleWith(st)
		e, _ = s.entry(r.ID)
		require.Equal(s.t, fullScope, e.Scope)
		require.Equal(s.t, "Converse", e.Operation)
		require.Equal(s.t, "0b1c\xff", e.Reference)
		s.correct(r, 1)
		e, _ = s.entry(r.ID)
		require.Equal(s.t, [2]string{"Converse", "0b1c\xff"}, [2]string{e.Operation, e.Reference})
		nobody, _ := s.entry(s.reserve(1, l).ID)
		require.Equal(s.t, [3]any{driver.Scope{}, "", ""}, [3]any{nobody.Scope, nobody.Operation, nobody.Reference})
	}},
	{"EntriesOfOrphansSayWhoseTheyAre", "spend that was never set aside is told with whose it is, too", func(s *subject) {
		// r is not sent to the store, so that its settlement is an orphan: spend that was never set aside.
		r := s.newReservation(3, line("a", driver.Daily, 100))
		st := s.settlement(r, 2)
		st.Call, st.Reference = &driver.Call{Scope: callScope, Operation: "InvokeModel"}, "ref"
		s.settleWith(st)
		e, _ := s.entry(r.ID)
		require.Equal(s.t, callScope, e.Scope)
		require.Equal(s.t, [2]string{"InvokeModel", "ref"}, [2]string{e.Operation, e.Reference})
		// An entry that was charged because nobody settled it is no orphan, but also has no settlement to tell whose it is: its reservation does.
		expired := s.newReservation(3, line("a", driver.Daily, 100))
		expired.Call = &driver.Call{Scope: callScope, Operation: "Converse"}
		s.admit(expired)
		s.clock.Advance(expired.TTL)
		s.expire(1)
		e, _ = s.entry(expired.ID)
		require.Equal(s.t, "Converse", e.Operation)
	}},
	{"EntriesTellTheirLines", "an entry tells in which accounts it counts, in which unit and period, and how much", func(s *subject) {
		calls := line("b", driver.Lifetime, 100)
		calls.Unit = driver.UnitCalls
		lines := sorted(line("a", driver.Daily, 100), calls, line("c", driver.Rolling(time.Hour), 100))
		r := s.newReservation(7, lines...)
		r.Charge[driver.UnitCalls] = 1
		s.admit(r)
		want := func(usd, calls int64) (all []driver.Booking) {
			for _, l := range lines {
				b := driver.Booking{Account: l.Account, Unit: l.Unit, Start: time.Unix(0, l.Window.At(start).Start), Amount: usd}
				if l.Unit == driver.UnitCalls {
					b.Amount = calls
				}
				all = append(all, b)
			}
			return all
		}
		e, _ := s.entry(r.ID)
		require.Equal(s.t, want(7, 1), sameTimes(e.Lines))
		st := s.settlement(r, 5)
		st.Actual[driver.UnitCalls] = 1
		s.settleWith(st)
		e, _ = s.entry(r.ID)
		require.Equal(s.t, want(5, 1), sameTimes(e.Lines))
	}},
}

// The rule of queries for entries, with the helpers of entryNameRules.
var entryQueryRules = []rule{
	{"EntriesAreSelectedByWhoseTheyAre", "a query by scope, time or reference tells all entries that it selects, in pages, and no others", func(s *subject) {
		l := line("a", driver.Daily, 1000)
		var mine []driver.ID
		middle := time.Time{}
		// Twelve reservations, a minute apart. Four of them, those with an i of 0, 3, 6 and 9, have callScope. That of 6 is made at middle, and that of
		// 7 has a reference.
		for i := range 12 {
			r := s.newReservation(1, l)
			r.Call = &driver.Call{Scope: driver.Scope{Principal: "other", Tags: callScope.Tags}}
			if i%3 == 0 {
				r.Call = &driver.Call{Scope: callScope}
				mine = append(mine, r.ID)
			}
			if i == 6 {
				middle = s.clock.Now()
			}
			s.admit(r)
			if i == 7 {
				st := s.settlement(r, 1)
				st.Call, st.Reference = r.Call, "the seventh"
				s.settleWith(st)
			}
			s.clock.Advance(time.Minute)
		}
		pages := func(q driver.Query) (ids []driver.ID) {
			for q.Max = 2; ; q.After = ids[len(ids)-1] {
				page := s.entries(q)
				for _, e := range page {
					ids = append(ids, e.ID)
				}
				if len(page) < q.Max {
					return ids
				}
			}
		}
		require.ElementsMatch(s.t, mine, pages(driver.Query{Scope: driver.Scope{Principal: "ci"}}))
		require.ElementsMatch(s.t, mine, pages(driver.Query{Scope: callScope}))
		require.Len(s.t, pages(driver.Query{Scope: driver.Scope{Tags: callScope.Tags}}), 12)
		require.Empty(s.t, pages(driver.Query{Scope: driver.Scope{Workflow: "ci"}}))
		// A reservation at middle is selected by Since and not by Until.
		require.Len(s.t, pages(driver.Query{Since: middle}), 6)
		require.Len(s.t, pages(driver.Query{Until: middle}), 6)
		require.Len(s.t, pages(driver.Query{Reference: "the seventh"}), 1)
		require.Empty(s.t, pages(driver.Query{Reference: "the"}))
	}},
}

// The rules of what a store tells of accounts, with the helpers of entryNameRules. s.accounts returns a page of accounts, those behind a key, and
// s.latchedLine a line whose latch a refusal has closed.
var accountRules = []rule{
	{"AccountsHaveNames", "an account tells its limit and the values that split it, from the first line that was booked there", func(s *subject) {
		l := line("a", driver.Daily, 100)
		l.Limit, l.Scope = "team-day\xff", fullScope
		s.reserve(1, l)
		// A second line with another name on the same account: the first name stays.
		again := l
		again.Limit = "another"
		s.reserve(1, again)
		orphan := line("b", driver.Rolling(time.Hour), 100)
		orphan.Limit = "orphans"
		s.settleWith(s.settlement(s.newReservation(1, orphan), 1))
		// A line without a name.
		nobody := line("c", driver.Lifetime, 100)
		s.reserve(1, nobody)
		all := s.accounts(driver.Key{}, 100)
		require.Len(s.t, all, 3)
		names := make(map[driver.Key]driver.Account)
		for _, a := range all {
			names[a.Key] = a
		}
		require.Equal(s.t, driver.Account{Key: l.Account, Limit: l.Limit, Scope: fullScope}, names[l.Account])
		require.Equal(s.t, driver.Account{Key: orphan.Account, Limit: "orphans"}, names[orphan.Account])
		require.Equal(s.t, driver.Account{Key: nobody.Account}, names[nobody.Account])
	}},
	{"AccountsTellOverridesAndLatches", "overrides and latches are found without knowing the policy, of accounts that nothing was booked in, too", func(s *subject) {
		until := start.Add(time.Hour)
		bare := line("a", driver.Daily, 100)
		require.NoError(s.t, s.store.Override(s.ctx, bare.Account, &driver.Override{Max: 5, Until: until}, NewChange()))
		latched := s.latchedLine("b", driver.Daily)
		var override *driver.Override
		var at time.Time
		for _, a := range s.accounts(driver.Key{}, 100) {
			switch a.Key {
			case bare.Account:
				override = a.Override
			case latched.Account:
				at = a.Latched
			}
		}
		require.NotNil(s.t, override)
		require.Equal(s.t, int64(5), override.Max)
		require.True(s.t, until.Equal(override.Until))
		// The latch of a daily limit stays closed until the end of the day that refused.
		require.True(s.t, at.Equal(time.Unix(0, driver.Daily.At(start).End)), "%s", at)
		require.NoError(s.t, s.store.Override(s.ctx, bare.Account, nil, NewChange()))
		require.NoError(s.t, s.store.Unlatch(s.ctx, []driver.Key{latched.Account}, NewChange()))
		for _, a := range s.accounts(driver.Key{}, 100) {
			require.Nil(s.t, a.Override)
			require.True(s.t, a.Latched.IsZero())
		}
	}},
	{"AccountsComeInPages", "pages of any size tell every account once, in the order of their keys", func(s *subject) {
		var want []driver.Key
		for i := range 9 {
			w := []driver.Window{driver.Daily, driver.Rolling(time.Hour), driver.Lifetime}[i%3]
			l := line(string(rune('a'+i)), w, 100)
			s.reserve(1, l)
			// To another bucket of a daily or rolling account, which has to be told once all the same.
			s.clock.Advance(25 * time.Hour)
			s.reserve(1, l)
			want = append(want, l.Account)
		}
		want = sortedKeys(want...)
		for _, size := range []int{1, 2, 9, 100} {
			var got []driver.Key
			for after := (driver.Key{}); ; after = got[len(got)-1] {
				page := s.accounts(after, size)
				require.LessOrEqual(s.t, len(page), size)
				for _, a := range page {
					got = append(got, a.Key)
				}
				if len(page) < size {
					break
				}
			}
			require.Equal(s.t, want, got)
		}
	}},
}

// The rules of what a store tells of an account's past windows, its periods. s.periods returns a page of them, those that begin after a moment.
var periodRules = []rule{
	{"PeriodsTellWhatWasSpentWhen", "an account's past windows are told with what was settled and is pending there, oldest first, in pages", func(s *subject) {
		l := line("a", driver.Daily, 100)
		for n := range int64(3) {
			s.settle(s.reserve(n+1, l), n+1)
			s.clock.Advance(24 * time.Hour)
		}
		s.reserve(7, l)
		day := func(n int) time.Time { return time.Unix(0, driver.Daily.At(start.AddDate(0, 0, n)).Start) }
		want := []driver.Period{{Start: day(0), Settled: 1}, {Start: day(1), Settled: 2}, {Start: day(2), Settled: 3}, {Start: day(3), Pending: 7}}
		same := func(all []driver.Period) []driver.Period {
			for i := range all {
				all[i].Start = time.Unix(0, all[i].Start.UnixNano())
			}
			return all
		}
		require.Equal(s.t, want, same(s.periods(l, time.Time{}, 100)))
		require.Equal(s.t, want[:2], same(s.periods(l, time.Time{}, 2)))
		require.Equal(s.t, want[2:], same(s.periods(l, day(1), 100)))
		require.Empty(s.t, s.periods(line("other", driver.Daily, 100), time.Time{}, 100))
	}},
	{"SettledIsWhatEntriesPosted", "what is settled in each period is what entries have posted there, and what those had that were forgotten", func(s *subject) {
		lines := sorted(line("a", driver.Daily, 1000), line("b", driver.Rolling(time.Hour), 1000), line("c", driver.Lifetime, 1000))
		for n := range int64(20) {
			r := s.reserve(n+1, lines...)
			// The fourth of each four stays pending.
			switch n % 4 {
			case 0:
				s.settle(r, n)
			case 1:
				s.void(r)
			case 2:
				s.settle(r, n)
				s.correct(r, n/2)
			}
			s.clock.Advance(7 * time.Minute)
		}
		s.clock.Advance(2 * time.Hour)
		// Expire charges the reservations that are still pending. It forgets no entry, because the stores of the suite have a Retention of 50 years.
		// What forgotten entries had posted, in other tests that use AddUp, is told by Period.Forgotten.
		_, err := s.store.Expire(s.ctx, 1000)
		require.NoError(s.t, err)
		AddUp(s.ctx, s.t, s.store)
		require.Len(s.t, s.accounts(driver.Key{}, 100), len(lines))
	}},
}

// AddUp adds up the entries of a store and requires that each period of each account agrees with them: settled is what entries have posted there,
// forgotten ones included, and pending what unresolved ones have reserved. Accounts that the library keeps for itself, whose names begin with a zero
// byte, are left out. Nobody may use the ledger meanwhile.
func AddUp(ctx context.Context, t require.TestingT, store driver.Store) {
	sums := sumsOf(walk.AllEntries(ctx, t, store))
	const page = 1000
	for after, more := (driver.Key{}), true; more; {
		accounts, err := store.Accounts(ctx, after, page)
		require.NoError(t, err)
		more = len(accounts) == page
		for _, a := range accounts {
			after = a.Key
			if strings.HasPrefix(a.Limit, "\x00") {
				// What entries have in such an account was added up above, and is not compared.
				maps.DeleteFunc(sums, func(at place, _ [2]int64) bool { return at.account == a.Key })
				continue
			}
			requirePeriods(ctx, t, store, a, sums)
		}
	}
	for at, sum := range sums { // what is left: those that have no period
		// Entries of nothing, such as voided ones, need no period.
		require.Equal(t, [2]int64{}, sum, "account %x has no period at %s", at.account, time.Unix(0, at.start).UTC())
	}
}

// place is a period of an account, for AddUp.
type place struct {
	account driver.Key
	start   int64 // when the period begins, in nanoseconds since 1970
}

// sumsOf adds up what entries have in each period of each account: settled first, and then pending.
func sumsOf(entries []driver.Entry) map[place][2]int64 {
	sums := make(map[place][2]int64)
	for _, e := range entries {
		for _, b := range e.Lines {
			at := place{b.Account, b.Start.UnixNano()}
			sum := sums[at]
			if e.State == driver.Pending {
				sum[1] += b.Amount
			} else {
				sum[0] += b.Amount
			}
			sums[at] = sum
		}
	}
	return sums
}

// requirePeriods requires that each period of an account has what the entries add up to, and takes these sums out of sums.
func requirePeriods(ctx context.Context, t require.TestingT, store driver.Store, a driver.Account, sums map[place][2]int64) {
	periods, err := store.Periods(ctx, a.Key, time.Time{}, 10_000)
	require.NoError(t, err)
	require.True(t, slices.IsSortedFunc(periods, func(a, b driver.Period) int { return a.Start.Compare(b.Start) }))
	for _, p := range periods {
		at := place{a.Key, p.Start.UnixNano()}
		require.Equal(t, [2]int64{p.Settled, p.Pending}, [2]int64{sums[at][0] + p.Forgotten, sums[at][1]}, "account %s %x, settled and pending from %s on", a.Limit, a.Key, p.Start.UTC())
		delete(sums, at)
	}
}
