package bedrockguard_test

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// failingStore fails the steps that it has an error for.
type failingStore struct {
	budget.Store
	reserve, settle error
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
