// Package commandline reads what several commands are given: the ledger, a scope, a policy, an amount, a moment, a reason.
package commandline

import (
	"context"
	"errors"
	"os/user"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// DefaultTimeout bounds the whole of a command that reads or changes a ledger: long enough for a ledger of a million entries.
const DefaultTimeout = 2 * time.Minute

// Desk is what a command works with: the ledger that the command line names, opened for reading and changing it without its policy (Operator),
// and the store under it.
type Desk struct {
	*budget.Operator
	Store     budget.Store
	Who       string                                   // the name of who makes changes
	StoreTime func(context.Context) (time.Time, error) // the store's clock; DynamoDB's has a resolution of a second
}

// WithLedger runs a command's work on the ledger that the command line names, with a time limit.
func WithLedger(work func(ctx context.Context, c *cli.Command, d *Desk) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) (err error) {
		ctx, cancel, err := WithTimeout(ctx, c)
		if err != nil {
			return err
		}
		defer cancel()
		d, closeStore, err := OpenDesk(ctx, c)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeStore()) }()
		// The audit trail takes from this context who made a change.
		return work(budget.WithOperator(ctx, d.Who), c, d)
	}
}

// WithTimeout bounds a context by the command line's timeout.
func WithTimeout(ctx context.Context, c *cli.Command) (context.Context, context.CancelFunc, error) {
	timeout := c.Duration("timeout")
	if timeout <= 0 {
		return nil, nil, exit.UsageError("--timeout %s: want more than nothing", timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, cancel, nil
}

// OpenDesk opens the ledger that the command line names. The returned function closes its store.
func OpenDesk(ctx context.Context, c *cli.Command) (*Desk, func() error, error) {
	o, err := storeurl.OpenToSteer(ctx, c.String("store"))
	if err != nil {
		return nil, nil, err
	}
	operator, err := budget.Operate(ctx, o.Store)
	if err != nil {
		return nil, nil, errors.Join(err, o.Close())
	}
	return &Desk{operator, o.Store, operatorName(c), o.Clock}, o.Close, nil
}

// operatorName returns who makes a change, for the audit trail: --as, or else the user of this process.
func operatorName(c *cli.Command) string {
	if name := c.String("as"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// Change makes a change that only the store itself offers: step makes it, with what the audit trail keeps of it. Seen is the ledger's revision when
// the change is decided on.
func (d *Desk) Change(ctx context.Context, reason string, step func(driver.Change) error) error {
	seen, err := d.Store.Revision(ctx)
	if err != nil {
		return err
	}
	return step(driver.Change{ID: driver.NewID(), Seen: seen, Operator: d.Who, Reason: reason})
}

// maxUnits is how many entries are read to find the units of accounts.
const maxUnits = 20_000

// Units returns in which unit each account counts (USD, calls, tokens). Without a policy only entries show that, so an account is missing if none of
// the entries that are read was booked there.
func (d *Desk) Units(ctx context.Context) (map[budget.Key]budget.Unit, error) {
	units := make(map[budget.Key]budget.Unit)
	for e, err := range d.Entries(ctx, budget.Query{Max: maxUnits}) {
		if err != nil {
			return nil, err
		}
		for _, b := range e.Lines {
			units[b.Account] = b.Unit
		}
	}
	return units, nil
}
