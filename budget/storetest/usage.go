package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest/internal/walk"
)

// UsageRows is how many rows of usage the stores that the suite opens may keep of one day.
const UsageRows = 20

// settledCall reserves and settles a call of a scope with n nano-USD, and returns its reservation.
func (s *subject) settledCall(n int64, scope driver.Scope, lines ...driver.Line) driver.Reservation {
	s.t.Helper()
	r := s.newCallReservation(n, scope, lines...)
	s.admit(r)
	s.settleWith(s.callSettlement(r, n))
	return r
}

// newCallReservation returns a reservation of n nano-USD for a call of a scope. It is not sent to the store.
func (s *subject) newCallReservation(n int64, scope driver.Scope, lines ...driver.Line) driver.Reservation {
	r := s.newReservation(n, lines...)
	r.Call, r.Dims = &driver.Call{Scope: scope, Operation: "Converse"}, scope.Dims()
	return r
}

// callSettlement returns a settlement, with n nano-USD, of a reservation that newCallReservation returned.
func (s *subject) callSettlement(r driver.Reservation, n int64) driver.Settlement {
	st := s.settlement(r, n)
	st.Call = r.Call
	return st
}

// usage returns all rows of usage, read in pages of the given size. It requires that they are sorted, and that none of them is zero.
func (s *subject) usage(size int) (all []driver.UsageRow) {
	s.t.Helper()
	var from driver.UsageMark
	for {
		page, err := s.store.Usage(s.ctx, from, size)
		require.NoError(s.t, err)
		require.LessOrEqual(s.t, len(page), size)
		all = append(all, page...)
		if len(page) < size {
			break
		}
		from = driver.UsageMark{Day: page[size-1].Day, After: page[size-1].Key}
	}
	require.True(s.t, slices.IsSortedFunc(all, func(a, b driver.UsageRow) int {
		if order := a.Day.Compare(b.Day); order != 0 {
			return order
		}
		return bytes.Compare(a.Key[:], b.Key[:])
	}))
	for i := range all {
		// UsageDay returns when the UTC day of a moment begins: a row's Day is such a beginning.
		require.Equal(s.t, driver.UsageDay(all[i].Day), all[i].Day)
		require.NotEqual(s.t, driver.Charge{}, all[i].Charge, "a row of nothing")
	}
	return all
}

// usageByDayAndScope returns what was spent in nano-USD, by a text such as "2026-03-10 workflow=w". In the place of the scope, "other" stands for
// driver.OtherUsage, the row for all scopes that found no room for rows of their own.
func (s *subject) usageByDayAndScope() map[string]int64 {
	s.t.Helper()
	sums := make(map[string]int64)
	for _, row := range s.usage(1000) {
		who := row.Scope.String()
		if row.Key == driver.OtherUsage {
			who = "other"
			require.Equal(s.t, driver.Scope{}, row.Scope)
		} else {
			require.Equal(s.t, (&driver.Call{Scope: row.Scope}).UsageKey(), row.Key)
		}
		at := row.Day.Format(time.DateOnly) + " " + who
		require.NotContains(s.t, sums, at)
		sums[at] = row.Charge[driver.UnitUSD]
	}
	return sums
}

// today is the day at which the clock begins, and the space behind it, as the texts of usageByDayAndScope begin.
const today = "2026-03-10 "

