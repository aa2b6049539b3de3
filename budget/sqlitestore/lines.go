package sqlitestore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// A line is one limit that applies to a call. Its account sums up what is settled and pending in buckets: one for a calendar window, many of the
// same width for a rolling one. The lines of a step are read and booked with one statement, because the overhead of a statement is as large as
// its work. The statements depend on the number of lines, so they are prepared on first use.

// maxTogether bounds the lines of one statement; more take several.
const maxTogether = 16

// joined is a statement with one term for each line. In the term, %[1]d stands for the line's number, from 0 on, and the other verbs for the numbers
// of the line's parameters.
type joined struct {
	params  int    // how many parameters a line has
	before  string // comes before the terms
	term    string // is repeated for each line
	between string // comes between two terms
	after   string // comes after the terms
}

// joinStates reads, for (key, since), the row of an account and then its buckets that begin at since or later. Each row begins with the line's number
// and a 0 for an account, a 1 for a bucket: see scanStates. An override_max of -1 stands for no override.
var joinStates = joined{params: 2, between: " UNION ALL ", term: `SELECT %[1]d, 0, coalesce(override_max, -1), coalesce(override_until, 0), latched_until, fired, name IS NOT NULL FROM account WHERE key = ?%[2]d` +
	` UNION ALL SELECT %[1]d, 1, start, settled, pending, NULL, 0 FROM bucket WHERE account = ?%[2]d AND start >= ?%[3]d`}

// joinLook is joinStates with another parameter, an id: the ? without a number is the one after those of the lines. It also returns whether there
// is a reservation with that id, and whether there is any kill flag, in a row that begins with -1.
var joinLook = joined{
	params: 2, term: joinStates.term, between: " UNION ALL ",
	after: " UNION ALL SELECT -1, EXISTS (SELECT 1 FROM reservation WHERE id = ?), EXISTS (SELECT 1 FROM flag), 0, 0, NULL, 0",
}

// joinSettled reads, for (key, start), the settled sum of a bucket, behind the line's number.
var joinSettled = joined{params: 2, term: "SELECT %[1]d, settled FROM bucket WHERE account = ?%[2]d AND start = ?%[3]d", between: " UNION ALL "}

// joinBook adds, for (key, start, end, settled, pending), to buckets, and makes missing ones.
var joinBook = joined{
	params: 5, before: `INSERT INTO bucket (account, start, "end", settled, pending) VALUES `, term: "(?%[2]d, ?%[3]d, ?%[4]d, ?%[5]d, ?%[6]d)", between: ", ",
	after: " ON CONFLICT DO UPDATE SET settled = settled + excluded.settled, pending = pending + excluded.pending",
}

// joinUnbook adds to settled and subtracts from pending, for (key, start, settled, pending), in existing buckets. An upsert, as in
// joinBook, would not work: SQLite checks the row that it would insert, whose pending would be negative.
var joinUnbook = joined{
	params: 4, before: "WITH line(account, start, settled, pending) AS (VALUES ", term: "(?%[2]d, ?%[3]d, ?%[4]d, ?%[5]d)", between: ", ",
	after: ") UPDATE bucket SET settled = bucket.settled + line.settled, pending = bucket.pending - line.pending FROM line WHERE bucket.account = line.account AND bucket.start = line.start",
}

// text returns the statement for n lines. The parameters are numbered from 1 on, one line after the other.
func (j *joined) text(n int) string {
	terms := make([]string, n)
	for i := range terms {
		numbers := []any{i} // what the term's verbs stand for: the line, and then its parameters
		for p := range j.params {
			numbers = append(numbers, i*j.params+p+1)
		}
		terms[i] = fmt.Sprintf(j.term, numbers...)
	}
	return j.before + strings.Join(terms, j.between) + j.after
}

// joined returns the statement for n lines, and prepares it on first use.
func (t *tx) joined(j *joined, n int) (*sql.Stmt, error) {
	key := joinedKey{j, n}
	if s := t.store.joined[key]; s != nil {
		return s, nil
	}
	s, err := t.store.conn.PrepareContext(context.Background(), j.text(n))
	if err == nil {
		t.store.joined[key] = s
	}
	return s, err
}

// joinedKey names a prepared statement.
type joinedKey struct {
	statement *joined
	lines     int // for how many lines
}

// together calls fn with the lines in parts that fit into one statement, and with the index of each part's first line.
func together[T any](lines []T, fn func(first int, part []T) error) error {
	for first := 0; first < len(lines); first += maxTogether {
		if err := fn(first, lines[first:min(first+maxTogether, len(lines))]); err != nil {
			return err
		}
	}
	return nil
}

// state is the balance of an account in the present window of a line, without ResetAfter, and what is needed to compute that. Times are in
// nanoseconds since 1970 UTC.
type state struct {
	driver.Balance
	buckets      []driver.Bucket // those that count now, in ascending order
	overflow     bool            // the sums leave the range of int64
	latchedUntil int64           // a refusal has closed the account until then; 0 if none has
	fired        []int64         // until when each threshold, by its number in the line, is not reported again
	named        bool            // the account has a name
}

