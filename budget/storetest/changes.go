package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// An object of changes is what a change changes: a kill flag, an account's override or latch, the amount that a reservation has posted, or the
// policy. A change is superseded if its object was changed after the revision of the ledger that the change's caller had seen.

// kindOfChange is one kind of change, tried on one object. The rules that hold for all kinds are run with each.
type kindOfChange struct {
	name string
	// begin makes the object and returns two changes of it, which leave it in different states, and a function that returns its state. All three
	// are called on s.store.
	begin func(s *subject) (first, second func(driver.Change) error, state func() any)
}

// flagOf returns the reason of the only kill flag, or "no flag": the state of a kindOfChange that sets or removes a flag.
func (s *subject) flagOf() any {
	kills := s.kills()
	if len(kills) == 0 {
		return "no flag"
	}
	return kills[0].Reason
}

// kindsOfChange are the kinds for which there is a first and a second change. Unlatch and AcceptLoss have rules of their own.
var kindsOfChange = []kindOfChange{
	{"Revive", func(s *subject) (func(driver.Change) error, func(driver.Change) error, func() any) {
		revive := func(c driver.Change) error { return s.store.Revive(s.ctx, driver.Flag{Scope: callScope}, c) }
		kill := func(c driver.Change) error {
			return s.store.Kill(s.ctx, driver.Kill{Scope: callScope, Reason: "second"}, c)
		}
		// At the beginning there is no flag, so that a first Revive removes none.
		return revive, kill, s.flagOf
	}},
	{"Kill", func(s *subject) (func(driver.Change) error, func(driver.Change) error, func() any) {
		kill := func(c driver.Change) error {
			return s.store.Kill(s.ctx, driver.Kill{Scope: callScope, Reason: "first"}, c)
		}
		return kill, func(c driver.Change) error { return s.store.Revive(s.ctx, driver.Flag{Scope: callScope}, c) }, s.flagOf
	}},
	{"Override", func(s *subject) (func(driver.Change) error, func(driver.Change) error, func() any) {
		l := line("a", driver.Lifetime, 10)
		up := func(c driver.Change) error {
			return s.store.Override(s.ctx, l.Account, &driver.Override{Max: 200, Until: s.clock.Now().Add(time.Hour)}, c)
		}
		return up, func(c driver.Change) error { return s.store.Override(s.ctx, l.Account, nil, c) }, func() any { return s.balance(l).Max }
	}},
	{"Correct", func(s *subject) (func(driver.Change) error, func(driver.Change) error, func() any) {
		l := line("a", driver.Lifetime, 1000)
		r := s.reserve(90, l)
		s.settle(r, 90)
		correct := func(n int64) func(driver.Change) error {
			return func(c driver.Change) error {
				_, err := s.store.Correct(s.ctx, driver.Correction{ID: r.ID, Actual: usd(n), Change: c})
				return err
			}
		}
		// The second change is to what was settled: it only changes something after the first.
		return correct(10), correct(90), func() any { return s.balance(l).Settled }
	}},
	{"Policy", func(s *subject) (func(driver.Change) error, func(driver.Change) error, func() any) {
		set := func(text string) func(driver.Change) error {
			return func(c driver.Change) error { return s.store.SetPolicy(s.ctx, []byte(text), c) }
		}
		return set("first"), set("second"), func() any { return string(s.policy().Text) }
	}},
}

// newChange returns a change whose caller has seen all changes so far, and none that is made later.
func (s *subject) newChange() driver.Change {
	s.t.Helper()
	return driver.Change{ID: driver.NewID(), Seen: s.revision(), Operator: "anna", Reason: "because"}
}

// revision returns how many changes the ledger has had.
func (s *subject) revision() int64 {
	s.t.Helper()
	n, err := s.store.Revision(s.ctx)
	require.NoError(s.t, err)
	return n
}

// records returns up to limit rows of the audit trail that come after a revision.
func (s *subject) records(after int64, limit int) []driver.Record {
	s.t.Helper()
	all, err := s.store.Changes(s.ctx, after, limit)
	require.NoError(s.t, err)
	return all
}

