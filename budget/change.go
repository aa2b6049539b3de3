package budget

import (
	"cmp"
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// operatorKey is the key under which a context carries the name of an operator.
type operatorKey struct{}

// WithOperator returns a context for changes that are made in the name of an operator: a person or a program that manages budgets. The audit
// trail shows it.
func WithOperator(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, operatorKey{}, name)
}

// operatorOf returns the name that WithOperator has put into a context; empty if there is none.
func operatorOf(ctx context.Context) string {
	operator, _ := ctx.Value(operatorKey{}).(string)
	return operator
}

// reasonKey is the key under which a context carries the reason of a change.
type reasonKey struct{}

// WithReason returns a context for changes that have no reason parameter, such as Revive, Override and Correct. The audit trail shows the
// reason.
func WithReason(ctx context.Context, reason string) context.Context {
	return context.WithValue(ctx, reasonKey{}, reason)
}

// reasonOf returns the reason that WithReason has put into a context; empty if there is none.
func reasonOf(ctx context.Context) string {
	reason, _ := ctx.Value(reasonKey{}).(string)
	return reason
}

// newChange begins a change. It reads the revision of the ledger (how many changes it has had) into Seen: a store refuses a change with
// ErrSuperseded if the same thing was changed after that revision, so that a change which arrives late undoes nothing.
func newChange(ctx context.Context, store Store, reason string) (driver.Change, error) {
	c := driver.Change{ID: driver.NewID(), Operator: operatorOf(ctx), Reason: cmp.Or(reason, reasonOf(ctx))}
	if err := c.Validate(); err != nil {
		return driver.Change{}, err
	}
	err := persist(ctx, func() (err error) { // persist repeats a step while the store does not answer
		c.Seen, err = store.Revision(ctx)
		return storeError("revision", err)
	})
	return c, err
}

// change makes one change: it calls step with the Change to hand to the store. If the store does not answer, step is repeated with the same
// Change, whose id tells the store that it is a repeat. op names the step in errors.
func change(ctx context.Context, store Store, op, reason string, step func(driver.Change) error) error {
	c, err := newChange(ctx, store, reason)
	if err != nil {
		return err
	}
	return persist(ctx, func() error { return storeError(op, step(c)) })
}
