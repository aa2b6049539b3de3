package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// flagRefusingCall makes a reservation for a call of a scope, and returns the kill flag that refused it; nil if it was admitted. Unlike
// flagRefusing it sends the call's scope, against which patterns are matched.
func (s *subject) flagRefusingCall(scope driver.Scope, l driver.Line) *driver.Kill {
	s.t.Helper()
	d, err := s.ask(s.newCallReservation(1, scope, l))
	require.NoError(s.t, err)
	// It is not refused for lack of room, but for a flag, or not at all.
	require.Equal(s.t, d.Killed == nil, d.Admitted)
	return d.Killed
}

// killAll sets flags.
func (s *subject) killAll(flags ...driver.Kill) {
	s.t.Helper()
	for _, k := range flags {
		require.NoError(s.t, s.store.Kill(s.ctx, k, NewChange()))
	}
}

// The rules of kill flags with patterns. callScope has the principal ci, the workflow nightly, a model and the tag team=core. s.kills
// returns the flags in force, s.records the audit trail, and s.revision its length. s.killAll sets flags, and s.revive removes one without patterns.
// s.flagRefusingCall returns the flag that refuses a call of a scope, nil if it is admitted; s.flagRefusing does so for a call of which the store is
// only told the keys of its values. s.reopen returns another handle on the ledger, as another process would have it. A call has a value of a flag
// with patterns if its own value in that field or tag fits the pattern.
var patternRules = []rule{
	{"PatternsRefuseWhatTheyMatch", "a flag with patterns refuses each call that has all of its values, whatever they stand for, and spares all others", func(s *subject) {
		l := line("a", driver.Daily, 100)
		s.killAll(driver.Kill{Scope: driver.Scope{Workflow: "night*", Tags: map[string]string{"team": "?ore"}}, Patterns: true, Reason: "runaway"})
		k := s.flagRefusingCall(callScope, l)
		require.NotNil(s.t, k)
		require.Equal(s.t, [3]any{"night*", "runaway", true}, [3]any{k.Scope.Workflow, k.Reason, k.Patterns})
		for _, spared := range []driver.Scope{
			{},
			{Workflow: "nightly"},
			{Tags: callScope.Tags},
			{Workflow: "a night", Tags: callScope.Tags},
			{Workflow: "nightly", Tags: map[string]string{"team": "xcore"}},
			{Workflow: "nightly", Tags: map[string]string{"team": ""}},
		} {
			require.Nil(s.t, s.flagRefusingCall(spared, l), "%s", spared)
		}
		// flagRefusing sends the keys of the scope's values (Dims), but no Call, which patterns are matched with.
		require.Nil(s.t, s.flagRefusing(callScope, l), "nobody said whose it is")
		s.requireBalance(l, 0, 7) // 1 for each of the six that were spared, and 1 for the call of flagRefusing
	}},
	{"PatternsAreNoValues", "a flag without patterns holds for the very text of its values, and a flag of the same text with patterns is another one", func(s *subject) {
		l := line("a", driver.Daily, 100)
		// callScope has the workflow nightly, which n* matches as a pattern only.
		star := driver.Scope{Workflow: "n*"}
		s.killAll(driver.Kill{Scope: star, Reason: "plain"})
		require.Nil(s.t, s.flagRefusingCall(callScope, l))
		require.NotNil(s.t, s.flagRefusingCall(star, l))
		s.killAll(driver.Kill{Scope: star, Patterns: true, Reason: "patterns"})
		require.Len(s.t, s.kills(), 2)
		require.NotNil(s.t, s.flagRefusingCall(callScope, l))
		require.NoError(s.t, s.store.Revive(s.ctx, driver.Flag{Scope: star, Patterns: true}, NewChange()))
		require.Nil(s.t, s.flagRefusingCall(callScope, l))
		require.NotNil(s.t, s.flagRefusingCall(star, l))
		s.revive(star)
		require.Empty(s.t, s.kills())
		records := s.records(0, 10)
		require.Len(s.t, records, 4)
		for i, r := range records { // kill, kill with patterns, revive with patterns, revive
			require.Equal(s.t, i == 1 || i == 2, r.Patterns)
		}
	}},
	{"PatternsAreRevivedEverywhere", "a flag with patterns that one process sets or takes back holds or ends in all others", func(s *subject) {
		l := line("a", driver.Daily, 100)
		// After this call the store may know the list of flags with patterns, which is empty, and has to notice that it changes.
		require.Nil(s.t, s.flagRefusingCall(callScope, l))
		other := s.reopen()
		if s.h.Merged != "" {
			// A store of leases draws parts of the limits in advance (Harness.Merged). It may still admit calls from these until Kill.EffectiveBy,
			// which this rule does not wait for.
			return
		}
		for range 3 { // each time the list has changed since the store has read it
			require.NoError(s.t, other.Kill(s.ctx, driver.Kill{Scope: driver.Scope{Workflow: "*ly"}, Patterns: true}, NewChange()))
			require.NotNil(s.t, s.flagRefusingCall(callScope, l))
			require.NoError(s.t, other.Revive(s.ctx, driver.Flag{Scope: driver.Scope{Workflow: "*ly"}, Patterns: true}, NewChange()))
			require.Nil(s.t, s.flagRefusingCall(callScope, l))
		}
	}},
	{"PatternsAreSoMany", "one flag with patterns too many is ErrTooManyFlags and no change; one of them can be set again, and another one once one was revived", func(s *subject) {
		of := func(n int) driver.Kill {
			return driver.Kill{Scope: driver.Scope{Workflow: fmt.Sprintf("%d*", n)}, Patterns: true}
		}
		for n := range driver.MaxPatterns {
			s.killAll(of(n))
		}
		revision := s.revision()
		require.ErrorIs(s.t, s.store.Kill(s.ctx, of(driver.MaxPatterns), NewChange()), driver.ErrTooManyFlags)
		require.Equal(s.t, revision, s.revision())
		// A flag that is set again needs no other place, and one without patterns does not count among MaxPatterns.
		s.killAll(of(3), driver.Kill{Scope: callScope})
		require.NoError(s.t, s.store.Revive(s.ctx, of(5).Flag(), NewChange()))
		s.killAll(of(driver.MaxPatterns))
		// MaxPatterns is 64: the last flag of the loop above is 63*, and still holds.
		require.NotNil(s.t, s.flagRefusingCall(driver.Scope{Workflow: "63 and more"}, line("a", driver.Daily, 10)))
	}},
	{"PatternsOfNothingAreRefused", "patterns that hold for every call by holding for nothing are ErrInvalidScope, and so is a scope that is too large", func(s *subject) {
		// A flag with patterns but without any value would cover every call, because no value of a call would have to match.
		require.ErrorIs(s.t, s.store.Kill(s.ctx, driver.Kill{Patterns: true}, NewChange()), driver.ErrInvalidScope)
		large := driver.Scope{Workflow: string(make([]byte, driver.MaxScopeValue+1))}
		require.ErrorIs(s.t, s.store.Kill(s.ctx, driver.Kill{Scope: large}, NewChange()), driver.ErrInvalidScope)
		require.Zero(s.t, s.revision())
	}},
}

