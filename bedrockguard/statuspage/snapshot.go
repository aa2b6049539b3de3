package statuspage

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

const (
	// freshFor is how long a snapshot is used for all viewers, at least.
	freshFor = time.Second
	// restFactor says how long a snapshot is used if reading it was slow: one that took a second to read is used for nine. So a slow store
	// spends at most a tenth of its time on the page.
	restFactor = 9
	// readTimeout bounds the reading of a snapshot, and how long one that failed is not tried again.
	readTimeout = 20 * time.Second
	// historyDays is how many days of usage are shown, including today.
	historyDays = 31
	// maxTrail is how many rows of the audit trail are kept in memory.
	maxTrail = 500
	// maxPeriods bounds how many accounts are read if there is no policy, because each takes a request to the store (see lookWithoutPolicy).
	maxPeriods = 100
)

// snapshot is what was read from the ledger at one moment. It is immutable.
type snapshot struct {
	at       time.Time
	policy   bool                    // a policy with limits is known
	limits   map[string]budget.Limit // of the policy, by name
	accounts []*account              // the fullest first
	unknown  int                     // how many further accounts were not read
	days     []time.Time             // of the charts by day: today and the days before it, oldest first
	daily    []spent                 // what was charged on these days
	pending  []budget.Entry          // calls in flight, oldest first
	more     bool                    // there are more calls in flight than pending has
	kills    []budget.Kill
	trail    []driver.Record // newest first
	view     *pageView       // the rendered values, computed once for all viewers
}

// account is one account and what is shown of it.
type account struct {
	key      budget.Key // zero for a limit under which nothing was booked yet
	balance  budget.AccountBalance
	window   string           // the limit's window as text
	override *budget.Override // the one in force; nil if there is none
	latched  time.Time        // until when a refusal keeps the account closed (a latch); zero if none does
	since    time.Time        // if there is no policy: the beginning of its newest period
	known    bool             // the policy has its limit, so its maximum and window are known
	pace     pace
}

// part returns how full the account is: 1 is full. If its maximum is zero or not known, anything that was used makes it full.
func (a *account) part() float64 {
	used := float64(a.balance.Settled.N) + float64(a.balance.Pending.N)
	if a.balance.Max.N <= 0 {
		return min(used, 1)
	}
	return used / float64(a.balance.Max.N)
}

// snapshots caches what was read from the ledger. The first request that finds the snapshot too old reads a new one, on its own goroutine, and the
// others wait until it has.
type snapshots struct {
	turn  chan struct{} // a mutex: it holds one value while somebody uses the fields below
	last  *snapshot     // nil before the first one that succeeded
	err   error         // of the latest reading
	until time.Time     // until when the latest reading is used
	paces paces
	trail []driver.Record // the newest changes of the audit trail, oldest first
	seen  int64           // the revision of the last change in trail: later readings begin after it
}

// snapshot returns a snapshot that is not too old. If reading it fails, it returns the error together with the last snapshot that succeeded, or nil.
func (p *Page) snapshot(ctx context.Context) (*snapshot, error) {
	s := &p.snapshots
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if time.Now().Before(s.until) {
		return s.last, s.err
	}
	// The reading goes on if this viewer leaves, because the next viewer uses the snapshot too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	began := time.Now()
	next, err := p.look(ctx)
	s.err = err
	if err == nil {
		s.last = next
	}
	rest := restFactor * time.Since(began)
	if err != nil {
		rest = min(rest, readTimeout) // what hung may answer again at once
	}
	s.until = time.Now().Add(max(freshFor, rest))
	return s.last, s.err
}

// outdate makes the next request read the ledger again, because this page has changed something.
func (p *Page) outdate() {
	p.snapshots.turn <- struct{}{}
	p.snapshots.until = time.Time{}
	<-p.snapshots.turn
}

