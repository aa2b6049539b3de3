package sqlitestore

import (
	"encoding/binary"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// More lines than one statement takes are read and booked in parts, and each part's answers belong to its own lines.
func TestManyLines(t *testing.T) {
	s, err := Open(t.Context(), tempFile(t), Options{Create: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	lines := make([]driver.Line, 2*maxTogether+5)
	for i := range lines {
		lines[i] = driver.Line{Unit: driver.Unit(1 + i%7), Window: driver.Monthly, Max: int64(1000 + i)}
		binary.BigEndian.PutUint32(lines[i].Account[:], uint32(i+1))
	}
	r := driver.Reservation{ID: driver.NewID(), Charge: driver.Charge{0, 10, 20, 30, 40, 50, 60, 70}, Lines: lines, TTL: time.Hour}
	requireBalances := func(settled, pending driver.Charge) {
		t.Helper()
		all, err := s.Balances(t.Context(), lines)
		require.NoError(t, err)
		require.Len(t, all, len(lines))
		for i, b := range all {
			u := lines[i].Unit
			require.Equal(t, [3]int64{lines[i].Max, settled[u], pending[u]}, [3]int64{b.Max, b.Settled, b.Pending}, "line %d", i)
		}
	}

	for _, full := range []int{0, maxTogether - 1, maxTogether, len(lines) - 1} {
		tight := r
		tight.Lines = slices.Clone(lines)
		tight.Lines[full].Max = 9
		d, err := s.Reserve(t.Context(), tight)
		require.NoError(t, err)
		require.Len(t, d.Denied, 1)
		require.Equal(t, full, d.Denied[0].Line)
	}
	requireBalances(driver.Charge{}, driver.Charge{})

	d, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.True(t, d.Admitted)
	requireBalances(driver.Charge{}, r.Charge)
	d, err = s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.True(t, d.Replayed)

	actual := driver.Charge{0, 1, 2, 3, 4, 5, 6, 7}
	settlement := driver.Settlement{ID: r.ID, Actual: actual, Lines: lines}
	p, err := s.Settle(t.Context(), settlement)
	require.NoError(t, err)
	require.Equal(t, driver.Pending, p.From)
	requireBalances(actual, driver.Charge{})

	settlement.ID = driver.NewID() // an orphan, half of it in buckets that there are
	settlement.Lines = slices.Clone(lines)
	for i := range settlement.Lines {
		if i%2 == 1 {
			settlement.Lines[i].Window = driver.Daily
			settlement.Lines[i].Account[15] = 1
		}
	}
	_, err = s.Settle(t.Context(), settlement)
	require.NoError(t, err)
	all, err := s.Balances(t.Context(), settlement.Lines)
	require.NoError(t, err)
	for i, b := range all {
		want := actual[lines[i].Unit]
		if i%2 == 0 {
			want *= 2
		}
		require.Equal(t, want, b.Settled, "line %d", i)
	}

	_, err = s.Correct(t.Context(), driver.Correction{ID: settlement.ID, Actual: driver.Charge{}, Change: storetest.NewChange()})
	require.NoError(t, err)
	requireBalances(actual, driver.Charge{})
}

// After an Expire that charged as many as it might, the next one does not look first, and is right all the same.
func TestExpireInBatches(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 30, 0, 0, time.UTC)
	s, err := Open(t.Context(), tempFile(t), Options{Create: true, Clock: func() time.Time { return now }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = benchReserved(s, 4, time.Minute)
	require.NoError(t, err)
	expired := func(limit int) int {
		n, err := s.Expire(t.Context(), limit)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, expired(2))
	now = now.Add(time.Hour)
	require.Equal(t, 2, expired(2))
	require.Equal(t, 2, expired(2))
	require.Zero(t, expired(2))
	require.Zero(t, expired(0))
}

// Flags that do not hold for a call must not be read by it: thousands of them, of other runs of its principal, would hold the file's
// lock for as long as reading them takes.
func TestFlagsOfOthersAreNotRead(t *testing.T) {
	s, err := Open(t.Context(), tempFile(t), Options{Create: true, Synchronous: Normal})
	require.NoError(t, err)
	defer s.Close()
	for i := range 200 {
		scope := driver.Scope{Principal: "ci", Workflow: "run-" + strconv.Itoa(i)}
		require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: scope, Reason: "stop"}, storetest.NewChange()))
	}
	for _, tc := range []struct {
		scope driver.Scope
		most  int
	}{
		{driver.Scope{Principal: "ci", Workflow: "run-7"}, 2},
		{driver.Scope{Principal: "ci", Workflow: "another"}, 1},
		{driver.Scope{Principal: "another"}, 0},
	} {
		dims := tc.scope.Dims()
		var read int
		for _, d := range dims {
			var n int
			require.NoError(t, s.stmts[sqlFiled].QueryRow(d[:]).Scan(&n))
			read += n
		}
		require.LessOrEqual(t, read, tc.most, "flags read for %s", tc.scope)
	}
}
