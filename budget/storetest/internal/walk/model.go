package walk

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// model is a second, simple-minded ledger: it keeps every reservation in a list and adds up from the beginning each time.
// It shares no arithmetic with the stores, windows included.
type model struct {
	accounts []modelAccount
	entries  []*modelEntry
	byID     map[driver.ID]*modelEntry
	kills    []modelFlag
	// loose leaves it to the store when marks are reported: checkLoosely judges what it does.
	loose bool
}

// modelFlag holds for workflows that begin as its own does, or are it, until its end.
type modelFlag struct {
	scope  driver.Scope
	prefix bool
	until  time.Time // zero for never
}

func (k modelFlag) holds(scope driver.Scope, now time.Time) bool {
	workflow := scope.Workflow == k.scope.Workflow || k.scope.Workflow == ""
	if k.prefix {
		workflow = len(scope.Workflow) > 0 && scope.Workflow[0] == k.scope.Workflow[0]
	}
	return workflow && (k.scope.Principal == "" || k.scope.Principal == scope.Principal) && (k.until.IsZero() || now.Before(k.until))
}

// modelAccount is a line, with its window as two functions of time.
type modelAccount struct {
	driver.Line
	bucket  func(time.Time) int64     // where a moment is booked
	since   func(time.Time) int64     // the first bucket that counts at a moment
	passed  func(time.Time) time.Time // when the window of a moment is over
	max     int64                     // of the override
	maxTill time.Time                 // until when the override holds
	latched time.Time                 // until when the latch is closed
	fired   []time.Time               // until when each threshold is not reported again
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
	lines            []int            // accounts
	at               time.Time
	expires          time.Time
}

// forever is later than any clock of the suite.
var forever = time.Unix(0, math.MaxInt64)