// look reads a snapshot from the ledger. It requires snapshots.turn, like all functions whose names begin with look.
func (p *Page) look(ctx context.Context) (*snapshot, error) {
	now := time.Now()
	s := &snapshot{at: now, limits: make(map[string]budget.Limit)}
	policy, err := p.policy(ctx)
	if err != nil {
		return nil, err
	}
	s.policy = len(policy.Limits) > 0
	for _, l := range policy.Limits {
		s.limits[l.Name] = l
	}
	if err := p.lookAtAccounts(ctx, s, policy); err != nil {
		return nil, err
	}
	if err := p.lookAtUsage(ctx, s); err != nil {
		return nil, err
	}
	if err := p.lookAtCalls(ctx, s); err != nil {
		return nil, err
	}
	if err := p.lookAtKills(ctx, s); err != nil {
		return nil, err
	}
	if s.trail, err = p.lookAtTrail(ctx); err != nil {
		return nil, err
	}
	s.view = p.view(s)
	return s, nil
}

// lookAtCalls reads the calls in flight.
func (p *Page) lookAtCalls(ctx context.Context, s *snapshot) (err error) {
	// One call more than are shown is read, to know whether there are more.
	if s.pending, err = collect(p.operator.Entries(ctx, budget.Query{State: driver.Pending, Max: p.maxRows + 1})); err != nil {
		return err
	}
	s.more = len(s.pending) > p.maxRows
	if s.more {
		s.pending = s.pending[:p.maxRows]
	}
	slices.SortFunc(s.pending, func(a, b budget.Entry) int { return a.ReservedAt.Compare(b.ReservedAt) })
	return nil
}

// lookAtKills reads the kill flags, the newest first.
func (p *Page) lookAtKills(ctx context.Context, s *snapshot) (err error) {
	if s.kills, err = p.operator.Kills(ctx); err != nil {
		return err
	}
	slices.SortFunc(s.kills, func(a, b budget.Kill) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Scope.String(), b.Scope.String()))
	})
	return nil
}

// policy returns the ledger's policy, or the one in the store. It may have no limits.
func (p *Page) policy(ctx context.Context) (budget.Policy, error) {
	if p.ledger != nil {
		return p.ledger.Policy(), nil
	}
	document, err := p.operator.PolicyDocument(ctx)
	if err != nil || len(document.Text) == 0 {
		return budget.Policy{}, err
	}
	policy, err := budget.ReadPolicy(bytes.NewReader(document.Text))
	if err != nil {
		return policy, fmt.Errorf("version %d of the policy that the store holds: %w", document.Version, err)
	}
	return policy, nil
}

// lookAtAccounts reads the balance of each account of the policy's limits. A limit under which nothing was booked is shown as one unused account.
func (p *Page) lookAtAccounts(ctx context.Context, s *snapshot, policy budget.Policy) error {
	if !s.policy {
		return p.lookWithoutPolicy(ctx, s)
	}
	booked := make(map[string]bool)
	for standing, err := range p.operator.Standing(ctx, policy, budget.AccountQuery{}) {
		if err != nil {
			return err
		}
		// Standing leaves out the accounts of limits that the policy does not have, so the limit is always found.
		limit := s.limits[standing.Account.Limit]
		booked[limit.Name] = true
		a := accountOf(&standing, &limit, s.at)
		a.pace = p.snapshots.paces.of(a, limit.Window, s.at)
		s.accounts = append(s.accounts, a)
	}
	p.snapshots.paces.forget(s.at)
	for i := range policy.Limits {
		if l := &policy.Limits[i]; !booked[l.Name] {
			s.accounts = append(s.accounts, unusedAccount(l))
		}
	}
	slices.SortFunc(s.accounts, func(a, b *account) int {
		if parts := cmp.Compare(b.part(), a.part()); parts != 0 {
			return parts
		}
		return cmp.Or(cmp.Compare(a.balance.Limit, b.balance.Limit), bytes.Compare(a.key[:], b.key[:]))
	})
	return nil
}

