package sqlitestore

import (
	"context"
	"fmt"
	"os"
	"time"
)

// The values from which Warnings reports something.
const (
	largeLog     = 64 << 20 // in bytes; SQLite writes the log back at 4 MiB, unless a reader holds a snapshot
	mostlyFree   = 2        // more than one page in this many is free: more than a half
	largeFile    = 256 << 20
	manyEntries  = 1_000_000
	bytesInAMega = 1 << 20
)

// Warnings reports what makes the ledger slow or large before it causes failures: a write-ahead log that grows because a reader holds a
// snapshot, a file that is mostly free, and very many remembered reservations. Limits hold in any case.
func (s *Store) Warnings(ctx context.Context) ([]string, error) {
	var u upkeep // log stays 0 if there is no write-ahead log
	if log, err := os.Stat(s.path + "-wal"); err == nil {
		u.log = log.Size()
	}
	// In a step, because only those may use the connection.
	err := s.do(ctx, false, func(*tx) error {
		for query, into := range map[string]*int64{
			"PRAGMA page_size": &u.page, "PRAGMA page_count": &u.pages, "PRAGMA freelist_count": &u.free, "SELECT count(*) FROM reservation": &u.entries,
		} {
			if err := s.conn.QueryRowContext(ctx, query).Scan(into); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u.warnings(s.opts.Retention), nil
}

// upkeep has the sizes of a file.
type upkeep struct {
	log               int64 // the write-ahead log, in bytes
	page, pages, free int64 // bytes of a page, the number of pages, and how many of them are free
	entries           int64 // remembered reservations
}

// warnings says which sizes are too large, and what to do.
func (u *upkeep) warnings(retention time.Duration) (all []string) {
	if u.log > largeLog {
		all = append(all, fmt.Sprintf("the write-ahead log has %d MiB: another program holds a snapshot, such as an open transaction of the sqlite3 shell or a backup: end it", u.log/bytesInAMega))
	}
	if u.pages*u.page > largeFile && u.free*mostlyFree > u.pages {
		all = append(all, fmt.Sprintf("of the file's %d MiB, %d are free: VACUUM gives them back, while nobody spends", u.pages*u.page/bytesInAMega, u.free*u.page/bytesInAMega))
	}
	if u.entries > manyEntries {
		all = append(all, fmt.Sprintf("%d reservations are remembered, for %s: a shorter Options.Retention of the processes that spend makes the file smaller", u.entries, retention))
	}
	return all
}
