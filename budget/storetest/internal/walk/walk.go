// Package walk takes a store through random steps, and compares each answer, each balance and each entry with a model of a ledger that adds
// up from the beginning.
package walk

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Random is where the steps are drawn from.
type Random interface {
	IntN(n int) int
	Int64N(n int64) int64
	Uint32() uint32
}

// Clock is the store's time, which the walk moves.
type Clock interface {
	Now() time.Time
	Advance(d time.Duration)
}

// Options say which steps are drawn and how strictly they are compared.
type Options struct {
	Scale     int64         // multiplies the limits, and is not zero
	Stride    time.Duration // how far the clock usually moves at most at a time; not zero
	Loose     bool          // the store may report thresholds late or early, and report only some of the lines without room: see model.loose
	Undivided bool          // no settlement and no correction has shares
}

// Take takes a store that is new and empty through so many random steps. Each step is made in the model, too. At the first difference the test t
// fails and ends.
func Take(t require.TestingT, store driver.Store, clock Clock, random Random, steps int, o Options) {
	w := &walk{t: t, options: o, ctx: context.Background(), store: store, clock: clock, model: newModel(o), random: random}
	for step := range steps {
		w.step(step)
	}
	w.sameEntries()
}

// walk is one random run.
type walk struct {
	t        require.TestingT
	options  Options
	ctx      context.Context
	store    driver.Store
	clock    Clock
	model    *model
	random   Random
	attempts []attempt // what was tried so far
	ids      uint64    // how many ids were made
}

// attempt is a reservation that was tried, admitted or not, for later steps to come back to.
type attempt struct {
	r     driver.Reservation
	lines []int // the indexes of r.Lines in the model's accounts
	scope driver.Scope
}

// step does the step n of the walk: one of the operations, chosen by chance, 30 of 100 times a new reservation, for example. Then it compares the
// balances, and after each 250 steps all entries.
func (w *walk) step(n int) {
	switch p := w.random.IntN(100); {
	case p < 30:
		w.reserveNew()
	case p < 38:
		w.reserveAgain()
	case p < 62:
		w.settleOne()
	case p < 72:
		w.voidOne()
	case p < 78:
		w.correctOne()
	case p < 83:
		w.expireAll()
	case p < 86:
		w.overrideOne()
	case p < 88:
		w.unlatchOne()
	case p < 92:
		w.killOrRevive()
	default:
		w.moveClock()
	}
	w.sameBalances(n)
	if n%250 == 249 {
		w.sameEntries()
	}
}

// charge returns a random amount.
func (w *walk) charge() driver.Charge {
	return driver.Charge{driver.UnitUSD: w.random.Int64N(25), driver.UnitCalls: w.random.Int64N(3)}
}

// upTo returns a duration below d in whole microseconds: a store need not tell finer times apart.
func (w *walk) upTo(d time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(d.Microseconds())) * time.Microsecond
}

// owner returns one of two owners, mostly the first.
func (w *walk) owner() driver.Key { return driver.Key{0: byte(w.random.IntN(10) / 9)} }

// id returns an id that was not used before. Ids made one after the other are in no order.
func (w *walk) id() (id driver.ID) {
	w.ids++
	binary.BigEndian.PutUint32(id[:], w.random.Uint32())
	binary.BigEndian.PutUint64(id[8:], w.ids)
	return id
}

// scope returns one of a few scopes.
func (w *walk) scope() driver.Scope {
	return driver.Scope{Workflow: []string{"a", "b", "c"}[w.random.IntN(3)], Principal: []string{"", "p"}[w.random.IntN(2)]}
}

// pick returns some of the accounts, by their indexes and as lines.
func (w *walk) pick() (accounts []int, lines []driver.Line) {
	for i, a := range w.model.accounts {
		if w.random.IntN(4) > 0 {
			accounts = append(accounts, i)
			lines = append(lines, a.Line)
		}
	}
	return accounts, lines
}

