package robustness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

const day = 24 * time.Hour

// allJumps are by how much a store's clock is wrong for a while. The first ones, one back and the longest, are tried always.
var allJumps = []time.Duration{-time.Hour, 90 * day, 36 * time.Hour, 2 * time.Hour, 40 * day, 70 * day}

// TestAClockThatJumpsFreesNothing sets the clock of a full ledger wrong, does a step, and sets it right again, with the
// retention that users have. What is admitted must stay within every window, and what is refused must be refused because of what
// was spent, at the latest when the clock has come to where it jumped. ROBUSTNESS_JUMPS says how many jumps are tried, of 6.
func TestAClockThatJumpsFreesNothing(t *testing.T) {
	jumps := allJumps[:min(size(t, "ROBUSTNESS_JUMPS", 2), len(allJumps))]
	backend.Each(t, nil, func(t *testing.T, _ backend.Backend, s backend.Server) {
		longest := make(map[time.Duration]time.Duration)
		for _, jump := range jumps {
			for _, step := range jumpSteps {
				t.Run(fmt.Sprintf("%s/%s", jump, step.name), func(t *testing.T) {
					l := newJumpLedger()
					address := s.NewLedger(t, l.options)
					l.open = func(ctx context.Context) (budget.Store, error) {
						return backend.Open(ctx, address, backend.Patient, l.options)
					}
					require.NoError(t, l.run(t.Context(), jump, step.do))
					longest[jump] = max(longest[jump], l.refused)
				})
			}
		}
		for _, jump := range jumps {
			t.Logf("a jump of %s: unanswered for %s at most after it", jump, longest[jump])
		}
	})
}

// A store that forgets by the clock alone must fail the test above.
func TestAStoreThatForgetsByTheClockAloneIsFoundOut(t *testing.T) {
	l := newJumpLedger()
	broken := &forgetful{fresh: func() budget.Store {
		return memstore.New(memstore.Options{Clock: l.clock.Now, Retention: 100 * 366 * day})
	}, until: jumpStart.Add(memstore.DefaultRetention), now: l.clock.Now}
	broken.Store = broken.fresh()
	l.open = func(context.Context) (budget.Store, error) { return broken, nil }
	require.ErrorContains(t, l.run(t.Context(), 40*day, jumpSteps[4].do), "are booked")
}

// forgetful keeps nothing beyond a moment of its clock.
type forgetful struct {
	budget.Store
	fresh func() budget.Store
	until time.Time
	now   func() time.Time
}

func (f *forgetful) Expire(ctx context.Context, limit int) (int, error) {
	if f.now().After(f.until) {
		f.Store = f.fresh()
	}
	return f.Store.Expire(ctx, limit)
}

func (f *forgetful) Close() error { return nil }

// jumpStart is away from the edge of any window.
var jumpStart = time.Date(2026, 3, 10, 12, 30, 15, 0, time.UTC)

// jumpLedger is a ledger with limits that are full, and what was spent of them.
type jumpLedger struct {
	clock *storetest.Clock
	open  func(context.Context) (budget.Store, error)
	store budget.Store
	lines []driver.Line
	posts []*posted

	closed                     []driver.Line // refuse, because of an override or a latch, as long as the clock is before their Until
	until                      []time.Time
	settled, pending, voidable driver.Reservation
	killed, brief              bool          // brief says that calendar windows must be answered as soon as the clock is right
	refused                    time.Duration // how long after the clock was right a step was refused with ErrLost
}

// posted is what a reservation counts, by the time at which it was made.
type posted struct {
	id     budget.ID
	lines  []driver.Line
	at     time.Time
	amount int64
}

func newJumpLedger() *jumpLedger {
	l := &jumpLedger{clock: storetest.NewClock(jumpStart)}
	windows := []budget.Window{budget.Hourly, budget.Daily, budget.Monthly, budget.Rolling(time.Hour), budget.Rolling(30 * time.Second), budget.Lifetime}
	for i, w := range windows {
		l.lines = append(l.lines, driver.Line{Account: budget.Key{byte(i + 1)}, Unit: budget.UnitUSD, Window: w, Max: 10})
	}
	return l
}

