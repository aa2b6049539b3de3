package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// shards is how many hashes the entries are spread over, by the first byte of their ids, so that they can be read in the
// order of their ids, a part at a time.
const shards = 256

// keySpace holds the names of all keys of one ledger. They share one hash tag, and so one slot of a cluster; nothing in them
// is user text.
type keySpace struct {
	ledger, due, buckets, kills, changes string
	entries                              [shards]string
	channel                              string // told when a kill flag changes

	head  [5]any // the keys that every script is handed, as arguments
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
