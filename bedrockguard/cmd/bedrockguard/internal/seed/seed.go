// Package seed makes calls on ledgers for tests.
package seed

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Call is a call to be made.
type Call struct {
	Scope       budget.Scope
	USD         float64   // what it costs
	worst       float64   // what is reserved for it, if that is more than USD
	End         string    // how it ends: pending, estimated, voided or expired; settled if it is empty
	Reference   string    // AWS's request id
	At          time.Time // when it is made
	wantRefused bool      // Make fails if the ledger admits the call
}

// Parse reads a call such as workflow=nightly,tag:team=research,usd=2.5. Its figures are usd and worst; pending, estimated, voided and expired are
// ends of calls; ref is AWS's request id, at is the time at which the call is made, and refused says that the ledger has to refuse it.
func Parse(text string) (c Call, err error) {
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "principal":
			c.Scope.Principal = value
		case "workflow":
			c.Scope.Workflow = value
		case "model":
			c.Scope.Model = value
		case "region":
			c.Scope.Region = value
		case "usd":
			c.USD, err = strconv.ParseFloat(value, 64)
		case "worst":
			c.worst, err = strconv.ParseFloat(value, 64)
		case "ref":
			c.Reference = value
		case "at":
			c.At, err = time.Parse(time.RFC3339, value)
		case "pending", "estimated", "voided", "expired":
			c.End = name
		case "refused":
			c.wantRefused = true
		default:
			tag, ok := strings.CutPrefix(name, "tag:")
			if !ok {
				return c, fmt.Errorf("%q is no part of a call", part)
			}
			if c.Scope.Tags == nil {
				c.Scope.Tags = make(map[string]string)
			}
			c.Scope.Tags[tag] = value
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// Make makes the call on a ledger: it reserves the worst case, and ends the call as End says. A call that expires is left pending, like one in
// flight, until its TTL is over.
func (c *Call) Make(ctx context.Context, ledger *budget.Ledger) error {
	r, err := ledger.Reserve(ctx, budget.Request{Scope: c.Scope, Operation: "Converse", Worst: chargeOf(max(c.USD, c.worst)), TTL: 10 * time.Minute})
	refused := errors.Is(err, budget.ErrExceeded) || errors.Is(err, budget.ErrKilled)
	if refused && c.wantRefused {
		return nil
	}
	if err != nil {
		return err
	}
	if c.wantRefused {
		return errors.New("it was admitted")
	}
	switch c.End {
	case "pending", "expired":
		return nil
	case "voided":
		return ledger.Void(ctx, r)
	}
	// An estimated call is settled with its cost, and marked as charged by an estimate.
	_, err = ledger.SettleAs(ctx, r, chargeOf(c.USD), c.End == "estimated", c.Reference)
	return err
}

// chargeOf returns the charge of one call that costs as many dollars. Each has the same tokens.
func chargeOf(dollars float64) budget.Charge {
	return budget.Charge{
		budget.UnitUSD: budget.USD(dollars).N, budget.UnitCalls: 1, budget.UnitInputTokens: 1000, budget.UnitUncachedInputTokens: 400,
		budget.UnitCacheReadInputTokens: 500, budget.UnitCacheWriteInputTokens: 100, budget.UnitOutputTokens: 50,
	}
}
