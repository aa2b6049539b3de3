package storetest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brokenEnv names the broken store that a child process holds the suite against; with looseEnv set, as one whose reports may
// be off.
const (
	brokenEnv = "STORETEST_BROKEN"
	looseEnv  = "STORETEST_LOOSE"
)

func newMemstore(clock *storetest.Clock) *memstore.Store {
	return memstore.New(memstore.Options{
		Clock:     clock.Now,
		Retention: storetest.Retention,
		UsageRows: storetest.UsageRows,
	})
}

// handle is one more on a ledger in memory: closing it leaves the others open.
type handle struct{ driver.Store }

func (handle) Close() error { return nil }

// harness opens stores in memory that spoil has changed, with several handles and a memory that can be lost.
func harness(spoil func(*broken, *storetest.Clock)) storetest.Harness {
	return storetest.Harness{
		Seeds: 2, Steps: 300,
		Open: func(_ *testing.T, clock *storetest.Clock) driver.Store {
			p := newPlace(clock)
			own := p.handle()
			b := &broken{Store: own, losing: own, wipe: own.wipe}
			b.other = func() driver.Store { // what is replaced is replaced there, too
				other := *b
				other.losing = p.handle()
				other.Store = other.losing
				other.losing.alone = own.alone
				return handle{&other}
			}
			spoil(b, clock)
			return b
		},
		Reopen: func(_ *testing.T, s driver.Store, _ *storetest.Clock) driver.Store { return s.(*broken).other() },
		Wipe:   func(t *testing.T, s driver.Store) { require.NoError(t, s.(*broken).wipe()) },
		Lose:   func(_ *testing.T, s driver.Store, n int) string { return s.(*broken).losing.lose(n) },
	}
}

func TestTheSuitePassesAStoreThatWorks(t *testing.T) {
	storetest.Run(t, harness(func(*broken, *storetest.Clock) {}))
}

// TestSuiteOnABrokenStore fails, in the child processes of TestTheSuiteCatchesBrokenStores alone.
func TestSuiteOnABrokenStore(t *testing.T) {
	name, child := os.LookupEnv(brokenEnv)
	if !child {
		t.Skip("only in a child process")
	}
	m, found := mutants[name]
	if !found {
		m, found = lossyMutants[name]
	}
	require.True(t, found, "no broken store is named %q", name)
	h := harness(m.spoil)
	h.Loose = os.Getenv(looseEnv)
	storetest.Run(t, h)
}

// A store whose reports may be off is still held to all else, and to reporting each mark once.
func TestTheLooseSuiteCatchesBrokenStores(t *testing.T) {
	if _, child := os.LookupEnv(brokenEnv); child {
		t.Skip("only in the parent process")
	}
	t.Setenv(looseEnv, "a reason")
	for _, name := range []string{"reports a mark twice", "settles twice", "releases on expiry", "never latches"} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { caught(t, name, []string{random}) })
	}
}

// exceptionsEnv makes a child process run the suite with an exception that it must not accept.
const exceptionsEnv = "STORETEST_EXCEPTIONS"

// TestSuiteWithExceptions fails for exceptions that say nothing, in child processes alone.
func TestSuiteWithExceptions(t *testing.T) {
	name, child := os.LookupEnv(exceptionsEnv)
	if !child {
		t.Skip("only in a child process")
	}
	h := harness(func(*broken, *storetest.Clock) {})
	rule, why, _ := strings.Cut(name, "=")
	h.Exceptions = map[string]string{rule: why}
	storetest.Run(t, h)
}

func TestExceptionsAreStated(t *testing.T) {
	if _, child := os.LookupEnv(exceptionsEnv); child {
		t.Skip("only in the parent process")
	}
	run := func(exception string) (string, error) {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuiteWithExceptions$/^ExpireCharges$", "-test.v")
		child.Env = append(os.Environ(), exceptionsEnv+"="+exception)
		out, err := child.CombinedOutput()
		return string(out), err
	}
	out, err := run("ExpireCharges=it is a test")
	require.NoError(t, err, out)
	require.Contains(t, out, "--- SKIP: TestSuiteWithExceptions/ExpireCharges")
	require.Contains(t, out, "it is a test")
	for _, nonsense := range []string{"ExpiresWhatever=a reason", "ExpireCharges="} {
		out, err = run(nonsense)
		require.Error(t, err)
		require.Contains(t, out, "no such rule, or no reason")
	}
}

func TestTheSuiteCatchesBrokenStores(t *testing.T) {
	if _, child := os.LookupEnv(brokenEnv); child {
		t.Skip("only in the parent process")
	}
	for name, m := range mutants {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { caught(t, name, m.rules) })
	}
	for name, m := range lossyMutants {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { caught(t, name, m.rules) })
	}
}

// caught asserts that each of the rules fails on a broken store, and that no process dies of it.
func caught(t *testing.T, name string, rules []string) {
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuiteOnABrokenStore$", "-test.timeout=60s")
	child.Env = append(os.Environ(), brokenEnv+"="+name)
	out, err := child.CombinedOutput()
	var failed *exec.ExitError
	require.ErrorAs(t, err, &failed, "the suite passed a store that is broken")
	for _, rule := range rules {
		require.Contains(t, string(out), "--- FAIL: TestSuiteOnABrokenStore/"+rule+" ")
	}
	require.NotContains(t, string(out), "panic:")
	require.NotContains(t, string(out), "WARNING: DATA RACE")
}
