package sqlitestore

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/earlier"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func TestConformance(t *testing.T) {
	options := func(clock *storetest.Clock) Options {
		return Options{Create: true, Clock: clock.Now, Retention: storetest.Retention, UsageRows: storetest.UsageRows, Synchronous: Normal}
	}
	storetest.Run(t, storetest.Harness{
		Seeds: 4, Steps: 500,
		Open: func(t *testing.T, clock *storetest.Clock) driver.Store {
			s, err := Open(t.Context(), tempFile(t), options(clock))
			require.NoError(t, err)
			return s
		},
		Reopen: func(t *testing.T, store driver.Store, clock *storetest.Clock) driver.Store {
			s, err := Open(t.Context(), store.(*Store).path, options(clock))
			require.NoError(t, err)
			return s
		},
		Wipe: func(t *testing.T, store driver.Store) {
			path := store.(*Store).path
			for _, suffix := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(path + suffix)
			}
			again, err := Open(t.Context(), path, Options{Create: true})
			require.NoError(t, err)
			require.NoError(t, again.Close())
		},
		Lose: func(t *testing.T, store driver.Store, n int) string { return loseRow(t, store.(*Store).path, n) },
	})
}

// loseRow deletes the n-th row of a file, over a connection of its own, and says which it was.
func loseRow(t *testing.T, path string, n int) string {
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	for _, table := range []struct{ name, key string }{
		{"meta", "one"}, {"account", "key"}, {"bucket", "account || start"}, {"reservation", "id"}, {"flag", "key"}, {"change", "revision"}, {"usage", "day || key"},
	} {
		var rows int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM "+table.name).Scan(&rows))
		if n < rows {
			result, err := db.Exec("DELETE FROM " + table.name + " WHERE " + table.key + " = (SELECT " + table.key + " FROM " + table.name + " ORDER BY 1 LIMIT 1 OFFSET " + strconv.Itoa(n) + ")")
			require.NoError(t, err)
			gone, err := result.RowsAffected()
			require.NoError(t, err)
			require.Equal(t, int64(1), gone)
			return table.name + " row " + strconv.Itoa(n)
		}
		n -= rows
	}
	return ""
}

// A file that is not there, or holds nothing, is no ledger of which nothing was spent.
func TestOpenMakesALedgerOnlyWhenTold(t *testing.T) {
	path := tempFile(t)
	_, err := Open(t.Context(), path, Options{})
	require.ErrorIs(t, err, driver.ErrNoLedger)
	require.NoFileExists(t, path)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = Open(t.Context(), path, Options{})
	require.ErrorIs(t, err, driver.ErrNoLedger)

	s, err := Open(t.Context(), path, Options{Create: true})
	require.NoError(t, err)
	require.NoError(t, reserveOne(t.Context(), s))
	require.NoError(t, s.Close())
	s, err = Open(t.Context(), path, Options{})
	require.NoError(t, err)
	require.NoError(t, reserveOne(t.Context(), s))
	balances, err := s.Balances(t.Context(), benchLines())
	require.NoError(t, err)
	require.Equal(t, int64(2), balances[0].Pending)
	require.NoError(t, s.Close())
}

// Rows that are gone are a loss for a process that begins later, too, until an operator accepts it.
func TestALostRowIsALossForNewProcesses(t *testing.T) {
	path := tempFile(t)
	s, err := Open(t.Context(), path, Options{Create: true})
	require.NoError(t, err)
	require.NoError(t, reserveOne(t.Context(), s))
	require.NoError(t, s.Close())
	require.NotEmpty(t, loseRow(t, path, 1))

	s, err = Open(t.Context(), path, Options{})
	require.NoError(t, err)
	defer s.Close()
	require.ErrorIs(t, reserveOne(t.Context(), s), driver.ErrLost)
	operator, err := budget.Operate(t.Context(), s)
	require.NoError(t, err)
	require.NoError(t, operator.AcceptLoss(budget.WithOperator(t.Context(), "ada"), "looked at the invoice"))
	require.NoError(t, reserveOne(t.Context(), s))
}

