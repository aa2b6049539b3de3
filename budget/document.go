package budget

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// MaxPolicyDocument is how long a policy document may be, in bytes.
const MaxPolicyDocument = 128 << 10

// PolicyDocument is a policy as a store keeps it, for all processes that follow it. A store does not read it.
type PolicyDocument struct {
	Text     []byte // empty when none was set, or when it was taken back
	Version  int64  // the revision of the ledger that set it; zero when none was
	At       time.Time
	Operator string
	Reason   string
}

// ValidateDocument reports a document that is too long, as ErrInvalidPolicy. A store calls it first.
func ValidateDocument(document []byte) error {
	if len(document) > MaxPolicyDocument {
		return fmt.Errorf("%w: a document of %d bytes, at most %d", ErrInvalidPolicy, len(document), MaxPolicyDocument)
	}
	return nil
}

// DocumentSum is what a Record keeps of a policy document: its SHA-256, or zero of an empty one.
func DocumentSum(document []byte) (sum [sha256.Size]byte) {
	if len(document) > 0 {
		sum = sha256.Sum256(document)
	}
	return sum
}

// PolicyDocument returns the policy document that the store keeps. Its Version is zero if there was never one.
func (o *Operator) PolicyDocument(ctx context.Context) (PolicyDocument, error) {
	d, err := o.store.Policy(ctx)
	return d, storeError("policy", err)
}

// SetPolicyDocument keeps a policy document in the store if the one there has still the version that the caller read, zero for none;
// else it returns ErrSuperseded, and that one stands. An empty document takes it back.
func (o *Operator) SetPolicyDocument(ctx context.Context, document []byte, version int64, reason string) error {
	if err := ValidateDocument(document); err != nil {
		return err
	}
	c := Change{ID: NewID(), Seen: version, Operator: operatorOf(ctx), Reason: reason}
	if err := c.Validate(); err != nil {
		return err
	}
	return persist(ctx, func() error { return storeError("set policy", o.store.SetPolicy(ctx, document, c)) })
}
