package dynamostore

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strconv"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The table's key, and the attribute by which DynamoDB deletes what is past the retention.
const (
	partitionKey = "pk"
	sortKey      = "sk"
	ttlAttribute = "ttl"
)

// How many partitions each kind of item is spread over: a partition takes about 1,000 write units a second, and a
// transaction needs two for each of its items.
//
// A gate is an item that names the ledger and the kill flags that are in force; all gates are the same. An entry is what is stored of a
// reservation; a due item says when a pending one expires.
const (
	gateCount   = 64 // each Reserve checks one; two that check the same gate at the same time are in conflict
	entryShards = 16 // by the first digit of the id, so that ids come in order
	dueShards   = 16
)

// killPartition is the partition of all kill flags, so that one query reads them.
const killPartition = "kill"

// itemKey names an item. No text of a user is ever part of it: scope values are hashed before they come here, or kept as values.
type itemKey struct{ partition, sort string }

// attributes returns the key as DynamoDB wants it.
func (k itemKey) attributes() item {
	return item{partitionKey: text(k.partition), sortKey: text(k.sort)}
}

// with returns more, to which it adds the key's attributes: a whole item.
func (k itemKey) with(more item) item {
	more[partitionKey], more[sortKey] = text(k.partition), text(k.sort)
	return more
}

// gateKey returns the key of the gate with a number from 0 to gateCount-1.
func gateKey(n int) itemKey { return itemKey{"gate#" + strconv.Itoa(n), "gate"} }

// entryPartition names one of the entryShards partitions of entries.
func entryPartition(n int) string { return "entry#" + strconv.FormatInt(int64(n), 16) }

// entryKey returns the key of a reservation's entry.
func entryKey(id driver.ID) itemKey {
	name := id.String()
	return itemKey{"entry#" + name[:1], name}
}

// accountKey returns the key of one of the items over which an account is spread.
func accountKey(account driver.Key, shard int) itemKey {
	return itemKey{"account#" + hex.EncodeToString(account[:]) + "#" + strconv.Itoa(shard), "account"} // each shard is in a partition of its own
}

// killKey returns the key of a kill flag. It encodes all dimensions of the flag's scope, which are the keys of its values, without hashing them
// together, so that two scopes can't have the same key.
func killKey(f driver.Flag) itemKey {
	kind := "scope#"
	if f.Patterns {
		kind = "match#"
	}
	return itemKey{killPartition, kind + hex.EncodeToString(encodeKeys(f.Scope.Dims()))}
}

// duePartition names one of the dueShards partitions of due items.
func duePartition(n int) string { return "due#" + strconv.Itoa(n) }

// dueKey returns the key of the due item of a reservation that expires at a moment. Keys are in the order of time, and then of ids, so that expiry
// reads only the reservations whose time is up.
func dueKey(id driver.ID, at int64) itemKey {
	return itemKey{duePartition(pick(id, dueShards)), sortable(at) + "#" + id.String()}
}

// sortable returns a time, a day or another number as a sort key: these are in the order of the numbers. Negative ones count as 0.
func sortable(at int64) string { return fmt.Sprintf("%016x", max(at, 0)) }

// parseDue takes the sort key that dueKey made apart: it returns the reservation's id, and the time at which it is due.
func parseDue(sort string) (id driver.ID, at int64, err error) {
	if len(sort) != 16+1+32 || sort[16] != '#' { // the digits of the time, "#", and those of the id
		return id, 0, errEncoding
	}
	n, err := strconv.ParseInt(sort[:16], 16, 64)
	if err != nil {
		return id, 0, errEncoding
	}
	if id, err = driver.ParseID(sort[17:]); err != nil {
		return id, 0, errEncoding
	}
	return id, n, nil
}

// pick chooses one of n by the id alone, so that a step that is repeated chooses the same one.
func pick(id driver.ID, n int) int {
	h := fnv.New32a()
	h.Write(id[:])
	return int(h.Sum32() % uint32(n))
}

// appendInt64 appends a number as 8 bytes; readInt64 reads one.
func appendInt64(out []byte, n int64) []byte { return binary.BigEndian.AppendUint64(out, uint64(n)) }

func readInt64(raw []byte) int64 { return int64(binary.BigEndian.Uint64(raw)) }
