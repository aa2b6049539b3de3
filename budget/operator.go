package budget

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/key"
)

// Operator reads and changes a ledger without knowing the policy, so that it can be used in another process than the one that enforces the
// limits. What needs a limit of the policy, such as Override, is a method of Ledger. It is immutable and safe for concurrent use. Make one
// with Operate.
type Operator struct{ store Store }

// Operate returns an operator over a store, or ErrStore if the store does not answer. The caller has to close the store. If the store has lost
// a part of its ledger, Operate succeeds, so that AcceptLoss can be called.
func Operate(ctx context.Context, store Store) (*Operator, error) {
	if store == nil {
		return nil, fmt.Errorf("%w: no store", ErrInvalidPolicy)
	}
	err := persist(ctx, func() error {
		// Only whether the store answers matters here.
		_, err := store.Revision(ctx)
		return storeError("operate", err)
	})
	if err != nil && !errors.Is(err, ErrLost) {
		return nil, err
	}
	return &Operator{store}, nil
}

// Kill refuses each call whose scope has all the values that s sets, in every process, once it has returned; streams in flight end within
// about a second. An empty scope is an error: see KillAll. Refused callers are shown the reason. Over a lease.Store, Kill holds at once in
// this process, and in others by the EffectiveBy that Kills returns. It returns how many known accounts have these values: none may mean
// that the scope is misspelled, or that no limit is split by it. They are counted after the flag has been set, so with an error the count
// may be missing although the flag holds.
func (o *Operator) Kill(ctx context.Context, s Scope, reason string) (accounts int, err error) {
	return o.KillAs(ctx, Kill{Scope: s, Reason: reason})
}

// KillAll refuses every call, as Kill does those of a scope. Revive of the empty scope removes it.
func (o *Operator) KillAll(ctx context.Context, reason string) (accounts int, err error) {
	return o.kill(ctx, Kill{Reason: reason})
}

// KillAs is like Kill, with all settings of a kill flag, such as an expiry (Until) or patterns (Patterns). At and EffectiveBy are ignored.
// driver.ErrTooManyFlags says that driver.MaxPatterns flags with patterns are set already.
func (o *Operator) KillAs(ctx context.Context, k Kill) (accounts int, err error) {
	if len(k.Scope.Dims()) == 0 {
		return 0, fmt.Errorf("%w: an empty scope would kill everything: that is KillAll", ErrInvalidScope)
	}
	return o.kill(ctx, k)
}

// maxKills is how often a Kill is tried that fails because a Revive of the same flag was made at the same time.
const maxKills = 8

// kill sets a flag. It returns how many of the accounts that the store knows have the flag's values: their calls are refused now.
func (o *Operator) kill(ctx context.Context, k Kill) (accounts int, err error) {
	if err := k.Validate(); err != nil {
		return 0, err
	}
	for range maxKills {
		// change reads the ledger's revision first, and the store refuses the change with ErrSuperseded if the flag was changed after that.
		err = change(ctx, o.store, "kill", k.Reason, func(c driver.Change) error { return o.store.Kill(ctx, k, c) })
		if !errors.Is(err, ErrSuperseded) { // else the flag was changed in between, and the caller wants it set in any case
			break
		}
	}
	if err != nil {
		return 0, err
	}
	return o.countAccounts(ctx, func(a *Account) bool { return k.Holds(a.Scope) }) // judged by the values that the limit is split by
}

// countAccounts returns how many of the known accounts a change touches.
func (o *Operator) countAccounts(ctx context.Context, touches func(*Account) bool) (n int, err error) {
	for a, err := range o.Accounts(ctx, AccountQuery{}) {
		if err != nil {
			return n, fmt.Errorf("the change is made, and its accounts could not be counted: %w", err)
		}
		if touches(&a) {
			n++
		}
	}
	return n, nil
}

// Revive removes the Kill of exactly this scope. Other processes may refuse calls from memory for up to another second. Latches stay closed:
// a Ledger's Revive opens those of its policy. If somebody kills the scope at the same time, that may win: then the error is ErrSuperseded.
func (o *Operator) Revive(ctx context.Context, s Scope) error {
	return o.ReviveFlag(ctx, Flag{Scope: s})
}

// ReviveFlag is like Revive, for a flag that may have patterns. They have to be exactly those that Kills returns.
func (o *Operator) ReviveFlag(ctx context.Context, f Flag) error {
	if err := f.Scope.Validate(); err != nil {
		return err
	}
	return change(ctx, o.store, "revive", "", func(c driver.Change) error { return o.store.Revive(ctx, f, c) })
}

// Correct replaces what was posted for a settled, expired or voided reservation with a figure from an invoice or an
// invocation log, in the window in which it was reserved. It is idempotent. ErrNotFound means that the reservation is
// pending, or forgotten by the store, and ErrSuperseded that somebody else corrected it at the same time.
func (o *Operator) Correct(ctx context.Context, id ID, actual Charge) error {
	if err := actual.Validate(); err != nil {
		return err
	}
	// change gives the correction an id, and repeats it with this id if the store does not answer.
	return change(ctx, o.store, "correct", "", func(c driver.Change) error {
		_, err := o.store.Correct(ctx, driver.Correction{ID: id, Actual: actual, Change: c})
		return err
	})
}