// recentOrNew returns something that was tried before, mostly a short time ago, or now and then a reservation that was not sent to the store.
func (w *walk) recentOrNew() attempt {
	if len(w.attempts) == 0 || w.random.IntN(15) == 0 {
		accounts, lines := w.pick()
		scope := w.scope()
		// Without Dims: reserveAgain sets them if it is sent after all. Settlements, voids and corrections of it are of an unknown id.
		m := attempt{driver.Reservation{ID: w.id(), Owner: w.owner(), Charge: w.charge(), Lines: lines, Call: &driver.Call{Scope: scope}, TTL: time.Minute}, accounts, scope}
		w.attempts = append(w.attempts, m)
		return m
	}
	back := min(len(w.attempts), 1+w.random.IntN(1+w.random.IntN(len(w.attempts)))) // drawn twice, which makes a short way back more likely
	return w.attempts[len(w.attempts)-back]
}

// reserveNew makes a new reservation.
func (w *walk) reserveNew() {
	accounts, lines := w.pick()
	scope := w.scope()
	// The TTL is never zero. Two of three reservations are tentative: if they are refused, no latch closes.
	r := driver.Reservation{
		ID: w.id(), Owner: w.owner(), Charge: w.charge(), Lines: lines, Dims: scope.Dims(),
		Call: &driver.Call{Scope: scope}, TTL: time.Microsecond + w.upTo(90*time.Minute), Tentative: w.random.IntN(3) > 0, RefuseObserved: w.random.IntN(4) == 0,
	}
	w.attempts = append(w.attempts, attempt{r, accounts, scope})
	w.tryReserve(w.attempts[len(w.attempts)-1])
}

// reserveAgain repeats a reservation, sometimes as somebody else or for something else.
func (w *walk) reserveAgain() {
	// m is a copy, so that what is changed here is not in w.attempts.
	m := w.recentOrNew()
	m.r.Dims = m.scope.Dims()
	// In three of six cases nothing is changed.
	switch w.random.IntN(6) {
	case 0:
		m.r.Owner = w.owner()
	case 1:
		m.r.Charge = w.charge()
	case 2:
		m.lines, m.r.Lines = w.pick()
	}
	w.tryReserve(m)
}

// tryReserve makes a reservation in the model and in the store, and compares the answers. With Options.Loose, the store may report fewer lines
// without room than the model.
func (w *walk) tryReserve(m attempt) {
	want := w.model.reserve(m.r, m.lines, m.scope, w.clock.Now())
	d, err := w.store.Reserve(w.ctx, m.r)
	if want.err != nil {
		require.ErrorIs(w.t, err, want.err)
		return
	}
	require.NoError(w.t, err)
	require.Equal(w.t, want.killed, d.Killed != nil, "killed")
	w.sameDenied(want, d)
	require.Equal(w.t, !want.killed && len(want.denied) == 0, d.Admitted, "admitted")
	require.Equal(w.t, want.replayed, d.Replayed, "replayed")
	// Of a replay no observed lines are compared: the model returns before it judges room.
	if d.Admitted && !d.Replayed {
		w.sameObserved(want, d)
	}
}

// sameDenied compares the lines that refuse, and, if the store reports all of these, which of their latches were closed before. If none refuses, as
// for an admitted call, want.latched is about the observed lines.
func (w *walk) sameDenied(want verdict, d driver.Decision) {
	denied, latched := indexes(d.Denied)
	if w.model.loose && len(denied) > 0 {
		require.Subset(w.t, want.denied, denied, "the lines that refused: it may repeat what it was told before another one filled up")
	} else {
		require.Equal(w.t, want.denied, denied, "the lines that refused")
	}
	if !d.Admitted && len(denied) == len(want.denied) {
		require.Equal(w.t, want.latched, latched, "latched")
	}
}

// sameObserved compares the observe-only lines without room of an admitted call, and which of their latches were closed before.
func (w *walk) sameObserved(want verdict, d driver.Decision) {
	observed, latched := indexes(d.Observed)
	if w.model.loose {
		require.Subset(w.t, want.observed, observed, "observed")
		return
	}
	require.Equal(w.t, want.observed, observed, "observed")
	require.Equal(w.t, want.latched, latched, "latched")
}

// indexes returns which lines are meant, and which of them are latched.
func indexes(denials []driver.Denial) (lines, latched []int) {
	for _, d := range denials {
		lines = append(lines, d.Line)
		if d.Latched {
			latched = append(latched, d.Line)
		}
	}
	return lines, latched
}