func (l *jumpLedger) options(o *backend.Options) {
	o.Clock, o.Relaxed, o.Retention = l.clock.Now, true, backend.DefaultRetention
}

// jumpSteps are what is done while the clock is wrong.
var jumpSteps = []struct {
	name string
	do   func(*jumpLedger, context.Context) error
}{
	{"Reserve", (*jumpLedger).spend},
	{"Settle", (*jumpLedger).settle},
	{"Void", (*jumpLedger).void},
	{"Correct", (*jumpLedger).correct},
	{"Expire of 3 processes", (*jumpLedger).expireBriefly},
	{"Expire of 12 processes", func(l *jumpLedger, ctx context.Context) error { return l.expire(ctx, 12) }},
	{"Kill", (*jumpLedger).kill},
	{"all of them", func(l *jumpLedger, ctx context.Context) error {
		for _, do := range []func(*jumpLedger, context.Context) error{
			(*jumpLedger).spend, (*jumpLedger).settle, (*jumpLedger).void, (*jumpLedger).correct, (*jumpLedger).kill,
		} {
			if err := errors.Join(l.expire(ctx, 3), do(l, ctx)); err != nil {
				return err
			}
		}
		return l.expire(ctx, 3)
	}},
}

// run fills the ledger, has the clock jump, does the step, and looks at the ledger from when the clock is right until it has come
// to where it jumped.
func (l *jumpLedger) run(ctx context.Context, jump time.Duration, step func(*jumpLedger, context.Context) error) (err error) {
	if l.store, err = l.open(ctx); err != nil {
		return err
	}
	defer func() { _ = l.store.Close() }()
	if err := errors.Join(l.fill(ctx), l.shut(ctx)); err != nil {
		return err
	}
	l.clock.Set(jumpStart.Add(jump))
	if err := step(l, ctx); err != nil {
		return fmt.Errorf("while the clock was wrong: %w", err)
	}
	for _, after := range samples(jump.Abs()) {
		l.clock.Set(jumpStart.Add(after))
		err := errors.Join(l.look(ctx, after, jump), l.expire(ctx, 1), l.spend(ctx), l.look(ctx, after, jump), l.stopped(ctx, after < jump.Abs()), l.isShut(ctx, after < jump.Abs()), l.within())
		if err != nil {
			return fmt.Errorf("%s after the clock was right again: %w", after, err)
		}
	}
	return nil
}

// samples are when the ledger is looked at.
func samples(length time.Duration) []time.Duration {
	all := []time.Duration{0, time.Second, 31 * time.Second, 45 * time.Minute, 61 * time.Minute, 11*time.Hour + 31*time.Minute, 5*day + time.Hour, length / 2, length}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(d time.Duration) bool { return d > length })
}

// fill spends all there is in every limit: 6 are settled, 4 pending.
func (l *jumpLedger) fill(ctx context.Context) error {
	for _, part := range []struct {
		amount int64
		keep   *driver.Reservation
	}{{6, &l.settled}, {2, &l.pending}, {1, &l.voidable}, {1, new(driver.Reservation)}} {
		r, admitted, err := l.reserve(ctx, part.amount, l.lines)
		if err != nil || !admitted {
			return fmt.Errorf("filling: admitted %t: %w", admitted, err)
		}
		*part.keep = r
	}
	return l.post(ctx, l.settled, 6)
}

