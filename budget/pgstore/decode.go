package pgstore

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// answer is the result of a function of the schema.
type answer struct {
	status string
	step   int64
	xid    int64 // of its transaction; 0 if nothing important was written
	clock  int64 // the server's clock; 0 if it was not read
	value  int64
	detail detail
}

// detail is the part of an answer that most answers do not have.
type detail struct {
	Killed   *flag
	Denied   []standing
	Observed []standing
	Crossed  [][4]int64
	Balances []standing
	Entries  []entry
	Accounts []named
	Periods  []period
	Flags    []flag
	Changes  []record
	Unaware  []string
	Usage    []usageRow
	Policy   *policy
	List     string // of Patterns
	Patterns []pattern
}

// standing is the balance of a line's account.
type standing struct {
	Line                  int
	Amount                int64
	Max, Settled, Pending int64
	LatchedUntil          int64
	Buckets               [][2]int64 // start and sum
}

// flag is a kill flag. Scope is encoded, and the times are in nanoseconds since 1970 UTC.
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

// decodeAnswer decodes an answer. If anything is unexpected the error is errAnswer: missing values are never replaced.
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
	if row[5] == nil {
		return a, nil
	}
	if err := json.Unmarshal(row[5], &a.detail); err != nil {
		return answer{}, errAnswer
	}
	return a, nil
}

// balance returns the account's balance at a moment, and how long it takes until excess has left its window and its latch is open.
func (s *standing) balance(lines []driver.Line, now, excess int64) (driver.Balance, error) {
	if s.Line < 0 || s.Line >= len(lines) {
		return driver.Balance{}, errAnswer
	}
	b := driver.Balance{Max: s.Max, Settled: s.Settled, Pending: s.Pending, Latched: s.LatchedUntil > now}
	b.ResetAfter = s.wait(lines[s.Line].Window, now, excess)
	return b, nil
}

// wait returns 0 if waiting never helps.
func (s *standing) wait(w driver.Window, now, excess int64) time.Duration {
	var d time.Duration
	if excess > 0 {
		buckets := make([]driver.Bucket, len(s.Buckets))
		for i, b := range s.Buckets {
			buckets[i] = driver.Bucket{Start: b[0], Used: b[1]}
		}
		if d = w.ResetAfter(time.Unix(0, now), buckets, excess); d == 0 {
			return 0
		}
	}
	switch {
	case s.LatchedUntil <= now:
		return d
	case s.LatchedUntil == math.MaxInt64:
		return 0
	default:
		return max(d, time.Duration(s.LatchedUntil-now))
	}
}

// denial returns the refusal of a line. An amount larger than the whole limit never fits.
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

// public converts a flag of the server's answer.
func (f *flag) public() (k driver.Kill, err error) {
	k = driver.Kill{Patterns: f.Patterns, Reason: string(f.Reason), Until: account.Ended(f.Until), At: time.Unix(0, f.At)}
	k.Scope, err = account.DecodeScope(f.Scope)
	return k, err
}