// An acceptance that fails accepts nothing: the process does not go on with what took the ledger's place.
func TestALossThatCouldNotBeAcceptedStays(t *testing.T) {
	for _, found := range []bool{true, false} { // whether the process had found the loss before
		s, err := Open(t.Context(), tempFile(t), Options{Create: true})
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, reserveOne(t.Context(), s))
		require.NoError(t, s.AcceptLoss(t.Context(), storetest.NewChange()), "a change that the next one has to know")
		_, err = s.conn.ExecContext(t.Context(), "UPDATE meta SET sequence = 1000, epoch = x'00112233445566778899aabbccddeeff'") // as in another ledger's file
		require.NoError(t, err)
		if found {
			require.ErrorIs(t, reserveOne(t.Context(), s), driver.ErrLost)
		}
		change := storetest.NewChange()
		change.Seen = 0
		require.ErrorIs(t, s.AcceptLoss(t.Context(), change), driver.ErrSuperseded)
		require.ErrorIs(t, reserveOne(t.Context(), s), driver.ErrLost)
		require.NoError(t, s.AcceptLoss(t.Context(), storetest.NewChange()))
		require.NoError(t, reserveOne(t.Context(), s))
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	for _, path := range []string{"", ":memory:", "file:x.db?mode=memory", "x.db?_pragma=synchronous(0)", t.TempDir() + "/missing/spend.db"} {
		_, err := Open(t.Context(), path, Options{Create: true})
		require.Error(t, err, path)
	}
	_, err := Open(t.Context(), tempFile(t), Options{Synchronous: "OFF"})
	require.ErrorContains(t, err, "Synchronous")
}

// A file that is something else must never be read as an empty ledger.
func TestOpenRefusesForeignFiles(t *testing.T) {
	path := tempFile(t)
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("not a database\n"), 1000), 0o600))
	_, err := Open(t.Context(), path, Options{Create: true})
	require.Error(t, err)

	foreign := tempFile(t)
	other, err := sql.Open("sqlite", foreign)
	require.NoError(t, err)
	_, err = other.Exec("CREATE TABLE customers (id INTEGER)")
	require.NoError(t, err)
	require.NoError(t, other.Close())
	_, err = Open(t.Context(), foreign, Options{})
	require.ErrorContains(t, err, "something else")

	newer := tempFile(t)
	db, err := sql.Open("sqlite", newer)
	require.NoError(t, err)
	_, err = db.Exec("PRAGMA user_version = 99")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = Open(t.Context(), newer, Options{})
	require.ErrorContains(t, err, "schema version 99")
}

// A backup that is played back under an open store takes spend with it.
func TestASetBackFileIsRefused(t *testing.T) {
	s, err := Open(t.Context(), tempFile(t), Options{Create: true})
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, reserveOne(t.Context(), s))
	_, err = s.db.Conn(expired()) // the only connection is the store's
	require.Error(t, err)
	_, err = s.conn.ExecContext(t.Context(), "UPDATE meta SET sequence = 0")
	require.NoError(t, err)
	require.ErrorIs(t, reserveOne(t.Context(), s), errReplaced)
	_, err = s.conn.ExecContext(t.Context(), "UPDATE meta SET sequence = 1000, epoch = x'00'")
	require.NoError(t, err)
	require.ErrorIs(t, reserveOne(t.Context(), s), errReplaced)
	_, err = s.conn.ExecContext(t.Context(), "DELETE FROM meta")
	require.NoError(t, err)
	require.ErrorIs(t, reserveOne(t.Context(), s), errReplaced)
	_, err = s.Balances(t.Context(), benchLines())
	require.ErrorIs(t, err, errReplaced)
}

func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func reserveOne(ctx context.Context, s *Store) error {
	var charge driver.Charge
	charge[driver.UnitUSD] = 1
	_, err := s.Reserve(ctx, driver.Reservation{ID: driver.NewID(), Charge: charge, Lines: benchLines(), TTL: time.Hour})
	return err
}

