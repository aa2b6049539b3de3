// Package earlier describes the ledgers in the stores' testdata folders. The library of commit bbcb960 made them all with the same steps, in
// its own format. Today's stores must be able to open them, and must still refuse what that library refused.
package earlier

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// Now is a moment soon after the last step in these ledgers.
var Now = time.Date(2026, 3, 10, 12, 55, 15, 0, time.UTC)

// owner is the owner of all reservations in these ledgers.
var owner = driver.Key{9}

// account is a limit of these ledgers, with the balance that it has at Now.
type account struct {
	line             driver.Line
	max              int64 // the Max in force
	settled, pending int64
	latched          bool
	tooMuch          int64 // the smallest amount that it refuses: 0 if it is latched, because a latch refuses any
}

// accounts returns the accounts of these ledgers. The account number n has the key {n}, and the reservation number n the id {n}; the reservations 1,
// 5 and 6 are in the accounts of the same numbers.
func accounts() []account {
	line := func(n byte, w driver.Window, max int64) driver.Line {
		return driver.Line{Account: driver.Key{n}, Unit: driver.UnitUSD, Window: w, Max: max}
	}
	all := []account{
		{line: line(1, driver.Daily, 100), max: 100, settled: 60, tooMuch: 41},
		{line: line(2, driver.Rolling(time.Hour), 50), max: 50, settled: 45, tooMuch: 6},
		{line: line(3, driver.Monthly, 100), max: 20, settled: 15, tooMuch: 6}, // overridden
		{line: line(4, driver.Lifetime, 10), max: 10, settled: 8, latched: true, tooMuch: 0},
		{line: line(5, driver.Hourly, 10), max: 10, pending: 7, tooMuch: 4},
		{line: line(6, driver.Monthly, 10), max: 10, settled: 9, tooMuch: 2}, // expired
		{line: line(7, driver.Monthly, 3), max: 3, settled: 3, tooMuch: 1},
		{line: line(8, driver.Daily, 10), max: 10, settled: 7, tooMuch: 4}, // of an orphan and a correction
	}
	all[0].line.Notify = []float64{0.5} // it has been reported
	all[3].line.Latch = true
	all[6].line.Unit = driver.UnitCalls
	return all
}

// Check checks what a store still knows of such a ledger. Then it continues to use the ledger.
func Check(t *testing.T, clock *storetest.Clock, open func() driver.Store) {
	t.Helper()
	for range 2 { // the second time the ledger is in the present format
		s := open()
		hasBalances(t, s)
		refuses(t, s)
		remembers(t, s)
		require.NoError(t, s.Close())
	}
	s := open()
	goesOn(t, s, clock) // it advances the clock of the store
	require.NoError(t, s.Close())
}

// hasBalances requires that all balances and kill flags are those of the ledger.
func hasBalances(t *testing.T, s driver.Store) {
	t.Helper()
	for _, a := range accounts() {
		all, err := s.Balances(t.Context(), []driver.Line{a.line})
		require.NoError(t, err)
		b := all[0]
		// What the store tells, put into an account, must be the whole account: the line and tooMuch are not asked for.
		require.Equal(t, account{a.line, b.Max, b.Settled, b.Pending, b.Latched, a.tooMuch}, a)
	}
	kills, err := s.Kills(t.Context())
	require.NoError(t, err)
	reasons := make(map[string]driver.Scope)
	for _, k := range kills {
		reasons[k.Reason] = k.Scope
	}
	require.Equal(t, map[string]driver.Scope{"before": {Workflow: "stopped"}, "both": {Principal: "ada", Workflow: "both"}}, reasons)
}

// newReservation returns a reservation of n in the unit of each line. It is not sent to a store.
func newReservation(id driver.ID, n int64, lines ...driver.Line) driver.Reservation {
	r := driver.Reservation{ID: id, Owner: owner, Lines: lines, TTL: 24 * time.Hour}
	for _, l := range lines {
		r.Charge[l.Unit] = n
	}
	return r
}

// settle settles a reservation with n in the unit of each line.
func settle(t *testing.T, s driver.Store, r driver.Reservation, n int64) driver.Posting {
	t.Helper()
	of := driver.Settlement{ID: r.ID, Owner: r.Owner, Lines: r.Lines}
	for _, l := range r.Lines {
		of.Actual[l.Unit] = n
	}
	p, err := s.Settle(t.Context(), of)
	require.NoError(t, err)
	return p
}

