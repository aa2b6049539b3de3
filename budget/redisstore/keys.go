package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// shards is the number of hashes among which entries are divided, by the first byte of their ids. A hash has no order: to read entries in the
// order of their ids, Entries reads whole hashes, and sorts what they hold.
const shards = 256

// keySpace has the names of all keys of one ledger. They have one hash tag, and so are in one slot of a cluster; no user text is in them.
type keySpace struct {
	ledger  string         // a hash: the ledger's head, the sums of all buckets, overrides, latches and names of accounts, rows of usage
	due     string         // a sorted set of what Expire has to look at, by time
	buckets string         // a sorted set that lists the accounts, their buckets, and the rows of usage
	kills   string         // a hash of the kill flags
	changes string         // a hash: the audit trail
	entries [shards]string // hashes from a reservation's id to its entry
	channel string         // for notices that a kill flag or the policy has changed; it is named killed, because at first they were about flags only

	head  [5]any      // the first five names above, which every script gets, as arguments of a command
	shard [shards]any // the names in entries, as arguments of a command
}

// newKeySpace returns the keys of the ledger with a name. They contain 8 bytes of the name's SHA-256 in the place of the name.
func newKeySpace(name string) *keySpace {
	sum := sha256.Sum256([]byte(name))
	tag := "bedrockguard:{" + hex.EncodeToString(sum[:8]) + "}:"
	k := &keySpace{ledger: tag + "ledger", due: tag + "due", buckets: tag + "buckets", kills: tag + "kills", changes: tag + "changes", channel: tag + "killed"}
	for i := range k.entries {
		k.entries[i] = fmt.Sprintf("%se%02x", tag, i)
		// Once here, because each conversion of a text to any costs an allocation.
		k.shard[i] = k.entries[i]
	}
	k.head = [5]any{k.ledger, k.due, k.buckets, k.kills, k.changes}
	return k
}