// settleOne settles something that was tried before, or something unknown, and compares the answers.
func (w *walk) settleOne() {
	m := w.recentOrNew()
	st, divided := w.settlement(m)
	want, wantErr := w.model.settle(st, m.lines, m.scope, divided, w.clock.Now())
	got, err := w.store.Settle(w.ctx, st)
	w.sameOutcome(wantErr, err)
	if err != nil {
		return
	}
	if w.model.loose {
		// Of a loose store want has no marks. checkLoosely judges those that it reports, and they are taken out before the two are compared.
		require.True(w.t, w.model.checkLoosely(got.Crossed, m.lines, w.clock.Now()), "marks reported: %+v", got.Crossed)
		got.Crossed = nil
	}
	if len(got.Crossed) == 0 {
		got.Crossed = nil // an empty list and nil mean the same
	}
	require.Equal(w.t, want, got)
}

// settlement returns a settlement of a reservation: at times as another owner, with the amount that is posted already, with more than was reserved,
// or with shares. divided has the nano-USD of the shares, by workflow; nil if there are none.
func (w *walk) settlement(m attempt) (st driver.Settlement, divided map[string]int64) {
	st = driver.Settlement{ID: m.r.ID, Owner: m.r.Owner, Actual: w.charge(), Estimated: w.random.IntN(4) == 0, Lines: m.r.Lines, Call: m.r.Call}
	if w.random.IntN(20) == 0 {
		st.Owner = w.owner()
	}
	// byID has no entry for an id that the store does not know.
	if e := w.model.byID[st.ID]; e != nil && w.random.IntN(3) == 0 {
		st.Actual = e.actual
	}
	if w.random.IntN(12) == 0 {
		st.Actual[driver.UnitUSD] += 40 // more than was reserved, because charge returns less than 25
	}
	if w.random.IntN(6) == 0 {
		divided = w.divide(st.Actual)
		st.Shares = sharesOf(st.Actual, divided)
	}
	return st, divided
}

// divide returns how an amount divides among some workflows, in nano-USD; nil if it shall have no shares. The last workflow takes what is left.
func (w *walk) divide(c driver.Charge) map[string]int64 {
	if c == (driver.Charge{}) || w.options.Undivided {
		return nil
	}
	// Three workflows, or two, or d alone. No reservation is of d (see scope): its row of usage has nothing but shares.
	workflows := []string{"a", "b", "d"}[w.random.IntN(3):]
	divided, left := make(map[string]int64), c[driver.UnitUSD]
	for _, workflow := range workflows {
		n := left
		if workflow != "d" {
			n = w.random.Int64N(left + 1)
		}
		left -= n
		if n > 0 {
			divided[workflow] = n
		}
	}
	if len(divided) == 0 {
		divided["d"] = 0 // the amount has no USD; its calls are then all of this share
	}
	return divided
}

// Shares returns one share for each workflow, of so many nano-USD, in the order that the contract asks for: that of their calls' usage keys.
func Shares(amounts map[string]int64) (all []driver.Share) {
	for workflow, n := range amounts {
		all = append(all, driver.Share{Call: &driver.Call{Scope: driver.Scope{Workflow: workflow}}, Amount: driver.Charge{driver.UnitUSD: n}})
	}
	slices.SortFunc(all, func(a, b driver.Share) int {
		x, y := a.Call.UsageKey(), b.Call.UsageKey()
		return bytes.Compare(x[:], y[:])
	})
	return all
}

// sharesOf returns the shares of a charge. divided says how its nano-USD divide among workflows; all other units belong to the first share. A nil
// divided stands for no shares.
func sharesOf(c driver.Charge, divided map[string]int64) []driver.Share {
	if divided == nil {
		return nil
	}
	all := Shares(divided)
	for unit := range c {
		if driver.Unit(unit) != driver.UnitUSD {
			all[0].Amount[unit] = c[unit]
		}
	}
	return all
}

