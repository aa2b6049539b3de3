package main

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// smallFile opens a ledger that remembers single calls for a week, and usage for as long as always. Calls delete older entries by
// themselves: no job is needed.
func smallFile(ctx context.Context, path string, clock func() time.Time) (*sqlitestore.Store, error) {
	return sqlitestore.Open(ctx, path, sqlitestore.Options{Create: true, Clock: clock, Retention: 7 * 24 * time.Hour})
}