// modelAccounts are limits of each kind of window, small enough to be met all the time.
func modelAccounts() []modelAccount {
	day := func(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
	hour := func(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }
	minute := func(t time.Time) time.Time { return t.UTC().Truncate(time.Minute) }
	nanos := func(f func(time.Time) time.Time) func(time.Time) int64 {
		return func(t time.Time) int64 { return f(t).UnixNano() }
	}
	always := func(time.Time) int64 { return 0 }
	accounts := []modelAccount{
		{
			Line:   driver.Line{Window: driver.Daily, Unit: driver.UnitUSD, Max: 200, Notify: []float64{0.5, 0.9}},
			bucket: nanos(day), since: nanos(day), passed: func(t time.Time) time.Time { return day(t).Add(24 * time.Hour) },
		},
		{
			Line:   driver.Line{Window: driver.Hourly, Unit: driver.UnitUSD, Max: 60, Latch: true},
			bucket: nanos(hour), since: nanos(hour), passed: func(t time.Time) time.Time { return hour(t).Add(time.Hour) },
		},
		{
			Line:   driver.Line{Window: driver.Rolling(time.Hour), Unit: driver.UnitUSD, Max: 50, Notify: []float64{0.6}},
			bucket: nanos(minute), since: func(t time.Time) int64 { return minute(t).Add(-time.Hour).UnixNano() },
			passed: func(t time.Time) time.Time { return t.Add(time.Hour) },
		},
		{
			Line:   driver.Line{Window: driver.Lifetime, Unit: driver.UnitCalls, Max: 500, Notify: []float64{0.002, 0.5, 0.998}},
			bucket: always, since: always, passed: func(time.Time) time.Time { return forever },
		},
		{
			Line:   driver.Line{Window: driver.Rolling(time.Hour), Unit: driver.UnitUSD, Max: 10, Observe: true},
			bucket: nanos(minute), since: func(t time.Time) int64 { return minute(t).Add(-time.Hour).UnixNano() },
			passed: func(t time.Time) time.Time { return t.Add(time.Hour) },
		},
		{
			Line:   driver.Line{Window: driver.Daily, Unit: driver.UnitUSD, Max: 30, Observe: true, Latch: true},
			bucket: nanos(day), since: nanos(day), passed: func(t time.Time) time.Time { return day(t).Add(24 * time.Hour) },
		},
	}
	for i := range accounts {
		accounts[i].Account = driver.Key{0: byte(i + 1)}
		accounts[i].fired = make([]time.Time, len(accounts[i].Notify))
	}
	return accounts
}

func newModel(o Options) *model {
	m := &model{accounts: modelAccounts(), byID: make(map[driver.ID]*modelEntry), loose: o.Loose}
	for i := range m.accounts {
		a := &m.accounts[i]
		a.Max *= o.Scale
	}
	return m
}

// stands adds an account up.
func (m *model) stands(i int, now time.Time) (settled, pending int64) {
	a := &m.accounts[i]
	since := a.since(now)
	for _, e := range m.entries {
		if !slices.Contains(e.lines, i) || a.bucket(e.at) < since {
			continue
		}
		settled += e.actual[a.Unit]
		if e.state == driver.Pending {
			pending += e.reserved[a.Unit]
		}
	}
	return settled, pending
}

func (m *model) max(i int, now time.Time) int64 {
	if a := &m.accounts[i]; now.Before(a.maxTill) {
		return a.max
	}
	return m.accounts[i].Max
}

// verdict is what the model expects of a Reserve.
type verdict struct {
	err      error
	killed   bool
	denied   []int // the lines' indexes
	latched  []int // of those, or of the observed ones, which were latched before
	observed []int
	replayed bool
}

// reserve returns how a store has to answer a Reserve, and adds the reservation if it is admitted. The order is: the reservation of the same id, the
// kill flags, the room in each line. A refusal closes the latches of the lines that refused. lines are the accounts of r.Lines, by index.
func (m *model) reserve(r driver.Reservation, lines []int, scope driver.Scope, now time.Time) verdict {
	var v verdict
	e := m.byID[r.ID]
	switch {
	case e == nil:
	case e.state != driver.Pending:
		v.err = driver.ErrResolved
	case e.owner != r.Owner || e.reserved != r.Charge || !slices.Equal(e.lines, lines):
		v.err = driver.ErrIDConflict
	}
	if v.err != nil {
		return v
	}
	for _, k := range m.kills {
		v.killed = v.killed || k.holds(scope, now)
	}
	if v.killed {
		return v
	}
	if e != nil {
		v.replayed = true
		return v
	}
	for at, i := range lines {
		a := &m.accounts[i]
		settled, pending := m.stands(i, now)
		latched := now.Before(a.latched)
		if !latched && settled+pending+r.Charge[a.Unit] <= m.max(i, now) {
			continue
		}
		if a.Observe && !r.RefuseObserved {
			v.observed = append(v.observed, at)
		} else {
			v.denied = append(v.denied, at)
		}
	}
	full := v.denied
	if len(full) == 0 {
		full = v.observed
	} else {
		v.observed = nil
	}
	for _, at := range full {
		switch a := &m.accounts[lines[at]]; {
		case now.Before(a.latched):
			v.latched = append(v.latched, at)
		case a.Latch && !r.Tentative:
			a.latched = a.passed(now)
		}
	}
	if len(v.denied) > 0 {
		return v
	}
	m.add(&modelEntry{id: r.ID, owner: r.Owner, state: driver.Pending, reserved: r.Charge, scope: scope, lines: lines, at: now, expires: now.Add(r.TTL)})
	return v
}

func (m *model) add(e *modelEntry) {
	m.byID[e.id] = e
	m.entries = slices.DeleteFunc(m.entries, func(old *modelEntry) bool { return old.id == e.id })
	m.entries = append(m.entries, e)
}

// settle returns how a store has to answer a Settle, and posts it. The reservation's amount is replaced; an unknown or voided id becomes an orphan.
// Thresholds that are reached are reported once in each window.
func (m *model) settle(st driver.Settlement, lines []int, scope driver.Scope, shares map[string]int64, now time.Time) (driver.Posting, error) {
	e := m.byID[st.ID]
	var p driver.Posting
	switch {
	case e != nil && e.owner != st.Owner:
		return p, driver.ErrIDConflict
	case e != nil && e.state == driver.Settled && e.actual == st.Actual:
		return driver.Posting{Replayed: true, From: driver.Settled}, nil
	case e != nil && e.state == driver.Settled:
		return p, driver.ErrResolved
	case e == nil || e.state == driver.Voided:
		if e != nil {
			p.From = driver.Voided
		}
		m.add(&modelEntry{id: st.ID, owner: st.Owner, state: driver.Settled, estimated: st.Estimated, orphan: true, actual: st.Actual, scope: scope, shares: shares, lines: lines, at: now})
	default:
		p.From = e.state
		e.state, e.actual, e.estimated, e.scope, e.shares = driver.Settled, st.Actual, st.Estimated, scope, shares
	}
	if m.loose {
		return p, nil
	}
	for at, i := range lines {
		a := &m.accounts[i]
		settled, _ := m.stands(i, now)
		for n := range a.Notify {
			if settled >= a.Threshold(n, m.max(i, now)) && !now.Before(a.fired[n]) {
				a.fired[n] = a.passed(now)
				p.Crossed = append(p.Crossed, driver.Crossing{Line: at, Mark: n, Settled: settled, Max: m.max(i, now)})
			}
		}
	}
	return p, nil
}

// checkLoosely judges thresholds that a store has reported: each was due, and reached by what is settled and pending.
func (m *model) checkLoosely(crossed []driver.Crossing, lines []int, now time.Time) bool {
	for _, c := range crossed {
		a := &m.accounts[lines[c.Line]]
		settled, pending := m.stands(lines[c.Line], now)
		if now.Before(a.fired[c.Mark]) || c.Settled < a.Threshold(c.Mark, m.max(lines[c.Line], now)) || c.Settled > settled+pending {
			return false
		}
		a.fired[c.Mark] = a.passed(now)
	}
	return true
}

func (m *model) void(id driver.ID, owner driver.Key, now time.Time) error {
	e := m.byID[id]
	switch {
	case e == nil:
		m.add(&modelEntry{id: id, owner: owner, state: driver.Voided, tombstone: true, at: now})
		return nil
	case e.owner != owner:
		return driver.ErrIDConflict
	case e.state == driver.Settled || e.state == driver.Expired:
		return driver.ErrResolved
	}
	e.state = driver.Voided
	return nil
}

// correct returns how a store has to answer a Correct, and makes it. It is repeated if the amount and its shares are posted already.
func (m *model) correct(id driver.ID, actual driver.Charge, shares map[string]int64) (driver.Posting, error) {
	e := m.byID[id]
	if e == nil || e.state == driver.Pending || e.tombstone {
		return driver.Posting{}, driver.ErrNotFound
	}
	p := driver.Posting{From: e.state, Replayed: e.actual == actual && !e.estimated && (shares == nil || maps.Equal(shares, e.shares))}
	if !p.Replayed {
		if shares == nil && e.shares != nil { // the whole amount goes to the workflow that had the first share
			e.shares = map[string]int64{firstOf(e.shares): actual[driver.UnitUSD]}
		} else {
			e.shares = shares
		}
		if actual == (driver.Charge{}) {
			e.shares = nil
		}
		e.state, e.actual, e.estimated = driver.Settled, actual, false
	}
	return p, nil
}

// usage adds up what was spent, by day and whose it was, in USD and calls.
func (m *model) usage() map[string][2]int64 {
	sums := make(map[string][2]int64)
	add := func(e *modelEntry, scope driver.Scope, usd, calls int64) {
		if usd != 0 || calls != 0 {
			at := driver.UsageDay(e.at).Format(time.DateOnly) + " " + scope.String()
			sums[at] = [2]int64{sums[at][0] + usd, sums[at][1] + calls}
		}
	}
	for _, e := range m.entries {
		if e.shares == nil {
			add(e, e.scope, e.actual[driver.UnitUSD], e.actual[driver.UnitCalls])
			continue
		}
		calls := e.actual[driver.UnitCalls] // all of them are the first one's
		for _, workflow := range inUsageOrder(e.shares) {
			add(e, driver.Scope{Workflow: workflow}, e.shares[workflow], calls)
			calls = 0
		}
	}
	return sums
}

func firstOf(shares map[string]int64) string { return inUsageOrder(shares)[0] }

func inUsageOrder(all map[string]int64) (workflows []string) {
	for _, share := range Shares(all) {
		workflows = append(workflows, share.Call.Scope.Workflow)
	}
	return workflows
}

func (m *model) expire(now time.Time) (n int) {
	for _, e := range m.entries {
		if e.state == driver.Pending && !now.Before(e.expires) {
			e.state, e.actual, e.estimated = driver.Expired, e.reserved, true
			n++
		}
	}
	return n
}
