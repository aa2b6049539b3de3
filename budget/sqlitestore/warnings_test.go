package sqlitestore

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A ledger that is in order has nothing to say; what holds it up is named, with figures and what to do.
func TestWarnings(t *testing.T) {
	store, err := Open(t.Context(), filepath.Join(t.TempDir(), "spend.db"), Options{Create: true})
	require.NoError(t, err)
	defer store.Close()
	all, err := store.Warnings(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)

	healthy := upkeep{log: largeLog, page: 4096, pages: largeFile / 4096, free: largeFile / 4096, entries: manyEntries}
	require.Empty(t, healthy.warnings(time.Hour))
	grown := upkeep{log: 100 << 20, page: 4096, pages: 100_000, free: 60_000, entries: 2_000_000}
	require.Equal(t, []string{
		"the write-ahead log has 100 MiB: another program holds a snapshot, such as an open transaction of the sqlite3 shell or a backup: end it",
		"of the file's 390 MiB, 234 are free: VACUUM gives them back, while nobody spends",
		"2000000 reservations are remembered, for 840h0m0s: a shorter Options.Retention of the processes that spend makes the file smaller",
	}, grown.warnings(DefaultRetention))
}
