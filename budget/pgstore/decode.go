package pgstore

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// answer is the result of a function of the schema. All times in it are in nanoseconds since 1970 UTC.
type answer struct {
	status string // what came of the step, in a word such as admitted or conflict
	step   int64  // the step's number, which grows with each step that writes; 0 for one that only reads
	xid    int64  // the id of its transaction; 0 if nothing important was written
	clock  int64  // the server's clock; 0 if it was not read
	value  int64  // depends on the function: a time, a state, a count or a revision; 0 for the others
	detail detail
}

// detail is the part of an answer that most answers do not have. Each function fills in the fields that it is for; the names are those in its
// JSON.
type detail struct {
	Killed   *flag      // of reserve: the flag that refused it
	Denied   []standing // of reserve: the lines without room that refused it
	Observed []standing // of reserve: the lines without room that refuse nothing
	Crossed  [][4]int64 // of settle, for each threshold reached: the line, the threshold's number, what is settled, and the Max in force
	Balances []standing
	Entries  []entry
	Accounts []accountRow
	Periods  []period
	Flags    []flag
	Changes  []record
	Unaware  []string // the running transactions that may not have seen a flag that was just set
	Usage    []usageRow
	Policy   *policy
	List     string    // the id of the list in Patterns
	Patterns []pattern // of reserve: the flags with patterns, if they are others than those that the caller has matched
}

// standing is the balance of a line's account.
type standing struct {
	Line                  int        // index into the step's lines
	Amount                int64      // what was to be reserved; 0 in an answer to Balances
	Max, Settled, Pending int64      // Max is the one in force, overrides included
	LatchedUntil          int64      // a refusal has closed the account's latch until then; 0 if none has
	Buckets               [][2]int64 // of each of the parts in which the window is summed up, its start and its sum of settled and pending
}

// flag is a kill flag. Scope is encoded as account.EncodeScope does. Until is 0 for a flag without an end.
type flag struct {
	Scope, Reason []byte
	At, Until     int64
	Patterns      bool
}

// entry is a reservation. Estimated says that it was settled with its worst case, and Orphan that something was posted although there was no
// pending reservation. Whose is the call's scope and operation, encoded. Accounts, Units and Starts say where it is booked, with one element for
// each line: Starts has the beginnings of the buckets. All times are in nanoseconds since 1970 UTC.
type entry struct {
	ID                     string
	State                  driver.State
	Estimated, Orphan      bool
	Reserved, Actual       []int64
	ReservedAt, ResolvedAt int64
	Whose, Reference       []byte
	Accounts               []string
	Units                  []driver.Unit
	Starts                 []int64
}

// decodeAnswer decodes an answer from the columns that each function returns: the fields of answer in their order, all but the status
// possibly null, which stands for zero. If anything else is unexpected the error is errAnswer.
func decodeAnswer(row [][]byte) (a answer, err error) {
	if len(row) != 6 || len(row[0]) == 0 {
		return answer{}, errAnswer
	}
	a.status = string(row[0])
	for i, field := range [...]*int64{&a.step, &a.xid, &a.clock, &a.value} {
		if column := row[i+1]; column != nil {
			if *field, err = strconv.ParseInt(string(column), 10, 64); err != nil {
				return answer{}, errAnswer
			}
		}
	}
	// Most answers have no detail.
	if row[5] == nil {
		return a, nil
	}
	if err := json.Unmarshal(row[5], &a.detail); err != nil {
		return answer{}, errAnswer
	}
	return a, nil
}

// balance returns the account's balance at the moment now, and in it how long it takes until excess, an amount, has left the account's window
// and its latch is open.
func (s *standing) balance(lines []driver.Line, now, excess int64) (driver.Balance, error) {
	if s.Line < 0 || s.Line >= len(lines) {
		return driver.Balance{}, errAnswer
	}
	b := driver.Balance{Max: s.Max, Settled: s.Settled, Pending: s.Pending, Latched: s.LatchedUntil > now}
	b.ResetAfter = s.wait(lines[s.Line].Window, now, excess)
	return b, nil
}

// wait returns how long it takes from now until excess has left the window and the latch is open, or 0 if waiting never helps. excess is by how much
// the account is too full, and not positive if only the latch is in the way.
func (s *standing) wait(w driver.Window, now, excess int64) time.Duration {
	var d time.Duration
	if excess > 0 {
		buckets := make([]driver.Bucket, len(s.Buckets))
		for i, b := range s.Buckets {
			buckets[i] = driver.Bucket{Start: b[0], Used: b[1]}
		}
		// ResetAfter returns 0 if time alone never frees as much.
		if d = w.ResetAfter(time.Unix(0, now), buckets, excess); d == 0 {
			return 0
		}
	}
	switch {
	case s.LatchedUntil <= now:
		return d
	case s.LatchedUntil == math.MaxInt64: // the latch of a lifetime window: only an operator opens it
		return 0
	default:
		return max(d, time.Duration(s.LatchedUntil-now))
	}
}

// denial returns the refusal of a line. An amount larger than the whole limit never fits, however long one waits, which a ResetAfter of 0 says.
func (s *standing) denial(lines []driver.Line, now int64) (driver.Denial, error) {
	excess := int64(0)
	if s.Amount <= s.Max { // then Max is not negative, and the difference can't overflow
		excess = s.Settled + s.Pending + s.Amount - s.Max
	}
	b, err := s.balance(lines, now, excess)
	if s.Amount > s.Max {
		b.ResetAfter = 0
	}
	return driver.Denial{Line: s.Line, Balance: b}, err
}

// public converts a flag of the server's answer into what the contract calls it.
func (f *flag) public() (k driver.Kill, err error) {
	k = driver.Kill{Patterns: f.Patterns, Reason: string(f.Reason), Until: account.Ended(f.Until), At: time.Unix(0, f.At)}
	k.Scope, err = account.DecodeScope(f.Scope)
	return k, err
}