// The rules of Usage: the sums of what was spent, by UTC day and by the scope of the call. s.settledCall reserves and settles a call of a scope.
// s.newCallReservation returns a reservation for one that is not sent to the store, and s.callSettlement a settlement of it; s.admit and
// s.settleWith send these. walk.Shares returns shares in nano-USD by workflow, in the order that a settlement needs. fullScope is a scope with a
// value for everything, callScope one with a few, and start the moment at which the clock begins. s.reserve makes a reservation without a Call,
// s.settle settles one, s.correct replaces what was posted, and s.expire(n) requires that n reservations are charged. s.kill sets a flag, and
// s.flagRefusing returns the one that refuses a call of a scope. usd(n) is a charge of n nano-USD.
var usageRules = []rule{
	{"UsageIsAddedUpByDayAndScope", "what is settled is added to the row of its UTC day and its call's principal, workflow, model, region and tags, in every unit, whatever the limits are", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		r := s.newCallReservation(7, fullScope, l)
		s.admit(r)
		st := s.callSettlement(r, 0)
		for unit := driver.UnitUSD; unit <= driver.UnitCalls; unit++ { // another amount in each unit: 1 nano-USD, 2 of the next, and so on
			st.Actual[unit] = int64(unit)
		}
		s.settleWith(st)
		s.settledCall(20, fullScope) // the row has 1 + 20 = 21 nano-USD
		other := fullScope
		other.Workflow = "another"
		s.settledCall(30, other, l)
		s.clock.Advance(24 * time.Hour)
		s.settledCall(4, fullScope, l)
		// A row has the values of its calls without Profile and Project.
		kept := fullScope
		kept.Profile, kept.Project = "", ""
		other.Profile, other.Project = "", ""
		require.Equal(s.t, map[string]int64{
			today + kept.String(): 21, today + other.String(): 30, "2026-03-11 " + kept.String(): 4,
		}, s.usageByDayAndScope())
		for _, row := range s.usage(100) {
			if row.Charge[driver.UnitUSD] == 21 {
				require.Equal(s.t, kept, row.Scope)
				// Only USD has more than the first settlement gave it, because settledCall settles nothing else.
				require.Equal(s.t, driver.Charge{0, 21, 2, 3, 4, 5, 6, 7}, row.Charge)
			}
		}
	}},
	{"CallsInNoLimitAreKilledAndExpire", "a call without lines is an entry all the same: flags refuse it, and what nobody settles is usage once it has expired", func(s *subject) {
		mine := driver.Scope{Workflow: "w"}
		r := s.newCallReservation(5, mine)
		s.admit(r)
		e, ok := s.entry(r.ID)
		require.True(s.t, ok)
		require.Equal(s.t, [2]any{driver.Pending, usd(5)}, [2]any{e.State, e.Reserved})
		s.kill(mine, "stop")
		require.NotNil(s.t, s.flagRefusing(mine, line("a", driver.Daily, 10)))
		s.clock.Advance(2 * time.Hour)
		s.expire(1)
		require.Equal(s.t, map[string]int64{today + "workflow=w": 5}, s.usageByDayAndScope())
	}},
	{"UsageLeavesProfileAndProjectOut", "calls that differ in profile or project alone share a row", func(s *subject) {
		for _, scope := range []driver.Scope{{Workflow: "w"}, {Workflow: "w", Profile: "us.m"}, {Workflow: "w", Project: "x"}} {
			s.settledCall(1, scope, line("a", driver.Daily, 100))
		}
		require.Equal(s.t, map[string]int64{today + "workflow=w": 3}, s.usageByDayAndScope())
	}},
	{"UsageOfNobodyIsTold", "what nobody said whose it is has a row, too", func(s *subject) {
		// The first of these has no Call, and the second one a Call without any value. Both are in the row of the empty scope: 4 + 1.
		s.settle(s.reserve(5, line("a", driver.Daily, 100)), 4)
		s.settledCall(1, driver.Scope{}, line("a", driver.Daily, 100))
		require.Equal(s.t, map[string]int64{today: 5}, s.usageByDayAndScope())
	}},
}