// refuses requires that the store refuses what has no room, what a kill flag covers, and ids that are resolved; and that it knows a pending one.
func refuses(t *testing.T, s driver.Store) {
	t.Helper()
	for _, a := range accounts() {
		d, err := s.Reserve(t.Context(), newReservation(driver.NewID(), a.tooMuch, a.line))
		require.NoError(t, err)
		require.Len(t, d.Denied, 1, "account %d", a.line.Account[0])
	}
	for _, scope := range []driver.Scope{{Workflow: "stopped"}, {Principal: "ada", Workflow: "both"}} {
		r := newReservation(driver.NewID(), 0)
		r.Dims = scope.Dims()
		d, err := s.Reserve(t.Context(), r)
		require.NoError(t, err)
		require.NotNil(t, d.Killed)
	}
	hourly := accounts()[4].line
	for _, resolved := range []byte{10, 11} { // voided, and voided before it was reserved
		_, err := s.Reserve(t.Context(), newReservation(driver.ID{resolved}, 2, hourly))
		require.ErrorIs(t, err, driver.ErrResolved)
	}
	d, err := s.Reserve(t.Context(), newReservation(driver.ID{5}, 7, hourly))
	require.NoError(t, err)
	require.True(t, d.Replayed, "what is pending counts once")
}

// remembers requires that the store has all entries of the ledger in their states: 13 is an orphan (posted without a reservation), 6 has expired.
func remembers(t *testing.T, s driver.Store) {
	t.Helper()
	entries, err := s.Entries(t.Context(), driver.Query{Max: 100})
	require.NoError(t, err)
	states := make(map[byte]driver.State)
	for _, e := range entries {
		states[e.ID[0]] = e.State
		require.Equal(t, e.ID[0] == 13, e.Orphan)
		require.Equal(t, e.ID[0] == 6, e.Estimated)
	}
	require.Equal(t, map[byte]driver.State{
		1: driver.Settled, 2: driver.Settled, 3: driver.Settled, 4: driver.Settled, 5: driver.Pending, 6: driver.Expired, 7: driver.Settled,
		10: driver.Voided, 11: driver.Voided, 12: driver.Settled, 13: driver.Settled, 14: driver.Settled,
	}, states)
}

// goesOn requires that the ledger can be used on: what was pending and expired can be settled, what was posted corrected, what is latched unlatched,
// what is killed revived, and an override ends in its time.
func goesOn(t *testing.T, s driver.Store, clock *storetest.Clock) {
	t.Helper()
	all, ctx := accounts(), t.Context() // all[n] is the account number n+1
	settlesOn(t, s, all)
	require.NoError(t, s.Unlatch(ctx, []driver.Key{all[3].line.Account}, storetest.NewChange()))
	admits(t, s, newReservation(driver.NewID(), 2, all[3].line))
	require.NoError(t, s.Revive(ctx, driver.Flag{Scope: driver.Scope{Workflow: "stopped"}}, storetest.NewChange()))
	revived := newReservation(driver.NewID(), 0)
	revived.Dims = driver.Scope{Workflow: "stopped"}.Dims()
	admits(t, s, revived)
	clock.Advance(49 * time.Hour)
	admits(t, s, newReservation(driver.NewID(), 85, all[2].line)) // the override has ended, and 85 of the limit's own 100 are left
	// By now the first reservations that were admitted here have expired, and are charged.
	_, err := s.Expire(ctx, 10)
	require.NoError(t, err)
}

// settlesOn requires that the ledger's reservations can be settled and corrected. all[n] is the account number n+1.
func settlesOn(t *testing.T, s driver.Store, all []account) {
	t.Helper()
	r := newReservation(driver.NewID(), 1, all[0].line)
	admits(t, s, r)
	require.Empty(t, settle(t, s, r, 1).Crossed, "a threshold was told before")
	require.Equal(t, driver.Pending, settle(t, s, newReservation(driver.ID{5}, 7, all[4].line), 6).From)
	hasBalance(t, s, all[4], 6, 0)
	require.Equal(t, driver.Expired, settle(t, s, newReservation(driver.ID{6}, 9, all[5].line), 4).From)
	hasBalance(t, s, all[5], 4, 0)
	_, err := s.Correct(t.Context(), driver.Correction{ID: driver.ID{1}, Actual: newReservation(driver.ID{1}, 55, all[0].line).Charge, Change: storetest.NewChange()})
	require.NoError(t, err)
	hasBalance(t, s, all[0], 56, 0) // with the 1 that was settled above
}

// hasBalance requires that so much is settled and pending in an account.
func hasBalance(t *testing.T, s driver.Store, a account, settled, pending int64) {
	t.Helper()
	b, err := s.Balances(t.Context(), []driver.Line{a.line})
	require.NoError(t, err)
	require.Equal(t, [2]int64{settled, pending}, [2]int64{b[0].Settled, b[0].Pending})
}

// admits requires that the store admits a reservation.
func admits(t *testing.T, s driver.Store, r driver.Reservation) {
	t.Helper()
	d, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.True(t, d.Admitted, "%+v", d)
}
