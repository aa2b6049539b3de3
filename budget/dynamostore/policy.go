package dynamostore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The attributes of the policy document's item.
const (
	attrDocument = "pd"
	attrOperator = "po"
)

// policyKey returns the key of the policy document's item.
func policyKey() itemKey { return itemKey{"policy", "policy"} }

// SetPolicy implements driver.Store. The policy's version is the revision of the change. One transaction writes the document and the audit trail; it
// requires the revision that was read, and the table's epoch, the random name of the ledger.
func (s *Store) SetPolicy(ctx context.Context, document []byte, c driver.Change) error {
	if err := cmp.Or(driver.ValidateDocument(document), c.Validate()); err != nil {
		return err
	}
	r := driver.Record{Change: c, Kind: driver.ChangePolicy, Policy: driver.DocumentSum(document)}
	return s.do(ctx, "set policy", func(ctx context.Context, t *step) error {
		unlock, err := s.changeLock.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		change, err := s.readChange(ctx, t, r)
		if err != nil {
			return err
		}
		if !change.fresh[0] { // an earlier attempt made it, or somebody has set another policy since the caller looked
			_, err := s.readGate(ctx) // only to find out whether this is still the ledger
			return errors.Join(err, change.superseded())
		}
		now, err := s.clock.now()
		if err != nil {
			return err
		}
		actions, err := s.recordChange(change, now)
		if err != nil {
			return err
		}
		whole := policyItem(document, c, change.revision+1, now) // the one record of this change gets the revision after the one that was read
		// The document is written without a condition: the one of actions, that the ledger's revision is as it was read, stands for it.
		return s.write(ctx, append(actions, s.checkEpoch(driver.ID{}), s.put(whole, &expression{})))
	})
}

// policyItem returns the item of a policy document that a change has set, with the revision of that. The copy of the document is not nil, even if the
// document is empty.
func policyItem(document []byte, c driver.Change, revision int64, now time.Time) item {
	return policyKey().with(item{
		attrRevision: number(revision), attrMadeAt: number(now.UnixNano()), attrDocument: blob(append([]byte{}, document...)),
		attrOperator: blob([]byte(c.Operator)), attrReason: blob([]byte(c.Reason)),
	})
}

// Policy implements driver.Store. Without a policy it returns the zero value.
func (s *Store) Policy(ctx context.Context) (d driver.PolicyDocument, err error) {
	err = s.do(ctx, "policy", func(ctx context.Context, _ *step) error {
		d = driver.PolicyDocument{}
		items, err := s.snapshot(ctx, []itemKey{gateKey(0), policyKey()})
		if err != nil {
			return err
		}
		if _, err := s.gate(items[0]); err != nil || len(items[1]) == 0 { // the gate is of another ledger, or there is no policy
			return err
		}
		r := reader{item: items[1]}
		d = driver.PolicyDocument{
			Text: r.blob(attrDocument, -1), Version: r.required(attrRevision), At: time.Unix(0, r.required(attrMadeAt)),
			Operator: string(r.blob(attrOperator, -1)), Reason: string(r.blob(attrReason, -1)),
		}
		return r.err
	})
	return d, err
}