// The rules of how usage follows the states of a reservation, and of how it is read, with the helpers of usageRules.
var usageStateRules = []rule{
	{"UsageFollowsStates", "what is pending or voided is no usage, what expired is until its truth arrives, and what was corrected is as it was corrected, on the day of the reservation", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		mine := driver.Scope{Workflow: "w"}
		voided, expired := s.newCallReservation(10, mine, l), s.newCallReservation(20, mine, l)
		s.admit(voided)
		s.admit(expired)
		require.Empty(s.t, s.usageByDayAndScope())
		s.void(voided)
		require.Empty(s.t, s.usageByDayAndScope())
		// To the next day, after the TTL of one hour. What expires is usage of the day before, on which it was reserved.
		s.clock.Advance(25 * time.Hour)
		s.expire(1)
		require.Equal(s.t, map[string]int64{today + "workflow=w": 20}, s.usageByDayAndScope())
		s.settleWith(s.callSettlement(expired, 3))
		require.Equal(s.t, map[string]int64{today + "workflow=w": 3}, s.usageByDayAndScope())
		// The same settlement once more is a replay, and adds nothing. Nor does the second correction to 8 below change anything.
		s.settleWith(s.callSettlement(expired, 3))
		require.Equal(s.t, map[string]int64{today + "workflow=w": 3}, s.usageByDayAndScope())
		s.correct(expired, 8)
		require.Equal(s.t, map[string]int64{today + "workflow=w": 8}, s.usageByDayAndScope())
		s.correct(expired, 8)
		require.Equal(s.t, map[string]int64{today + "workflow=w": 8}, s.usageByDayAndScope())
		s.correct(expired, 0)
		// A row that has become zero is not told.
		require.Empty(s.t, s.usageByDayAndScope())
	}},
	{"UsageOfOrphansIsTold", "spend that was never set aside, or was voided, is usage of the day on which it is posted", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		mine := driver.Scope{Workflow: "w"}
		voided := s.newCallReservation(10, mine, l)
		s.admit(voided)
		s.void(voided)
		s.clock.Advance(24 * time.Hour)
		s.settleWith(s.callSettlement(voided, 2))
		s.settleWith(s.callSettlement(s.newCallReservation(5, mine, l), 5))
		require.Equal(s.t, map[string]int64{"2026-03-11 workflow=w": 7}, s.usageByDayAndScope()) // 2 + 5
	}},
	{"UsageComesInPages", "pages of any size tell every row once, in the order of days and keys", func(s *subject) {
		for day := range 3 {
			for n := range 5 {
				s.settledCall(int64(day+1), driver.Scope{Workflow: fmt.Sprint(n)}, line("a", driver.Lifetime, 1000))
			}
			s.clock.Advance(24 * time.Hour)
		}
		all := s.usage(1000)
		require.Len(s.t, all, 15)
		for _, size := range []int{1, 4, 5, 15} {
			require.Equal(s.t, all, s.usage(size))
		}
		page, err := s.store.Usage(s.ctx, driver.UsageMark{Day: driver.UsageDay(start.AddDate(0, 0, 2))}, 100)
		require.NoError(s.t, err)
		// Each day has 5 rows: the third one begins behind 10.
		require.Equal(s.t, all[10:], page)
	}},
}

// The rules of how many rows of usage a day may have, with the helpers of usageRules.
var usageRowRules = []rule{
	{"ADayHasSoManyRows", "what would be one row too many is added to the row of other, and is taken out of it when it is corrected; the next day has rows again", func(s *subject) {
		l := line("a", driver.Lifetime, 100_000)
		for n := range UsageRows {
			s.settledCall(1, driver.Scope{Workflow: fmt.Sprint(n)}, l)
		}
		late := s.settledCall(5, driver.Scope{Workflow: "late"}, l)
		later := s.settledCall(7, driver.Scope{Workflow: "later"}, l)
		// The scope with this workflow has had a row since the loop above, and needs no more room.
		s.settledCall(2, driver.Scope{Workflow: "0"}, l)
		spent := s.usageByDayAndScope()
		require.Len(s.t, spent, UsageRows+1)
		require.Equal(s.t, [2]int64{12, 3}, [2]int64{spent[today+"other"], spent[today+"workflow=0"]}) // 5 + 7, and 1 + 2
		s.correct(late, 1)
		require.Equal(s.t, int64(8), s.usageByDayAndScope()[today+"other"]) // 1 + 7
		st := s.callSettlement(s.newCallReservation(6, driver.Scope{Workflow: "late"}, l), 6)
		// Neither of the two has a row of its own, so that 4 + 2 are added to that of other.
		st.Shares = walk.Shares(map[string]int64{"late": 4, "later": 2})
		s.settleWith(st)
		require.Equal(s.t, int64(14), s.usageByDayAndScope()[today+"other"]) // 1 + 7, and both shares
		// The 7 of this call are taken out of the row of other.
		s.correct(later, 0)
		require.Equal(s.t, int64(7), s.usageByDayAndScope()[today+"other"])
		s.clock.Advance(24 * time.Hour)
		s.settledCall(1, driver.Scope{Workflow: "late"}, l)
		require.Equal(s.t, int64(1), s.usageByDayAndScope()["2026-03-11 workflow=late"])
	}},
}

