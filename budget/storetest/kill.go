package storetest

import (
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// callScope is the scope of the calls that kill flags are tried on.
var callScope = driver.Scope{Principal: "ci", Workflow: "nightly", Model: "m", Tags: map[string]string{"team": "core"}}

// flagRefusing makes a reservation of 1 with the Dims of a scope (a key for each of its values), and returns the kill flag that refused it; nil if
// it was admitted.
func (s *subject) flagRefusing(scope driver.Scope, l driver.Line) *driver.Kill {
	s.t.Helper()
	r := s.newReservation(1, l)
	r.Dims = scope.Dims()
	d, err := s.ask(r)
	require.NoError(s.t, err)
	// It is not refused for lack of room, but for a flag, or not at all.
	require.Equal(s.t, d.Killed == nil, d.Admitted)
	return d.Killed
}

// kill sets a flag without patterns.
func (s *subject) kill(scope driver.Scope, reason string) {
	s.t.Helper()
	require.NoError(s.t, s.store.Kill(s.ctx, driver.Kill{Scope: scope, Reason: reason}, NewChange()))
}

// revive removes a flag without patterns.
func (s *subject) revive(scope driver.Scope) {
	s.t.Helper()
	require.NoError(s.t, s.store.Revive(s.ctx, driver.Flag{Scope: scope}, NewChange()))
}

// The rules of the calls that a kill flag refuses. s.flagRefusing makes a reservation in a scope and returns the flag that refused it, nil if it was
// admitted; callScope is the scope that most flags are tried on. s.kills returns the flags in force. s.reserve makes a reservation, which must be
// admitted; s.newReservation returns one that s.admit sends. line(name, window, max) is a limit in nano-USD. s.requireBalance checks what an account
// has settled and pending.
var killRules = []rule{
	{"KillRefusesItsScope", "a flag refuses every call that has all of its values, with its reason and the store's time, and sets nothing aside", func(s *subject) {
		l := line("a", driver.Daily, 10)
		s.reserve(1, l)
		s.kill(driver.Scope{Workflow: "nightly"}, "runaway loop")
		k := s.flagRefusing(callScope, l)
		require.NotNil(s.t, k)
		require.Equal(s.t, driver.Scope{Workflow: "nightly"}, k.Scope)
		require.Equal(s.t, "runaway loop", k.Reason)
		require.WithinDuration(s.t, s.clock.Now(), k.At, time.Microsecond)
		// Only the reservation from before the flag is there: the refused one has set nothing aside and left no entry.
		s.requireBalance(l, 0, 1)
		require.Len(s.t, s.allEntries(), 1)
	}},
	{"KillNeedsAllOfItsValues", "a flag of several values spares calls that lack one", func(s *subject) {
		l := line("a", driver.Daily, 100)
		s.kill(driver.Scope{Principal: "ci", Tags: map[string]string{"team": "core"}}, "stop")
		require.NotNil(s.t, s.flagRefusing(callScope, l))
		// Each of these lacks the principal, the tag or both, or has another value there. The last one has ci as its workflow.
		for _, spared := range []driver.Scope{
			{}, {Principal: "ci"}, {Principal: "dev", Tags: callScope.Tags}, {Principal: "ci", Tags: map[string]string{"team": "web"}}, {Workflow: "ci", Tags: callScope.Tags},
		} {
			require.Nil(s.t, s.flagRefusing(spared, l), "%s", spared)
		}
	}},
	{"KillOfTheEmptyScopeKillsAll", "an empty scope's flag holds for every call", func(s *subject) {
		s.kill(driver.Scope{}, "everything")
		for _, scope := range []driver.Scope{{}, callScope} {
			require.NotNil(s.t, s.flagRefusing(scope, line("a", driver.Daily, 10)))
		}
	}},
	{"KillComesBeforeLimits", "a killed call that does not fit either is told that it was killed, and latches nothing", func(s *subject) {
		l := line("a", driver.Daily, 0)
		// A refusal for lack of room would close the latch.
		l.Latch = true
		s.kill(callScope, "stop")
		require.NotNil(s.t, s.flagRefusing(callScope, l))
		require.False(s.t, s.balance(l).Latched)
	}},
	{"KillHoldsForReplays", "after Kill returned, no Reserve is admitted, not even one that was admitted before", func(s *subject) {
		r := s.newReservation(1, line("a", driver.Daily, 10))
		r.Dims = callScope.Dims()
		s.admit(r)
		s.kill(callScope, "stop")
		d, err := s.store.Reserve(s.ctx, r)
		require.NoError(s.t, err)
		require.False(s.t, d.Admitted)
		require.NotNil(s.t, d.Killed)
		s.requireBalance(r.Lines[0], 0, 1)
	}},
	{"KillLetsCallsInFlightSettle", "what was admitted before the flag is settled, voided and corrected as ever", func(s *subject) {
		l := line("a", driver.Daily, 10)
		settled, voided := s.reserve(2, l), s.reserve(2, l)
		s.kill(driver.Scope{}, "stop")
		s.settle(settled, 1)
		s.void(voided)
		s.correct(settled, 2)
		s.requireBalance(l, 2, 0)
	}},
}

// The rules of kill flags as a store keeps them, with the helpers of killRules. s.kill sets a flag, and s.revive removes one.
var flagRules = []rule{
	{"KillAgainReplacesTheReason", "one scope has one flag", func(s *subject) {
		s.kill(callScope, "first")
		s.clock.Advance(time.Minute)
		s.kill(callScope, "second")
		kills := s.kills()
		require.Len(s.t, kills, 1)
		require.Equal(s.t, "second", kills[0].Reason)
		require.WithinDuration(s.t, s.clock.Now(), kills[0].At, time.Microsecond)
		s.revive(callScope)
		require.Empty(s.t, s.kills())
	}},
	{"ReviveRemovesExactlyItsFlag", "wider and narrower flags stay, and there may be none", func(s *subject) {
		narrow, wide := callScope, driver.Scope{Principal: "ci"}
		s.kill(narrow, "narrow")
		s.kill(wide, "wide")
		// Neither of these two was ever set.
		s.revive(driver.Scope{Workflow: "nightly"})
		s.revive(driver.Scope{})
		require.Len(s.t, s.kills(), 2)
		s.revive(wide)
		require.Equal(s.t, "narrow", s.flagRefusing(callScope, line("a", driver.Daily, 10)).Reason)
		require.Nil(s.t, s.flagRefusing(wide, line("a", driver.Daily, 10)))
		s.revive(narrow)
		require.Nil(s.t, s.flagRefusing(callScope, line("a", driver.Daily, 10)))
	}},
	{"KillKeepsNothingOfTheCallers", "the scope's tags stay the caller's, and what Kills returns is the caller's too", func(s *subject) {
		tags := map[string]string{"team": "core"}
		s.kill(driver.Scope{Tags: tags}, "stop")
		tags["team"] = "web"
		// The second time shows whether the change below has reached the store's own copy.
		for range 2 {
			kills := s.kills()
			require.Equal(s.t, map[string]string{"team": "core"}, kills[0].Scope.Tags)
			kills[0].Scope.Tags["team"] = "web"
		}
		require.NotNil(s.t, s.flagRefusing(callScope, line("a", driver.Daily, 10)))
	}},
	{"KillIsSeenByAllHandles", "a flag set in one process refuses in every other, and its removal is seen too", func(s *subject) {
		other := s.reopen()
		r := s.newReservation(1, line("a", driver.Daily, 10))
		r.Dims = callScope.Dims()
		s.kill(callScope, "stop")
		d, err := other.Reserve(s.ctx, r)
		require.NoError(s.t, err)
		require.NotNil(s.t, d.Killed)
		require.NoError(s.t, other.Revive(s.ctx, driver.Flag{Scope: callScope}, NewChange()))
		s.admit(r)
	}},
}

// kills returns the flags in force.
func (s *subject) kills() []driver.Kill {
	s.t.Helper()
	all, err := s.store.Kills(s.ctx)
	require.NoError(s.t, err)
	return all
}

// hostile are names that would break out of keys, quotes, patterns or encodings.
var hostile = []string{
	"a\x00b", "\x00", `'; DROP TABLE reservations; --`, `"`, "`", `\`, "{tag}", "}{", "a:b", "a|b", "*", "%", "_", "line\nbreak\r\t",
	"\u202egnp", "\U0001f4b8\U0001f525", "\xff\xfe invalid", "\xed\xa0\x80", "$1", "null", "NaN", strings.Repeat("x", driver.MaxScopeValue), strings.Repeat("\U0001f4b8", driver.MaxScopeValue/4),
}

// The rules of hostile names, with the helpers of killRules.
var hostileRules = []rule{
	{"HostileNamesComeBackAsTheyWere", "scopes and reasons are values: any bytes of them are kept and given back", func(s *subject) {
		for _, name := range hostile {
			scope := driver.Scope{Principal: name, Workflow: name, Model: name, Tags: map[string]string{name: name, "empty": ""}}
			s.kill(scope, name)
			kills := s.kills()
			require.Len(s.t, kills, 1, "%q", name)
			require.Equal(s.t, scope, kills[0].Scope)
			require.Equal(s.t, name, kills[0].Reason)
			k := s.flagRefusing(scope, line("a", driver.Lifetime, 1000))
			require.NotNil(s.t, k)
			require.Equal(s.t, scope, k.Scope)
			s.revive(scope)
			require.Empty(s.t, s.kills())
		}
	}},
	{"HostileNamesDoNotMeet", "two names that look alike to an encoding are two scopes", func(s *subject) {
		for i, name := range hostile {
			s.kill(driver.Scope{Principal: name}, "stop")
			// Only calls with this very name are refused. "", a, b and ab are what an encoding may make of some of the names.
			for j, other := range slices.Concat(hostile, []string{"", "a", "b", "ab"}) {
				require.Equal(s.t, i == j, s.flagRefusing(driver.Scope{Principal: other}, line("a", driver.Lifetime, 10_000)) != nil, "%q and %q", name, other)
			}
			s.revive(driver.Scope{Principal: name})
		}
		s.unverified = true // a thousand entries add nothing to what the other rules verify
	}},
}
