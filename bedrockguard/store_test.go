package bedrockguard_test

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// failingStore fails the steps that it has an error for.
type failingStore struct {
	budget.Store
	reserve, settle, balances error
}

func (s *failingStore) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	if s.reserve != nil {
		return budget.Decision{}, s.reserve
	}
	return s.Store.Reserve(ctx, r)
}

func (s *failingStore) Settle(ctx context.Context, p budget.Settlement) (budget.Posting, error) {
	if s.settle != nil {
		return budget.Posting{}, s.settle
	}
	return s.Store.Settle(ctx, p)
}

func (s *failingStore) Balances(ctx context.Context, lines []budget.Line) ([]budget.Balance, error) {
	if s.balances != nil {
		return nil, s.balances
	}
	return s.Store.Balances(ctx, lines)
}