// states reads the present balances of the lines' accounts.
func (t *tx) states(lines []driver.Line) ([]state, error) {
	all, _, err := t.look(lines, nil)
	return all, err
}

// sight says whether there are further rows to read for a reservation: one with the same id, and any kill flag.
type sight struct{ entry, kill bool }

// look reads the present balances of the lines' accounts and, with an id, whether there is a reservation with it and any kill flag.
func (t *tx) look(lines []driver.Line, id *driver.ID) ([]state, sight, error) {
	all := make([]state, len(lines))
	for i := range lines {
		all[i].Max = lines[i].Max // unless scanStates finds an override
	}
	var seen sight
	err := together(lines, func(first int, part []driver.Line) error {
		statement := &joinStates
		args := make([]any, 0, 2*maxTogether+1) // two for each line, and the id
		for i := range part {
			// Since is where the oldest bucket begins that counts now.
			args = append(args, part[i].Account[:], part[i].Window.At(t.now).Since)
		}
		if id != nil && first == 0 { // if the lines take several statements, only the first one asks for the id
			statement = &joinLook
			args = append(args, id[:])
		}
		stmt, err := t.joined(statement, len(part))
		if err != nil {
			return err
		}
		rows, err := stmt.Query(args...)
		if err != nil {
			return err
		}
		// The statement numbers the lines of its part, from 0 on.
		return t.scanStates(rows, all[first:], &seen)
	})
	for i := range all {
		// The statement promises no order, and ResetAfter needs the oldest first.
		slices.SortFunc(all[i].buckets, func(a, b driver.Bucket) int { return cmp.Compare(a.Start, b.Start) })
	}
	return all, seen, err
}

// scanStates reads the rows of joinStates or joinLook into all, and closes them. A row is about the line of its first column: about the account if
// the second column is 0, about one of its buckets if that is 1. The line -1 stands for the last row of joinLook: its second column
// says whether the reservation exists, and its third whether there is any kill flag.
func (t *tx) scanStates(rows *sql.Rows, all []state, seen *sight) error {
	defer rows.Close()
	for rows.Next() {
		var line, second int
		var third, fourth, fifth int64
		var fired []byte
		var named bool
		err := rows.Scan(&line, &second, &third, &fourth, &fifth, &fired, &named)
		switch {
		case err != nil:
			return err
		case line < 0:
			seen.entry, seen.kill = second != 0, third != 0
		case second != 0:
			all[line].addBucket(third, fourth, fifth)
		default:
			all[line].named = named
			if all[line].fired, err = decodeTimes(fired); err != nil {
				return err
			}
			all[line].apply(third, fourth, fifth, t.now.UnixNano())
		}
	}
	return rows.Err()
}

// addBucket adds the sums of a bucket that begins at start.
func (s *state) addBucket(start, settled, pending int64) {
	s.Settled, s.overflow = add(s.Settled, settled, s.overflow)
	s.Pending, s.overflow = add(s.Pending, pending, s.overflow)
	s.buckets = append(s.buckets, driver.Bucket{Start: start, Used: settled + pending})
}

// apply sets the override and the latch of an account as they are now. overrideMax is -1 if there is no override, which ends at overrideUntil.
func (s *state) apply(overrideMax, overrideUntil, latchedUntil, now int64) {
	if overrideMax >= 0 && now < overrideUntil {
		s.Max = overrideMax
	}
	s.latchedUntil, s.Latched = latchedUntil, latchedUntil > now
}

// wait returns how long it takes until excess has left the window and the latch is open; 0 if waiting never helps. excess is by how much the account
// is too full, and not positive if only the latch is in the way.
func (s *state) wait(w driver.Window, now time.Time, excess int64) time.Duration {
	var d time.Duration
	if excess > 0 {
		// ResetAfter returns 0 if time alone never frees as much.
		if d = w.ResetAfter(now, s.buckets, excess); d == 0 {
			return 0
		}
	}
	switch {
	case !s.Latched:
		return d
	case s.latchedUntil == math.MaxInt64: // the latch of a lifetime window: only an operator opens it
		return 0
	default:
		return max(d, time.Duration(s.latchedUntil-now.UnixNano()))
	}
}

// bookings returns where lines are booked at the present moment. account.KeptEnd is the end of the bucket, or a later time for windows whose
// sums are kept for longer than the retention.
func (t *tx) bookings(lines []driver.Line) []booking {
	bookings := make([]booking, len(lines))
	for i := range lines {
		span := lines[i].Window.At(t.now)
		bookings[i] = booking{lines[i].Account, lines[i].Unit, span.Start, account.KeptEnd(span, t.store.opts.Retention)}
	}
	return bookings
}