// accountOf returns what is shown of an account of a limit, except its pace.
func accountOf(standing *budget.Standing, limit *budget.Limit, now time.Time) *account {
	a := &account{key: standing.Account.Key, balance: standing.Balance, window: limit.Window.String(), known: true}
	// The store keeps an override that has ended.
	if o := standing.Account.Override; o != nil && now.Before(o.Until) {
		a.override = o
	}
	// Latched says that a refusal keeps the account closed now; the account keeps the time of a latch that has ended, as well.
	if a.balance.Latched {
		a.latched = standing.Account.Latched
	}
	return a
}

// unusedAccount stands for a limit under which nothing was booked.
func unusedAccount(l *budget.Limit) *account {
	none := budget.Quantity{Unit: l.Max.Unit}
	return &account{
		balance: budget.AccountBalance{Limit: l.Name, Max: l.Max, Settled: none, Pending: none, Observe: l.Observe}, window: l.Window.String(), known: true,
	}
}

// lookAtUsage reads what was charged on each of the last historyDays.
func (p *Page) lookAtUsage(ctx context.Context, s *snapshot) error {
	first := driver.UsageDay(s.at).AddDate(0, 0, 1-historyDays)
	// The page shows days without charges too, for which the ledger has no rows.
	for i := range historyDays {
		s.days = append(s.days, first.AddDate(0, 0, i))
	}
	query := budget.UsageQuery{Since: first, By: budget.PerWorkflow | budget.PerModel | budget.PerRegion, Every: budget.ByDay}
	for row, err := range p.operator.Usage(ctx, query) {
		if err != nil {
			return err
		}
		// The ledger has a row with the key OtherUsage for the calls of a day that found no room for rows of their own.
		s.daily = append(s.daily, spent{
			column: int(row.Day.Sub(first) / (24 * time.Hour)), charge: row.Charge, other: row.Key == driver.OtherUsage,
			workflow: row.Scope.Workflow, model: row.Scope.Model, region: row.Scope.Region,
		})
	}
	return nil
}

// lookWithoutPolicy reads accounts of which no limit is known, neither its maximum nor its window. Of each it shows what was booked in its newest
// period, which is the calendar window or the part of a rolling window that began last.
func (p *Page) lookWithoutPolicy(ctx context.Context, s *snapshot) error {
	for known, err := range p.operator.Accounts(ctx, budget.AccountQuery{}) {
		if err != nil {
			return err
		}
		if len(s.accounts) == min(maxPeriods, p.maxRows) {
			s.unknown++
			continue
		}
		// Override and latch are as the store has them, so they may have ended: the page shows until when each holds.
		a := &account{key: known.Key, balance: budget.AccountBalance{Limit: known.Limit, Scope: known.Scope}, override: known.Override, latched: known.Latched}
		for period, err := range p.operator.Periods(ctx, known.Key, time.Time{}) { // oldest first, so the newest is kept
			if err != nil {
				return err
			}
			// Forgotten is what calls had settled whose entries the store has deleted.
			a.since, a.balance.Settled.N, a.balance.Pending.N = period.Start, period.Settled+period.Forgotten, period.Pending
		}
		s.accounts = append(s.accounts, a)
	}
	slices.SortStableFunc(s.accounts, func(a, b *account) int { return cmp.Compare(b.balance.Settled.N, a.balance.Settled.N) })
	return nil
}

// lookAtTrail reads the changes since the last snapshot, and returns the newest maxTrail of all that are known, newest first. It keeps up to twice
// as many, so that it does not have to copy them for each change.
func (p *Page) lookAtTrail(ctx context.Context) ([]driver.Record, error) {
	s := &p.snapshots
	for change, err := range p.operator.Changes(ctx, s.seen) {
		if err != nil {
			return nil, err
		}
		// Both fields outlast this reading, so that an error later on loses no change.
		s.trail, s.seen = append(s.trail, change), change.Revision
		if len(s.trail) >= 2*maxTrail {
			s.trail = slices.Clone(s.trail[maxTrail:])
		}
	}
	newest := slices.Clone(s.trail[max(0, len(s.trail)-maxTrail):])
	slices.Reverse(newest)
	return newest, nil
}

// collect returns what a sequence yields, or its error.
func collect[T any](all func(func(T, error) bool)) (rows []T, err error) {
	for row, err := range all {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}
