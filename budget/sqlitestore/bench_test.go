package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
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
		id := budget.NewID()
		return s.transaction(ctx.Err, "BEGIN IMMEDIATE", func() error {
			_, err := insert.Exec(id[:], payload)
			return err
		})
	}
	return step, func() { conn.Close(); db.Close() }, nil
}

func benchLines() []budget.Line {
	return []budget.Line{
		{Account: budget.Key{1}, Unit: budget.UnitUSD, Window: budget.Monthly, Max: 1 << 60},
		{Account: budget.Key{2}, Unit: budget.UnitCalls, Window: budget.Daily, Max: 1 << 60},
		{Account: budget.Key{3}, Unit: budget.UnitUncachedInputTokens, Window: budget.Rolling(time.Hour), Max: 1 << 60},
	}
}

// storeStep returns a step of the store: reservations and what resolves them, in turns.
func storeStep(s *Store) func() error {
	ctx, lines := context.Background(), benchLines()
	charge := budget.Charge{}
	for u := budget.UnitUSD; u <= budget.UnitCalls; u++ {
		charge[u] = 1
	}
	n := 0
	var id budget.ID
	return func() error {
		n++
		if n%2 == 1 {
			id = budget.NewID()
			_, err := s.Reserve(ctx, budget.Reservation{ID: id, Charge: charge, Lines: lines, TTL: time.Hour})
			return err
		}
		_, err := s.Settle(ctx, budget.Settlement{ID: id, Actual: charge, Lines: lines})
		return err
	}
}

// chunkSteps is how many steps of one kind are timed before it is the other's turn, so that both see the same machine.
const chunkSteps = 50

// BenchmarkStore_AgainstBareLoop times steps of the store and of the bare loop in turns, on files of their own on the same
// disk. speed-ratio is the bare loop's time divided by the store's: 0.5 is half as fast.
func BenchmarkStore_AgainstBareLoop(b *testing.B) {
	for _, processes := range []int{1, 8} {
		b.Run(fmt.Sprintf("processes=%d", processes), func(b *testing.B) {
			storeFile, bareFile := tempFile(b), tempFile(b)
			warm, err := Open(storeFile)
			if err != nil {
				b.Fatal(err)
			}
			defer warm.Close()
			var store, bare time.Duration
			for b.Loop() {
				store += timeProcesses(b, processes, "store", storeFile)
				bare += timeProcesses(b, processes, "bare", bareFile)
			}
			steps := float64(b.N * processes * benchmarkSteps)
			b.ReportMetric(float64(store.Nanoseconds())/steps, "ns/step")
			b.ReportMetric(float64(bare.Nanoseconds())/steps, "ns/bare-step")
			b.ReportMetric(float64(bare)/float64(store), "speed-ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

const (
	benchmarkEnv   = "SQLITESTORE_BENCHMARK"
	benchmarkSteps = 400
)

// timeProcesses runs the steps in so many processes at once and returns the longest time that one took for its own.
func timeProcesses(b *testing.B, processes int, kind, path string) time.Duration {
	var mu sync.Mutex
	var longest time.Duration
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), benchmarkEnv+"="+kind+":"+path)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			mu.Lock()
			defer mu.Unlock()
			var took time.Duration
			if err == nil {
				err = json.Unmarshal(out, &took)
			}
			if err != nil {
				b.Error(err)
			}
			longest = max(longest, took)
		})
	}
	all.Wait()
	return longest
}

// benchmarkChild is the other end of timeProcesses.
func benchmarkChild() {
	job := os.Getenv(benchmarkEnv)
	if job == "" {
		return
	}
	if err := runBenchmarkChild(job); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runBenchmarkChild(job string) error {
	var step func() error
	if path, ok := cutPrefix(job, "bare:"); ok {
		bare, stop, err := bareLoop(path)
		if err != nil {
			return err
		}
		defer stop()
		step = bare
	} else {
		path, _ := cutPrefix(job, "store:")
		s, err := Open(path)
		if err != nil {
			return err
		}
		defer s.Close()
		step = storeStep(s)
	}
	for range chunkSteps { // warm up
		if err := step(); err != nil {
			return err
		}
	}
	begin := time.Now()
	for range benchmarkSteps {
		if err := step(); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(time.Since(begin))
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return "", false
}