// changeOthers changes objects that no kindOfChange is about, so that the revision grows.
func (s *subject) changeOthers() {
	s.t.Helper()
	other := line("another", driver.Lifetime, 10)
	s.override(other, 20, time.Hour)
	require.NoError(s.t, s.store.Unlatch(s.ctx, []driver.Key{other.Account}, NewChange()))
}

// forEachKind returns a rule for each kind of change. Its name is name with that of the kind.
func forEachKind(name, why string, run func(*subject, kindOfChange)) (rules []rule) {
	for _, k := range kindsOfChange {
		rules = append(rules, rule{name + k.name, why, func(s *subject) { run(s, k) }})
	}
	return rules
}

// The rules of changes that arrive late, for each kind of change: another one of the same object was made before this one was handed to the store.
// k.begin returns two changes of an object and a function that returns the object's state. s.newChange returns a change whose caller has seen all
// changes so far, and s.revision how many there were.
var lateChangeRules = slices.Concat(
	forEachKind("ALateChangeIsTold", "a change that arrives after a newer one was acknowledged is ErrSuperseded, and the newer one stands", func(s *subject, k kindOfChange) {
		first, second, state := k.begin(s)
		late, newer := s.newChange(), s.newChange()
		require.NoError(s.t, second(newer))
		stands, revision := state(), s.revision()
		require.ErrorIs(s.t, first(late), driver.ErrSuperseded)
		require.Equal(s.t, stands, state())
		require.Equal(s.t, revision, s.revision())
	}),
	forEachKind("ALateRepeatIsTold", "a repeat that arrives after a newer change was acknowledged undoes nothing", func(s *subject, k kindOfChange) {
		first, second, state := k.begin(s)
		older := s.newChange()
		require.NoError(s.t, first(older))
		require.NoError(s.t, second(s.newChange()))
		stands := state()
		require.ErrorIs(s.t, first(older), driver.ErrSuperseded)
		require.Equal(s.t, stands, state())
	}),
	forEachKind("ALateChangeAfterNothingIsTold", "a change that left all as it was is newer than one that arrives after it", func(s *subject, k kindOfChange) {
		first, second, state := k.begin(s)
		require.NoError(s.t, second(s.newChange()))
		late := s.newChange()
		// The object is in this state already: the change makes no difference, but it is newer than late.
		require.NoError(s.t, second(s.newChange()))
		stands := state()
		require.ErrorIs(s.t, first(late), driver.ErrSuperseded)
		require.Equal(s.t, stands, state())
	}),
)

// The rules of changes that are repeated, for each kind of change, with the helpers of lateChangeRules.
var repeatedChangeRules = slices.Concat(
	forEachKind("ARepeatIsOneChange", "the same change again succeeds, changes nothing and is no second row", func(s *subject, k kindOfChange) {
		first, _, state := k.begin(s)
		c := s.newChange()
		require.NoError(s.t, first(c))
		stands, revision := state(), s.revision()
		require.NoError(s.t, first(c))
		require.Equal(s.t, stands, state())
		require.Equal(s.t, revision, s.revision())
	}),
	forEachKind("ARepeatIsToldAsMade", "a change that its author repeats after it was made is told as made, from any handle, and whatever else was changed since", func(s *subject, k kindOfChange) {
		first, _, state := k.begin(s)
		c := s.newChange()
		require.NoError(s.t, first(c))
		s.clock.Advance(time.Minute)
		s.changeOthers()
		stands, revision := state(), s.revision()
		require.NoError(s.t, first(c))
		// Behind leases (Harness.Merged), only the handle that made a call knows it, and its corrections.
		if seesIt := k.name != "Correct" || s.h.Merged == ""; s.h.Reopen != nil && seesIt {
			// The functions of k work on s.store, which is another handle until author is put back.
			author := s.store
			s.store = s.reopen()
			require.NoError(s.t, first(c), "another handle")
			s.store = author
		}
		require.Equal(s.t, stands, state())
		require.Equal(s.t, revision, s.revision(), "it is no second row")
	}),
)

