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
	policy, err := readPolicyFile(ts.MkAbs("policy.yaml"))
	ts.Check(err)
	ledger, err := budget.Open(ctx, store, policy)
	ts.Check(err)
	for _, name := range []string{"a", "\x1b[31mred\x1b]0;title\a", "\u202egnp.exe", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "two\nlines", strings.Repeat("long", 128)} {
		ts.Check((&seedCall{scope: budget.Scope{Workflow: name}, usd: 0.5}).make(ctx, ledger))
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

// seedMain makes calls on the ledger that BEDROCKGUARD_STORE names: seed POLICY CALL…, where a call is such as
// workflow=nightly,tag:team=research,usd=2.5. Its figures are usd and worst; pending, estimated, voided and expired are ends of calls; ref is AWS's
// request id, and at the time by which SQLite's clock goes.
func seedMain() int {
	if err := seed(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		return 1
	}
	return 0
}

func seed(ctx context.Context, file string, calls []string) error {
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
		store, closeStore, err = openStore(ctx, at, true)
	}
	if err != nil {
		return err
	}
	defer closeStore()
	policy, err := readPolicyFile(file)
	if err != nil {
		return err
	}
	for _, text := range calls {
		call, err := parseSeed(text)
		if err != nil {
			return err
		}
		if now = time.Now(); !call.at.IsZero() {
			now = call.at
		}
		ledger, err := budget.Open(ctx, store, policy, func(o *budget.OpenOptions) { o.OwnPolicy = true })
		if err != nil {
			return err
		}
		if err := call.make(ctx, ledger); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if call.end == "expired" {
			now = now.Add(time.Hour)
			if _, err := store.Expire(ctx, 100); err != nil {
				return err
			}
		}
	}
	return nil
}

type seedCall struct {
	scope       budget.Scope
	usd, worst  float64
	end, ref    string
	at          time.Time
	wantRefused bool
}

func parseSeed(text string) (c seedCall, err error) {
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "principal":
			c.scope.Principal = value
		case "workflow":
			c.scope.Workflow = value
		case "model":
			c.scope.Model = value
		case "region":
			c.scope.Region = value
		case "usd":
			c.usd, err = strconv.ParseFloat(value, 64)
		case "worst":
			c.worst, err = strconv.ParseFloat(value, 64)
		case "ref":
			c.ref = value
		case "at":
			c.at, err = time.Parse(time.RFC3339, value)
		case "pending", "estimated", "voided", "expired":
			c.end = name
		case "refused":
			c.wantRefused = true
		default:
			tag, ok := strings.CutPrefix(name, "tag:")
			if !ok {
				return c, fmt.Errorf("%q is no part of a call", part)
			}
			if c.scope.Tags == nil {
				c.scope.Tags = make(map[string]string)
			}
			c.scope.Tags[tag] = value
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *seedCall) make(ctx context.Context, ledger *budget.Ledger) error {
	charge := func(dollars float64) budget.Charge {
		return budget.Charge{
			budget.UnitUSD: budget.USD(dollars).N, budget.UnitCalls: 1, budget.UnitInputTokens: 1000, budget.UnitUncachedInputTokens: 400,
			budget.UnitCacheReadInputTokens: 500, budget.UnitCacheWriteInputTokens: 100, budget.UnitOutputTokens: 50,
		}
	}
	r, err := ledger.Reserve(ctx, budget.Request{Scope: c.scope, Operation: "Converse", Worst: charge(max(c.usd, c.worst)), TTL: 10 * time.Minute})
	if refused := errors.Is(err, budget.ErrExceeded) || errors.Is(err, budget.ErrKilled); refused && c.wantRefused {
		return nil
	}
	if err != nil {
		return err
	}
	if c.wantRefused {
		return errors.New("it was admitted")
	}
	switch c.end {
	case "pending", "expired":
		return nil
	case "voided":
		return ledger.Void(ctx, r)
	}
	_, err = ledger.SettleAs(ctx, r, charge(c.usd), c.end == "estimated", c.ref)
	return err
}
