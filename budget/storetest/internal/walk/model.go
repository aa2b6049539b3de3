package walk

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Accounts, and so lines, are told by their index in model.accounts. Thresholds (Line.Notify) are also called marks. An Observe line is one that
// refuses nothing: its account's sums are only reported.

// model is a second, simple-minded ledger: it keeps every reservation in a list and adds up from the beginning each time.
// It shares no arithmetic with the stores, windows included.
type model struct {
	accounts []modelAccount
	entries  []*modelEntry // each once, in the order in which they were reserved, or posted as orphans
	byID     map[driver.ID]*modelEntry
	kills    []modelFlag // some may have ended
	// loose says that the store may report a mark later than with the settlement that reaches it, or sooner, because it counts what is pending, too.
	// Then the model does not foretell which marks are reported, and checkLoosely judges what the store did.
	loose bool
}

// modelFlag is a kill flag for a workflow, a principal, or both; empty values select any. With prefix it is one with a pattern, a letter and *, and
// selects workflows that begin with this letter.
type modelFlag struct {
	scope  driver.Scope
	prefix bool
	until  time.Time // when it ends; zero for never
}

// holds reports whether the flag refuses calls of a scope now.
func (k modelFlag) holds(scope driver.Scope, now time.Time) bool {
	workflow := scope.Workflow == k.scope.Workflow || k.scope.Workflow == ""
	if k.prefix {
		workflow = len(scope.Workflow) > 0 && scope.Workflow[0] == k.scope.Workflow[0]
	}
	return workflow && (k.scope.Principal == "" || k.scope.Principal == scope.Principal) && (k.until.IsZero() || now.Before(k.until))
}

// modelAccount is a line, with its window as functions of time, and its override, its latch and its thresholds.
type modelAccount struct {
	driver.Line
	bucket func(time.Time) int64 // in which bucket of time a moment is booked, as its beginning in nanoseconds since 1970
	since  func(time.Time) int64 // the first bucket that counts at a moment
	// passed returns, for a moment at which a latch closes, until when it stays closed. A threshold that is reported at that moment is not reported
	// again until then.
	passed        func(time.Time) time.Time
	overrideMax   int64       // replaces Max
	overrideUntil time.Time   // until then; zero if there is no override
	latchedUntil  time.Time   // when the latch opens; zero if it is not closed
	quietUntil    []time.Time // by threshold: until when it is not reported again
}

// modelEntry is one reservation. An orphan was posted without a pending reservation, and a tombstone was voided before it was made.
type modelEntry struct {
	id               driver.ID
	owner            driver.Key
	state            driver.State
	estimated        bool
	orphan           bool
	tombstone        bool
	reserved, actual driver.Charge
	scope            driver.Scope
	shares           map[string]int64 // of the amount in USD, by workflow; nil for none
	lines            []int            // the accounts in which it counts
	reservedAt       time.Time        // of an orphan: when it was posted
	expiresAt        time.Time        // zero unless it was reserved
}

// forever is later than any clock of the suite.
var forever = time.Unix(0, math.MaxInt64)

