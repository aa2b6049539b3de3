package bedrockguard_test

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// failingStore fails the steps that it has an error for.
type failingStore struct {
	budget.Store
	reserve, settle, balances error
}

func (s *failingStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if s.reserve != nil {
		return driver.Decision{}, s.reserve
	}
	return s.Store.Reserve(ctx, r)
}

func (s *failingStore) Settle(ctx context.Context, p driver.Settlement) (driver.Posting, error) {
	if s.settle != nil {
		return driver.Posting{}, s.settle
	}
	return s.Store.Settle(ctx, p)
}

func (s *failingStore) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	if s.balances != nil {
		return nil, s.balances
	}
	return s.Store.Balances(ctx, lines)
}
