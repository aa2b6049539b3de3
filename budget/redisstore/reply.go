package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// errReply says that the server's answer is not one of this package's scripts.
var errReply = errors.New("redisstore: the server's answer can't be understood")

// reply is the answer of a script.
type reply struct {
	code     byte   // a letter: what came of the step
	sequence int64  // the ledger's, which each step that writes raises; 0 in some answers of steps that did nothing
	now      int64  // the server's time in microseconds
	rest     reader // what depends on the script, not read yet
}

// The letters of answers. Others are errors: see outcome.
const (
	codeDone     = 'A' // done; admitted
	codeReplayed = 'R' // it was done before
	codeDenied   = 'D'
	codeKilled   = 'K'
	codeUnknown  = 'U' // the id is unknown or was voided, and the request did not say where to post it
	codeTime     = 'T' // the windows were computed for a guessed time, and by the server's time they are others
	codePatterns = 'P' // the kill flags with patterns are others than those that the caller has matched; the answer holds them
)

// parseReply decodes the part that all answers have in common, and leaves the rest in reply.rest.
func parseReply(value any) (reply, error) {
	text, _ := value.(string) // empty if it is none, so that what follows fails
	in := reader{text: text}
	r := reply{code: byte(in.number(1)), sequence: in.count(), now: in.count()}
	if in.failed || r.now > never {
		return reply{}, errReply
	}
	r.rest = in
	return r, nil
}

// partsOf returns the texts of an answer that is a list: first the part that all answers have in common, then what the script lists. A script that
// finds the ledger lost answers with the first of these alone, which is then no list.
func partsOf(value any) []any {
	if parts, isList := value.([]any); isList && len(parts) > 0 {
		return parts
	}
	return []any{value}
}

// outcome returns the error that a letter stands for, or nil for the letters above, each of which its step handles. Store.outcome, which calls it,
// also remembers a loss.
func (r *reply) outcome() error {
	switch r.code {
	case codeDone, codeReplayed, codeDenied, codeKilled, codeUnknown, codeTime, codePatterns:
		return nil
	case 'X':
		return errReplaced
	case 'F':
		return errForgotten
	case 'C':
		return driver.ErrIDConflict
	case 'V':
		return driver.ErrResolved
	case 'N':
		return driver.ErrNotFound
	case 'S':
		return driver.ErrSuperseded
	case 'G':
		return driver.ErrTooManyFlags
	case 'O':
		return driver.ErrOverflow
	default:
		return errReply
	}
}

// reader decodes an answer. If something is missing or out of range it has failed, and returns zeros from then on.
type reader struct {
	text   string
	failed bool
}

// bytes reads the next n bytes, or none.
func (r *reader) bytes(n int) string {
	if n < 0 || n > len(r.text) {
		r.failed, r.text = true, ""
		return ""
	}
	out := r.text[:n]
	r.text = r.text[n:]
	return out
}

// number reads a big-endian integer of width bytes, 8 at most. With 8 it may be negative.
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

// count reads an integer of 8 bytes that must not be negative.
func (r *reader) count() int64 {
	n := r.number(8)
	if n < 0 {
		r.failed = true
		return 0
	}
	return n
}

// charge reads a charge with n units, which may be fewer than this library knows. More would be out of the range of c: callers ask knows first.
func (r *reader) charge(n int64) (c driver.Charge) {
	for u := range n {
		// Units count from 1.
		c[u+1] = r.count()
	}
	return c
}

// units is how many units this library knows: index 0 of a driver.Charge is none.
const units = driver.NumUnits - 1

// knows refuses a number of units that is larger than this library's: a newer library has written them.
func knows(n int64) error {
	if n > units {
		return fmt.Errorf("redisstore: the ledger counts %d units, this library knows %d: use a newer library", n, units)
	}
	return nil
}

// done reports whether everything was read, without a failure.
func (r *reader) done() bool { return !r.failed && r.text == "" }
