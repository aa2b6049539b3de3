package sqlitestore

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// A dimension is the key of one value of a scope. A flag covers the calls that have all its dimensions. It is stored under one of them (or under
// none, which is empty, if it has none): the one that has the fewest flags, so that a call reads few flags that do not cover it, however
// many there are. The column that says where is file.

// joinKilled reads the flags that are stored under any of these dimensions, under none, or under underPatterns, which is x'2a'. It is a statement
// with one parameter, whose number replaces %[2]d, for each dimension.
var joinKilled = joined{
	params: 1, before: "SELECT dims, scope, reason, at, until, patterns FROM flag WHERE file IN (x'', x'2a', ", term: "?%[2]d", between: ", ", after: ")",
}

// underPatterns is where flags with patterns are stored. All calls read them, which is why their number is bounded.
var underPatterns = []byte("*")

// flagKey returns the key of a flag. One with patterns has another key than one without.
func flagKey(f driver.Flag) []byte {
	dims := encodeKeys(f.Scope.Dims())
	if f.Patterns {
		return append(underPatterns[:1:1], dims...) // a copy: underPatterns has no room for more
	}
	return dims
}

// makeRoom returns driver.ErrTooManyFlags if there is no room for a flag with patterns, not even after flags that have ended are dropped. The flag
// with this key does not count, because it would be replaced. A refusal leaves the flags dropped: they had ended in any case.
func (t *tx) makeRoom(key []byte) error {
	isFull, err := t.isFullBeside(key)
	if err != nil || !isFull {
		return err
	}
	if err := t.dropEnded(t.now.UnixNano(), true); err != nil {
		return err
	}
	if isFull, err = t.isFullBeside(key); err != nil || !isFull {
		return err
	}
	return driver.ErrTooManyFlags
}

// isFullBeside reports whether as many flags with patterns are set as may be, without the one that has this key.
func (t *tx) isFullBeside(key []byte) (bool, error) {
	var n int
	err := t.stmt(sqlPatterns).QueryRow(key).Scan(&n)
	return n >= driver.MaxPatterns, err
}

// dropEnded drops flags that had ended by a given time, in nanoseconds since 1970; with patternsOnly set only those with patterns.
func (t *tx) dropEnded(by int64, patternsOnly bool) error {
	var hasEnded bool // whether there are any
	if err := t.stmt(sqlEnded).QueryRow(by, patternsOnly).Scan(&hasEnded); err != nil || !hasEnded {
		return err
	}
	// removing keeps the triggers from taking this for a loss. Its 0 says that no sums are gone.
	return t.removing(0, func() error { return t.exec(sqlDropEnded, by, patternsOnly) })
}

// rarest returns the dimension under which the fewest flags are stored, and nothing if there are no dimensions.
func (t *tx) rarest(dims []driver.Key) (file []byte, err error) {
	file = []byte{}
	least := -1 // no dimension was counted yet
	for i := range dims {
		var n int
		if err := t.stmt(sqlFiled).QueryRow(dims[i][:]).Scan(&n); err != nil {
			return nil, err
		}
		if least < 0 || n < least {
			file, least = dims[i][:], n
		}
	}
	return file, nil
}

// killed returns the first flag that covers a reservation and has not ended; nil if there is none. It reads all flags that are stored under the
// reservation's dimensions, under none, or as patterns, because one that covers it can only be there.
func (t *tx) killed(r *driver.Reservation) (found *driver.Kill, err error) {
	look := r.Dims
	if len(look) == 0 {
		look = []driver.Key{{}} // no flag is stored there, but the statement also reads those under none and with patterns
	}
	// together divides the dimensions into parts that fit into one statement, and calls the function for each.
	err = together(look, func(_ int, part []driver.Key) error {
		if found != nil { // an earlier part of the dimensions had a flag that covers the call
			return nil
		}
		stmt, err := t.joined(&joinKilled, len(part))
		if err != nil {
			return err
		}
		args := make([]any, len(part))
		for i := range part {
			args[i] = part[i][:]
		}
		rows, err := stmt.Query(args...)
		if err != nil {
			return err
		}
		return eachKill(rows, func(k driver.Kill, dims []driver.Key) {
			if found == nil && covers(&k, dims, r, t.now) {
				found = &k
			}
		})
	})
	return found, err
}

// covers reports whether a flag with these dimensions covers a reservation, and has not ended by now: the reservation has all of them or, for a flag
// with patterns, values that match.
func covers(k *driver.Kill, dims []driver.Key, r *driver.Reservation, now time.Time) bool {
	if hasEnded := !k.Until.IsZero() && !now.Before(k.Until); hasEnded {
		return false
	}
	if k.Patterns {
		// Patterns are matched with the values of the call, which is nil if they are not known.
		return r.Call != nil && k.Holds(r.Call.Scope)
	}
	isMissing := func(d driver.Key) bool { return !slices.Contains(r.Dims, d) }
	return !slices.ContainsFunc(dims, isMissing)
}

// eachKill calls each for every kill flag of the rows, with the keys of its dimensions, and closes the rows.
func eachKill(rows *sql.Rows, each func(driver.Kill, []driver.Key)) error {
	defer rows.Close()
	for rows.Next() {
		var dims, scope, reason []byte
		var at, until int64
		var patterns bool
		if err := rows.Scan(&dims, &scope, &reason, &at, &until, &patterns); err != nil {
			return err
		}
		// Ended returns the zero time for 0, which stands for a flag without an end.
		k := driver.Kill{Reason: string(reason), At: time.Unix(0, at), Until: account.Ended(until), Patterns: patterns}
		var err error
		if k.Scope, err = account.DecodeScope(scope); err != nil {
			return err
		}
		of, err := decodeKeys(dims)
		if err != nil {
			return err
		}
		each(k, of)
	}
	return rows.Err()
}

// Kills implements driver.Store. Flags that have ended stay in the file for a while; the statement leaves them out.
func (s *Store) Kills(ctx context.Context) (all []driver.Kill, err error) {
	err = s.do(ctx, false, func(t *tx) error {
		all = []driver.Kill{}
		rows, err := t.stmt(sqlKills).Query(t.now.UnixNano())
		if err != nil {
			return err
		}
		return eachKill(rows, func(k driver.Kill, _ []driver.Key) { all = append(all, k) })
	})
	return all, err
}