// A full disk is an error, changes nothing, and is over when there is room again.
func TestAFullDiskFailsClosed(t *testing.T) {
	s, err := Open(t.Context(), tempFile(t), Options{Create: true})
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, reserveOne(t.Context(), s))
	_, err = s.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 1")
	require.NoError(t, err)
	admitted := int64(1)
	for range 200 {
		if err = reserveOne(t.Context(), s); err != nil {
			break
		}
		admitted++
	}
	require.ErrorContains(t, err, "full")
	balances, err := s.Balances(t.Context(), benchLines())
	require.NoError(t, err)
	require.Equal(t, admitted, balances[0].Pending)
	_, err = s.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 100000")
	require.NoError(t, err)
	require.NoError(t, reserveOne(t.Context(), s))
}

// What a killed process was told is in the file, and the sums are those of the entries.
func TestAcknowledgedReservationsSurviveKill(t *testing.T) {
	path := tempFile(t)
	s, err := Open(t.Context(), path, Options{Create: true})
	require.NoError(t, err)
	defer s.Close()
	var acknowledged []string
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), crashEnv+"="+path)
			out, _ := cmd.Output()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			mu.Lock()
			defer mu.Unlock()
			acknowledged = append(acknowledged, lines...)
		})
	}
	all.Wait()
	require.Greater(t, len(acknowledged), 100)
	entries, err := s.Entries(t.Context(), driver.Query{Max: 10_000})
	require.NoError(t, err)
	known, sum := make(map[string]bool), int64(0)
	for _, e := range entries {
		known[e.ID.String()] = true
		sum += e.Reserved[driver.UnitUSD]
	}
	for _, id := range acknowledged {
		require.True(t, known[id], "an acknowledged reservation is lost")
	}
	balances, err := s.Balances(t.Context(), benchLines())
	require.NoError(t, err)
	require.Equal(t, sum, balances[0].Pending)
}

// One reservation that can't be charged holds up no other, and a refund past the retention makes no negative sum.
func TestExpiryAndRefundsAtTheEdges(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), tempFile(t), Options{Create: true, Clock: func() time.Time { return now }, Retention: 24 * time.Hour})
	require.NoError(t, err)
	defer s.Close()
	line := func(account byte) []driver.Line {
		return []driver.Line{{Account: driver.Key{account}, Unit: driver.UnitUSD, Window: driver.Daily, Max: 1 << 62}}
	}
	charge := func(n int64) (c driver.Charge) {
		c[driver.UnitUSD] = n
		return c
	}
	put := func(account byte, n int64) driver.ID {
		id := driver.NewID()
		d, err := s.Reserve(t.Context(), driver.Reservation{ID: id, Charge: charge(n), Lines: line(account), TTL: time.Hour})
		require.NoError(t, err)
		require.True(t, d.Admitted)
		return id
	}
	stuck := put(1, 10)
	_, err = s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: charge(1<<63 - 5), Lines: line(1), Call: &driver.Call{Scope: driver.Scope{Workflow: "large"}}})
	require.NoError(t, err)
	now = now.Add(time.Minute)
	refunded := put(2, 10)
	now = now.Add(2 * time.Hour)
	n, err := s.Expire(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	entries, err := s.Entries(t.Context(), driver.Query{State: driver.Pending, Max: 10})
	require.NoError(t, err)
	require.Equal(t, stuck, entries[0].ID)

	_, err = s.conn.ExecContext(t.Context(), "UPDATE meta SET forgetting = 1; DELETE FROM bucket WHERE account = ?; UPDATE meta SET forgetting = 0", line(2)[0].Account[:])
	require.NoError(t, err)
	_, err = s.Correct(t.Context(), driver.Correction{ID: refunded, Actual: charge(1), Change: storetest.NewChange()})
	require.NoError(t, err)
	balances, err := s.Balances(t.Context(), line(2))
	require.NoError(t, err)
	require.Zero(t, balances[0].Settled)
}

const crashEnv = "SQLITESTORE_CRASH"