// modelAccounts returns limits of each kind of window, small enough to be reached all the time.
func modelAccounts() []modelAccount {
	day := func(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
	hour := func(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }
	accounts := []modelAccount{
		calendar(day, 24*time.Hour, driver.Line{Window: driver.Daily, Unit: driver.UnitUSD, Max: 200, Notify: []float64{0.5, 0.9}}),
		calendar(hour, time.Hour, driver.Line{Window: driver.Hourly, Unit: driver.UnitUSD, Max: 60, Latch: true}),
		rollingHour(driver.Line{Unit: driver.UnitUSD, Max: 50, Notify: []float64{0.6}}),
		// With a Scale of 1 the first of these thresholds is a single call, and the last one is one call below the limit.
		lifetime(driver.Line{Unit: driver.UnitCalls, Max: 500, Notify: []float64{0.002, 0.5, 0.998}}),
		rollingHour(driver.Line{Unit: driver.UnitUSD, Max: 10, Observe: true}),
		calendar(day, 24*time.Hour, driver.Line{Window: driver.Daily, Unit: driver.UnitUSD, Max: 30, Observe: true, Latch: true}),
	}
	for i := range accounts {
		accounts[i].Account = driver.Key{0: byte(i + 1)}
		accounts[i].quietUntil = make([]time.Time, len(accounts[i].Notify))
	}
	return accounts
}

// calendar returns an account whose window has one bucket. start returns when the window that holds a moment begins.
func calendar(start func(time.Time) time.Time, length time.Duration, line driver.Line) modelAccount {
	bucket := func(t time.Time) int64 { return start(t).UnixNano() }
	return modelAccount{Line: line, bucket: bucket, since: bucket, passed: func(t time.Time) time.Time { return start(t).Add(length) }}
}

// rollingHour returns an account whose window is the last hour. It has buckets of a minute: the present one counts, and the sixty before it.
func rollingHour(line driver.Line) modelAccount {
	line.Window = driver.Rolling(time.Hour)
	minute := func(t time.Time) time.Time { return t.UTC().Truncate(time.Minute) }
	return modelAccount{
		Line:   line,
		bucket: func(t time.Time) int64 { return minute(t).UnixNano() },
		since:  func(t time.Time) int64 { return minute(t).Add(-time.Hour).UnixNano() },
		passed: func(t time.Time) time.Time { return t.Add(time.Hour) },
	}
}

// lifetime returns an account whose window never ends. Its one bucket begins in 1970.
func lifetime(line driver.Line) modelAccount {
	line.Window = driver.Lifetime
	begin := func(time.Time) int64 { return 0 }
	return modelAccount{Line: line, bucket: begin, since: begin, passed: func(time.Time) time.Time { return forever }}
}

// newModel returns an empty ledger whose limits are multiplied by Options.Scale.
func newModel(o Options) *model {
	m := &model{accounts: modelAccounts(), byID: make(map[driver.ID]*modelEntry), loose: o.Loose}
	for i := range m.accounts {
		a := &m.accounts[i]
		a.Max *= o.Scale
	}
	return m
}

// balance adds up what is settled and pending in an account, in the window that counts now.
func (m *model) balance(i int, now time.Time) (settled, pending int64) {
	a := &m.accounts[i]
	since := a.since(now)
	for _, e := range m.entries {
		// Without an upper bound: if the clock went back, what was booked later counts, too.
		if !slices.Contains(e.lines, i) || a.bucket(e.reservedAt) < since {
			continue
		}
		settled += e.actual[a.Unit]
		if e.state == driver.Pending {
			pending += e.reserved[a.Unit]
		}
	}
	return settled, pending
}

// maxInForce returns the Max of an account, or that of its override while it lasts.
func (m *model) maxInForce(i int, now time.Time) int64 {
	if a := &m.accounts[i]; now.Before(a.overrideUntil) {
		return a.overrideMax
	}
	return m.accounts[i].Max
}

// verdict is how a store has to answer a Reserve. A line is told by its index in the reservation.
type verdict struct {
	err      error // of the store; nil if it decides
	killed   bool  // a kill flag refuses it
	denied   []int // the lines that refuse it
	observed []int // if it is admitted: the observe-only lines without room
	latched  []int // those of denied or observed whose latch was closed before
	replayed bool  // it is admitted because it was admitted before
}

// reserve returns how a store has to answer a Reserve, and adds the reservation if it is admitted. The order is: the reservation of the same id, the
// kill flags, the room in each line. lines are the accounts of r.Lines, by index.
func (m *model) reserve(r driver.Reservation, lines []int, scope driver.Scope, now time.Time) (v verdict) {
	e := m.byID[r.ID]
	switch {
	case e == nil: // an unknown id is judged by flags and room below
	case e.state != driver.Pending: // whoever the owner is; settle and void look at the owner first
		return verdict{err: driver.ErrResolved}
	case e.owner != r.Owner || e.reserved != r.Charge || !slices.Equal(e.lines, lines):
		return verdict{err: driver.ErrIDConflict}
	}
	killed := func(k modelFlag) bool { return k.holds(scope, now) }
	if slices.ContainsFunc(m.kills, killed) {
		return verdict{killed: true}
	}
	// The id is known, and by the cases above its reservation is pending and the same.
	if e != nil {
		return verdict{replayed: true}
	}
	v.denied, v.observed = m.full(r, lines, now)
	if len(v.denied) > 0 {
		v.observed = nil // a refusal tells of the lines that refuse alone
		v.latched = m.latch(r, lines, v.denied, now)
		return v
	}
	v.latched = m.latch(r, lines, v.observed, now)
	m.add(&modelEntry{id: r.ID, owner: r.Owner, state: driver.Pending, reserved: r.Charge, scope: scope, lines: lines, reservedAt: now, expiresAt: now.Add(r.TTL)})
	return v
}

// full returns the lines of a reservation without room, by their index in it: those that refuse it, and the Observe lines that do not.
func (m *model) full(r driver.Reservation, lines []int, now time.Time) (denied, observed []int) {
	for at, i := range lines {
		a := &m.accounts[i]
		settled, pending := m.balance(i, now)
		latched := now.Before(a.latchedUntil)
		switch hasRoom := !latched && settled+pending+r.Charge[a.Unit] <= m.maxInForce(i, now); {
		case hasRoom:
		case a.Observe && !r.RefuseObserved:
			observed = append(observed, at)
		default:
			denied = append(denied, at)
		}
	}
	return denied, observed
}

// latch closes the latches of lines without room, which full tells by their index in the reservation, unless the reservation is tentative. It returns
// those whose latch was closed before, which keep the end that they have.
func (m *model) latch(r driver.Reservation, lines, full []int, now time.Time) (closedBefore []int) {
	for _, at := range full {
		switch a := &m.accounts[lines[at]]; {
		case now.Before(a.latchedUntil):
			closedBefore = append(closedBefore, at)
		case a.Latch && !r.Tentative:
			a.latchedUntil = a.passed(now)
		}
	}
	return closedBefore
}

// add adds an entry, in the place of an earlier one with the same id.
func (m *model) add(e *modelEntry) {
	m.byID[e.id] = e
	m.entries = slices.DeleteFunc(m.entries, func(old *modelEntry) bool { return old.id == e.id })
	m.entries = append(m.entries, e)
}

// settle returns how a store has to answer a Settle, and posts it. The reservation's amount is replaced; an unknown or voided id becomes an orphan.
// Thresholds that are reached are reported once in each window. lines are the accounts of st.Lines, by index; shares are the amounts in USD by
// workflow, nil for a settlement without.
func (m *model) settle(st driver.Settlement, lines []int, scope driver.Scope, shares map[string]int64, now time.Time) (driver.Posting, error) {
	e := m.byID[st.ID]
	var p driver.Posting
	switch {
	case e != nil && e.owner != st.Owner:
		return p, driver.ErrIDConflict
	case e != nil && e.state == driver.Settled && e.actual == st.Actual: // whatever its shares are; correct compares these, too
		return driver.Posting{Replayed: true, From: driver.Settled}, nil
	case e != nil && e.state == driver.Settled:
		return p, driver.ErrResolved
	case e == nil || e.state == driver.Voided:
		if e != nil {
			p.From = driver.Voided
		}
		m.add(&modelEntry{id: st.ID, owner: st.Owner, state: driver.Settled, estimated: st.Estimated, orphan: true, actual: st.Actual, scope: scope, shares: shares, lines: lines, reservedAt: now})
	default: // pending or expired: reservedAt stays, and with it the bucket
		p.From = e.state
		e.state, e.actual, e.estimated, e.scope, e.shares = driver.Settled, st.Actual, st.Estimated, scope, shares
	}
	if !m.loose { // the marks of a loose store are judged by checkLoosely, and not foretold
		p.Crossed = m.reached(lines, now)
	}
	return p, nil
}

// reached returns the thresholds that settled spend has reached and that were not reported in their window yet, and notes that they are.
func (m *model) reached(lines []int, now time.Time) (all []driver.Crossing) {
	for at, i := range lines {
		a := &m.accounts[i]
		settled, _ := m.balance(i, now)
		for n := range a.Notify {
			// Threshold is the sum at which that fraction of the Max in force is reached.
			if settled >= a.Threshold(n, m.maxInForce(i, now)) && !now.Before(a.quietUntil[n]) {
				a.quietUntil[n] = a.passed(now)
				all = append(all, driver.Crossing{Line: at, Mark: n, Settled: settled, Max: m.maxInForce(i, now)})
			}
		}
	}
	return all
}

// checkLoosely reports whether a store may have reported these thresholds: none of them was reported before in its window, and each is reached by the
// sum that the store reports with it, which is at most what is settled and pending. It remembers that they were reported.
func (m *model) checkLoosely(crossed []driver.Crossing, lines []int, now time.Time) bool {
	for _, c := range crossed {
		i := lines[c.Line]
		a := &m.accounts[i]
		settled, pending := m.balance(i, now)
		wasReported := now.Before(a.quietUntil[c.Mark])
		isReached := c.Settled >= a.Threshold(c.Mark, m.maxInForce(i, now))
		if wasReported || !isReached || c.Settled > settled+pending {
			return false
		}
		a.quietUntil[c.Mark] = a.passed(now)
	}
	return true
}

// void returns how a store has to answer a Void, and makes it.
func (m *model) void(id driver.ID, owner driver.Key, now time.Time) error {
	e := m.byID[id]
	switch {
	case e == nil:
		m.add(&modelEntry{id: id, owner: owner, state: driver.Voided, tombstone: true, reservedAt: now})
		return nil
	case e.owner != owner:
		return driver.ErrIDConflict
	case e.state == driver.Settled || e.state == driver.Expired:
		return driver.ErrResolved
	}
	// It is pending, or voided already.
	e.state = driver.Voided
	return nil
}

// correct returns how a store has to answer a Correct, and makes it. The answer is Replayed if the amount and its shares are posted already. shares
// are the amounts in USD by workflow; nil for a correction without.
func (m *model) correct(id driver.ID, actual driver.Charge, shares map[string]int64) (driver.Posting, error) {
	e := m.byID[id]
	// Of an unknown or pending id nothing is posted, and a tombstone has no accounts to which anything could be posted.
	if e == nil || e.state == driver.Pending || e.tombstone {
		return driver.Posting{}, driver.ErrNotFound
	}
	sameShares := shares == nil || maps.Equal(shares, e.shares)
	// A correction of an estimated amount to the same number confirms it, and is no replay.
	p := driver.Posting{From: e.state, Replayed: e.actual == actual && sameShares && !e.estimated}
	if !p.Replayed {
		if shares == nil && e.shares != nil { // the whole amount goes to the workflow that had the first share
			e.shares = map[string]int64{firstOf(e.shares): actual[driver.UnitUSD]}
		} else {
			e.shares = shares
		}
		// An amount of zero has no shares.
		if actual == (driver.Charge{}) {
			e.shares = nil
		}
		e.state, e.actual, e.estimated = driver.Settled, actual, false
	}
	return p, nil
}

// usage adds up what was spent, in nano-USD and in calls, by a text of the day and the scope of the call or share.
func (m *model) usage() map[string][2]int64 {
	sums := make(map[string][2]int64)
	add := func(e *modelEntry, scope driver.Scope, usd, calls int64) {
		if usd != 0 || calls != 0 {
			at := driver.UsageDay(e.reservedAt).Format(time.DateOnly) + " " + scope.String()
			sums[at] = [2]int64{sums[at][0] + usd, sums[at][1] + calls}
		}
	}
	for _, e := range m.entries {
		if e.shares == nil {
			add(e, e.scope, e.actual[driver.UnitUSD], e.actual[driver.UnitCalls])
			continue
		}
		calls := e.actual[driver.UnitCalls] // sharesOf gives all of them to the first share
		for _, workflow := range inUsageOrder(e.shares) {
			add(e, driver.Scope{Workflow: workflow}, e.shares[workflow], calls)
			// The shares after the first one have none.
			calls = 0
		}
	}
	return sums
}

// firstOf returns the workflow of the first share.
func firstOf(shares map[string]int64) string { return inUsageOrder(shares)[0] }

// inUsageOrder returns the workflows of shares in the order of their usage keys, which is the order of shares in a settlement.
func inUsageOrder(all map[string]int64) (workflows []string) {
	for _, share := range Shares(all) {
		workflows = append(workflows, share.Call.Scope.Workflow)
	}
	return workflows
}

// expire charges all reservations that have expired, and returns how many.
func (m *model) expire(now time.Time) (n int) {
	for _, e := range m.entries {
		if e.state == driver.Pending && !now.Before(e.expiresAt) {
			e.state, e.actual, e.estimated = driver.Expired, e.reserved, true
			n++
		}
	}
	return n
}
