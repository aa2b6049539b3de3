package storetest_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brokenEnv names the broken store that a child process holds the suite against.
const brokenEnv = "STORETEST_BROKEN"

// wrap breaks a store that works.
type wrap func(budget.Store, *storetest.Clock) budget.Store

// broken are stores that each break one promise of the contract, and a rule that must notice.
var broken = map[string]struct {
	rule   string
	store  wrap
	handle wrap // of the other handles; nil for handles that work
}{
	"toctou":           {rule: "ConcurrentReservesStayWithinTheLimit", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return toctou{s} }},
	"partial":          {rule: "ReserveIsAllOrNothing", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return partial{s} }},
	"denialCounts":     {rule: "ReserveRefusesWhatDoesNotFit", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return denialCounts{s} }},
	"replayAdds":       {rule: "ReserveReplayChangesNothing", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return replayAdds{s} }},
	"sharedReplay":     {rule: "ReserveOfAnotherOwnerConflicts", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return sharedReplay{s} }},
	"wraps":            {rule: "OverflowIsAnError", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return wraps{s} }},
	"tentativeLatches": {rule: "LatchIsNotSetByTentativeRefusals", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return tentativeLatches{s} }},
	"observeRefuses":   {rule: "ObserveLinesRefuseNothing", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return observeRefuses{s} }},
	"killIgnored":      {rule: "ConcurrentKillIsFinal", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return killIgnored{s} }},
	"killUnseen": {
		rule: "KillIsSeenByAllHandles", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return s },
		handle: func(s budget.Store, _ *storetest.Clock) budget.Store { return blind{handle{s}} },
	},
	"uncancellable": {rule: "ACancelledContextChangesNothing", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return uncancellable{s} }},
	"unbounded":     {rule: "ExpireIsBounded", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return unbounded{s} }},
	"endless":       {rule: "OverrideRaises", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return endless{s} }},
	"forgetful":     {rule: "WindowOfAClockThatWentBackIsNotReset", store: func(s budget.Store, c *storetest.Clock) budget.Store { return &forgetful{Store: s, clock: c} }},
	"doubleSettle":  {rule: "SettleReplayChangesNothing", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return doubleSettle{s} }},
	"clamps":        {rule: "SettleIsNeverClamped", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return &clamps{remembering{Store: s}} }},
	"settlesNow":    {rule: "SettleBooksWhereItWasReserved", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return &settlesNow{remembering{Store: s}} }},
	"marksRepeat":   {rule: "MarksAreReportedOnceAWindow", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return marksRepeat{s} }},
	"noTombstone":   {rule: "VoidOfAnUnknownIDLeavesATombstone", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return &noTombstone{remembering{Store: s}} }},
	"correctAdds":   {rule: "CorrectIsIdempotent", store: func(s budget.Store, _ *storetest.Clock) budget.Store { return &correctAdds{remembering{Store: s}} }},
	"releases": {rule: "ExpireCharges", store: func(s budget.Store, c *storetest.Clock) budget.Store {
		return &releases{remembering: remembering{Store: s}, clock: c}
	}},
	"zeroAfterWipe": {rule: "AWipedStoreAnswersNothing", store: func(s budget.Store, c *storetest.Clock) budget.Store {
		return &losable{Store: s, clock: c, fromZero: true}
	}},
}

// harness opens stores in memory, wrapped, with several handles and a memory that can be lost.
func harness(store, other wrap) storetest.Harness {
	return storetest.Harness{
		Seeds: 2, Steps: 300,
		Open: func(_ *testing.T, clock *storetest.Clock) budget.Store { return store(newMemstore(clock), clock) },
		Reopen: func(_ *testing.T, s budget.Store, clock *storetest.Clock) budget.Store {
			return other(s, clock)
		},
		Wipe: func(t *testing.T, s budget.Store) {
			if l, ok := s.(*losable); ok {
				l.wipe()
				return
			}
			require.NoError(t, s.Close())
		},
	}
}

func anotherHandle(s budget.Store, _ *storetest.Clock) budget.Store { return handle{s} }

func TestTheSuitePassesAStoreThatWorks(t *testing.T) {
	storetest.Run(t, harness(func(s budget.Store, clock *storetest.Clock) budget.Store {
		return &losable{Store: s, clock: clock}
	}, anotherHandle))
}

// TestSuiteOnABrokenStore runs in the child processes of TestTheSuiteCatchesBrokenStores and fails there.
func TestSuiteOnABrokenStore(t *testing.T) {
	b, found := broken[os.Getenv(brokenEnv)]
	if !found {
		t.Skip("only in a child process")
	}
	if b.handle == nil {
		b.handle = anotherHandle
	}
	storetest.Run(t, harness(b.store, b.handle))
}

func TestTheSuiteCatchesBrokenStores(t *testing.T) {
	if os.Getenv(brokenEnv) != "" {
		t.Skip("only in the parent process")
	}
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuiteOnABrokenStore$", "-test.timeout=60s")
			child.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := child.CombinedOutput()
			var failed *exec.ExitError
			require.ErrorAs(t, err, &failed, "the suite passed a store that is broken")
			require.Contains(t, string(out), "--- FAIL: TestSuiteOnABrokenStore/"+b.rule+" ")
			require.NotContains(t, string(out), "panic:")
		})
	}
}
