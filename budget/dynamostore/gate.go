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
	attrEpoch  = "ep"
	attrToken  = "kt"
	attrSalt   = "ks"
	attrDrain  = "dr"
	attrTable  = "ti" // the id of the table that the epoch was made for
	attrShards = "sh"
	attrSchema = "sv"
	attrAccept = "ac" // the loss that was accepted last; none is none
)

// schemaVersion is kept in the gates.
const schemaVersion = 1

// gate is an item that each transaction checks, so that it fails if the table is another one, or if the kill flags are not those that the process
// knows. The epoch is a random name of the ledger, made once.
type gate struct {
	epoch  [16]byte
	token  token // new with each change of flags
	salt   token // the token, but for the nonces of the flags
	table  string
	shards int
	drain  int64  // reservations wait until then, so that a kill flag can be set
	accept []byte // the last loss that an operator has accepted
}

func newGate(table string, shards int) gate {
	g := gate{epoch: random16(), token: random16(), table: table, shards: shards}
	g.salt = g.token
	return g
}

func random16() (out [16]byte) {
	rand.Read(out[:])
	return out
}

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
		return gate{}, errMemory
	}
	r := reader{item: raw}
	if version := r.required(attrSchema); r.err == nil && version != schemaVersion {
		return gate{}, fmt.Errorf("dynamostore: the table has schema version %d, this library knows %d", version, schemaVersion)
	}
	g := gate{epoch: r.bytes16(attrEpoch), token: r.bytes16(attrToken), salt: r.bytes16(attrSalt), table: r.text(attrTable)}
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
		err = errMemory
	}
	return g, err
}

func (s *Store) readGate(ctx context.Context) (gate, error) {
	raw, err := s.get(ctx, gateKey(0))
	if err != nil {
		return gate{}, err
	}
	return s.gate(raw)
}

// checkEpoch lets a transaction pass only in the table that was opened.
func (s *Store) checkEpoch(id driver.ID) types.TransactWriteItem {
	epoch := s.epoch()
	x := &expression{}
	x.require(attrEpoch, "=", blob(epoch[:]))
	return s.check(gateKey(pick(id, gateCount)), x)
}

// checkGate lets a transaction pass only in the table that was opened, and only while the kill flags are those that the
// token stands for.
func (s *Store) checkGate(id driver.ID, flags token, now time.Time) types.TransactWriteItem {
	epoch := s.epoch()
	x := &expression{}
	x.require(attrEpoch, "=", blob(epoch[:]))
	x.require(attrToken, "=", blob(flags[:]))
	x.require(attrDrain, "<=", number(now.UnixNano()))
	return s.check(gateKey(pick(id, gateCount)), x)
}
