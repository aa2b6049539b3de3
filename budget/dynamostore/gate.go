package dynamostore

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The attributes of a gate. All gates of a table are the same: there are many so that reservations, which check one each,
// rarely meet.
const (
	attrEpoch  = "ep" // the ledger's random name
	attrToken  = "kt" // stands for the kill flags in force
	attrSalt   = "ks" // by which whoever reads the flags can tell whether these are all: see token
	attrDrain  = "dr" // until when reservations wait; 0 if they need not
	attrTable  = "ti" // the id of the table that the epoch was made for
	attrShards = "sh" // how many items each account is spread over
	attrSchema = "sv" // see schemaVersion
	attrAccept = "ac" // the id of the change by which an operator accepted the last loss; missing if there was none
)

// schemaVersion is the version of the table's layout, which is kept in the gates.
const schemaVersion = 1

// gate is an item that each transaction checks, so that it fails if the table is another one, or if the kill flags are not those that the process
// knows. The epoch is a random name of the ledger, made once.
type gate struct {
	epoch  [16]byte
	token  token  // stands for the kill flags in force: each change of flags gives another one
	salt   token  // the exclusive or of the token and of all flags' nonces: see token
	table  string // the table's id; one that was restored from a backup has another
	shards int
	drain  int64  // reservations wait until then, in nanoseconds since 1970, so that a kill flag can be set
	accept []byte // the id of the change by which an operator accepted the last loss
}

// newGate returns the gate of a new ledger, without any flag: then the salt is the token.
func newGate(table string, shards int) gate {
	g := gate{epoch: random16(), token: random16(), table: table, shards: shards}
	g.salt = g.token
	return g
}

// random16 returns random bytes, for an epoch, a token or a nonce.
func random16() (out [16]byte) {
	rand.Read(out[:])
	return out
}

// encode returns the item of the gate with a number. No reservation has to wait at it.
func (g gate) encode(n int) item {
	whole := item{
		attrEpoch: blob(g.epoch[:]), attrToken: blob(g.token[:]), attrSalt: blob(g.salt[:]), attrDrain: number(0), attrTable: text(g.table), attrShards: number(int64(g.shards)),
		attrSchema: number(schemaVersion),
	}
	if len(g.accept) > 0 {
		whole[attrAccept] = blob(g.accept)
	}
	return gateKey(n).with(whole)
}

// decodeGate reads a gate that must be there.
func decodeGate(raw item) (gate, error) {
	if len(raw) == 0 {
		return gate{}, errReplaced
	}
	r := reader{item: raw}
	if version := r.required(attrSchema); r.err == nil && version != schemaVersion {
		return gate{}, fmt.Errorf("dynamostore: the table has schema version %d, this library knows %d", version, schemaVersion)
	}
	g := gate{epoch: r.bytes16(attrEpoch), token: r.bytes16(attrToken), salt: r.bytes16(attrSalt), table: r.text(attrTable)}
	// With -1, blob takes any length, and nil stands for an attribute that is missing.
	g.shards, g.drain, g.accept = int(r.required(attrShards)), r.required(attrDrain), r.blob(attrAccept, -1)
	if g.shards < 1 || g.shards > MaxShards {
		r.fail(attrShards)
	}
	return g, r.err
}

// gate reads a gate and requires it to be of the table that was opened.
func (s *Store) gate(raw item) (gate, error) {
	g, err := decodeGate(raw)
	if err == nil && (g.epoch != s.epoch() || g.shards != s.shards) {
		err = errReplaced
	}
	return g, err
}

// readGate reads a gate, as gate does.
func (s *Store) readGate(ctx context.Context) (gate, error) {
	raw, err := s.get(ctx, gateKey(0))
	if err != nil {
		return gate{}, err
	}
	return s.gate(raw)
}

// checkEpoch returns an action that lets a transaction pass only in the table that was opened. The id picks one of the gates, so that transactions
// rarely meet.
func (s *Store) checkEpoch(id driver.ID) types.TransactWriteItem {
	epoch := s.epoch()
	x := &expression{}
	x.require(attrEpoch, "=", blob(epoch[:]))
	return s.check(gateKey(pick(id, gateCount)), x)
}

// checkGate returns an action that lets a transaction pass only in the table that was opened, while the kill flags are those that the token stands
// for, and while no flag is about to be set, for which reservations wait.
func (s *Store) checkGate(id driver.ID, flags token, now time.Time) types.TransactWriteItem {
	epoch := s.epoch()
	x := &expression{}
	x.require(attrEpoch, "=", blob(epoch[:]))
	x.require(attrToken, "=", blob(flags[:]))
	x.require(attrDrain, "<=", number(now.UnixNano()))
	return s.check(gateKey(pick(id, gateCount)), x)
}