// The rules of changes that kindsOfChange does not have, most of them of Unlatch. s.latchedLine returns a line whose latch a refusal has closed, and
// of whose 10 nano-USD 5 are left; s.refuse makes a reservation that must be refused. A change is late if another one of the same object was made
// before it is handed to the store.
var unlatchRules = []rule{
	{"ARepeatIsToldAsMadeUnlatch", "an Unlatch that its author repeats is told as made, and opens nothing that was latched since", func(s *subject) {
		l, c := s.latchedLine("a", driver.Lifetime), s.newChange()
		require.NoError(s.t, s.store.Unlatch(s.ctx, []driver.Key{l.Account}, c))
		// latchedLine has 5 of 10 left. The refusal of 6 closes the latch again.
		s.refuse(6, l)
		s.changeOthers()
		revision := s.revision()
		require.NoError(s.t, s.store.Unlatch(s.ctx, []driver.Key{l.Account}, c))
		require.True(s.t, s.balance(l).Latched)
		require.Equal(s.t, revision, s.revision())
	}},
	{"ARepeatIsToldAsMadeAcceptLoss", "an accepted loss that its author accepts again is told as accepted, and is no second row", func(s *subject) {
		c := s.newChange()
		require.NoError(s.t, s.store.AcceptLoss(s.ctx, c))
		s.changeOthers()
		revision := s.revision()
		require.NoError(s.t, s.store.AcceptLoss(s.ctx, c))
		require.Equal(s.t, revision, s.revision())
	}},
	{"ALateUnlatchIsTold", "an Unlatch that arrives after a newer one opens nothing that was latched since", func(s *subject) {
		l, late := s.latchedLine("a", driver.Lifetime), s.newChange()
		require.NoError(s.t, s.store.Unlatch(s.ctx, []driver.Key{l.Account}, s.newChange()))
		s.refuse(11, l) // closes the latch again
		// 1 of 5 left is refused by the latch.
		s.refuse(1, l)
		err := s.store.Unlatch(s.ctx, []driver.Key{l.Account}, late)
		require.ErrorIs(s.t, err, driver.ErrSuperseded)
		require.True(s.t, s.balance(l).Latched)
	}},
	{"AnUnlatchOpensWhatItStillMay", "of several accounts those that nobody has changed since are opened", func(s *subject) {
		a, b, c := s.latchedLine("a", driver.Lifetime), s.latchedLine("b", driver.Lifetime), s.newChange()
		// This Unlatch is newer than c, and makes c late for a. Nobody has changed b since c was made.
		require.NoError(s.t, s.store.Unlatch(s.ctx, []driver.Key{a.Account}, s.newChange()))
		err := s.store.Unlatch(s.ctx, sortedKeys(a.Account, b.Account), c)
		require.ErrorIs(s.t, err, driver.ErrSuperseded)
		require.False(s.t, s.balance(b).Latched)
		before := s.revision()
		// For a this change is late again, so that its error is dropped. What counts here is that there are no more rows than before.
		_ = s.store.Unlatch(s.ctx, sortedKeys(a.Account, b.Account), c)
		require.Equal(s.t, before, s.revision(), "a repeat is no row")
	}},
}

