package main

import (
	"bytes"
	"context"
	"os"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// publish stores a policy file in the store, unless there is a mistake in it. Every process that follows the store enforces it within two
// seconds.
func publish(ctx context.Context, store budget.Store, file, reason string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err = budget.ReadPolicy(bytes.NewReader(text)); err != nil {
		return err // all that is wrong, with line and column
	}
	operator, err := budget.Operate(ctx, store)
	if err != nil {
		return err
	}
	// The version that is replaced: if somebody has set another one meanwhile, SetPolicyDocument fails.
	before, err := operator.PolicyDocument(ctx)
	if err != nil {
		return err
	}
	return operator.SetPolicyDocument(ctx, text, before.Version, reason)
}

// follow opens a ledger that enforces the policy in the store, and each new version of it, until ctx ends. Then the channel
// gets nil. If a version can't be enforced, it gets the error, and the version before stays in force.
func follow(ctx context.Context, store budget.Store) (*budget.Ledger, <-chan error, error) {
	// The ledger begins without limits; FollowPolicy brings those of the store.
	ledger, err := budget.Open(ctx, store, budget.Policy{})
	if err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- ledger.FollowPolicy(ctx) }()
	return ledger, ended, nil
}