// crashChild reserves, says so, and is killed by itself after a while.
func crashChild() {
	path := os.Getenv(crashEnv)
	if path == "" {
		return
	}
	s, err := Open(context.Background(), path, Options{Create: true})
	if err != nil {
		os.Exit(1)
	}
	var charge driver.Charge
	charge[driver.UnitUSD] = 7
	for n := 0; ; n++ {
		r := driver.Reservation{ID: driver.NewID(), Charge: charge, Lines: benchLines(), TTL: time.Hour}
		if _, err := s.Reserve(context.Background(), r); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString(r.ID.String() + "\n") //nolint:errcheck // the parent counts what arrives
		if n == 100 {
			go killSelf()
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encodeBookings([]booking{{unit: driver.UnitUSD}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if bookings, err := decodeBookings(raw); err == nil {
			require.Equal(t, len(raw), len(encodeBookings(bookings)))
		}
		_, _ = decodeCharge(raw)
		_, _ = decodeKeys(raw)
	})
}

// Rows of usage of days that are past are forgotten a few at a time, flags long after their end, and neither is taken for a loss.
func TestUsageAndFlagsAreForgotten(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))
	s, err := Open(t.Context(), tempFile(t), Options{Create: true, Clock: clock.Now, Retention: 300 * 24 * time.Hour})
	require.NoError(t, err)
	defer s.Close()
	const rows = forgetBatch + 50
	var charge driver.Charge
	charge[driver.UnitUSD] = 1
	for i := range rows {
		call := &driver.Call{Scope: driver.Scope{Workflow: strconv.Itoa(i)}}
		_, err := s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: charge, Call: call})
		require.NoError(t, err)
	}
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "w"}, Until: clock.Now().Add(time.Hour)}, storetest.NewChange()))
	count := func(table string) (n int) {
		require.NoError(t, s.conn.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}
	expire := func() {
		_, err := s.Expire(t.Context(), 10)
		require.NoError(t, err)
	}
	for range 9 {
		clock.Advance(24 * time.Hour)
		expire()
	}
	require.Equal(t, [3]int{rows, 1, 0}, [3]int{count("usage"), count("usage_day"), count("flag")})
	for range 401 {
		clock.Advance(24 * time.Hour)
		if count("usage") < rows {
			break
		}
		expire()
	}
	require.Equal(t, [2]int{rows - forgetBatch, 1}, [2]int{count("usage"), count("usage_day")})
	expire()
	clock.Advance(time.Hour)
	expire()
	require.Equal(t, [2]int{0, 0}, [2]int{count("usage"), count("usage_day")})
	_, err = s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: charge})
	require.NoError(t, err, "forgetting is no loss")
	_, err = s.conn.ExecContext(t.Context(), "DELETE FROM usage")
	require.NoError(t, err)
	_, err = s.Usage(t.Context(), driver.UsageMark{}, 10)
	require.ErrorIs(t, err, driver.ErrLost)
}

// What an earlier library had settled is in no row of usage, so nothing may be taken out of one for it.
func TestACorrectionOfAnEarlierLibrarysEntryIsUsage(t *testing.T) {
	path, clock := earlierFile(t), storetest.NewClock(earlier.Now)
	s, err := Open(t.Context(), path, Options{Clock: clock.Now})
	require.NoError(t, err)
	defer s.Close()
	settled, err := s.Entries(t.Context(), driver.Query{State: driver.Settled, Max: 10})
	require.NoError(t, err)
	require.NotEmpty(t, settled)
	to := settled[0].Actual
	to[driver.UnitUSD]++
	_, err = s.Correct(t.Context(), driver.Correction{ID: settled[0].ID, Actual: to, Change: storetest.NewChange()})
	require.NoError(t, err)
	rows, err := s.Usage(t.Context(), driver.UsageMark{}, 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, to, rows[0].Charge)
}

// A store that is closed says so to whoever accepts a loss, and lets nobody wait.
func TestAClosedStoreAcceptsNoLoss(t *testing.T) {
	s, err := Open(t.Context(), tempFile(t), Options{Create: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = s.AcceptLoss(ctx, storetest.NewChange())
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded, "it waited for a turn that never comes")
}
