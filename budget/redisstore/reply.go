package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// errReply says that the server gave an answer that no script of this package gives.
var errReply = errors.New("redisstore: the server's answer can't be understood")

// reply is what a script answers: a letter, the ledger's sequence, the time, and what depends on the script.
type reply struct {
	code     byte
	sequence int64
	now      int64
	rest     reader
}

// The letters of answers. The rest are errors: see outcome.
const (
	codeDone     = 'A' // done; admitted
	codeReplayed = 'R' // done before
	codeDenied   = 'D'
	codeKilled   = 'K'
	codeUnknown  = 'U' // the id is unknown or was voided, and what to do about it was not sent
	codeTime     = 'T' // the time was guessed wrongly
	codePatterns = 'P' // the flags with patterns are others by now
)

func parseReply(value any) (reply, error) {
	text, _ := value.(string)
	in := reader{text: text}
	r := reply{code: byte(in.number(1)), sequence: in.count(), now: in.count()}
	if in.failed || r.now > never {
		return reply{}, errReply
	}
	r.rest = in
	return r, nil
}

// outcome returns the error that an answer stands for.
func (r *reply) outcome() error {
	switch r.code {
	case codeDone, codeReplayed, codeDenied, codeKilled, codeUnknown, codeTime, codePatterns:
		return nil
	case 'X':
		return errMemory
	case 'F':
		return errForgotten
	case 'C':
		return budget.ErrIDConflict
	case 'V':
		return budget.ErrResolved
	case 'N':
		return budget.ErrNotFound
	case 'S':
		return budget.ErrSuperseded
	case 'G':
		return budget.ErrTooManyFlags
	case 'O':
		return budget.ErrOverflow
	default:
		return errReply
	}
}

// reader takes an answer apart. Once something is missing or out of range it has failed, and gives zeros.
type reader struct {
	text   string
	failed bool
}

// bytes takes the next n bytes, or none.
func (r *reader) bytes(n int) string {
	if n < 0 || n > len(r.text) {
		r.failed, r.text = true, ""
		return ""
	}
	out := r.text[:n]
	r.text = r.text[n:]
	return out
}

// number takes an integer of so many bytes, the first byte first.
func (r *reader) number(width int) int64 {
	if width > len(r.text) {
		r.failed, r.text = true, ""
		return 0
	}
	var full [8]byte
	copy(full[8-width:], r.text)
	r.text = r.text[width:]
	return int64(binary.BigEndian.Uint64(full[:]))
}

// count takes an integer of 8 bytes that must not be negative.
func (r *reader) count() int64 {
	n := r.number(8)
	if n < 0 {
		r.failed = true
		return 0
	}
	return n
}

// charge takes what a charge holds in each of so many units, which may be fewer than are known.
func (r *reader) charge(n int64) (c budget.Charge) {
	for u := range n {
		c[u+1] = r.count()
	}
	return c
}

// units is how many units this library knows.
const units = budget.NumUnits - 1

// knows refuses what counts more units than this library knows: a newer one wrote it.
func knows(n int64) error {
	if n > units {
		return fmt.Errorf("redisstore: the ledger counts %d units, this library knows %d: use a newer library", n, units)
	}
	return nil
}

// done reports whether all was read, and could be.
func (r *reader) done() bool { return !r.failed && r.text == "" }
