package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// The bare loop that the store is measured against: one row in, durable, with the store's own settings.
func bareLoop(path string) (step func() error, stop func(), err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &Store{opts: Options{BusyTimeout: DefaultBusyTimeout}, conn: conn}
	for _, q := range []string{
		"PRAGMA busy_timeout = 5000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA busy_timeout = 0",
		"CREATE TABLE IF NOT EXISTS bare (id BLOB PRIMARY KEY, payload BLOB NOT NULL) STRICT, WITHOUT ROWID",
	} {
		if err := whileBusy(ctx.Err, func() error { _, err := conn.ExecContext(ctx, q); return err }); err != nil {
			return nil, nil, err
		}
	}
	insert, err := conn.PrepareContext(ctx, "INSERT INTO bare VALUES (?, ?)")
	if err != nil {
		return nil, nil, err
	}
	payload := make([]byte, 256)
	step = func() error {
		id := driver.NewID()
		return transaction(s.conn, ctx.Err, "BEGIN IMMEDIATE", func() error {
			_, err := insert.Exec(id[:], payload)
			return err
		})
	}
	return step, func() { conn.Close(); db.Close() }, nil
}

func benchLines() []driver.Line {
	return []driver.Line{
		{Account: driver.Key{1}, Unit: driver.UnitUSD, Window: driver.Monthly, Max: 1 << 60},
		{Account: driver.Key{2}, Unit: driver.UnitCalls, Window: driver.Daily, Max: 1 << 60},
		{Account: driver.Key{3}, Unit: driver.UnitUncachedInputTokens, Window: driver.Rolling(time.Hour), Max: 1 << 60},
	}
}

// benchOperations are all operations of a store. Each prepares so many steps, untimed, and returns the step number i.
var benchOperations = []struct {
	name    string
	prepare func(s *Store, steps int) (func(i int) error, error)
}{
	{"Reserve", func(s *Store, _ int) (func(int) error, error) {
		return func(int) error { _, err := s.Reserve(benchCtx, benchReservation(time.Hour)); return err }, nil
	}},
	{"Reserve-denied", func(s *Store, _ int) (func(int) error, error) {
		return func(int) error {
			r := benchReservation(time.Hour)
			r.Lines[2].Max = 0
			d, err := s.Reserve(benchCtx, r)
			if len(d.Denied) == 0 {
				err = errors.Join(err, errors.New("not denied"))
			}
			return err
		}, nil
	}},
	{"Settle", func(s *Store, steps int) (func(int) error, error) {
		made, err := benchReserved(s, steps, time.Hour)
		return func(i int) error { return benchSettle(s, made[i], false) }, err
	}},
	{"Void", func(s *Store, steps int) (func(int) error, error) {
		made, err := benchReserved(s, steps, time.Hour)
		return func(i int) error { return s.Void(benchCtx, made[i].ID, made[i].Owner) }, err
	}},
	{"Correct", func(s *Store, steps int) (func(int) error, error) {
		made, err := benchReserved(s, steps, time.Hour)
		for i := range made {
			err = errors.Join(err, benchSettle(s, made[i], true))
		}
		return func(i int) error {
			_, err := s.Correct(benchCtx, driver.Correction{ID: made[i].ID, Actual: driver.Charge{}, Change: storetest.NewChange()})
			return err
		}, err
	}},
	{"Expire", func(s *Store, steps int) (func(int) error, error) {
		_, err := benchReserved(s, steps, time.Nanosecond)
		return func(int) error {
			n, err := s.Expire(benchCtx, 1)
			if n != 1 {
				err = errors.Join(err, errors.New("nothing expired"))
			}
			return err
		}, err
	}},
	{"Kill-Revive", func(s *Store, _ int) (func(int) error, error) {
		scope := driver.Scope{Workflow: driver.NewID().String()}
		return func(i int) error {
			if i%2 == 1 {
				return s.Revive(benchCtx, driver.Flag{Scope: scope}, storetest.NewChange())
			}
			return s.Kill(benchCtx, driver.Kill{Scope: scope, Reason: "benchmark"}, storetest.NewChange())
		}, nil
	}},
	{"Override-Unlatch", func(s *Store, _ int) (func(int) error, error) {
		key := driver.Key(driver.NewID())
		return func(i int) error {
			if i%2 == 1 {
				return s.Unlatch(benchCtx, []driver.Key{key}, storetest.NewChange())
			}
			return s.Override(benchCtx, key, &driver.Override{Max: int64(i), Until: time.Now().Add(time.Hour)}, storetest.NewChange())
		}, nil
	}},
	{"Balances", func(s *Store, _ int) (func(int) error, error) {
		return func(int) error { _, err := s.Balances(benchCtx, benchLines()); return err }, nil
	}},
	{"Kills", func(s *Store, _ int) (func(int) error, error) {
		return func(int) error { _, err := s.Kills(benchCtx); return err }, nil
	}},
	{"Entries-of-10", func(s *Store, _ int) (func(int) error, error) {
		_, err := benchReserved(s, 10, time.Hour)
		return func(int) error { _, err := s.Entries(benchCtx, driver.Query{Max: 10}); return err }, err
	}},
}

