package memstore

import (
	"bytes"
	"cmp"
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// SetPolicy implements budget.Store.
func (s *Store) SetPolicy(ctx context.Context, document []byte, c budget.Change) error {
	if err := cmp.Or(budget.ValidateDocument(document), c.Validate()); err != nil {
		return err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if fresh, err := s.changes.make(budget.Record{Change: c, Kind: budget.ChangePolicy, Policy: budget.DocumentSum(document)}, now); !fresh {
		return err
	}
	s.policy = budget.PolicyDocument{
		Text: bytes.Clone(document), Version: int64(len(s.changes.records)), At: time.Unix(0, now), Operator: c.Operator, Reason: c.Reason,
	}
	return nil
}

// Policy implements budget.Store.
func (s *Store) Policy(ctx context.Context) (budget.PolicyDocument, error) {
	if _, err := s.lock(ctx); err != nil {
		return budget.PolicyDocument{}, err
	}
	defer s.mu.Unlock()
	own := s.policy
	own.Text = bytes.Clone(own.Text)
	return own, nil
}
