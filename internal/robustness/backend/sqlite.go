package backend

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

var sqlite = Backend{Name: "sqlite", Shared: true, Start: startSQLite, open: openSQLite}

// retention is longer than any clock of these tests runs.
const retention = 50 * 366 * 24 * time.Hour

// sqliteServer is a folder: SQLite has no server.
type sqliteServer struct{ dir string }

func startSQLite(tb testing.TB) Server { return sqliteServer{tb.TempDir()} }

func (s sqliteServer) NewLedger(tb testing.TB) string {
	dir, err := os.MkdirTemp(s.dir, "ledger")
	if err != nil {
		tb.Fatal(err)
	}
	return sqlite.Name + ":" + filepath.Join(dir, "spend.db")
}

func (s sqliteServer) Faults() []Fault {
	return []Fault{
		{Name: "file deleted", Begin: deleteSQLite, Forgets: true, Instant: true},
		{Name: "file replaced by an empty ledger", Begin: replaceSQLite, Forgets: true, Instant: true},
	}
}

func sqlitePath(address string) string { return address[len(sqlite.Name)+1:] }

// deleteSQLite loses the ledger under those who have it open.
func deleteSQLite(address string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(sqlitePath(address) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func replaceSQLite(address string) error {
	if err := deleteSQLite(address); err != nil {
		return err
	}
	empty, err := sqlitestore.Open(sqlitePath(address))
	if err != nil {
		return err
	}
	return empty.Close()
}

func openSQLite(_ context.Context, path string, o Options) (budget.Store, error) {
	return sqlitestore.Open(path, func(so *sqlitestore.Options) {
		so.Clock, so.Retention, so.BusyTimeout = o.Clock, retention, o.Timeout
		if o.Relaxed {
			so.Synchronous = sqlitestore.Normal
		}
	})
}
