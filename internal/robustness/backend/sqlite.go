package backend

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

var sqlite = Backend{Name: "sqlite", Shared: true, Start: startSQLite, open: openSQLite}

// sqliteServer is a folder: SQLite has no server.
type sqliteServer struct {
	dir   string
	db    *sql.DB        // the connection that holds the lock of the fault in lock
	files syscall.Rlimit // this process's limit on the size of files before the fault in limit
}

func startSQLite(tb testing.TB) Server { return &sqliteServer{dir: tb.TempDir()} }

// NewLedger implements Server. Each ledger is a file in a folder of its own.
func (s *sqliteServer) NewLedger(tb testing.TB, optFns ...func(*Options)) string {
	dir, err := os.MkdirTemp(s.dir, "ledger")
	if err != nil {
		tb.Fatal(err)
	}
	address := sqlite.Name + ":" + filepath.Join(dir, "spend.db")
	if err := makeSQLite(address, optFns...); err != nil {
		tb.Fatal(err)
	}
	return address
}

// makeSQLite makes an empty ledger at an address.
func makeSQLite(address string, optFns ...func(*Options)) error {
	o := options(optFns)
	store, err := sqlitestore.Open(context.Background(), sqlitePath(address), sqlitestore.Options{Create: true, Clock: o.Clock})
	if err != nil {
		return err
	}
	return store.Close()
}

// Faults are of one ledger's file, except for the quota, which is this process's.
func (s *sqliteServer) Faults() []Fault {
	return []Fault{
		{Name: "locked by a process that hangs", Begin: s.lock, End: s.unlock},
		{Name: "quota used up", Begin: s.limit, End: s.unlimit},
		{Name: "file deleted", Begin: deleteSQLite, Forgets: true},
		{Name: "file replaced by an empty ledger", Begin: replaceSQLite, Forgets: true},
	}
}

// lock locks the file, as a process does that was stopped in the middle of a step.
func (s *sqliteServer) lock(address string) (err error) {
	ctx := context.Background()
	if s.db, err = sql.Open("sqlite", sqlitePath(address)); err != nil {
		return err
	}
	// One connection, because unlock has to end the transaction on the one that began it.
	s.db.SetMaxOpenConns(1)
	for { // others may lock it for a moment
		if _, err = s.db.ExecContext(ctx, "BEGIN IMMEDIATE"); err == nil || !strings.Contains(err.Error(), "locked") {
			return err
		}
	}
}

// unlock ends the lock of lock.
func (s *sqliteServer) unlock(string) error {
	_, err := s.db.Exec("ROLLBACK")
	return errors.Join(err, s.db.Close())
}

// limit prevents this process from writing beyond the first byte of a file, as a quota or a full disk would.
func (s *sqliteServer) limit(string) error {
	signal.Ignore(syscall.SIGXFSZ) // the signal for a write beyond the limit, which would end the process
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &s.files); err != nil {
		return err
	}
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1, Max: s.files.Max})
}

// unlimit lets this process write as before limit.
func (s *sqliteServer) unlimit(string) error {
	defer signal.Reset(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &s.files)
}

// sqlitePath returns the file of an address.
func sqlitePath(address string) string { return address[len(sqlite.Name)+1:] }

// deleteSQLite deletes the ledger while processes have it open.
func deleteSQLite(address string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} { // the file, and the two that SQLite keeps beside it: its log, and the index of that
		if err := os.Remove(sqlitePath(address) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// replaceSQLite puts an empty ledger in the place of one that processes have open.
func replaceSQLite(address string) error {
	if err := deleteSQLite(address); err != nil {
		return err
	}
	return makeSQLite(address)
}

// openSQLite opens a handle on the ledger in a file.
func openSQLite(ctx context.Context, path string, o Options) (budget.Store, error) {
	so := sqlitestore.Options{Clock: o.Clock, Retention: o.retention(), BusyTimeout: o.Timeout}
	if o.Relaxed { // a commit does not wait for the disk
		so.Synchronous = sqlitestore.Normal
	}
	return sqlitestore.Open(ctx, path, so)
}
