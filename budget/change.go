package budget

import (
	"cmp"
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

type operatorKey struct{}

// WithOperator returns a context for changes that are made in the name of an operator: a person or a program that manages budgets. The audit
// trail shows it.
func WithOperator(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, operatorKey{}, name)
}

func operatorOf(ctx context.Context) string {
	operator, _ := ctx.Value(operatorKey{}).(string)
	return operator
}

type reasonKey struct{}

// WithReason returns a context for changes that have no reason parameter, such as Revive, Override and Correct. The audit trail shows the
// reason.
func WithReason(ctx context.Context, reason string) context.Context {
	return context.WithValue(ctx, reasonKey{}, reason)
}

func reasonOf(ctx context.Context) string {
	reason, _ := ctx.Value(reasonKey{}).(string)
	return reason
}

// newChange begins a change. It reads the revision first, so that the change undoes nothing that was changed later, even if it arrives late.
func newChange(ctx context.Context, store Store, reason string) (driver.Change, error) {
	c := driver.Change{ID: driver.NewID(), Operator: operatorOf(ctx), Reason: cmp.Or(reason, reasonOf(ctx))}
	if err := c.Validate(); err != nil {
		return driver.Change{}, err
	}
	err := persist(ctx, func() (err error) {
		c.Seen, err = store.Revision(ctx)
		return storeError("revision", err)
	})
	return c, err
}

// change makes a change by a step, which is repeated under the same id while the store does not answer.
func change(ctx context.Context, store Store, op, reason string, step func(driver.Change) error) error {
	c, err := newChange(ctx, store, reason)
	if err != nil {
		return err
	}
	return persist(ctx, func() error { return storeError(op, step(c)) })
}