var benchCtx = context.Background()

func benchReservation(ttl time.Duration) driver.Reservation {
	r := driver.Reservation{ID: driver.NewID(), Lines: benchLines(), TTL: ttl}
	for u := driver.UnitUSD; u <= driver.UnitCalls; u++ {
		r.Charge[u] = 1
	}
	return r
}

func benchReserved(s *Store, n int, ttl time.Duration) (made []driver.Reservation, err error) {
	for range n {
		r := benchReservation(ttl)
		d, failed := s.Reserve(benchCtx, r)
		if !d.Admitted {
			return made, errors.Join(failed, errors.New("not admitted"))
		}
		made = append(made, r)
	}
	return made, nil
}

func benchSettle(s *Store, r driver.Reservation, estimated bool) error {
	_, err := s.Settle(benchCtx, driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: r.Charge, Lines: r.Lines, Estimated: estimated})
	return err
}

// BenchmarkStore_AgainstBareLoop times each operation of the store, and the bare loop in turns with it, on files of their own
// on the same disk. speed-ratio is the bare loop's time divided by the store's: 0.5 is half as fast.
func BenchmarkStore_AgainstBareLoop(b *testing.B) {
	for _, processes := range []int{1, 8} {
		for _, op := range benchOperations {
			b.Run(fmt.Sprintf("%s/processes=%d", op.name, processes), func(b *testing.B) {
				var store, bare []time.Duration
				for b.Loop() {
					store = append(store, timeProcesses(b, processes, op.name, tempFile(b)))
					bare = append(bare, timeProcesses(b, processes, "", tempFile(b)))
				}
				slices.Sort(store)
				slices.Sort(bare)
				a, z := store[len(store)/2], bare[len(bare)/2]
				b.ReportMetric(float64(a.Nanoseconds())/float64(processes*benchmarkSteps), "ns/step")
				b.ReportMetric(float64(z)/float64(a), "speed-ratio")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

const (
	benchmarkEnv   = "SQLITESTORE_BENCHMARK"
	warmSteps      = 20
	benchmarkSteps = 200
	// steadySteps come before all of that. Until the write-ahead log has grown to its size and begins again, each commit also
	// lengthens a file, which costs more than what is measured here.
	steadySteps = 500
)

// timeProcesses runs the steps of an operation, or of the bare loop for none, in so many processes that begin together. It
// returns the longest time that one took.
func timeProcesses(b *testing.B, processes int, operation, path string) time.Duration {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	type child struct {
		*exec.Cmd
		in  io.WriteCloser
		out io.Reader
	}
	children := make([]child, processes)
	for i := range children {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), benchmarkEnv+"="+operation+":"+path)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		must(err)
		out, err := cmd.StdoutPipe()
		must(err)
		must(cmd.Start())
		defer cmd.Wait()
		defer in.Close() // ends it if it still waits
		children[i] = child{cmd, in, out}
	}
	for _, c := range children {
		_, err := fmt.Fscanln(c.out) // it is ready
		must(err)
	}
	for _, c := range children {
		_, err := fmt.Fprintln(c.in)
		must(err)
	}
	var longest time.Duration
	for _, c := range children {
		var took time.Duration
		_, err := fmt.Fscanln(c.out, &took)
		must(err)
		longest = max(longest, took)
	}
	return longest
}

// benchmarkChild is the other end of timeProcesses.
func benchmarkChild() {
	operation, path, isChild := strings.Cut(os.Getenv(benchmarkEnv), ":")
	if !isChild {
		return
	}
	if err := runBenchmarkChild(operation, path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runBenchmarkChild(operation, path string) error {
	step, stop, err := benchmarkStep(operation, path)
	if err != nil {
		return err
	}
	defer stop()
	for i := range warmSteps {
		if err := step(i); err != nil {
			return err
		}
	}
	fmt.Println()
	if _, err := fmt.Scanln(); err != nil {
		return err
	}
	begin := time.Now()
	for i := range benchmarkSteps {
		if err := step(warmSteps + i); err != nil {
			return err
		}
	}
	fmt.Println(int64(time.Since(begin)))
	return nil
}

func benchmarkStep(operation, path string) (step func(int) error, stop func(), err error) {
	if operation == "" {
		bare, stop, err := bareLoop(path)
		for range steadySteps {
			if err == nil {
				err = bare()
			}
		}
		return func(int) error { return bare() }, stop, err
	}
	s, err := Open(context.Background(), path, Options{Create: true})
	if err != nil {
		return nil, nil, err
	}
	if _, err := benchReserved(s, steadySteps, time.Hour); err != nil {
		return nil, nil, err
	}
	for _, op := range benchOperations {
		if op.name == operation {
			step, err := op.prepare(s, warmSteps+benchmarkSteps)
			return step, func() { s.Close() }, err
		}
	}
	return nil, nil, fmt.Errorf("no operation %q", operation)
}
