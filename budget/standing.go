package budget

import (
	"context"
	"iter"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Standing is the balance of one account that the store knows.
type Standing struct {
	Account Account
	Balance AccountBalance
}

// standingBatch is how many accounts are read in one step.
const standingBatch = 500

// Standing yields the balance of each known account of a policy's limits that q selects, in the order of the accounts' keys, or one error.
// It leaves out accounts of limits that the policy does not have, or has with another unit, window or split. It changes nothing: an expired
// reservation counts as pending until a Ledger charges it.
func (o *Operator) Standing(ctx context.Context, p Policy, q AccountQuery) iter.Seq2[Standing, error] {
	return func(yield func(Standing, error) bool) {
		var accounts []Account  // those that the store has not been asked about yet
		var lines []driver.Line // for each of these, the line by which the store is asked
		for a, err := range o.Accounts(ctx, q) {
			if err != nil {
				yield(Standing{}, err)
				return
			}
			line, known := p.lineOf(&a)
			if !known {
				continue
			}
			accounts, lines = append(accounts, a), append(lines, line)
			if len(lines) < standingBatch {
				continue
			}
			if !o.yieldStandings(ctx, accounts, lines, yield) {
				return
			}
			accounts, lines = nil, nil
		}
		if len(lines) > 0 {
			o.yieldStandings(ctx, accounts, lines, yield)
		}
	}
}

// yieldStandings reads the balances of accounts by their lines, and yields their standings. It returns false if the caller wants no more, or after an
// error.
func (o *Operator) yieldStandings(ctx context.Context, accounts []Account, lines []driver.Line, yield func(Standing, error) bool) bool {
	balances, err := o.store.Balances(ctx, lines)
	if err != nil {
		yield(Standing{}, storeError("standing", err))
		return false
	}
	for i, b := range balances {
		if !yield(standing(accounts[i], &lines[i], &b), nil) {
			return false
		}
	}
	return true
}

// standing returns the Standing of an account, from the balance that the store has returned for it.
func standing(a Account, line *driver.Line, b *driver.Balance) Standing {
	in := func(n int64) Quantity { return Quantity{N: n, Unit: line.Unit} }
	return Standing{a, AccountBalance{
		Limit: a.Limit, Scope: a.Scope, Max: in(b.Max), Settled: in(b.Settled), Pending: in(b.Pending), ResetAfter: b.ResetAfter,
		Latched: b.Latched, Observe: line.Observe,
	}}
}

// lineOf returns the line by which calls count in an account under the policy. There is none if no limit has the account's name, or if the
// account's key shows that it was made for another unit, window or split. The line has no thresholds, because it only serves to read a balance.
func (p *Policy) lineOf(a *Account) (driver.Line, bool) {
	for i := range p.Limits {
		l := &p.Limits[i]
		if l.Name != a.Limit {
			continue
		}
		of, keys := l.accounts(a.Scope)
		if !slices.Contains(keys, a.Key) {
			return driver.Line{}, false
		}
		return driver.Line{Account: a.Key, Limit: l.Name, Scope: of, Unit: l.Max.Unit, Window: l.Window, Max: l.maxFor(of), Latch: l.Latch, Observe: l.Observe}, true
	}
	return driver.Line{}, false
}
