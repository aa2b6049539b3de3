package pgstore

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// memory is what this process knows of the ledger, to find out if the server has lost acknowledged writes. Each write has a step number and a
// transaction id greater than those of all writes that were acknowledged before it began, so that smaller numbers in the database prove a loss.
type memory struct {
	epoch    [16]byte  // the ledger's random name: one that was made anew or emptied has another
	accepted string    // the id of the change by which an operator accepted the last loss
	oid      int64     // PostgreSQL's number of the table that holds the epoch: a table that was made anew has another
	step     int64     // the highest step number that was acknowledged to this process
	xid      int64     // the highest transaction id of these steps
	lost     bool      // a loss was found. It stays set until the loss is accepted, because the numbers grow again and would hide it
	lookedAt time.Time // when this process last asked whether the loss was accepted
}

// call is one call of a function of the schema. The first arguments are the same for all functions: what this process knows of the ledger. Then
// come those that some of the fields ask for, in the fields' order, and then those that args returns.
type call struct {
	function string
	moments  bool                      // the clock is an argument: null for the server's own, or the time of Options.Clock
	lines    []driver.Line             // if not nil, the range of time in which these lines' windows stay the same is an argument
	makes    bool                      // an argument says whether to make missing accounts; as long as it is false, the step can share a transaction
	settles  *driver.ID                // the reservation that the call settles, nil for other calls: see statement
	lone     bool                      // it must not share its transaction with other steps, even if makes allows that
	args     func(at *placement) []any // called for each try; at says where lines are booked. nil for no further arguments
}

// The pauses between tries double from firstPause to maxPause; each is random, from half to one and a half of that.
const (
	firstPause = 2 * time.Millisecond
	maxPause   = 200 * time.Millisecond
	// maxLost is how often in a row a step may find its connection broken before it fails: a server that is down refuses at once, and
	// callers should know soon.
	maxLost = 6
)

// do repeats a step until it has an answer, is refused for good, or runs out of time. A step is first sent as if all its accounts existed, for
// a guess of the server's time, and possibly in one transaction with others; what turns out to be wrong is changed for the next try, which follows
// at once. After other errors there is a pause.
func (s *Store) do(ctx context.Context, c call) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, failed(c.function, err)
	}
	// The store is closed, or has lost something and nobody has accepted that yet.
	if err := s.usable(ctx); err != nil {
		return answer{}, failed(c.function, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	// skew is by how much the server's clock was ahead in the last answer.
	how := manner{now: time.Now().Add(time.Duration(s.skew.Load())).UnixNano()}
	losses := 0 // tries in a row that found the connection broken
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		known := s.recalled()
		a, alone, err := s.try(ctx, &c, known, how)
		if err == nil && a.status != statusStale && a.status != statusMoved {
			return a, nil
		}
		adapted, failure := s.adapt(&how, &a, alone, err)
		if failure != nil {
			return answer{}, failed(c.function, failure)
		}
		if !adapted {
			// retry returns never, whileTimeLasts for what passes, such as a lock, or aFewTimes if the connection is the problem.
			kind := retry(err)
			// If the error says that the ledger has lost something, later steps are refused.
			s.suspect(known, err)
			if losses++; kind == whileTimeLasts { // the server has answered
				losses = 0
			}
			if kind == never || losses > maxLost || !sleep(ctx, pause/2+rand.N(pause)) {
				return answer{}, failed(c.function, err)
			}
		}
		if err := ctx.Err(); err != nil {
			return answer{}, failed(c.function, err)
		}
	}
}

// The statuses of an answer that ask for another try.
const (
	statusStale = "stale" // a flag with patterns was set or revived meanwhile: the answer has the new list, for which the call is matched again
	statusMoved = "moved" // a window ended between the guessed time and the server's
)

