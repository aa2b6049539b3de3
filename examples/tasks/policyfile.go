package main

import (
	"bytes"
	"context"
	"os"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// publish puts a policy file into the store, unless something is wrong with it. Every process that follows the store enforces it within two seconds.
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
	before, err := operator.PolicyDocument(ctx)
	if err != nil {
		return err
	}
	return operator.SetPolicyDocument(ctx, text, before.Version, reason)
}

// follow opens a ledger that enforces what the store holds, from now on until ctx ends. Then, or when a policy can't be enforced, it tells why.
func follow(ctx context.Context, store budget.Store) (*budget.Ledger, <-chan error, error) {
	ledger, err := budget.Open(ctx, store, budget.Policy{})
	if err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- ledger.FollowPolicy(ctx) }()
	return ledger, ended, nil
}
