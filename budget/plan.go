package budget

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// plan is what a policy means for the calls of one scope: in which accounts they count. It has a line for each account, as a Reservation needs
// it, with the limit and the scope of that account. It is immutable, except for call, and shared between calls; stores copy what they keep.
type plan struct {
	of     [6]string                   // the scope's values without its tags
	under  []Limit                     // the policy's limits, and those of children
	lines  []driver.Line               // sorted by account
	limits []int                       // lines[i] belongs to under[limits[i]]; a limit has two lines if it has two accounts (see Limit.accounts)
	scopes []Scope                     // by line: the values of its account
	dims   []Key                       // the keys of the scope's values, by which kill flags are found (Scope.Dims)
	call   atomic.Pointer[driver.Call] // what callOf returned last; calls of one scope mostly have the same operation
}

// callOf returns the scope and the operation of a request in the form in which a store keeps them with the entry. Entries share it, because a
// store remembers many of them.
func (p *plan) callOf(r *Request) *driver.Call {
	if c := p.call.Load(); c != nil && c.Operation == r.Operation {
		return c
	}
	c := driver.NewCall(r.Scope, r.Operation)
	p.call.Store(c)
	return c
}

// fieldsOf returns the values of a scope without its tags, in the order of perNames.
func fieldsOf(s *Scope) [6]string {
	return [6]string{s.Principal, s.Workflow, s.Model, s.Region, s.Profile, s.Project}
}

// planRow is a line of a plan while the plan is made.
type planRow struct {
	line  driver.Line
	limit int   // the index of its limit
	scope Scope // the values of its account
}

// appendRows appends a row for each account in which calls of a scope count under the limit, whose index is given. That is one account, or two if an
// older version kept the limit under another spelling of the time zone.
func (l *Limit) appendRows(rows []planRow, index int, s Scope) []planRow {
	of, accounts := l.accounts(s)
	for n, account := range accounts {
		line := driver.Line{Account: account, Limit: l.Name, Scope: of, Unit: l.Max.Unit, Window: l.Window, Max: l.maxFor(of), Latch: l.Latch, Observe: l.Observe}
		if n == 0 { // the sums of the second account refuse, too, but thresholds are reported once, for the first
			line.Notify = l.Notify
		}
		rows = append(rows, planRow{line, index, of})
	}
	return rows
}

// newPlan returns the plan of a scope: a line for each of its accounts, in those of the policy's limits that applies selects for it, and of the
// children that its calls belong to.
func newPlan(limits []Limit, s Scope, applies func(Match, Scope) bool) *plan {
	limits = branchOf(&s).limits(limits) // the policy's, and those of the child that the calls belong to and of its parents
	p := &plan{of: fieldsOf(&s), under: limits, dims: s.Dims()}
	var rows []planRow
	for i, l := range limits {
		if applies(l.Match, s) {
			rows = l.appendRows(rows, i, s)
		}
	}
	// All reservations have their lines in one order, so that stores that lock rows can't deadlock.
	slices.SortFunc(rows, func(a, b planRow) int { return bytes.Compare(a.line.Account[:], b.line.Account[:]) })
	for _, r := range rows {
		p.lines = append(p.lines, r.line)
		p.limits = append(p.limits, r.limit)
		p.scopes = append(p.scopes, r.scope)
	}
	return p
}

// hasLine reports whether the plan has a line with this index. Only a broken store answers with another one.
func (p *plan) hasLine(line int) bool { return line >= 0 && line < len(p.lines) }

// exceeded returns the error that tells a caller of a store's denial of a reservation.
func (p *plan) exceeded(r *driver.Reservation, d *driver.Denial) *ExceededError {
	unit, limit := p.lines[d.Line].Unit, &p.under[p.limits[d.Line]]
	return &ExceededError{
		Limit: limit.Name, Scope: p.scopes[d.Line], Paced: limit.Paced,
		Max: Quantity{N: d.Max, Unit: unit}, Settled: Quantity{N: d.Settled, Unit: unit}, Pending: Quantity{N: d.Pending, Unit: unit},
		Requested: r.Charge.In(unit), ResetAfter: d.ResetAfter, Latched: d.Latched,
	}
}

// observed returns an error for each limit that would have refused a reservation if it did not only observe (Limit.Observe). A denial of a line
// that the plan does not have, which a broken store may send, is left out.
func (p *plan) observed(r *driver.Reservation, denials []driver.Denial) []*ExceededError {
	var errs []*ExceededError
	for i := range denials {
		d := &denials[i]
		if !p.hasLine(d.Line) {
			continue
		}
		err := p.exceeded(r, d)
		err.Waiting = p.waiting(r, d)
		if !slices.ContainsFunc(errs, func(e *ExceededError) bool { return e.Limit == err.Limit }) {
			errs = append(errs, err) // both accounts of one limit can be full
		}
	}
	return errs
}

