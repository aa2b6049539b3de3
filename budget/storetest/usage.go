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

// charge settles a call of a scope with so many nano-USD, and returns its reservation.
func (s *subject) charge(n int64, scope driver.Scope, lines ...driver.Line) driver.Reservation {
	s.t.Helper()
	r := s.holdFor(n, scope, lines...)
	s.admit(r)
	s.post(s.settlementOf(r, n))
	return r
}

func (s *subject) holdFor(n int64, scope driver.Scope, lines ...driver.Line) driver.Reservation {
	r := s.hold(n, lines...)
	r.Call, r.Dims = &driver.Call{Scope: scope, Operation: "Converse"}, scope.Dims()
	return r
}

func (s *subject) settlementOf(r driver.Reservation, n int64) driver.Settlement {
	st := s.settlement(r, n)
	st.Call = r.Call
	return st
}

// usage returns all rows, in pages of so many.
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
		require.Equal(s.t, driver.UsageDay(all[i].Day), all[i].Day)
		require.NotEqual(s.t, driver.Charge{}, all[i].Charge, "a row of nothing")
	}
	return all
}

// spent returns what was spent by day and scope, in nano-USD; each row of other is told as "other".
func (s *subject) spent() map[string]int64 {
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

const today = "2026-03-10 "

// The rules of Usage: the sums of what was spent, by UTC day and by the scope of the call. s.charge settles a call of a scope, s.spent returns
// all rows by "day scope". whole is a scope with a value for everything, call one with a few, start the moment at which the clock begins.
var usageRules = []rule{
	{"UsageIsAddedUpByDayAndScope", "what is settled is added to the row of its UTC day and its call's principal, workflow, model, region and tags, in every unit, whatever the limits are", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		r := s.holdFor(7, whole, l)
		s.admit(r)
		st := s.settlementOf(r, 0)
		for unit := driver.UnitUSD; unit <= driver.UnitCalls; unit++ { // another amount in each unit: 1 nano-USD, 2 of the next, and so on
			st.Actual[unit] = int64(unit)
		}
		s.post(st)
		s.charge(20, whole) // the row has 1 + 20 = 21 nano-USD
		other := whole
		other.Workflow = "another"
		s.charge(30, other, l)
		s.clock.Advance(24 * time.Hour)
		s.charge(4, whole, l)
		kept := whole
		kept.Profile, kept.Project = "", ""
		other.Profile, other.Project = "", ""
		require.Equal(s.t, map[string]int64{
			today + kept.String(): 21, today + other.String(): 30, "2026-03-11 " + kept.String(): 4,
		}, s.spent())
		for _, row := range s.usage(100) {
			if row.Charge[driver.UnitUSD] == 21 {
				require.Equal(s.t, kept, row.Scope)
				require.Equal(s.t, driver.Charge{0, 21, 2, 3, 4, 5, 6, 7}, row.Charge)
			}
		}
	}},
	{"CallsInNoLimitAreKilledAndExpire", "a call without lines is an entry all the same: flags refuse it, and what nobody settles is usage once it has expired", func(s *subject) {
		mine := driver.Scope{Workflow: "w"}
		r := s.holdFor(5, mine)
		s.admit(r)
		e, ok := s.entry(r.ID)
		require.True(s.t, ok)
		require.Equal(s.t, [2]any{driver.Pending, usd(5)}, [2]any{e.State, e.Reserved})
		s.kill(mine, "stop")
		require.NotNil(s.t, s.under(mine, line("a", driver.Daily, 10)))
		s.clock.Advance(2 * time.Hour)
		s.expire(1)
		require.Equal(s.t, map[string]int64{today + "workflow=w": 5}, s.spent())
	}},
	{"UsageLeavesProfileAndProjectOut", "calls that differ in profile or project alone share a row", func(s *subject) {
		for _, scope := range []driver.Scope{{Workflow: "w"}, {Workflow: "w", Profile: "us.m"}, {Workflow: "w", Project: "x"}} {
			s.charge(1, scope, line("a", driver.Daily, 100))
		}
		require.Equal(s.t, map[string]int64{today + "workflow=w": 3}, s.spent())
	}},
	{"UsageOfNobodyIsTold", "what nobody said whose it is has a row, too", func(s *subject) {
		s.settle(s.reserve(5, line("a", driver.Daily, 100)), 4)
		s.charge(1, driver.Scope{}, line("a", driver.Daily, 100))
		require.Equal(s.t, map[string]int64{today: 5}, s.spent())
	}},
	{"UsageFollowsStates", "what is pending or voided is no usage, what expired is until its truth arrives, and what was corrected is as it was corrected, on the day of the reservation", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		mine := driver.Scope{Workflow: "w"}
		voided, expired := s.holdFor(10, mine, l), s.holdFor(20, mine, l)
		s.admit(voided)
		s.admit(expired)
		require.Empty(s.t, s.spent())
		s.void(voided)
		require.Empty(s.t, s.spent())
		s.clock.Advance(25 * time.Hour)
		s.expire(1)
		require.Equal(s.t, map[string]int64{today + "workflow=w": 20}, s.spent())
		s.post(s.settlementOf(expired, 3))
		require.Equal(s.t, map[string]int64{today + "workflow=w": 3}, s.spent())
		s.post(s.settlementOf(expired, 3))
		require.Equal(s.t, map[string]int64{today + "workflow=w": 3}, s.spent())
		s.correct(expired, 8)
		require.Equal(s.t, map[string]int64{today + "workflow=w": 8}, s.spent())
		s.correct(expired, 8)
		require.Equal(s.t, map[string]int64{today + "workflow=w": 8}, s.spent())
		s.correct(expired, 0)
		require.Empty(s.t, s.spent())
	}},
	{"UsageOfOrphansIsTold", "spend that was never set aside, or was voided, is usage of the day on which it is posted", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		mine := driver.Scope{Workflow: "w"}
		voided := s.holdFor(10, mine, l)
		s.admit(voided)
		s.void(voided)
		s.clock.Advance(24 * time.Hour)
		s.post(s.settlementOf(voided, 2))
		s.post(s.settlementOf(s.holdFor(5, mine, l), 5))
		require.Equal(s.t, map[string]int64{"2026-03-11 workflow=w": 7}, s.spent())
	}},
	{"UsageComesInPages", "pages of any size tell every row once, in the order of days and keys", func(s *subject) {
		for day := range 3 {
			for n := range 5 {
				s.charge(int64(day+1), driver.Scope{Workflow: fmt.Sprint(n)}, line("a", driver.Lifetime, 1000))
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
		require.Equal(s.t, all[10:], page)
	}},
	{"ADayHasSoManyRows", "what would be one row too many is added to the row of other, and is taken out of it when it is corrected; the next day has rows again", func(s *subject) {
		l := line("a", driver.Lifetime, 100_000)
		for n := range UsageRows {
			s.charge(1, driver.Scope{Workflow: fmt.Sprint(n)}, l)
		}
		late := s.charge(5, driver.Scope{Workflow: "late"}, l)
		later := s.charge(7, driver.Scope{Workflow: "later"}, l)
		s.charge(2, driver.Scope{Workflow: "0"}, l)
		spent := s.spent()
		require.Len(s.t, spent, UsageRows+1)
		require.Equal(s.t, [2]int64{12, 3}, [2]int64{spent[today+"other"], spent[today+"workflow=0"]})
		s.correct(late, 1)
		require.Equal(s.t, int64(8), s.spent()[today+"other"])
		st := s.settlementOf(s.holdFor(6, driver.Scope{Workflow: "late"}, l), 6)
		st.Shares = walk.Shares(map[string]int64{"late": 4, "later": 2})
		s.post(st)
		require.Equal(s.t, int64(14), s.spent()[today+"other"])
		s.correct(later, 0)
		require.Equal(s.t, int64(7), s.spent()[today+"other"])
		s.clock.Advance(24 * time.Hour)
		s.charge(1, driver.Scope{Workflow: "late"}, l)
		require.Equal(s.t, int64(1), s.spent()["2026-03-11 workflow=late"])
	}},
	{"SharesDivideUsage", "a settlement and a correction that say how their amount divides are told that way, and none is lost", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		r := s.hold(100, l)
		s.admit(r)
		st := s.settlement(r, 60)
		st.Shares = walk.Shares(map[string]int64{"x": 10, "y": 50})
		s.post(st)
		require.Equal(s.t, map[string]int64{today + "workflow=x": 10, today + "workflow=y": 50}, s.spent())
		again := s.post(st)
		require.True(s.t, again.Replayed)
		correct := func(n int64, shares []driver.Share) driver.Posting {
			p, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(n), Shares: shares, Change: NewChange()})
			require.NoError(s.t, err)
			return p
		}
		moved := correct(60, walk.Shares(map[string]int64{"x": 20, "y": 15, "z": 25}))
		require.False(s.t, moved.Replayed)
		require.Equal(s.t, map[string]int64{today + "workflow=x": 20, today + "workflow=y": 15, today + "workflow=z": 25}, s.spent())
		require.True(s.t, correct(60, walk.Shares(map[string]int64{"x": 20, "y": 15, "z": 25})).Replayed)
		require.True(s.t, correct(60, nil).Replayed)
		s.stands(l, 60, 0)
		first := walk.Shares(map[string]int64{"x": 1, "y": 1, "z": 1})[0].Call.Scope
		correct(9, nil)
		require.Equal(s.t, map[string]int64{today + first.String(): 9}, s.spent())
		s.stands(l, 9, 0)
	}},
	{"SharesOfWhatExpired", "what expired is usage of the reservation's call, until a late settlement says how it divides", func(s *subject) {
		r := s.holdFor(50, driver.Scope{Workflow: "drawn for"}, line("a", driver.Lifetime, 1000))
		s.admit(r)
		s.clock.Advance(r.TTL)
		s.expire(1)
		require.Equal(s.t, map[string]int64{today + `workflow="drawn for"`: 50}, s.spent())
		st := s.settlement(r, 30)
		st.Shares = walk.Shares(map[string]int64{"x": 10, "y": 20})
		s.post(st)
		require.Equal(s.t, map[string]int64{today + "workflow=x": 10, today + "workflow=y": 20}, s.spent())
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
		s.stands(l, 10, 50)
		require.Equal(s.t, map[string]int64{today: 10}, s.spent())
	}},
	{"UsageOverflowIsRefused", "an amount that would take a row of usage out of the store's range is ErrOverflow, and nothing changes", func(s *subject) {
		// A store may keep a row in parts, of which each has its own share of the range. So that the first that is refused is in one of
		// them which has no room, there are many.
		for n := range 100 {
			l := line(fmt.Sprint("limit ", n), driver.Lifetime, s.h.MaxSum)
			r := s.holdFor(s.h.MaxSum-1, call, l)
			s.admit(r)
			before := s.usage(100)
			_, err := s.store.Settle(s.ctx, s.settlementOf(r, s.h.MaxSum-1))
			if err == nil {
				continue
			}
			require.ErrorIs(s.t, err, driver.ErrOverflow)
			require.Positive(s.t, n)
			require.Equal(s.t, before, s.usage(100))
			s.stands(l, 0, s.h.MaxSum-1)
			s.post(s.settlementOf(r, 1))
			s.stands(l, 1, 0)
			return
		}
		require.Fail(s.t, "nothing was refused")
	}},
	{"UsageIsKeptForItsRetention", "rows of usage are told for as long as they are kept, and then forgotten", func(s *subject) {
		s.charge(5, driver.Scope{Workflow: "w"}, line("a", driver.Daily, 100))
		s.clock.Advance(driver.UsageRetention - 24*time.Hour)
		s.expire(0)
		s.charge(6, driver.Scope{Workflow: "w"}, line("a", driver.Daily, 100))
		require.Len(s.t, s.spent(), 2)
		s.clock.Advance(48 * time.Hour)
		for range 20 {
			s.clock.Advance(2 * time.Minute)
			s.expire(0)
		}
		require.Len(s.t, s.spent(), 1)
	}},
	{"UsageIsSharedByAllHandles", "what one process has settled another one tells", func(s *subject) {
		other := s.reopen()
		s.charge(5, driver.Scope{Workflow: "w"}, line("a", driver.Lifetime, 100))
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
