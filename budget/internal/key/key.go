// Package key makes the keys of what a ledger stores: hashes, so that no user text is in a store's keys.
package key

import (
	"crypto/sha256"
	"encoding/binary"
)

// Own is the prefix of the names of accounts that this library uses itself. No limit of a policy may have such a name, and an operator is not shown
// these accounts, because their sums limit nothing.
const Own = "\x00"

// Of returns the first half of a SHA-256 over the parts, each after its length, so that different lists of parts have different keys.
func Of(parts ...string) [16]byte {
	var stack [256]byte
	text := stack[:0]
	for _, part := range parts {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16])
}