// crossed returns the thresholds that a settlement has reached, as the store tells them: by the index of a line and the index of a threshold
// (Mark) in Limit.Notify. An index that does not exist, which a broken store may send, is left out.
func (p *plan) crossed(posting driver.Posting, paces *paces, now time.Time) []Crossed {
	var all []Crossed
	for _, c := range posting.Crossed {
		if !p.hasLine(c.Line) {
			continue
		}
		l := p.under[p.limits[c.Line]]
		if c.Mark < 0 || c.Mark >= len(l.Notify) {
			continue
		}
		all = append(all, Crossed{Limit: l.Name, Scope: p.scopes[c.Line], Fraction: l.Notify[c.Mark], Settled: Quantity{N: c.Settled, Unit: l.Max.Unit}, Max: Quantity{N: c.Max, Unit: l.Max.Unit}, Forecast: paces.forecast(&p.lines[c.Line], c.Settled, c.Max, now)})
	}
	return all
}

// balances returns a balance for each limit, in the policy's order. raw is the store's answer, with a balance for each of the plan's lines.
func (p *plan) balances(raw []driver.Balance) ([]AccountBalance, error) {
	if len(raw) != len(p.lines) {
		return nil, &StoreError{Op: "balances", Cause: fmt.Errorf("%d answers to %d questions", len(raw), len(p.lines))}
	}
	all := make([]AccountBalance, 0, len(raw))
	for i := range p.under {
		at := p.fullest(i, raw)
		if at < 0 { // the limit does not apply to the scope
			continue
		}
		b, unit := raw[at], p.lines[at].Unit
		all = append(all, AccountBalance{
			Limit: p.under[i].Name, Scope: p.scopes[at], Max: Quantity{N: b.Max, Unit: unit}, Settled: Quantity{N: b.Settled, Unit: unit},
			Pending: Quantity{N: b.Pending, Unit: unit}, ResetAfter: b.ResetAfter, Latched: b.Latched, Observe: p.lines[at].Observe,
		})
	}
	return all, nil
}

// fullest returns the index of that line of a limit that has the least left, or -1 if the plan has no line of this limit. limit is an index in
// p.under.
func (p *plan) fullest(limit int, raw []driver.Balance) int {
	at := -1
	for i := range p.lines {
		if p.limits[i] == limit && (at < 0 || raw[i].Left() < raw[at].Left()) {
			at = i
		}
	}
	return at
}

// maxPlans bounds how many plans are remembered; when there are too many, all are dropped, which costs a few hashes.
const maxPlans = 4096

// rules are the policy that a ledger enforces, with its plans.
type rules struct {
	policy Policy
	plans  planCache
}

// of returns the plan of a scope, or ErrInvalidScope.
func (r *rules) of(s *Scope) (*plan, error) { return r.plans.of(r.policy.Limits, s) }

// planCache remembers the plans of scopes that have no tags and belong to no child. It is safe for concurrent use; its zero value is empty.
type planCache struct {
	last  atomic.Pointer[plan] // the plan that was used last, because the next call mostly needs the same
	mu    sync.RWMutex
	plans map[[6]string]*plan
}

// of returns the plan of a scope, or ErrInvalidScope, which alive returns, too.
func (c *planCache) of(limits []Limit, s *Scope) (*plan, error) {
	p := c.last.Load()
	// The last plan was made for a scope with the same values, which was validated then.
	if len(s.Tags) == 0 && driver.BranchOf(s) == nil && p != nil && p.of == fieldsOf(s) {
		return p, nil
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if err := branchOf(s).alive(); err != nil { // the child that the calls belong to, or one of its parents, has ended
		return nil, err
	}
	if len(s.Tags) > 0 || driver.BranchOf(s) != nil { // the key of the map, fieldsOf, would not tell them apart
		return newPlan(limits, *s, Match.Selects), nil
	}
	p = c.find(limits, *s)
	c.last.Store(p)
	return p, nil
}

// find returns the plan of a scope without tags from the map, or makes it.
func (c *planCache) find(limits []Limit, s Scope) *plan {
	key := fieldsOf(&s)
	c.mu.RLock()
	p := c.plans[key]
	c.mu.RUnlock()
	if p != nil {
		return p
	}
	p = newPlan(limits, s, Match.Selects)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plans == nil || len(c.plans) >= maxPlans { // the first plan, or too many: begin with an empty map
		c.plans = make(map[[6]string]*plan)
	}
	c.plans[key] = p
	return p
}
