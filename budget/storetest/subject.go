package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest/internal/walk"
)

// start is when the clock of every subtest begins: a Tuesday, away from the edge of any window.
var start = time.Date(2026, 3, 10, 12, 30, 15, 0, time.UTC)

// subject is the store under test, and what one subtest did to it.
type subject struct {
	t     *testing.T
	h     Harness
	clock *Clock // the store's clock
	store driver.Store
	owner driver.Key // of all reservations that newReservation returns
	ctx   context.Context

	mu         sync.Mutex
	booked     map[driver.ID][]driver.Line // the lines of each reservation, for verifySums
	unverified bool                        // verifySums must not look, for example because the subtest destroyed the ledger
}

// newSubject opens a store over a new and empty ledger, and closes it when the subtest ends.
func newSubject(t *testing.T, h Harness) *subject {
	s := &subject{t: t, h: h, clock: NewClock(start), owner: key("owner"), ctx: context.Background(), booked: make(map[driver.ID][]driver.Line)}
	s.store = h.Open(t, s.clock)
	t.Cleanup(func() { _ = s.store.Close() })
	return s
}

// reopen returns another handle on the ledger, as another process would have it. If the store can't have one, it skips the subtest.
func (s *subject) reopen() driver.Store {
	if s.h.Reopen == nil {
		s.t.Skip("the store lives in one process")
	}
	other := s.h.Reopen(s.t, s.store, s.clock)
	s.unverified = s.unverified || s.h.Merged != "" // then entries are not those that the subtest has made
	s.t.Cleanup(func() { _ = other.Close() })
	return other
}

// key returns the key that stands for a name in the suite: of an account, or of an owner.
func key(name string) driver.Key {
	sum := sha256.Sum256([]byte(name))
	return driver.Key(sum[:16])
}

// line returns a limit in nano-USD on the account that the name stands for. A rule that needs more sets its other fields.
func line(name string, w driver.Window, max int64) driver.Line {
	return driver.Line{Account: key(name), Unit: driver.UnitUSD, Window: w, Max: max}
}

// sorted puts lines into the order that the contract asks for.
func sorted(lines ...driver.Line) []driver.Line {
	slices.SortFunc(lines, func(a, b driver.Line) int { return bytes.Compare(a.Account[:], b.Account[:]) })
	return lines
}

// usd is a charge of n nano-USD.
func usd(n int64) driver.Charge {
	var c driver.Charge
	c[driver.UnitUSD] = n
	return c
}

// newReservation returns a reservation of n nano-USD. It is not sent to the store: to the store its id is unknown.
func (s *subject) newReservation(n int64, lines ...driver.Line) driver.Reservation {
	return driver.Reservation{ID: driver.NewID(), Owner: s.owner, Charge: usd(n), Lines: lines, TTL: time.Hour}
}

// ask sends a reservation to the store and returns its decision. It requires that what is admitted is within its limits.
func (s *subject) ask(r driver.Reservation) (driver.Decision, error) {
	d, err := s.store.Reserve(s.ctx, r)
	if err != nil || !d.Admitted {
		return d, err
	}
	s.remember(r.ID, r.Lines)
	balances, err := s.store.Balances(s.ctx, r.Lines)
	require.NoError(s.t, err)
	for i, b := range balances {
		// A replay is admitted without a look at the limits, which may have been lowered since.
		if !r.Lines[i].Observe && !d.Replayed {
			require.LessOrEqual(s.t, b.Settled+b.Pending, b.Max, "admitted beyond the limit of line %d", i)
		}
	}
	return d, nil
}

// remember remembers where a reservation is booked, for verifySums.
func (s *subject) remember(id driver.ID, lines []driver.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.booked[id] = slices.Clone(lines)
}

// reserve makes a reservation that must be admitted.
func (s *subject) reserve(n int64, lines ...driver.Line) driver.Reservation {
	s.t.Helper()
	r := s.newReservation(n, lines...)
	s.admit(r)
	return r
}

// admit makes a reservation, which must be admitted.
func (s *subject) admit(r driver.Reservation) driver.Decision {
	s.t.Helper()
	d, err := s.ask(r)
	require.NoError(s.t, err)
	require.True(s.t, d.Admitted, "refused: %+v", d)
	require.Empty(s.t, d.Denied)
	require.Nil(s.t, d.Killed)
	return d
}

// refuse makes a reservation that must be refused for lack of room, and returns the first line without room.
func (s *subject) refuse(n int64, lines ...driver.Line) driver.Denial {
	s.t.Helper()
	return s.refused(s.newReservation(n, lines...))
}

// refused is refuse for a reservation that the caller has made up.
func (s *subject) refused(r driver.Reservation) driver.Denial {
	s.t.Helper()
	return s.denied(r)[0]
}

// denied makes a reservation that must be refused for lack of room, and returns all lines without room.
func (s *subject) denied(r driver.Reservation) []driver.Denial {
	s.t.Helper()
	d, err := s.ask(r)
	require.NoError(s.t, err)
	require.False(s.t, d.Admitted)
	require.Nil(s.t, d.Killed)
	require.NotEmpty(s.t, d.Denied)
	return d.Denied
}

// settlement returns a settlement of a reservation with n nano-USD.
func (s *subject) settlement(r driver.Reservation, n int64) driver.Settlement {
	return driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(n), Lines: r.Lines}
}

// settle settles a reservation with n nano-USD, which must succeed.
func (s *subject) settle(r driver.Reservation, n int64) driver.Posting {
	s.t.Helper()
	return s.settleWith(s.settlement(r, n))
}

