package main

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// smallFile opens a ledger that remembers single calls for a week only. The sums of usage by day are kept as long as in any ledger. Older calls
// are deleted while new ones are made, so no job is needed.
func smallFile(ctx context.Context, path string, clock func() time.Time) (*sqlitestore.Store, error) {
	return sqlitestore.Open(ctx, path, sqlitestore.Options{Create: true, Clock: clock, Retention: 7 * 24 * time.Hour})
}
