package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/seed"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// leakless runs tests, and fails if a goroutine outlives them.
type leakless struct{ *testing.M }

func (m leakless) Run() int {
	code := m.M.Run()
	stopServers()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	playChild()
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // else each command that is run waits for a second at its end
	}
	testscript.Main(leakless{m}, map[string]func(){
		"bedrockguard": main,
		"seed":         func() { os.Exit(seedMain()) },
	})
}

// Each verb on SQLite, each of its errors with its exit code.
func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/sqlite", Cmds: scriptCommands, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("BEDROCKGUARD_STORE", "sqlite:"+env.WorkDir+"/spend.db")
			env.Setenv("BEDROCKGUARD_OPERATOR", "ada")
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
	})
}

var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"code":    exitCode,
	"lose":    lose,
	"hostile": hostile,
}

// lose runs SQL on the ledger's file, as somebody might who should not.
func lose(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs("spend.db"))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(strings.Join(args, " "))
	ts.Check(err)
}

// hostile makes calls of workflows whose names a terminal, a spreadsheet or a browser would obey, and a kill with such a reason.
func hostile(ts *testscript.TestScript, _ bool, _ []string) {
	ctx := context.Background()
	store, err := sqlitestore.Open(ctx, ts.MkAbs("spend.db"), sqlitestore.Options{Create: true})
	ts.Check(err)
	defer store.Close()
	policy, err := commandline.ReadPolicyFile(ts.MkAbs("policy.yaml"))
	ts.Check(err)
	ledger, err := budget.Open(ctx, store, policy)
	ts.Check(err)
	for _, name := range []string{"a", "\x1b[31mred\x1b]0;title\a", "\u202egnp.exe", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "two\nlines", strings.Repeat("long", 128)} {
		ts.Check((&seed.Call{Scope: budget.Scope{Workflow: name}, USD: 0.5}).Make(ctx, ledger))
	}
	_, err = ledger.Kill(budget.WithOperator(ctx, "\x1b[2Jada"), budget.Scope{Workflow: "x\x1by"}, "\x1b[31mwhy")
	ts.Check(err)
}

// exitCode runs a command, and fails if it ends with another exit code than the first argument says.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// seedMain makes calls on the ledger that BEDROCKGUARD_STORE names: seed POLICY CALL…, as seed.Parse reads calls. The time
// of a call is the one by which SQLite's clock goes.
func seedMain() int {
	if err := seedLedger(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		return 1
	}
	return 0
}

func seedLedger(ctx context.Context, file string, calls []string) error {
	now := time.Now()
	at := os.Getenv("BEDROCKGUARD_STORE")
	var store budget.Store
	closeStore := func() error { return nil }
	var err error
	if path, ok := strings.CutPrefix(at, "sqlite:"); ok {
		var s *sqlitestore.Store
		if s, err = sqlitestore.Open(ctx, path, sqlitestore.Options{Create: true, Clock: func() time.Time { return now }}); err == nil {
			store, closeStore = s, s.Close
		}
	} else {
		store, closeStore, err = storeurl.Open(ctx, at, true)
	}
	if err != nil {
		return err
	}
	defer closeStore()
	policy, err := commandline.ReadPolicyFile(file)
	if err != nil {
		return err
	}
	for _, text := range calls {
		call, err := seed.Parse(text)
		if err != nil {
			return err
		}
		if now = time.Now(); !call.At.IsZero() {
			now = call.At
		}
		ledger, err := budget.Open(ctx, store, policy, func(o *budget.OpenOptions) { o.OwnPolicy = true })
		if err != nil {
			return err
		}
		if err := call.Make(ctx, ledger); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if call.End == "expired" {
			now = now.Add(time.Hour)
			if _, err := store.Expire(ctx, 100); err != nil {
				return err
			}
		}
	}
	return nil
}