// settleWith makes a settlement, which must succeed.
func (s *subject) settleWith(st driver.Settlement) driver.Posting {
	s.t.Helper()
	p, err := s.store.Settle(s.ctx, st)
	require.NoError(s.t, err)
	s.remember(st.ID, st.Lines)
	return p
}

// void voids a reservation, which must succeed.
func (s *subject) void(r driver.Reservation) {
	s.t.Helper()
	require.NoError(s.t, s.store.Void(s.ctx, r.ID, r.Owner))
}

// correct replaces what a reservation has posted with n nano-USD, which must succeed.
func (s *subject) correct(r driver.Reservation, n int64) driver.Posting {
	s.t.Helper()
	p, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(n), Change: NewChange()})
	require.NoError(s.t, err)
	return p
}

// expire charges all reservations that have expired, and requires that there are so many.
func (s *subject) expire(want int) {
	s.t.Helper()
	n, err := s.store.Expire(s.ctx, 1000)
	require.NoError(s.t, err)
	require.Equal(s.t, want, n, "reservations charged")
}

// balance returns the balance of a line's account.
func (s *subject) balance(l driver.Line) driver.Balance {
	s.t.Helper()
	all, err := s.store.Balances(s.ctx, []driver.Line{l})
	require.NoError(s.t, err)
	require.Len(s.t, all, 1)
	return all[0]
}

// requireBalance requires that an account has these sums in the present window.
func (s *subject) requireBalance(l driver.Line, settled, pending int64) {
	s.t.Helper()
	b := s.balance(l)
	require.Equal(s.t, [2]int64{settled, pending}, [2]int64{b.Settled, b.Pending}, "settled and pending of the account")
}

// entry returns what the store remembers of one reservation, and whether it remembers it. It looks at one page only, because no rule that uses it
// makes more entries than that.
func (s *subject) entry(id driver.ID) (driver.Entry, bool) {
	s.t.Helper()
	for _, e := range s.entries(driver.Query{Max: 10_000}) {
		if e.ID == id {
			return e, true
		}
	}
	return driver.Entry{}, false
}

// entries returns one page of entries.
func (s *subject) entries(q driver.Query) []driver.Entry {
	s.t.Helper()
	all, err := s.store.Entries(s.ctx, q)
	require.NoError(s.t, err)
	return all
}

// allEntries returns every entry.
func (s *subject) allEntries() []driver.Entry {
	s.t.Helper()
	return walk.AllEntries(s.ctx, s.t, s.store)
}

// maxMoments bounds for how many moments verifySums adds the accounts up, because each of them costs a balance of each account.
const maxMoments = 50

// verifySums adds every account up from the entries, for the present moment and for moments at which something was booked: settled must be what
// entries have posted, pending what unresolved ones have reserved. It moves the clock to each of these moments, and back at the end.
func (s *subject) verifySums() {
	if s.unverified || s.t.Failed() || s.t.Skipped() {
		return
	}
	entries, lines := s.allEntries(), make(map[driver.Key]driver.Line)
	for _, booked := range s.booked {
		for _, l := range booked {
			// Any line of the account will do: only its window and its unit are used.
			lines[l.Account] = l
		}
	}
	// The argument is evaluated here, so that this puts the present time back.
	defer s.clock.Set(s.clock.Now())
	for _, at := range s.momentsOf(entries) {
		s.clock.Set(time.Unix(0, at))
		for _, l := range lines {
			settled, pending := s.sumOfEntries(entries, l, time.Unix(0, at))
			b := s.balance(l)
			require.Equal(s.t, [2]int64{settled, pending}, [2]int64{b.Settled, b.Pending}, "%s account %s at %s: settled and pending, from the entries and from the account", l.Window, l.Account, time.Unix(0, at).UTC())
		}
	}
}

// momentsOf returns the present moment and some of those at which entries were reserved, at most maxMoments together, in nanoseconds since 1970 and
// oldest first. It also requires that the state of each entry agrees with what the entry says of its amount and of its end.
func (s *subject) momentsOf(entries []driver.Entry) []int64 {
	moments := map[int64]bool{s.clock.Now().UnixNano(): true}
	for _, e := range entries {
		postsNothing := e.State == driver.Pending || e.State == driver.Voided
		require.False(s.t, postsNothing && e.Actual != driver.Charge{}, "%s %s has posted", e.State, e.ID)
		require.Equal(s.t, e.State == driver.Pending, e.ResolvedAt.IsZero(), "%s %s", e.State, e.ID)
		if len(moments) < maxMoments {
			moments[e.ReservedAt.UnixNano()] = true
		}
	}
	return slices.Sorted(maps.Keys(moments))
}

// sumOfEntries adds up what entries have settled and pending in an account, in the window that counts at a moment.
func (s *subject) sumOfEntries(entries []driver.Entry, l driver.Line, at time.Time) (settled, pending int64) {
	// Where the first bucket begins that counts at that moment. At also gives the bucket of a moment itself, as Start.
	since := l.Window.At(at).Since
	for _, e := range entries {
		isHere := func(b driver.Line) bool { return b.Account == l.Account }
		if l.Window.At(e.ReservedAt).Start < since || !slices.ContainsFunc(s.booked[e.ID], isHere) {
			continue
		}
		// So that the sum below does not overflow.
		require.LessOrEqual(s.t, e.Actual[l.Unit], math.MaxInt64-settled)
		settled += e.Actual[l.Unit]
		if e.State == driver.Pending {
			pending += e.Reserved[l.Unit]
		}
	}
	return settled, pending
}

// isAny reports whether an error is one of several.
func isAny(err error, all ...error) bool {
	return slices.ContainsFunc(all, func(one error) bool { return errors.Is(err, one) })
}
