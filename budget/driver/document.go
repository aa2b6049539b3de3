package driver

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// MaxPolicyDocument is how long a policy document may be, in bytes.
const MaxPolicyDocument = 128 << 10

// PolicyDocument is a policy as a store keeps it, for all processes that follow it. The store does not parse it.
type PolicyDocument struct {
	Text     []byte // empty if none was ever set, or if it was removed
	Version  int64  // the revision of the ledger that set it; zero if none was set
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

// DocumentSum returns what a Record keeps of a policy document: its SHA-256, or zeros for an empty one.
func DocumentSum(document []byte) (sum [sha256.Size]byte) {
	if len(document) > 0 {
		sum = sha256.Sum256(document)
	}
	return sum
}
