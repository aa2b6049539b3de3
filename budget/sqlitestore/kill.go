package sqlitestore

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// A flag is filed under one of its dimensions, or under none if it has none: under the one that holds the fewest, so that a call
// reads few flags that do not hold for it, however many there are.

// joinKilled reads the flags that are filed under any of so many dimensions, or under none.
var joinKilled = joined{1, "SELECT dims, scope, reason, at FROM kill WHERE file IN (x'', ", "?%[2]d", ", ", ")"}

// rarest returns the dimension under which the fewest flags are filed.
func (t *tx) rarest(dims []budget.Key) (file []byte, err error) {
	file = []byte{}
	least := -1
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

// killed returns the first flag whose keys are all among dims.
func (t *tx) killed(dims []budget.Key) (found *budget.Kill, err error) {
	look := dims
	if len(look) == 0 {
		look = []budget.Key{{}} // no flag is filed there
	}
	err = together(look, func(_ int, part []budget.Key) error {
		if found != nil {
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
		return eachKill(rows, func(k budget.Kill, of []budget.Key) {
			if found == nil && !slices.ContainsFunc(of, func(d budget.Key) bool { return !slices.Contains(dims, d) }) {
				found = &k
			}
		})
	})
	return found, err
}

// eachKill reads flags with the keys that they look for, and closes the rows.
func eachKill(rows *sql.Rows, each func(budget.Kill, []budget.Key)) error {
	defer rows.Close()
	for rows.Next() {
		var dims, scope, reason []byte
		var at int64
		if err := rows.Scan(&dims, &scope, &reason, &at); err != nil {
			return err
		}
		k := budget.Kill{Reason: string(reason), At: time.Unix(0, at)}
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

// Kills implements budget.Store.
func (s *Store) Kills(ctx context.Context) (all []budget.Kill, err error) {
	err = s.do(ctx, false, func(t *tx) error {
		all = []budget.Kill{}
		rows, err := t.stmt(sqlKills).Query()
		if err != nil {
			return err
		}
		return eachKill(rows, func(k budget.Kill, _ []budget.Key) { all = append(all, k) })
	})
	return all, err
}