// shut closes accounts by overrides and by a latch, some of which never held anything else.
func (l *jumpLedger) shut(ctx context.Context) error {
	until := jumpStart.Add(20 * day)
	windows := []budget.Window{budget.Monthly, budget.Lifetime, budget.Hourly}
	for i, w := range windows {
		line := driver.Line{Account: budget.Key{byte(20 + i)}, Unit: budget.UnitUSD, Window: w, Max: 10}
		if w == budget.Hourly {
			r, _, err := l.reserve(ctx, 1, []driver.Line{line})
			if err := errors.Join(err, l.post(ctx, r, 1)); err != nil {
				return err
			}
		}
		if err := l.store.Override(ctx, line.Account, &budget.Override{Until: until}, storetest.NewChange()); err != nil {
			return err
		}
		l.closed, l.until = append(l.closed, line), append(l.until, until)
	}
	latched := driver.Line{Account: budget.Key{30}, Unit: budget.UnitUSD, Window: budget.Monthly, Max: 10, Latch: true}
	_, admitted, err := l.reserve(ctx, 11, []driver.Line{latched})
	if admitted {
		return errors.New("11 of 10 were admitted")
	}
	l.closed, l.until = append(l.closed, latched), append(l.until, time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
	return err
}

// isShut requires that what was closed is closed.
func (l *jumpLedger) isShut(ctx context.Context, mayBeLost bool) error {
	for i, line := range l.closed {
		if !l.clock.Now().Before(l.until[i]) {
			continue
		}
		_, admitted, err := l.reserve(ctx, 1, l.closed[i:i+1])
		if mayBeLost {
			err = lostOr(err)
		}
		if admitted {
			err = fmt.Errorf("an override or a latch of the %s account %d was forgotten", line.Window, line.Account[0])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *jumpLedger) reserve(ctx context.Context, amount int64, lines []driver.Line) (driver.Reservation, bool, error) {
	r := driver.Reservation{ID: driver.NewID(), Owner: budget.Key{9}, TTL: 30 * time.Minute, Lines: lines, Dims: budget.Scope{Workflow: "spends"}.Dims()}
	r.Charge[budget.UnitUSD] = amount
	d, err := l.store.Reserve(ctx, r)
	if err == nil && d.Admitted {
		l.posts = append(l.posts, &posted{r.ID, lines, l.clock.Now(), amount})
	}
	return r, d.Admitted, err
}

// spend takes what each limit leaves. Every other reservation is settled.
func (l *jumpLedger) spend(ctx context.Context) error {
	for i := range l.lines {
		for n := 0; ; n++ {
			r, admitted, err := l.reserve(ctx, 1, l.lines[i:i+1])
			if lostOr(err) != nil {
				return fmt.Errorf("reserve in the %s window: %w", l.lines[i].Window, err)
			}
			if err != nil || !admitted {
				break
			}
			if n%2 == 0 {
				if err := l.post(ctx, r, 1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lostOr returns an error that is not a loss.
func lostOr(err error) error {
	if errors.Is(err, budget.ErrLost) {
		return nil
	}
	return err
}

// post settles for a figure. What the ledger no longer knows is posted to the windows of now.
func (l *jumpLedger) post(ctx context.Context, r driver.Reservation, amount int64) error {
	s := driver.Settlement{ID: r.ID, Owner: r.Owner, Lines: r.Lines}
	s.Actual[budget.UnitUSD] = amount
	p, err := l.store.Settle(ctx, s)
	switch {
	case err != nil:
		return lostOr(err)
	case p.From == 0:
		l.posts = append(l.posts, &posted{r.ID, r.Lines, l.clock.Now(), amount})
	default:
		l.of(r.ID).amount = amount
	}
	return nil
}

func (l *jumpLedger) of(id budget.ID) *posted {
	return l.posts[slices.IndexFunc(l.posts, func(p *posted) bool { return p.id == id })]
}

func (l *jumpLedger) settle(ctx context.Context) error { return l.post(ctx, l.pending, 2) }

func (l *jumpLedger) void(ctx context.Context) error {
	err := l.store.Void(ctx, l.voidable.ID, l.voidable.Owner)
	if err == nil {
		l.of(l.voidable.ID).amount = 0
	}
	if errors.Is(err, driver.ErrResolved) { // it had expired
		return nil
	}
	return lostOr(err)
}

func (l *jumpLedger) correct(ctx context.Context) error {
	actual := l.settled.Charge
	actual[budget.UnitUSD] = 5
	_, err := l.store.Correct(ctx, driver.Correction{ID: l.settled.ID, Actual: actual, Change: storetest.NewChange()})
	if err == nil {
		l.of(l.settled.ID).amount = 5
	}
	if errors.Is(err, budget.ErrNotFound) { // it is past the retention
		return nil
	}
	return lostOr(err)
}

func (l *jumpLedger) kill(ctx context.Context) error {
	err := l.store.Kill(ctx, budget.Kill{Scope: budget.Scope{Workflow: "stops"}, Reason: "stop"}, storetest.NewChange())
	l.killed = l.killed || err == nil
	return lostOr(err)
}

// expireBriefly is a clock that is right again before the time by which is forgotten has followed it far.
func (l *jumpLedger) expireBriefly(ctx context.Context) error {
	l.brief = true
	return l.expire(ctx, 3)
}

// expire lets so many processes expire and forget, each for the first time and until it is done.
func (l *jumpLedger) expire(ctx context.Context, processes int) error {
	for range processes {
		s, err := l.open(ctx)
		if err != nil {
			return err
		}
		_, err = s.Expire(ctx, 1000)
		if err := errors.Join(lostOr(err), s.Close()); err != nil {
			return err
		}
	}
	return nil
}

// look compares each account with what was spent of it. A store may not answer until the clock has come to where it jumped.
func (l *jumpLedger) look(ctx context.Context, after, jump time.Duration) error {
	for i, line := range l.lines {
		b, err := l.store.Balances(ctx, l.lines[i:i+1])
		mustAnswer := l.brief && i < 3
		if errors.Is(err, budget.ErrLost) && after < jump.Abs() && !mustAnswer {
			l.refused = max(l.refused, after)
			continue
		}
		if err != nil {
			return fmt.Errorf("the %s window: %w", line.Window, err)
		}
		if told, want := b[0].Settled+b[0].Pending, l.sum(line, l.clock.Now(), time.Unix(1<<40, 0)); told != want {
			return fmt.Errorf("the %s window: %d are booked, want %d", line.Window, told, want)
		}
	}
	return nil
}

// sum adds up what was spent of a line since the window of one moment began, until another one.
func (l *jumpLedger) sum(line driver.Line, now, until time.Time) (sum int64) {
	since := line.Window.At(now).Since
	for _, p := range l.posts {
		in := slices.ContainsFunc(p.lines, func(b driver.Line) bool { return b.Account == line.Account })
		if in && line.Window.At(p.at).Start >= since && !p.at.After(until) {
			sum += p.amount
		}
	}
	return sum
}

// within requires that no window holds more than its limit.
func (l *jumpLedger) within() error {
	for _, line := range l.lines {
		for _, p := range l.posts {
			if sum := l.sum(line, p.at, p.at); sum > line.Max {
				return fmt.Errorf("the %s window of %s: %d are booked of %d", line.Window, p.at.UTC(), sum, line.Max)
			}
		}
	}
	return nil
}

// stopped requires that a flag that was set still refuses.
func (l *jumpLedger) stopped(ctx context.Context, mayBeLost bool) error {
	if !l.killed {
		return nil
	}
	r := driver.Reservation{ID: driver.NewID(), TTL: time.Hour, Dims: budget.Scope{Workflow: "stops"}.Dims(), Lines: l.lines[5:]}
	d, err := l.store.Reserve(ctx, r)
	if mayBeLost {
		err = lostOr(err)
	}
	if err == nil && d.Admitted {
		err = errors.New("a kill flag was forgotten: a call was booked, and flags are booked no more")
	}
	return err
}
