package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// shards is the number of hashes among which entries are divided, by the first byte of their ids, so that they can be read in the order of
// their ids in parts.
const shards = 256

// keySpace has the names of all keys of one ledger. They have one hash tag, and so are in one slot of a cluster; no user text is in them.
type keySpace struct {
	ledger, due, buckets, kills, changes string
	entries                              [shards]string
	channel                              string // for notices that a kill flag has changed

	head  [5]any // the keys that every script gets, as arguments
	shard [shards]any
}

func newKeySpace(name string) *keySpace {
	sum := sha256.Sum256([]byte(name))
	tag := "bedrockguard:{" + hex.EncodeToString(sum[:8]) + "}:"
	k := &keySpace{ledger: tag + "ledger", due: tag + "due", buckets: tag + "buckets", kills: tag + "kills", changes: tag + "changes", channel: tag + "killed"}
	for i := range k.entries {
		k.entries[i] = fmt.Sprintf("%se%02x", tag, i)
		k.shard[i] = k.entries[i]
	}
	k.head = [5]any{k.ledger, k.due, k.buckets, k.kills, k.changes}
	return k
}