// AcceptLoss declares what remains of a ledger to be complete: steps that were refused with ErrLost are possible again, in every process.
// Spend that was lost from the ledger can be spent once more, so check first what is missing. The reason is kept in the audit trail.
func (o *Operator) AcceptLoss(ctx context.Context, reason string) error {
	// A ledger that has lost a part returns no revision to compare with, and a Seen beyond its revision never conflicts.
	c := driver.Change{ID: driver.NewID(), Seen: math.MaxInt64, Operator: operatorOf(ctx), Reason: reason}
	if err := c.Validate(); err != nil {
		return err
	}
	return persist(ctx, func() error { return storeError("accept loss", o.store.AcceptLoss(ctx, c)) })
}

// Changes yields the changes of the audit trail that come after a revision of the ledger, oldest first, or one error. After 0 come all.
func (o *Operator) Changes(ctx context.Context, after int64) iter.Seq2[driver.Record, error] {
	return pages("changes", func(last *driver.Record) ([]driver.Record, error) {
		if last != nil {
			after = last.Revision
		}
		return o.store.Changes(ctx, after, maxEntries)
	})
}

// Kills returns the flags in force.
func (o *Operator) Kills(ctx context.Context) ([]Kill, error) {
	kills, err := o.store.Kills(ctx)
	return kills, storeError("kills", err)
}

// Signal calls changed soon after a kill flag or the policy document was changed in any process, until ctx ends. With a store that is no
// driver.Signaler it returns at once: ask at intervals then.
func (o *Operator) Signal(ctx context.Context, changed func()) error {
	if s, ok := o.store.(driver.Signaler); ok {
		return s.Signal(ctx, changed)
	}
	return nil
}

// maxEntries is how many items are asked of a store at a time.
const maxEntries = 10_000

// pages yields the items of a store's pages, or one error. Each page is asked for with the last item of the page before.
func pages[T any](op string, page func(last *T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for last := (*T)(nil); ; {
			all, err := page(last)
			if err != nil {
				var none T
				yield(none, storeError(op, err))
				return
			}
			for _, one := range all {
				if !yield(one, nil) {
					return
				}
			}
			if len(all) == 0 { // a page that is only short need not be the last one
				return
			}
			last = &all[len(all)-1]
		}
	}
}

// Entries yields the entries that q selects, in the order of their ids, or one error. A Max of zero means all.
func (o *Operator) Entries(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		rest, limited := q.Max, q.Max > 0 // how many more to yield, if that is limited
		question := q                     // for the next page
		all := pages("entries", func(last *Entry) ([]Entry, error) {
			if last != nil {
				question.After = last.ID
			}
			question.Max = maxEntries
			if limited {
				question.Max = min(rest, maxEntries)
			}
			return o.store.Entries(ctx, question)
		})
		for e, err := range all {
			if !yield(e, err) || err != nil {
				return
			}
			rest--
			if limited && rest == 0 {
				return
			}
		}
	}
}

// AccountQuery selects accounts. The zero value selects all.
type AccountQuery struct {
	Limit string // the limit's name; empty selects any
	Scope Scope  // the account's scope has to have all the values that this sets
	After Key    // only accounts with larger keys, to go on after the last one of an earlier call
}

// Accounts yields the accounts that q selects, in the order of their keys, or one error.
func (o *Operator) Accounts(ctx context.Context, q AccountQuery) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		after := q.After
		all := pages("accounts", func(last *Account) ([]Account, error) {
			if last != nil {
				after = last.Key
			}
			return o.store.Accounts(ctx, after, maxEntries)
		})
		for a, err := range all {
			if err != nil {
				yield(a, err)
				return
			}
			own := strings.HasPrefix(a.Limit, key.Own) // the library's own account, whose sums limit nothing
			if own || q.Limit != "" && a.Limit != q.Limit || !a.Scope.Has(q.Scope) {
				continue
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// Overrides yields the accounts whose Max an override has replaced, in the order of their keys, or one error. An override may have ended.
func (o *Operator) Overrides(ctx context.Context) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		for a, err := range o.Accounts(ctx, AccountQuery{}) {
			if (err != nil || a.Override != nil) && !yield(a, err) {
				return
			}
		}
	}
}

// Periods yields the periods of an account that begin after the given moment, oldest first, or one error.
func (o *Operator) Periods(ctx context.Context, account Key, after time.Time) iter.Seq2[driver.Period, error] {
	return pages("periods", func(last *driver.Period) ([]driver.Period, error) {
		if last != nil {
			after = last.Start
		}
		return o.store.Periods(ctx, account, after, maxEntries)
	})
}