// adapt changes in how what the last try has shown to be wrong. adapted is false if it was nothing of that kind, but the error err: also if an
// account is missing again, although the step was to make it. alone is what try has returned.
func (s *Store) adapt(how *manner, a *answer, alone bool, err error) (adapted bool, failure error) {
	switch {
	case err == nil && a.status == statusStale:
		return true, s.learnPatterns(a)
	case err == nil && a.status == statusMoved:
		how.now = a.clock
	case isCode(err, codeMissing) && !how.makes: // an account does not exist, or the reservation has accounts that were not locked
		how.makes = true // which also gives the step a transaction of its own
	case alone && !how.alone: // a step that shared the transaction failed it, perhaps not this one
		how.alone = true
	default:
		return false, nil
	}
	return true, nil
}

// manner says how a step is tried.
type manner struct {
	now   int64 // a guess of the server's clock, in nanoseconds since 1970
	makes bool  // accounts that don't exist are made
	alone bool  // it gets a transaction of its own
}

// sleep waits, and reports whether there is time left.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// try calls the function once. The first tries of Reserve and Settle, those that make no accounts, share a transaction with other steps on the
// same accounts. alone in the result says that such a transaction failed, and that the step should be tried in its own. A step
// without accounts has nobody to share with.
func (s *Store) try(ctx context.Context, c *call, known memory, how manner) (a answer, alone bool, err error) {
	var at placement
	st, err := s.statement(c, known, how, &at)
	if err != nil {
		return answer{}, false, err
	}
	if c.makes && !how.makes && !how.alone && !c.lone && len(at.accounts) > 0 {
		return s.share(ctx, at.accounts, st)
	}
	answers, err := s.transaction(ctx, []statement{st})
	if err != nil {
		return answer{}, false, err
	}
	return answers[0], false, nil
}

// remember takes from an answer the server's clock, and the step number and transaction id, which later steps send so that the server can tell
// whether it was set back. The two numbers count only if the step has written: a step number that nothing was written with may not be durable yet.
func (s *Store) remember(a answer) {
	if a.clock != 0 && s.opts.Clock == nil {
		s.skew.Store(a.clock - time.Now().UnixNano())
	}
	if a.xid == 0 { // the step has written nothing
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.step, s.memory.xid = max(s.memory.step, a.step), max(s.memory.xid, a.xid)
}

// statement returns the SQL text of a call, and fills in at, which says where the call's lines are booked: for a call without lines it stays empty.
// known is what this process knows of the ledger.
func (s *Store) statement(c *call, known memory, how manner, at *placement) (statement, error) {
	var moment any // nil becomes a null, with which the function reads the server's clock
	if s.opts.Clock != nil {
		how.now = nanos(s.opts.Clock())
		moment = how.now
	}
	args := []any{known.epoch, known.oid, known.step, known.xid, s.opts.AllowVolatile}
	if c.moments {
		args = append(args, moment)
	}
	// A slice that is empty but not nil says that the function has these arguments, although there is no line.
	if c.lines != nil {
		if err := at.place(c.lines, how.now, s.opts.Retention); err != nil {
			return statement{}, err
		}
		args = append(args, at.from, at.until)
	}
	if c.makes {
		args = append(args, how.makes)
	}
	if c.args != nil {
		args = append(args, c.args(at)...)
	}
	text, err := s.sql(c.function, args)
	return statement{text, c.settles}, err
}

// milliseconds formats a timeout for the server. It is at least 1, because 0 would mean that there is no timeout.
func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// sql is the SQL text of a call of a function, without its closing bracket: transaction may add another argument before that. The
// columns are those that decodeAnswer reads.
func (s *Store) sql(function string, args []any) (string, error) {
	b := make([]byte, 0, 1024)
	b = append(append(append(b, "SELECT o_status, o_step, o_xid, o_clock, o_value, o_detail FROM "...), s.opts.quoted()...), '.')
	b = append(append(b, function...), '(')
	for i, arg := range args {
		if i > 0 {
			b = append(b, ", "...)
		}
		var err error
		if b, err = appendLiteral(b, arg); err != nil {
			return "", err
		}
	}
	return string(b), nil
}
