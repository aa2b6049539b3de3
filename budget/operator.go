package budget

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Operator looks at a ledger and steers it without knowing the policy: it works where the process that enforces the limits does
// not run. What needs a limit by its name, such as Override, is a Ledger's. It is immutable and safe for concurrent use. Make one
// with Operate.
type Operator struct{ store Store }

// Operate returns an operator over a store that answers, or ErrStore. The store stays the caller's to close. It may have lost a
// part of its ledger: then AcceptLoss is what there is to do.
func Operate(ctx context.Context, store Store) (*Operator, error) {
	if store == nil {
		return nil, fmt.Errorf("%w: no store", ErrInvalidPolicy)
	}
	err := persist(ctx, func() error {
		_, err := store.Revision(ctx)
		return storeError("operate", err)
	})
	if err != nil && !errors.Is(err, ErrLost) {
		return nil, err
	}
	return &Operator{store}, nil
}

// Kill refuses, from its return on and in every process, each call whose scope has all the values that s sets; streams in
// flight end within about a second. An empty scope is refused: see KillAll. The reason is shown to those who are refused. Over a
// LeasedStore it refuses at once in this process, and in the others by the EffectiveBy that Kills tells.
func (o *Operator) Kill(ctx context.Context, s Scope, reason string) error {
	if len(s.Dims()) == 0 {
		return fmt.Errorf("%w: an empty scope would kill everything: that is KillAll", ErrInvalidScope)
	}
	return o.kill(ctx, s, reason)
}

// KillAll refuses every call there is, as Kill does those of a scope. Revive of the empty scope takes it back.
func (o *Operator) KillAll(ctx context.Context, reason string) error {
	return o.kill(ctx, Scope{}, reason)
}

// maxKills is how often a Kill that meets a Revive made at the same time is made anew.
const maxKills = 8

func (o *Operator) kill(ctx context.Context, s Scope, reason string) (err error) {
	if err := s.Validate(); err != nil {
		return err
	}
	if len(reason) > MaxScopeValue {
		return fmt.Errorf("%w: a reason of %d bytes, at most %d", ErrInvalidScope, len(reason), MaxScopeValue)
	}
	for range maxKills {
		err = change(ctx, o.store, "kill", reason, func(c Change) error {
			return o.store.Kill(ctx, Kill{Scope: s, Reason: reason}, c)
		})
		if !errors.Is(err, ErrSuperseded) { // else the flag of this scope was changed since we looked: whoever kills means it
			break
		}
	}
	return err
}

// Revive takes back the Kill of exactly this scope. Other processes may go on refusing from memory for up to a second. Latches
// stay closed: a Ledger's Revive opens those of its policy. A Kill that is made at the same time may win: ErrSuperseded says so.
func (o *Operator) Revive(ctx context.Context, s Scope) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return change(ctx, o.store, "revive", "", func(c Change) error { return o.store.Revive(ctx, s, c) })
}

// Correct replaces what was posted for a settled, expired or voided reservation with a figure from an invoice or an
// invocation log, in the window in which it was reserved. It is idempotent. ErrNotFound means that the reservation is
// pending, or forgotten by the store, and ErrSuperseded that somebody else corrected it at the same time.
func (o *Operator) Correct(ctx context.Context, id ID, actual Charge) error {
	if err := actual.Validate(); err != nil {
		return err
	}
	return change(ctx, o.store, "correct", "", func(c Change) error {
		_, err := o.store.Correct(ctx, id, actual, c)
		return err
	})
}

// AcceptLoss takes what is left of a ledger for the truth: steps that were refused with ErrLost are made again, in every process.
// What was spent and is no longer known can be spent once more, so look first. The reason is kept in the audit trail.
func (o *Operator) AcceptLoss(ctx context.Context, reason string) error {
	operator, _ := ctx.Value(operatorKey{}).(string)
	c := Change{ID: NewID(), Seen: math.MaxInt64, Operator: operator, Reason: reason} // a ledger that lost a part tells no revision
	if err := c.Validate(); err != nil {
		return err
	}
	return persist(ctx, func() error { return storeError("accept loss", o.store.AcceptLoss(ctx, c)) })
}

// Changes returns the audit trail, oldest first: up to 10,000 rows after a revision of the ledger. Begin with 0, and go on
// with the Revision of the last row until there is none.
func (o *Operator) Changes(ctx context.Context, after int64) ([]Record, error) {
	records, err := o.store.Changes(ctx, after, maxEntries)
	return records, storeError("changes", err)
}

// Kills returns the flags in force.
func (o *Operator) Kills(ctx context.Context) ([]Kill, error) {
	kills, err := o.store.Kills(ctx)
	return kills, storeError("kills", err)
}

// SignalKills calls changed soon after a kill flag was set or removed in any process, until ctx ends. With a store that is no
// KillSignaler it returns at once: ask Kills at intervals then.
func (o *Operator) SignalKills(ctx context.Context, changed func()) error {
	if s, ok := o.store.(KillSignaler); ok {
		return s.SignalKills(ctx, changed)
	}
	return nil
}

// maxEntries is how many entries one question returns where it does not say.
const maxEntries = 10_000

// Entries returns what the store remembers of the reservations that q selects, in the order of their ids. A Max of zero stands for
// 10,000, the most that one question returns.
func (o *Operator) Entries(ctx context.Context, q Query) ([]Entry, error) {
	q.Max = cmp.Or(q.Max, maxEntries)
	entries, err := o.store.Entries(ctx, q)
	return entries, storeError("entries", err)
}

// Accounts returns up to 10,000 accounts after one, in the order of their keys. Begin with the zero Key, and go on with the last one
// until there is none.
func (o *Operator) Accounts(ctx context.Context, after Key) ([]Account, error) {
	for {
		accounts, err := o.store.Accounts(ctx, after, maxEntries)
		if err != nil || len(accounts) == 0 {
			return accounts, storeError("accounts", err)
		}
		after = accounts[len(accounts)-1].Key
		accounts = slices.DeleteFunc(accounts, func(a Account) bool { return strings.HasPrefix(a.Limit, ownName) })
		if len(accounts) > 0 {
			return accounts, nil
		}
	}
}

// Periods returns up to 10,000 periods of an account that begin after a moment, oldest first.
func (o *Operator) Periods(ctx context.Context, account Key, after time.Time) ([]Period, error) {
	periods, err := o.store.Periods(ctx, account, after, maxEntries)
	return periods, storeError("periods", err)
}