// The rules of the audit trail. s.newChange returns a change whose caller has seen all changes so far; NewChange returns one that no other
// supersedes, because its caller claims to have seen all that will ever be made. s.records returns the audit trail, s.revision its length, and
// s.makeChange makes the change that a row of it describes. s.kill, s.override and s.correct make changes that must succeed.
var trailRules = []rule{
	{"ChangesOfOtherThingsSupersedeNothing", "a change is judged by its own flag, account or reservation alone", func(s *subject) {
		l, c := line("a", driver.Lifetime, 10), s.newChange()
		s.kill(driver.Scope{Principal: "ci"}, "stop")
		s.override(line("b", driver.Lifetime, 10), 20, time.Hour)
		require.NoError(s.t, s.store.Unlatch(s.ctx, []driver.Key{l.Account}, NewChange()))
		// c is older than the three changes above, but none of them is of this object: an account's override is another one than its latch.
		require.NoError(s.t, s.store.Override(s.ctx, l.Account, &driver.Override{Max: 30, Until: s.clock.Now().Add(time.Hour)}, c))
		require.Equal(s.t, int64(30), s.balance(l).Max)
		// With the old Seen, from before all changes, for an object that nobody has changed: the flag of callScope.
		c.ID = driver.NewID()
		require.NoError(s.t, s.store.Kill(s.ctx, driver.Kill{Scope: callScope, Reason: "stop"}, c))
		require.NotNil(s.t, s.flagRefusing(callScope, l))
	}},
	{"ChangesAreRecorded", "the audit trail tells each change: what, by whom, why, when, in order", func(s *subject) {
		l := line("a", driver.Lifetime, 1000)
		until := s.clock.Now().Add(time.Hour)
		s.clock.Advance(time.Minute)
		made := []driver.Record{
			{Kind: driver.ChangeKill, Scope: callScope},
			{Kind: driver.ChangeRevive, Scope: callScope},
			{Kind: driver.ChangeOverride, Account: l.Account, Override: &driver.Override{Max: 5, Until: until}},
			{Kind: driver.ChangeOverride, Account: l.Account},
			// Nothing was latched, and it is a change all the same.
			{Kind: driver.ChangeUnlatch, Account: l.Account},
			{Kind: driver.ChangeAcceptLoss},
		}
		for i := range made {
			made[i].Change = s.newChange()
			// The first change has no reason, and the others have one that is no valid text.
			made[i].Reason = strings.Repeat("why\xff", i)
			require.NoError(s.t, s.makeChange(made[i]))
		}
		got := s.records(0, 100)
		require.Len(s.t, got, len(made))
		for i, g := range got {
			require.Equal(s.t, int64(i+1), g.Revision)
			require.WithinDuration(s.t, s.clock.Now(), g.At, time.Microsecond)
			// What was checked by itself, or may differ, gets the value of the change that was made, so that the rest can be compared.
			if g.Override != nil {
				require.True(s.t, until.Equal(g.Override.Until))
				g.Override.Until = until
			}
			g.Revision, g.At, g.Seen = 0, time.Time{}, made[i].Seen
			require.Equal(s.t, made[i], g)
		}
		require.Equal(s.t, int64(len(made)), s.revision())
	}},
	{"CorrectionsAreRecorded", "the audit trail tells what a correction replaced", func(s *subject) {
		r := s.reserve(9, line("a", driver.Lifetime, 1000))
		s.settle(r, 9)
		s.correct(r, 4)
		got := s.records(0, 100)
		require.Len(s.t, got, 1)
		require.Equal(s.t, r.ID, got[0].Reservation)
		require.Equal(s.t, [2]driver.Charge{usd(9), usd(4)}, [2]driver.Charge{got[0].From, got[0].To})
	}},
	{"ChangesComeInPages", "pages of any size tell every change once", func(s *subject) {
		for range 7 {
			s.kill(callScope, "again")
		}
		for _, size := range []int{1, 3, 7, 100} {
			var seen []int64
			for after := int64(0); ; {
				page := s.records(after, size)
				if len(page) == 0 {
					break
				}
				require.LessOrEqual(s.t, len(page), size)
				for _, r := range page {
					seen = append(seen, r.Revision)
				}
				after = seen[len(seen)-1]
			}
			require.Equal(s.t, []int64{1, 2, 3, 4, 5, 6, 7}, seen)
		}
	}},
}

