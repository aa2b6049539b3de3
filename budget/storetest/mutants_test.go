package storetest_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

const random = "RandomStepsAgreeWithTheModel"

// mutants are stores with one promise broken each, and the rules that must notice.
var mutants = map[string]struct {
	rules []string
	spoil func(*broken, *storetest.Clock)
}{
	"checks first and spends later": {[]string{"ConcurrentReservesStayWithinTheLimit"}, func(b *broken, _ *storetest.Clock) {
		var looked atomic.Int64
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			all, err := b.Store.Balances(ctx, r.Lines)
			if err != nil {
				return driver.Decision{}, err
			}
			for i, l := range r.Lines {
				if all[i].Settled+all[i].Pending+r.Charge[l.Unit] > l.Max {
					return driver.Decision{Denied: []driver.Denial{{Line: i, Balance: all[i]}}}, nil
				}
			}
			// Every other caller that has looked waits for the next one, so that two spend what both have seen: by turns of the scheduler and
			// not by time, so that a busy machine makes no difference.
			if n := looked.Add(1); n%2 == 1 {
				for turns := 0; turns < 5000 && looked.Load() == n; turns++ {
					runtime.Gosched()
				}
			}
			return b.Store.Reserve(ctx, unlimited(r))
		}
	}},
	"leaves what it added before it met a full line": {[]string{"ReserveIsAllOrNothing"}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			d, err := b.Store.Reserve(ctx, r)
			if len(d.Denied) > 0 {
				part := r
				part.ID, part.Lines = driver.NewID(), r.Lines[:d.Denied[0].Line]
				_, _ = b.Store.Reserve(ctx, part)
			}
			return d, err
		}
	}},
	"names one of several full lines": {[]string{"ReserveNamesAllLinesWithoutRoom", random}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			d, err := b.Store.Reserve(ctx, r)
			d.Denied = d.Denied[:min(1, len(d.Denied))]
			return d, err
		}
	}},
	"lets observe-only lines through": {[]string{"ObserveLinesRefuseIfAsked", random}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			r.RefuseObserved = false
			return b.Store.Reserve(ctx, r)
		}
	}},
	"does not foretell latches": {[]string{"LatchOfAnObserveLineIsForetold", random}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			return b.Store.Reserve(ctx, changed(r, func(l *driver.Line) { l.Latch = l.Latch && !l.Observe }))
		}
	}},
	"latches one of several full lines": {[]string{"LatchIsSetByEachLineThatRefuses"}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			d, err := b.Store.Reserve(ctx, r)
			for i := 1; i < len(d.Denied); i++ {
				if err := b.Store.Unlatch(ctx, []driver.Key{r.Lines[d.Denied[i].Line].Account}, storetest.NewChange()); err != nil {
					return d, err
				}
			}
			return d, err
		}
	}},
	"goes by the Max of the limit": {[]string{"MarksGoByTheMaxInForce", random}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			p, err := b.Store.Settle(ctx, s)
			p.Crossed = slices.DeleteFunc(p.Crossed, func(c driver.Crossing) bool { return c.Max != s.Lines[c.Line].Max })
			return p, err
		}
	}},
	"remembers refused ids": {[]string{"ReserveMayBeRepeatedAfterARefusal", "ReserveIsAllOrNothing"}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			d, err := b.Store.Reserve(ctx, r)
			if len(d.Denied) > 0 {
				_ = b.Store.Void(ctx, r.ID, r.Owner)
			}
			return d, err
		}
	}},
	"adds a replay again": {[]string{"ReserveReplayChangesNothing", "ConcurrentReplaysAreAdmittedOnce", random}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			d, err := b.Store.Reserve(ctx, r)
			if d.Replayed {
				twice := r
				twice.ID = driver.NewID()
				_, _ = b.Store.Reserve(ctx, twice)
			}
			return d, err
		}
	}},
	"admits another owner's replay": {[]string{"ReserveOfAnotherOwnerConflicts"}, func(b *broken, _ *storetest.Clock) {
		var mu sync.Mutex
		first := make(map[driver.ID]driver.Key)
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			mu.Lock()
			owner, known := first[r.ID]
			if !known {
				first[r.ID] = r.Owner
			}
			mu.Unlock()
			if known {
				r.Owner = owner
			}
			return b.Store.Reserve(ctx, r)
		}
	}},
	"keeps the caller's tags": {[]string{"KillKeepsNothingOfTheCallers"}, func(b *broken, _ *storetest.Clock) {
		var mu sync.Mutex
		var tags map[string]string
		b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error {
			mu.Lock()
			defer mu.Unlock()
			tags = k.Scope.Tags
			return b.Store.Kill(ctx, k, c)
		}
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			mu.Lock()
			defer mu.Unlock()
			_ = b.Store.Revive(ctx, driver.Flag{Scope: driver.Scope{Tags: map[string]string{"team": "core"}}}, storetest.NewChange())
			_ = b.Store.Kill(ctx, driver.Kill{Scope: driver.Scope{Tags: tags}}, storetest.NewChange())
			return b.Store.Reserve(ctx, r)
		}
	}},
	"refuses for observe-only lines": {[]string{"ObserveLinesRefuseNothing", random}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			return b.Store.Reserve(ctx, changed(r, func(l *driver.Line) { l.Observe = false }))
		}
	}},
	"does not book observe-only lines": {[]string{"ReserveAddsToPendingInEveryLine"}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			r.Lines = slices.DeleteFunc(slices.Clone(r.Lines), func(l driver.Line) bool { return l.Observe })
			return b.Store.Reserve(ctx, r)
		}
	}},
	"lets sums wrap": {[]string{"OverflowIsAnError", "OverflowAcrossBucketsIsAnError"}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			d, err := b.Store.Reserve(ctx, r)
			if errors.Is(err, driver.ErrOverflow) {
				return driver.Decision{Admitted: true, ExpiresAt: time.Unix(0, math.MaxInt64)}, nil
			}
			return d, err
		}
	}},
	"settles twice": {[]string{"SettleReplayChangesNothing", random}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			p, err := b.Store.Settle(ctx, s)
			if p.Replayed {
				b.again(ctx, s)
			}
			return p, err
		}
	}},
	"lets the last settlement win": {[]string{"SettleWithAnotherAmountKeepsTheFirst", random}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			p, err := b.Store.Settle(ctx, s)
			if errors.Is(err, driver.ErrResolved) {
				return b.Store.Correct(ctx, driver.Correction{ID: s.ID, Actual: s.Actual, Change: storetest.NewChange()})
			}
			return p, err
		}
	}},
	"clamps a settlement at Max": {[]string{"SettleIsNeverClamped"}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			all, err := b.Store.Balances(ctx, s.Lines)
			if err != nil {
				return driver.Posting{}, err
			}
			for i, l := range s.Lines {
				s.Actual[l.Unit] = min(s.Actual[l.Unit], l.Max-all[i].Settled)
			}
			return b.Store.Settle(ctx, s)
		}
	}},
	"settles in the window of now": {[]string{"SettleBooksWhereItWasReserved", "RollingSettlesWhereItWasReserved", random}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			voided := b.Store.Void(ctx, s.ID, s.Owner) == nil
			p, err := b.Store.Settle(ctx, s)
			if voided && err == nil {
				p.From = driver.Pending
			}
			return p, err
		}
	}},
	"drops orphan spend": {[]string{"SettleOfAnUnknownIDIsPostedAsOrphan", "SettleOfAVoidedIDIsPostedAsOrphan", "SettleOfATombstoneIsPostedAsOrphan"}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			if e, found := b.find(ctx, s.ID); !found || e.State == driver.Voided {
				return driver.Posting{From: e.State}, nil
			}
			return b.Store.Settle(ctx, s)
		}
	}},
	"drops late settlements": {[]string{"SettleOfAnExpiredIDRefunds", "SettleOfAnExpiredIDPostsTheExtra"}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			if e, _ := b.find(ctx, s.ID); e.State == driver.Expired {
				return driver.Posting{From: driver.Expired}, nil
			}
			return b.Store.Settle(ctx, s)
		}
	}},
	"settles for any owner": {[]string{"SettleOfAnotherOwnerConflicts", random}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			p, err := b.Store.Settle(ctx, s)
			if errors.Is(err, driver.ErrIDConflict) {
				return driver.Posting{From: driver.Pending}, nil
			}
			return p, err
		}
	}},
	"reports a mark twice": {[]string{"MarksAreReportedOnceAWindow", "MarksAreNotRearmedByACorrection", random}, func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			p, err := b.Store.Settle(ctx, s)
			if err != nil || p.Replayed {
				return p, err
			}
			all, err := b.Store.Balances(ctx, s.Lines)
			p.Crossed = nil
			for i, l := range s.Lines {
				for m := range l.Notify {
					if all[i].Settled >= l.Threshold(m, all[i].Max) {
						p.Crossed = append(p.Crossed, driver.Crossing{Line: i, Mark: m, Settled: all[i].Settled, Max: all[i].Max})
					}
				}
			}
			return p, err
		}
	}},
	"leaves no tombstone": {[]string{"VoidOfAnUnknownIDLeavesATombstone", random}, func(b *broken, _ *storetest.Clock) {
		b.void = func(ctx context.Context, id driver.ID, owner driver.Key) error {
			if _, found := b.find(ctx, id); !found {
				return ctx.Err()
			}
			return b.Store.Void(ctx, id, owner)
		}
	}},
	"voids what was settled": {[]string{"VoidOfASettledOrExpiredIDIsRefused", random}, func(b *broken, _ *storetest.Clock) {
		b.void = func(ctx context.Context, id driver.ID, owner driver.Key) error {
			err := b.Store.Void(ctx, id, owner)
			if errors.Is(err, driver.ErrResolved) {
				_, err = b.Store.Correct(ctx, driver.Correction{ID: id, Actual: driver.Charge{}, Change: storetest.NewChange()})
			}
			return err
		}
	}},
	"adds a correction again": {[]string{"CorrectIsIdempotent", random}, func(b *broken, _ *storetest.Clock) {
		memory := watch(b)
		b.correct = func(ctx context.Context, c driver.Correction) (driver.Posting, error) {
			p, err := b.Store.Correct(ctx, c)
			if p.Replayed {
				b.again(ctx, driver.Settlement{Actual: c.Actual, Lines: memory.of(c.ID)})
			}
			return p, err
		}
	}},
	"releases on expiry": {[]string{"ExpireCharges", random}, func(b *broken, _ *storetest.Clock) {
		b.expire = func(ctx context.Context, n int) (int, error) {
			n, err := b.Store.Expire(ctx, n)
			expired, _ := b.Store.Entries(ctx, driver.Query{State: driver.Expired, Max: 10_000})
			for _, e := range expired {
				_, _ = b.Store.Correct(ctx, driver.Correction{ID: e.ID, Actual: driver.Charge{}, Change: storetest.NewChange()})
			}
			return n, err
		}
	}},
	"expires without bound": {[]string{"ExpireIsBounded", "ExpireOfNoneChargesNone"}, func(b *broken, _ *storetest.Clock) {
		b.expire = func(ctx context.Context, _ int) (int, error) { return b.Store.Expire(ctx, 1000) }
	}},
	"never ends an override": {[]string{"OverrideRaises", random}, func(b *broken, _ *storetest.Clock) {
		b.override = func(ctx context.Context, k driver.Key, o *driver.Override, c driver.Change) error {
			if o != nil {
				o = &driver.Override{Max: o.Max, Until: time.Unix(0, math.MaxInt64)}
			}
			return b.Store.Override(ctx, k, o, c)
		}
	}},
	"latches for tentative refusals": {[]string{"LatchIsNotSetByTentativeRefusals", random}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			r.Tentative = false
			return b.Store.Reserve(ctx, r)
		}
	}},
	"never latches": {[]string{"LatchRefusesWhatWouldFit", random}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			return b.Store.Reserve(ctx, changed(r, func(l *driver.Line) { l.Latch = false }))
		}
	}},
	"never unlatches": {[]string{"LatchIsOpenedByUnlatch", random}, func(b *broken, _ *storetest.Clock) {
		b.unlatch = func(ctx context.Context, _ []driver.Key, _ driver.Change) error { return ctx.Err() }
	}},
	"looks at kill flags once": {[]string{"KillRefusesItsScope", "ConcurrentKillIsFinal"}, func(b *broken, _ *storetest.Clock) {
		var asked sync.Once
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			first := false
			asked.Do(func() { first = true })
			if !first {
				r.Dims = nil
			}
			return b.Store.Reserve(ctx, r)
		}
	}},
	"kills by any one value": {[]string{"KillNeedsAllOfItsValues"}, func(b *broken, _ *storetest.Clock) {
		b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error {
			if k.Scope.Principal != "" && k.Scope.Tags != nil {
				k.Scope.Tags = nil
			}
			return b.Store.Kill(ctx, k, c)
		}
	}},
	"revives everything": {[]string{"ReviveRemovesExactlyItsFlag", random}, func(b *broken, _ *storetest.Clock) {
		b.revive = func(ctx context.Context, _ driver.Flag, _ driver.Change) error {
			all, err := b.Store.Kills(ctx)
			for _, k := range all {
				_ = b.Store.Revive(ctx, k.Flag(), storetest.NewChange())
			}
			return err
		}
	}},
	"counts a rolling window by the clock": {[]string{"RollingHoldsInEveryInterval", "RollingCountsBackFromNow", random}, func(b *broken, _ *storetest.Clock) {
		tumble := func(l *driver.Line) {
			if l.Window == driver.Rolling(time.Hour) {
				l.Window = driver.Hourly
			}
		}
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			return b.Store.Reserve(ctx, changed(r, tumble))
		}
		b.balances = func(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
			return b.Store.Balances(ctx, changed(driver.Reservation{Lines: lines}, tumble).Lines)
		}
	}},
	"forgets when the clock goes back": {[]string{"WindowOfAClockThatWentBackIsNotReset"}, func(b *broken, clock *storetest.Clock) {
		var mu sync.Mutex
		var latest time.Time
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			mu.Lock()
			defer mu.Unlock()
			now := clock.Now()
			if now.Before(latest) {
				r = unlimited(r)
			}
			latest = now
			return b.Store.Reserve(ctx, r)
		}
	}},
	"ignores what entries are selected by": {[]string{"EntriesAreSelected"}, func(b *broken, _ *storetest.Clock) {
		b.entries = func(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
			return b.Store.Entries(ctx, driver.Query{After: q.After, Max: q.Max})
		}
	}},
	"takes a late change for a new one": {[]string{"ALateChangeIsToldRevive", "ALateRepeatIsToldKill", "ALateChangeIsToldOverride", "ALateChangeAfterNothingIsToldOverride", "ALateUnlatchIsTold"}, func(b *broken, _ *storetest.Clock) {
		anew := func(c driver.Change) driver.Change {
			fresh := storetest.NewChange()
			c.ID, c.Seen = fresh.ID, fresh.Seen
			return c
		}
		b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error { return b.Store.Kill(ctx, k, anew(c)) }
		b.revive = func(ctx context.Context, f driver.Flag, c driver.Change) error {
			return b.Store.Revive(ctx, f, anew(c))
		}
		b.override = func(ctx context.Context, k driver.Key, o *driver.Override, c driver.Change) error {
			return b.Store.Override(ctx, k, o, anew(c))
		}
		b.unlatch = func(ctx context.Context, keys []driver.Key, c driver.Change) error {
			return b.Store.Unlatch(ctx, keys, anew(c))
		}
	}},
	"corrects late": {[]string{"ALateChangeIsToldCorrect", "ALateRepeatIsToldCorrect", "ALateChangeAfterNothingIsToldCorrect"}, func(b *broken, _ *storetest.Clock) {
		b.correct = func(ctx context.Context, c driver.Correction) (driver.Posting, error) {
			p, err := b.Store.Correct(ctx, c)
			if errors.Is(err, driver.ErrSuperseded) {
				return b.Store.Correct(ctx, driver.Correction{ID: c.ID, Actual: c.Actual, Change: storetest.NewChange()})
			}
			return p, err
		}
	}},
	"takes the taking back of nothing for no change": {[]string{"ALateChangeAfterNothingIsToldOverride"}, func(b *broken, _ *storetest.Clock) {
		var set atomic.Bool
		b.override = func(ctx context.Context, k driver.Key, o *driver.Override, c driver.Change) error {
			if o == nil && !set.Load() {
				return c.Validate()
			}
			set.Store(o != nil)
			return b.Store.Override(ctx, k, o, c)
		}
	}},
	"refuses a repeat": {[]string{"ARepeatIsOneChangeKill", "ARepeatIsOneChangeRevive", "ARepeatIsOneChangeOverride"}, func(b *broken, _ *storetest.Clock) {
		b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error {
			c.ID = driver.NewID()
			return b.Store.Kill(ctx, k, c)
		}
		b.revive = func(ctx context.Context, f driver.Flag, c driver.Change) error {
			c.ID = driver.NewID()
			return b.Store.Revive(ctx, f, c)
		}
		b.override = func(ctx context.Context, k driver.Key, o *driver.Override, c driver.Change) error {
			c.ID = driver.NewID()
			return b.Store.Override(ctx, k, o, c)
		}
	}},
	"tells an author's repeat as late": {[]string{"ARepeatIsToldAsMadeKill", "ARepeatIsToldAsMadeRevive", "ARepeatIsToldAsMadeOverride", "ARepeatIsToldAsMadeUnlatch"}, func(b *broken, _ *storetest.Clock) {
		var made sync.Map // by id: the ledger's revision after it
		once := func(ctx context.Context, c driver.Change, change func() error) error {
			now, _ := b.Store.Revision(ctx)
			if after, repeated := made.Load(c.ID); repeated && now > after.(int64) {
				return driver.ErrSuperseded
			}
			err := change()
			after, _ := b.Store.Revision(ctx)
			made.LoadOrStore(c.ID, after)
			return err
		}
		b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error {
			return once(ctx, c, func() error { return b.Store.Kill(ctx, k, c) })
		}
		b.revive = func(ctx context.Context, f driver.Flag, c driver.Change) error {
			return once(ctx, c, func() error { return b.Store.Revive(ctx, f, c) })
		}
		b.override = func(ctx context.Context, k driver.Key, o *driver.Override, c driver.Change) error {
			return once(ctx, c, func() error { return b.Store.Override(ctx, k, o, c) })
		}
		b.unlatch = func(ctx context.Context, keys []driver.Key, c driver.Change) error {
			return once(ctx, c, func() error { return b.Store.Unlatch(ctx, keys, c) })
		}
	}},
	"judges changes by all others": {[]string{"ChangesOfOtherThingsSupersedeNothing"}, func(b *broken, _ *storetest.Clock) {
		b.override = func(ctx context.Context, k driver.Key, o *driver.Override, c driver.Change) error {
			if n, err := b.Store.Revision(ctx); err == nil && c.Seen < n {
				return driver.ErrSuperseded
			}
			return b.Store.Override(ctx, k, o, c)
		}
	}},
	"forgets who made a change": {[]string{"ChangesAreRecorded"}, func(b *broken, _ *storetest.Clock) {
		b.changes = func(ctx context.Context, after int64, limit int) ([]driver.Record, error) {
			all, err := b.Store.Changes(ctx, after, limit)
			for i := range all {
				all[i].Operator = ""
			}
			return all, err
		}
	}},
	"pages changes from the wrong end": {[]string{"ChangesComeInPages"}, func(b *broken, _ *storetest.Clock) {
		b.changes = func(ctx context.Context, after int64, limit int) ([]driver.Record, error) {
			all, err := b.Store.Changes(ctx, after, 10_000)
			return all[max(0, len(all)-limit):], err
		}
	}},
	"ignores cancelled contexts": {[]string{"ACancelledContextChangesNothing"}, func(b *broken, _ *storetest.Clock) {
		b.void = func(ctx context.Context, id driver.ID, owner driver.Key) error {
			return b.Store.Void(context.WithoutCancel(ctx), id, owner)
		}
	}},
	"answers after Close": {[]string{"AClosedStoreAnswersNothing"}, func(b *broken, _ *storetest.Clock) {
		b.close = func() error { return nil }
	}},
}

// changed returns a reservation with changed copies of its lines.
func changed(r driver.Reservation, change func(*driver.Line)) driver.Reservation {
	r.Lines = slices.Clone(r.Lines)
	for i := range r.Lines {
		change(&r.Lines[i])
	}
	return r
}

func unlimited(r driver.Reservation) driver.Reservation {
	return changed(r, func(l *driver.Line) { l.Max = math.MaxInt64 })
}

// again posts a settlement once more, under an id of its own.
func (b *broken) again(ctx context.Context, s driver.Settlement) {
	s.ID = driver.NewID()
	_, _ = b.Store.Settle(ctx, s)
}

func (b *broken) find(ctx context.Context, id driver.ID) (driver.Entry, bool) {
	all, _ := b.Store.Entries(ctx, driver.Query{Max: 10_000})
	i := slices.IndexFunc(all, func(e driver.Entry) bool { return e.ID == id })
	if i < 0 {
		return driver.Entry{}, false
	}
	return all[i], true
}