// The rules of kill flags with an end, with the helpers of patternRules.
var flagEndRules = []rule{
	{"AFlagEnds", "a flag with an end holds until then by the store's clock and is told until then, with patterns and without; one that is set again has its new end", func(s *subject) {
		l := line("a", driver.Lifetime, 100)
		until := s.clock.Now().Add(time.Hour)
		s.killAll(driver.Kill{Scope: driver.Scope{Workflow: "nightly"}, Until: until}, driver.Kill{Scope: driver.Scope{Principal: "d*"}, Patterns: true, Until: until})
		dev := driver.Scope{Principal: "dev"} // covered by the flag with patterns, as callScope is by the other one
		for _, scope := range []driver.Scope{callScope, dev} {
			k := s.flagRefusingCall(scope, l)
			require.NotNil(s.t, k)
			require.True(s.t, until.Equal(k.Until), "%s", k.Until)
		}
		require.Len(s.t, s.kills(), 2)
		require.True(s.t, until.Equal(s.records(0, 10)[0].Until))
		s.clock.Set(until.Add(-time.Millisecond))
		require.NotNil(s.t, s.flagRefusingCall(callScope, l))
		require.NotNil(s.t, s.flagRefusingCall(dev, l))
		s.clock.Set(until)
		require.Nil(s.t, s.flagRefusingCall(callScope, l))
		require.Nil(s.t, s.flagRefusingCall(dev, l))
		require.Empty(s.t, s.kills())
		// A flag that is set again without an end holds for good.
		s.killAll(driver.Kill{Scope: driver.Scope{Workflow: "nightly"}})
		s.clock.Advance(1000 * time.Hour)
		require.NotNil(s.t, s.flagRefusingCall(callScope, l))
		s.killAll(driver.Kill{Scope: driver.Scope{Workflow: "nightly"}, Until: s.clock.Now().Add(time.Minute)})
		require.NotNil(s.t, s.flagRefusingCall(callScope, l))
		s.clock.Advance(time.Minute)
		require.Nil(s.t, s.flagRefusingCall(callScope, l))
	}},
	{"FlagsThatEndedMakeRoom", "flags with patterns that have ended do not count among those that may be set", func(s *subject) {
		for n := range driver.MaxPatterns {
			s.killAll(driver.Kill{Scope: driver.Scope{Workflow: fmt.Sprintf("%d*", n)}, Patterns: true, Until: s.clock.Now().Add(time.Minute)})
		}
		s.clock.Advance(time.Minute)
		// MaxPatterns flags are stored, but none of them is in force.
		s.killAll(driver.Kill{Scope: driver.Scope{Workflow: "x*"}, Patterns: true})
		require.Len(s.t, s.kills(), 1)
	}},
}