// The rules of changes that are invalid, concurrent, or made by another process, with the helpers of trailRules. s.reopen returns another handle on
// the same ledger, as another process would have it, and s.flagRefusing the kill flag that refuses a call of a scope.
var changeRules = []rule{
	{"AChangeThatIsRefusedIsNone", "what can't be changed is no row", func(s *subject) {
		pending := s.reserve(1, line("a", driver.Lifetime, 10))
		for _, id := range []driver.ID{pending.ID, driver.NewID()} {
			_, err := s.store.Correct(s.ctx, driver.Correction{ID: id, Actual: usd(1), Change: s.newChange()})
			require.ErrorIs(s.t, err, driver.ErrNotFound)
		}
		require.Zero(s.t, s.revision())
		require.Empty(s.t, s.records(0, 10))
	}},
	{"AChangeNeedsAnID", "a change without an id, or with words that are too long, is ErrInvalidChange", func(s *subject) {
		l := line("a", driver.Lifetime, 10)
		r := s.reserve(1, l)
		// So that only what is wrong with the change can be the reason why a Correct fails.
		s.settle(r, 1)
		for _, c := range []driver.Change{
			{},
			{ID: driver.NewID(), Seen: -1},
			{ID: driver.NewID(), Operator: strings.Repeat("x", driver.MaxScopeValue+1)},
			{ID: driver.NewID(), Reason: strings.Repeat("x", driver.MaxScopeValue+1)},
		} {
			for _, record := range []driver.Record{
				{Kind: driver.ChangeKill},
				{Kind: driver.ChangeRevive},
				{Kind: driver.ChangeOverride, Account: l.Account},
				{Kind: driver.ChangeUnlatch, Account: l.Account},
				{Kind: driver.ChangeCorrect, Reservation: r.ID},
				{Kind: driver.ChangeAcceptLoss},
				{Kind: driver.ChangePolicy},
			} {
				record.Change = c
				require.ErrorIs(s.t, s.makeChange(record), driver.ErrInvalidChange, "%s", record.Kind)
			}
		}
		require.Zero(s.t, s.revision())
	}},
	{"ConcurrentChangesAreRowsOfTheirOwn", "changes at the same time get revisions of their own, and none is skipped", func(s *subject) {
		const each = 4
		workers := min(s.h.Workers, 8)
		errs := make([]error, workers)
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for n := range each {
					// Only three accounts, so that workers change the same one.
					l := line(string(rune('a'+w%3)), driver.Lifetime, 10)
					errs[w] = errors.Join(errs[w], s.store.Override(s.ctx, l.Account, &driver.Override{Max: int64(n), Until: start.Add(time.Hour)}, NewChange()))
				}
			})
		}
		all.Wait()
		require.NoError(s.t, errors.Join(errs...))
		var want, got []int64
		for _, r := range s.records(0, 10_000) {
			// The revisions have to be 1, 2, 3 and so on.
			want, got = append(want, int64(len(got)+1)), append(got, r.Revision)
		}
		require.Len(s.t, got, each*workers)
		require.Equal(s.t, want, got)
	}},
	{"ChangesAreSharedByAllHandles", "what one process has changed is newer than what another one saw before", func(s *subject) {
		other := s.reopen()
		// Its Seen is from before the Kill that the other handle makes.
		late := s.newChange()
		require.NoError(s.t, other.Kill(s.ctx, driver.Kill{Scope: callScope, Reason: "stop"}, NewChange()))
		require.ErrorIs(s.t, s.store.Revive(s.ctx, driver.Flag{Scope: callScope}, late), driver.ErrSuperseded)
		require.NotNil(s.t, s.flagRefusing(callScope, line("a", driver.Daily, 10)))
		require.Len(s.t, s.records(0, 10), 1)
	}},
}

// sortedKeys returns keys in ascending order.
func sortedKeys(keys ...driver.Key) []driver.Key {
	slices.SortFunc(keys, func(a, b driver.Key) int { return slices.Compare(a[:], b[:]) })
	return keys
}

// makeChange makes the change that a row of the audit trail describes.
func (s *subject) makeChange(r driver.Record) (err error) {
	switch r.Kind {
	case driver.ChangeKill:
		return s.store.Kill(s.ctx, driver.Kill{Scope: r.Scope, Reason: r.Reason}, r.Change)
	case driver.ChangeRevive:
		return s.store.Revive(s.ctx, driver.Flag{Scope: r.Scope}, r.Change)
	case driver.ChangeOverride:
		return s.store.Override(s.ctx, r.Account, r.Override, r.Change)
	case driver.ChangeUnlatch:
		return s.store.Unlatch(s.ctx, []driver.Key{r.Account}, r.Change)
	case driver.ChangeAcceptLoss:
		return s.store.AcceptLoss(s.ctx, r.Change)
	case driver.ChangePolicy:
		return s.store.SetPolicy(s.ctx, nil, r.Change)
	default:
		_, err = s.store.Correct(s.ctx, driver.Correction{ID: r.Reservation, Actual: r.To, Change: r.Change})
		return err
	}
}
