package dynamostore

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Settle implements driver.Store. If there is no reservation, or it was voided, the amount is posted as an orphan, in the present windows.
func (s *Store) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	if err := st.Validate(); err != nil {
		return driver.Posting{}, err
	}
	if err := s.fits(len(st.Lines), len(st.Shares)); err != nil {
		return driver.Posting{}, err
	}
	q := &resolving{id: st.ID, owner: st.Owner, lines: st.Lines, reference: []byte(st.Reference)}
	if st.Call != nil { // the last argument is the provider's id of the request, for which an entry has an attribute of its own
		q.call = account.EncodeCall(st.Call, "")
	}
	// A zero outcome changes nothing: the step only answers.
	q.decide = func(e *entry, _ time.Time) (outcome, driver.Posting, error) {
		next := outcome{state: driver.Settled, actual: st.Actual, estimated: st.Estimated, shares: st.Shares}
		switch {
		case e == nil:
			next.orphan = true
			return next, driver.Posting{}, nil
		case e.owner != st.Owner:
			return outcome{}, driver.Posting{}, driver.ErrIDConflict
		case e.state == driver.Settled && e.actual == st.Actual:
			return outcome{}, driver.Posting{Replayed: true, From: driver.Settled}, nil
		case e.state == driver.Settled:
			return outcome{}, driver.Posting{}, driver.ErrResolved
		case e.state == driver.Voided:
			next.orphan = true
		}
		// It is pending or voided; or expired, where the actual cost takes the place of the worst case that was charged.
		return next, driver.Posting{From: e.state}, nil
	}
	return s.resolve(ctx, "settle", q)
}

// Void implements driver.Store. If there is no reservation, it writes a tombstone, so that a Reserve of the same id that comes late is refused.
func (s *Store) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	_, err := s.resolve(ctx, "void", &resolving{id: id, owner: owner, decide: func(e *entry, _ time.Time) (outcome, driver.Posting, error) {
		switch {
		case e == nil:
			return outcome{state: driver.Voided, tombstone: true}, driver.Posting{}, nil
		case e.owner != owner:
			return outcome{}, driver.Posting{}, driver.ErrIDConflict
		case e.state == driver.Voided:
			return outcome{}, driver.Posting{}, nil
		case e.state != driver.Pending:
			return outcome{}, driver.Posting{}, driver.ErrResolved
		}
		return outcome{state: driver.Voided}, driver.Posting{}, nil
	}})
	return err
}