// sameUsage compares all rows of usage with the model's sums.
func (w *walk) sameUsage() {
	got := make(map[string][2]int64)
	for from := (driver.UsageMark{}); ; {
		page, err := w.store.Usage(w.ctx, from, 100)
		require.NoError(w.t, err)
		for _, row := range page {
			got[row.Day.Format(time.DateOnly)+" "+row.Scope.String()] = [2]int64{row.Charge[driver.UnitUSD], row.Charge[driver.UnitCalls]}
			from = driver.UsageMark{Day: row.Day, After: row.Key}
		}
		if len(page) < 100 {
			break
		}
	}
	require.Equal(w.t, w.model.usage(), got, "usage")
}

// sameOutcome requires that err, the store's error, is the one that the model wants, or nil if that is nil.
func (w *walk) sameOutcome(want, err error) {
	if want == nil {
		require.NoError(w.t, err)
		return
	}
	require.ErrorIs(w.t, err, want)
}

// voidOne voids something that was tried before, at times as another owner.
func (w *walk) voidOne() {
	m := w.recentOrNew()
	if w.random.IntN(20) == 0 {
		m.r.Owner = w.owner()
	}
	want := w.model.void(m.r.ID, m.r.Owner, w.clock.Now())
	w.sameOutcome(want, w.store.Void(w.ctx, m.r.ID, m.r.Owner))
}

// correctOne corrects something that was tried before, at times to the amount that is posted already, or with shares.
func (w *walk) correctOne() {
	m := w.recentOrNew()
	actual := w.charge()
	if e := w.model.byID[m.r.ID]; e != nil && w.random.IntN(3) == 0 {
		actual = e.actual
	}
	c := driver.Correction{ID: m.r.ID, Actual: actual, Change: change()}
	var divided map[string]int64
	if w.random.IntN(6) == 0 {
		divided = w.divide(actual)
		c.Shares = sharesOf(actual, divided)
	}
	want, wantErr := w.model.correct(m.r.ID, actual, divided)
	got, err := w.store.Correct(w.ctx, c)
	w.sameOutcome(wantErr, err)
	// With an error both are zero.
	require.Equal(w.t, want, got)
}

// expireAll charges what has expired, and compares how many that were.
func (w *walk) expireAll() {
	want := w.model.expire(w.clock.Now())
	// There are never 1,000,000: all that have expired are charged.
	n, err := w.store.Expire(w.ctx, 1_000_000)
	require.NoError(w.t, err)
	require.Equal(w.t, want, n, "reservations charged")
}

// overrideOne overrides the Max of an account until a random moment, which may have passed, or removes its override.
func (w *walk) overrideOne() {
	a := &w.model.accounts[w.random.IntN(len(w.model.accounts))]
	if w.random.IntN(4) == 0 {
		// overrideMax may stay: it only counts before overrideUntil.
		a.overrideUntil = time.Time{}
		require.NoError(w.t, w.store.Override(w.ctx, a.Account, nil, change()))
		return
	}
	a.overrideMax, a.overrideUntil = w.random.Int64N(300*w.options.Scale), w.clock.Now().Add(w.upTo(3*time.Hour)-10*time.Minute)
	require.NoError(w.t, w.store.Override(w.ctx, a.Account, &driver.Override{Max: a.overrideMax, Until: a.overrideUntil}, change()))
}

// unlatchOne opens the latch of an account, mostly of one whose latch is closed, if there is one.
func (w *walk) unlatchOne() {
	a := &w.model.accounts[w.random.IntN(len(w.model.accounts))]
	latched := func(a modelAccount) bool { return w.clock.Now().Before(a.latchedUntil) }
	if i := slices.IndexFunc(w.model.accounts, latched); i >= 0 && w.random.IntN(4) > 0 {
		a = &w.model.accounts[i]
	}
	a.latchedUntil = time.Time{}
	require.NoError(w.t, w.store.Unlatch(w.ctx, []driver.Key{a.Account}, change()))
}