// write executes a statement with the values of each booking, which values returns as the line's parameters, and returns how many rows it has
// written.
func (t *tx) write(j *joined, bookings []booking, values func(*booking) []any) (written int64, err error) {
	err = together(bookings, func(_ int, part []booking) error {
		stmt, err := t.joined(j, len(part))
		if err != nil {
			return err
		}
		args := make([]any, 0, len(part)*j.params)
		for i := range part {
			args = append(args, values(&part[i])...)
		}
		result, err := stmt.Exec(args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		written += n
		return err
	})
	return written, err
}

// book adds to the sums of buckets, and makes missing ones. settled and pending are amounts by unit: each booking takes those in the unit in
// which its account counts.
func (t *tx) book(bookings []booking, settled, pending *driver.Charge) error {
	_, err := t.write(&joinBook, bookings, func(b *booking) []any {
		return []any{b.account[:], b.start, b.end, settled[b.unit], pending[b.unit]}
	})
	return err
}

// posting has the amounts of an entry with which post is called, before and afterwards.
type posting struct {
	actual  driver.Charge  // what the entry has posted afterwards
	before  driver.Charge  // what it has posted until now, which actual replaces
	pending driver.Charge  // what it holds as pending, which ends
	shares  []driver.Share // how actual divides among calls; nil if all of it belongs to the entry's call, or as said below
	// correction says that the entry was resolved before. A correction that has no shares does not say how actual divides, although what was posted
	// before may have had some. So all of it goes to the first of the rows of usage, the sums of a day, to which the entry was added then.
	correction bool
}

// post changes the sums in which an entry counts: in its buckets it adds to settled by how much actual is more than before, and takes out what is
// pending; and it replaces what the entry has added to rows of usage. It checks first whether a sum would overflow.
func (t *tx) post(e *entry, p posting) error {
	var more driver.Charge
	for u := range more {
		more[u] = p.actual[u] - p.before[u]
	}
	// This finds out whether a bucket would overflow, and charge, below, whether a row of usage would: before anything is written.
	there, err := t.existing(e.bookings, &more)
	if err != nil {
		return err
	}
	next, scopes, err := e.divide(&p)
	if err != nil {
		return err
	}
	if err := t.charge(e, next, scopes); err != nil { // from here on nothing can be refused
		return err
	}
	var known, unknown []booking
	for i, b := range e.bookings {
		switch {
		case there[i]:
			known = append(known, b)
		case more[b.unit] > 0:
			unknown = append(unknown, b) // a new bucket for an orphan, or once more one that was forgotten meanwhile
		default: // nothing is added, or the bucket of a refund is gone: it was older than the retention and counts no more
		}
	}
	if err := t.unbook(known, &more, &p.pending); err != nil {
		return err
	}
	// Nothing is pending where there was no bucket: one with something pending is never forgotten.
	return t.book(unknown, &more, new(driver.Charge))
}

// existing returns for each booking whether its bucket exists, or driver.ErrOverflow if the settled sum of one would overflow with more.
func (t *tx) existing(bookings []booking, more *driver.Charge) ([]bool, error) {
	there := make([]bool, len(bookings))
	err := together(bookings, func(first int, part []booking) error {
		stmt, err := t.joined(&joinSettled, len(part))
		if err != nil {
			return err
		}
		args := make([]any, 0, 2*maxTogether)
		for i := range part {
			args = append(args, part[i].account[:], part[i].start)
		}
		rows, err := stmt.Query(args...)
		if err != nil {
			return err
		}
		return scanSettled(rows, part, more, there[first:])
	})
	return there, err
}

// scanSettled reads the rows of joinSettled, which are about bookings, and closes them. It sets there for each booking that has a row, which is one
// whose bucket exists.
func scanSettled(rows *sql.Rows, bookings []booking, more *driver.Charge, there []bool) error {
	defer rows.Close()
	for rows.Next() {
		var line int
		var settled int64
		if err := rows.Scan(&line, &settled); err != nil {
			return err
		}
		if _, overflow := add(settled, more[bookings[line].unit], false); overflow {
			return driver.ErrOverflow
		}
		there[line] = true
	}
	return rows.Err()
}

// unbook subtracts from pending and adds to settled in buckets that exist, as the caller has checked.
func (t *tx) unbook(bookings []booking, settled, pending *driver.Charge) error {
	n, err := t.write(&joinUnbook, bookings, func(b *booking) []any {
		return []any{b.account[:], b.start, settled[b.unit], pending[b.unit]}
	})
	if err == nil && n != int64(len(bookings)) {
		err = errors.New("sqlitestore: a bucket was there and then was not")
	}
	return err
}

// add returns a + b, and whether this sum, or an earlier one by overflowed, has left the range of int64. A sum in range is larger than a exactly if b
// is positive.
func add(a, b int64, overflowed bool) (int64, bool) {
	c := a + b
	overflows := b != 0 && (c > a) != (b > 0)
	return c, overflowed || overflows
}
