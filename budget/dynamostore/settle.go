package dynamostore

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Settle implements budget.Store. If there is no reservation, or it was voided, the amount is posted as an orphan, in the present windows.
func (s *Store) Settle(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	if err := st.Validate(); err != nil {
		return budget.Posting{}, err
	}
	if err := s.fits(len(st.Lines), len(st.Shares)); err != nil {
		return budget.Posting{}, err
	}
	q := &resolving{id: st.ID, owner: st.Owner, lines: st.Lines, reference: []byte(st.Reference)}
	if st.Call != nil {
		q.whose = account.EncodeCall(st.Call, "")
	}
	q.decide = func(e *entry, _ time.Time) (outcome, budget.Posting, error) {
		next := outcome{state: budget.Settled, actual: st.Actual, estimated: st.Estimated, shares: st.Shares}
		switch {
		case e == nil:
			next.orphan = true
			return next, budget.Posting{}, nil
		case e.owner != st.Owner:
			return outcome{}, budget.Posting{}, budget.ErrIDConflict
		case e.state == budget.Settled && e.actual == st.Actual:
			return outcome{}, budget.Posting{Replayed: true, From: budget.Settled}, nil
		case e.state == budget.Settled:
			return outcome{}, budget.Posting{}, budget.ErrResolved
		case e.state == budget.Voided:
			next.orphan = true
		}
		return next, budget.Posting{From: e.state}, nil
	}
	return s.resolve(ctx, "settle", q)
}

// Void implements budget.Store. If there is no reservation, it writes a tombstone, so that a Reserve of the same id that comes late is refused.
func (s *Store) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	_, err := s.resolve(ctx, "void", &resolving{id: id, owner: owner, decide: func(e *entry, _ time.Time) (outcome, budget.Posting, error) {
		switch {
		case e == nil:
			return outcome{state: budget.Voided, tombstone: true}, budget.Posting{}, nil
		case e.owner != owner:
			return outcome{}, budget.Posting{}, budget.ErrIDConflict
		case e.state == budget.Voided:
			return outcome{}, budget.Posting{}, nil
		case e.state != budget.Pending:
			return outcome{}, budget.Posting{}, budget.ErrResolved
		}
		return outcome{state: budget.Voided}, budget.Posting{}, nil
	}})
	return err
}