// The rules of shares, with the helpers of usageRules. Shares say how an amount that was spent for several scopes divides among them: an entry of a
// store of leases stands for many calls.
var shareRules = []rule{
	{"SharesDivideUsage", "a settlement and a correction that say how their amount divides are told that way, and none is lost", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		r := s.newReservation(100, l)
		s.admit(r)
		st := s.settlement(r, 60)
		st.Shares = walk.Shares(map[string]int64{"x": 10, "y": 50})
		s.settleWith(st)
		require.Equal(s.t, map[string]int64{today + "workflow=x": 10, today + "workflow=y": 50}, s.usageByDayAndScope())
		again := s.settleWith(st)
		require.True(s.t, again.Replayed)
		correct := func(n int64, shares []driver.Share) driver.Posting {
			p, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(n), Shares: shares, Change: NewChange()})
			require.NoError(s.t, err)
			return p
		}
		moved := correct(60, walk.Shares(map[string]int64{"x": 20, "y": 15, "z": 25}))
		require.False(s.t, moved.Replayed)
		require.Equal(s.t, map[string]int64{today + "workflow=x": 20, today + "workflow=y": 15, today + "workflow=z": 25}, s.usageByDayAndScope())
		require.True(s.t, correct(60, walk.Shares(map[string]int64{"x": 20, "y": 15, "z": 25})).Replayed)
		// The amount is the posted one, and without shares nothing is said about how it divides.
		require.True(s.t, correct(60, nil).Replayed)
		s.requireBalance(l, 60, 0)
		first := walk.Shares(map[string]int64{"x": 1, "y": 1, "z": 1})[0].Call.Scope // the first in the order of usage keys
		correct(9, nil)                                                              // without shares, all of it belongs to that one
		require.Equal(s.t, map[string]int64{today + first.String(): 9}, s.usageByDayAndScope())
		s.requireBalance(l, 9, 0)
	}},
	{"SharesOfWhatExpired", "what expired is usage of the reservation's call, until a late settlement says how it divides", func(s *subject) {
		r := s.newCallReservation(50, driver.Scope{Workflow: "drawn for"}, line("a", driver.Lifetime, 1000))
		s.admit(r)
		s.clock.Advance(r.TTL)
		s.expire(1)
		require.Equal(s.t, map[string]int64{today + `workflow="drawn for"`: 50}, s.usageByDayAndScope())
		st := s.settlement(r, 30)
		st.Shares = walk.Shares(map[string]int64{"x": 10, "y": 20})
		s.settleWith(st)
		require.Equal(s.t, map[string]int64{today + "workflow=x": 10, today + "workflow=y": 20}, s.usageByDayAndScope())
	}},
	{"SharesMustAddUp", "shares that do not add up, are out of order, are double or too many are ErrInvalidCharge, and change nothing", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		r := s.reserve(50, l)
		settled := s.reserve(10, l)
		s.settle(settled, 10)
		good := walk.Shares(map[string]int64{"x": 10, "y": 20})
		many := make(map[string]int64)
		for n := range driver.MaxShares + 1 {
			many[fmt.Sprint(n)] = 1
		}
		for name, bad := range map[string][]driver.Share{
			"less": good[:1], "more": append(slices.Clone(good), good[1]), "in another order": {good[1], good[0]}, "too many": walk.Shares(many),
			"negative": {{Call: good[0].Call, Amount: usd(-1)}, {Call: good[1].Call, Amount: usd(31)}},
		} {
			// What good adds up to. MaxShares + 1 shares of 1 add up to their number, so that only that is wrong with them.
			n := int64(30)
			if name == "too many" {
				n = driver.MaxShares + 1
			}
			st := s.settlement(r, n)
			st.Shares = bad
			_, err := s.store.Settle(s.ctx, st)
			require.ErrorIs(s.t, err, driver.ErrInvalidCharge, name)
			_, err = s.store.Correct(s.ctx, driver.Correction{ID: settled.ID, Actual: usd(n), Shares: bad, Change: NewChange()})
			require.ErrorIs(s.t, err, driver.ErrInvalidCharge, name)
		}
		s.requireBalance(l, 10, 50)
		require.Equal(s.t, map[string]int64{today: 10}, s.usageByDayAndScope())
	}},
}

