package memstore

import (
	"bytes"
	"cmp"
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// SetPolicy implements driver.Store.
func (s *Store) SetPolicy(ctx context.Context, document []byte, c driver.Change) error {
	if err := cmp.Or(driver.ValidateDocument(document), c.Validate()); err != nil {
		return err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	// make puts a new change into the audit trail. One that is not new is a repeat, with a nil err, or superseded.
	if isNew, err := s.changes.make(driver.Record{Change: c, Kind: driver.ChangePolicy, Policy: driver.DocumentSum(document)}, now); !isNew {
		return err
	}
	// The version is the revision that the change has made, which is the number of records with it.
	s.policy = driver.PolicyDocument{
		Text: bytes.Clone(document), Version: int64(len(s.changes.records)), At: time.Unix(0, now), Operator: c.Operator, Reason: c.Reason,
	}
	return nil
}

// Policy implements driver.Store.
func (s *Store) Policy(ctx context.Context) (driver.PolicyDocument, error) {
	if _, err := s.lock(ctx); err != nil {
		return driver.PolicyDocument{}, err
	}
	defer s.mu.Unlock()
	own := s.policy
	own.Text = bytes.Clone(own.Text)
	return own, nil
}