// killOrRevive sets or removes a flag for a workflow, or for all whose name begins with the same letter, and compares how many flags hold. Three
// times of five it removes one, so that few hold at a time.
func (w *walk) killOrRevive() {
	scope := w.scope()
	flag := modelFlag{scope: scope, prefix: w.random.IntN(3) == 0}
	if flag.prefix {
		flag.scope.Workflow += "*"
	}
	// In both cases: a flag that is set again is replaced by the new one.
	w.model.kills = slices.DeleteFunc(w.model.kills, flag.isSame)
	if w.random.IntN(5) > 1 {
		require.NoError(w.t, w.store.Revive(w.ctx, driver.Flag{Scope: flag.scope, Patterns: flag.prefix}, change()))
	} else {
		if w.random.IntN(3) == 0 {
			flag.until = w.clock.Now().Add(time.Minute + w.upTo(time.Hour))
		}
		w.model.kills = append(w.model.kills, flag)
		require.NoError(w.t, w.store.Kill(w.ctx, driver.Kill{Scope: flag.scope, Patterns: flag.prefix, Reason: "random", Until: flag.until}, change()))
	}
	w.sameKills()
}

// isSame reports whether two flags are for the same calls. It compares value by value, because scopes have a map and can't be compared with ==. Those
// of the walk have no other values than these two.
func (k modelFlag) isSame(other modelFlag) bool {
	return k.scope.Workflow == other.scope.Workflow && k.scope.Principal == other.scope.Principal && k.prefix == other.prefix
}

// sameKills compares how many flags have not ended.
func (w *walk) sameKills() {
	kills, err := w.store.Kills(w.ctx)
	require.NoError(w.t, err)
	lasting := 0
	for _, k := range w.model.kills {
		if k.until.IsZero() || w.clock.Now().Before(k.until) {
			lasting++
		}
	}
	require.Len(w.t, kills, lasting)
}

// change returns a change whose caller has seen all changes, so that it is made whatever was changed before.
func change() driver.Change { return driver.Change{ID: driver.NewID(), Seen: math.MaxInt64} }

// moveClock goes forth by minutes, at times by days, and at times back.
func (w *walk) moveClock() {
	switch w.random.IntN(12) {
	case 0:
		w.clock.Advance(-w.upTo(2 * time.Hour))
	case 1:
		w.clock.Advance(w.upTo(36 * time.Hour))
	default:
		w.clock.Advance(w.upTo(w.options.Stride))
	}
}

// sameBalances compares the balance, the Max and the latch of every account with the model.
func (w *walk) sameBalances(step int) {
	var lines []driver.Line
	for _, a := range w.model.accounts {
		lines = append(lines, a.Line)
	}
	all, err := w.store.Balances(w.ctx, lines)
	require.NoError(w.t, err)
	require.Len(w.t, all, len(lines))
	now := w.clock.Now()
	for i, b := range all {
		settled, pending := w.model.balance(i, now)
		require.Equal(w.t, [3]int64{settled, pending, w.model.maxInForce(i, now)}, [3]int64{b.Settled, b.Pending, b.Max}, "settled, pending and max of account %d after step %d", i, step)
		require.Equal(w.t, now.Before(w.model.accounts[i].latchedUntil), b.Latched, "latch of account %d after step %d", i, step)
	}
}

// sameEntries compares every entry, and all rows of usage, with the model.
func (w *walk) sameEntries() {
	w.sameUsage()
	want := slices.Clone(w.model.entries)
	slices.SortFunc(want, func(a, b *modelEntry) int { return bytes.Compare(a.id[:], b.id[:]) })
	got := AllEntries(w.ctx, w.t, w.store)
	require.Len(w.t, got, len(want))
	for i, e := range want {
		g := got[i]
		// Only the fields that a driver.Entry has, too. What the others decide, such as lines and shares, shows in balances and usage.
		require.Equal(w.t, modelEntry{id: e.id, state: e.state, estimated: e.estimated, orphan: e.orphan, reserved: e.reserved, actual: e.actual},
			modelEntry{id: g.ID, state: g.State, estimated: g.Estimated, orphan: g.Orphan, reserved: g.Reserved, actual: g.Actual})
		require.WithinDuration(w.t, e.reservedAt, g.ReservedAt, time.Microsecond)
	}
}

// AllEntries pages through every entry.
func AllEntries(ctx context.Context, t require.TestingT, store driver.Store) (all []driver.Entry) {
	q := driver.Query{Max: 1000}
	for {
		page, err := store.Entries(ctx, q)
		require.NoError(t, err)
		all = append(all, page...)
		if len(page) < q.Max {
			return all
		}
		q.After = page[len(page)-1].ID
	}
}
