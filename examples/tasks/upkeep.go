package main

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// smallFile opens a ledger that remembers single calls for a week, and usage for as long as always. Calls delete older entries by
// themselves: no job is needed.
func smallFile(path string, clock func() time.Time) (*sqlitestore.Store, error) {
	return sqlitestore.Open(path, func(o *sqlitestore.Options) {
		o.Create, o.Clock, o.Retention = true, clock, 7*24*time.Hour
	})
}
