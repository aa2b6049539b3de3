package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/seed"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// command runs the command in this process.
func command(t testing.TB, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"bedrockguard"}, args...), &bytes.Buffer{}, &o, &e)
	return code, o.String(), e.String()
}

// A ledger with one amount, one account or one state changed is found, and told by name.
func TestVerifyFindsWhatWasChanged(t *testing.T) {
	for name, c := range map[string]struct{ sql, what string }{
		"a sum that is too low":           {`UPDATE bucket SET settled = settled - 1 WHERE settled > 1`, "settled"},
		"a sum that is pending no more":   {`UPDATE bucket SET pending = 0 WHERE pending > 0`, "pending"},
		"an amount of an entry":           {`UPDATE reservation SET actual = (SELECT actual FROM reservation WHERE state = 3) WHERE id = (SELECT id FROM reservation WHERE state = 2 LIMIT 1)`, "settled"},
		"a state":                         {`UPDATE reservation SET state = 1 WHERE id = (SELECT id FROM reservation WHERE state = 2 LIMIT 1)`, "state"},
		"a state that there is not":       {`UPDATE reservation SET state = 9 WHERE id = (SELECT id FROM reservation WHERE state = 2 LIMIT 1)`, "state"},
		"an expiry that nobody saw":       {`UPDATE reservation SET state = 4 WHERE state = 2 AND estimated = 0`, "state"},
		"what was forgotten":              {`UPDATE bucket SET forgotten = 1 WHERE settled > 0`, "settled"},
		"the names of two accounts":       {`UPDATE account SET name = (SELECT name FROM account a WHERE a.name <> account.name ORDER BY length(a.name) DESC LIMIT 1)`, "account"},
		"an account that a bucket is of":  {`UPDATE bucket SET account = randomblob(16) WHERE settled > 0`, "missing"},
		"what a row of usage tells":       {`UPDATE usage SET amounts = (SELECT amounts FROM usage u WHERE u.key <> usage.key LIMIT 1) WHERE key = (SELECT key FROM usage LIMIT 1)`, "usage"},
		"the day of a row of usage":       {`UPDATE usage SET day = day - 86400000000000`, "usage"},
		"when an entry was resolved":      {`UPDATE reservation SET resolved_at = 0 WHERE state = 2`, "state"},
		"an estimate that became pending": {`UPDATE reservation SET state = 1 WHERE estimated = 1`, "state"},
	} {
		t.Run(name, func(t *testing.T) {
			at := verifiable(t)
			code, out, errOut := command(t, "--store", "sqlite:"+at, "verify")
			require.Zero(t, code, out+errOut)
			db, err := sql.Open("sqlite", at)
			require.NoError(t, err)
			defer db.Close()
			done, err := db.Exec(c.sql)
			require.NoError(t, err)
			n, err := done.RowsAffected()
			require.NoError(t, err)
			require.Positive(t, n, "nothing was changed")

			code, out, errOut = command(t, "--store", "sqlite:"+at, "--json", "verify", "--tries", "1")
			require.Equal(t, exit.CodeFound, code, out+errOut)
			var told struct{ Differences []struct{ Kind string } }
			require.NoError(t, json.Unmarshal([]byte(out), &told))
			var kinds []string
			for _, d := range told.Differences {
				kinds = append(kinds, d.Kind)
			}
			require.Contains(t, kinds, c.what)
			code, out, _ = command(t, "--store", "sqlite:"+at, "verify", "--tries", "2")
			require.Equal(t, exit.CodeFound, code, "it still differs when it is looked at again")
			require.Contains(t, out, c.what+": ")
		})
	}
}

// verifiable makes a ledger with calls of each end.
func verifiable(t *testing.T) (at string) {
	at = t.TempDir() + "/spend.db"
	store, err := sqlitestore.Open(t.Context(), at, sqlitestore.Options{Create: true})
	require.NoError(t, err)
	defer store.Close()
	ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{
		{Name: "workflow-day", Max: budget.USD(100), Window: budget.Daily, Per: budget.PerWorkflow},
		{Name: "all", Max: budget.USD(1000), Window: budget.Lifetime},
	}})
	require.NoError(t, err)
	for _, c := range []seed.Call{
		{Scope: budget.Scope{Workflow: "nightly"}, USD: 1},
		{Scope: budget.Scope{Workflow: "reviews"}, USD: 2, End: "estimated"},
		{Scope: budget.Scope{Workflow: "nightly"}, USD: 3, End: "pending"},
		{Scope: budget.Scope{Workflow: "reviews"}, USD: 4, End: "voided"},
	} {
		require.NoError(t, c.Make(t.Context(), ledger))
	}
	return at
}

// Calls that are made while verify looks are no differences.
func TestVerifyOfALedgerInUse(t *testing.T) {
	at := verifiable(t)
	store, err := sqlitestore.Open(t.Context(), at, sqlitestore.Options{})
	require.NoError(t, err)
	defer store.Close()
	ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{
		{Name: "workflow-day", Max: budget.USD(100), Window: budget.Daily, Per: budget.PerWorkflow},
	}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var made atomic.Int64
	go func() {
		for ; ctx.Err() == nil; made.Add(1) {
			call := seed.Call{Scope: budget.Scope{Workflow: "busy"}, USD: 0.0001}
			if err := call.Make(context.WithoutCancel(ctx), ledger); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for made.Load() < 300 {
		code, out, errOut := command(t, "--store", "sqlite:"+at, "verify", "--tries", "20")
		require.Zero(t, code, out+errOut)
	}
	stop()
	require.NoError(t, <-ended)
}
