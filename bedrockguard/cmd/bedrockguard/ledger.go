package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// defaultTimeout bounds the whole of a command that reads or changes a ledger: long enough for a ledger of a million entries.
const defaultTimeout = 2 * time.Minute

// desk has what a command works with: an operator of the ledger that the command line names.
type desk struct {
	*budget.Operator
	store     budget.Store
	who       string                                   // the name of who makes changes
	storeTime func(context.Context) (time.Time, error) // the store's clock; DynamoDB's has a resolution of a second
}

// withLedger runs a command's work on the ledger that the command line names, with a time limit.
func withLedger(work func(ctx context.Context, c *cli.Command, d *desk) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) (err error) {
		ctx, cancel, err := withTimeout(ctx, c)
		if err != nil {
			return err
		}
		defer cancel()
		d, closeStore, err := openDesk(ctx, c)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeStore()) }()
		return work(budget.WithOperator(ctx, d.who), c, d)
	}
}

// withTimeout bounds a context by the command line's timeout.
func withTimeout(ctx context.Context, c *cli.Command) (context.Context, context.CancelFunc, error) {
	timeout := c.Duration("timeout")
	if timeout <= 0 {
		return nil, nil, usageError("--timeout %s: want more than nothing", timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, cancel, nil
}

// openDesk opens the ledger that the command line names.
func openDesk(ctx context.Context, c *cli.Command) (*desk, func() error, error) {
	o, err := openToSteer(ctx, c.String("store"))
	if err != nil {
		return nil, nil, err
	}
	operator, err := budget.Operate(ctx, o.store)
	if err != nil {
		return nil, nil, errors.Join(err, o.close())
	}
	return &desk{operator, o.store, operatorName(c), o.clock}, o.close, nil
}

// operatorName returns who makes a change, for the audit trail.
func operatorName(c *cli.Command) string {
	if name := c.String("as"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// policyFlag names a file with the policy, for users whose processes have it in code.
func policyFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "policy", Sources: cli.EnvVars("BEDROCKGUARD_POLICY"), TakesFile: true, HideDefault: true,
		Usage: "a file with the policy; the one that the store holds unless set",
	}
}

// policy returns the policy of the command line, or else the one in the store. If there is none it returns a policy without limits.
func (d *desk) policy(ctx context.Context, c *cli.Command) (budget.Policy, error) {
	if file := c.String("policy"); file != "" {
		return readPolicyFile(file)
	}
	document, err := d.PolicyDocument(ctx)
	if err != nil || len(document.Text) == 0 {
		return budget.Policy{}, err
	}
	p, err := budget.ReadPolicy(bytes.NewReader(document.Text))
	if err != nil {
		return p, fmt.Errorf("version %d of the policy that the store holds: %w", document.Version, err)
	}
	return p, nil
}

func readPolicyFile(file string) (budget.Policy, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return budget.Policy{}, err
	}
	return budget.ReadPolicy(bytes.NewReader(raw))
}

// change makes a change that only the store itself offers.
func (d *desk) change(ctx context.Context, reason string, step func(driver.Change) error) error {
	seen, err := d.store.Revision(ctx)
	if err != nil {
		return err
	}
	return step(driver.Change{ID: driver.NewID(), Seen: seen, Operator: d.who, Reason: reason})
}
