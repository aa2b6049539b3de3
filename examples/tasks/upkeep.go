package main

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// smallFile opens a ledger that remembers single calls for a week, and who spent what for as long as ever. Calls forget what is older by themselves: there is
// nothing to run.
func smallFile(ctx context.Context, path string, clock func() time.Time) (*sqlitestore.Store, error) {
	return sqlitestore.Open(ctx, path, sqlitestore.Options{Create: true, Clock: clock, Retention: 7 * 24 * time.Hour})
}