// The rules of the bounds on usage: how much a row holds, for how long it is kept, and who sees it. Their helpers are those of usageRules.
var usageLimitRules = []rule{
	{"UsageOverflowIsRefused", "an amount that would take a row of usage out of the store's range is ErrOverflow, and nothing changes", func(s *subject) {
		// A store may keep a row of usage in several parts, and so hold several times its largest sum there. So the same amount is settled again and
		// again, in another account each time, until one settlement is refused: after a hundred times at the latest.
		for n := range 100 {
			l := line(fmt.Sprint("limit ", n), driver.Lifetime, s.h.MaxSum)
			r := s.newCallReservation(s.h.MaxSum-1, callScope, l)
			s.admit(r)
			before := s.usage(100)
			_, err := s.store.Settle(s.ctx, s.callSettlement(r, s.h.MaxSum-1))
			if err == nil {
				continue
			}
			require.ErrorIs(s.t, err, driver.ErrOverflow)
			// The first settlement found an empty row, in which it had to fit.
			require.Positive(s.t, n)
			require.Equal(s.t, before, s.usage(100))
			s.requireBalance(l, 0, s.h.MaxSum-1)
			// The hold is still there, and less than what was refused can be settled.
			s.settleWith(s.callSettlement(r, 1))
			s.requireBalance(l, 1, 0)
			return
		}
		require.Fail(s.t, "nothing was refused")
	}},
	{"UsageIsKeptForItsRetention", "rows of usage are told for as long as they are kept, and then forgotten", func(s *subject) {
		s.settledCall(5, driver.Scope{Workflow: "w"}, line("a", driver.Daily, 100))
		// One day less than rows are kept: this Expire must not forget the first row.
		s.clock.Advance(driver.UsageRetention - 24*time.Hour)
		s.expire(0)
		s.settledCall(6, driver.Scope{Workflow: "w"}, line("a", driver.Daily, 100))
		require.Len(s.t, s.usageByDayAndScope(), 2)
		// The first row is one day older than rows are kept now, and the second one two days old.
		s.clock.Advance(48 * time.Hour)
		for range 20 { // a store may forget in several steps, which are a minute or more apart
			s.clock.Advance(2 * time.Minute)
			s.expire(0)
		}
		require.Len(s.t, s.usageByDayAndScope(), 1)
	}},
	{"UsageIsSharedByAllHandles", "what one process has settled another one tells", func(s *subject) {
		other := s.reopen()
		s.settledCall(5, driver.Scope{Workflow: "w"}, line("a", driver.Lifetime, 100))
		if s.h.Merged != "" { // what this handle has settled may be with it until it closes
			require.NoError(s.t, s.store.Close())
		}
		rows, err := other.Usage(s.ctx, driver.UsageMark{}, 10)
		require.NoError(s.t, err)
		require.Len(s.t, rows, 1)
		require.Equal(s.t, usd(5), rows[0].Charge)
		s.unverified = true // the accounts can't be added up after the rule, because the handle may be closed
	}},
}
