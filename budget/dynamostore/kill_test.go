package dynamostore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// A query may see a transaction that is being carried out in part: the new token in a gate, and not yet the flag. What it
// finds must add up to the token, or is not believed.
func TestFlagsOfHalfATransactionAreNotBelieved(t *testing.T) {
	w, s := wired(t)
	l := line(1, driver.Daily, 10)
	admitted(t, s, hold(1, l))
	scope := driver.Scope{Workflow: "w"}
	require.NoError(t, open(t, newClient(t, endpoint(t)), s.table).Kill(t.Context(), driver.Kill{Scope: scope, Reason: "stop"}, storetest.NewChange()))
	w.follow(func(c *call) (*http.Response, error) {
		resp, err := c.pass()
		if c.op != "Query" || c.nth > 2 || err != nil {
			return resp, err
		}
		_ = resp.Body.Close()
		none, err := json.Marshal(map[string]any{"Count": 0, "ScannedCount": 0, "Items": []any{}})
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(none)), int64(len(none))
		resp.Header.Del("X-Amz-Crc32")
		return resp, err
	})
	r := hold(1, l)
	r.Dims = scope.Dims()
	d, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.NotNil(t, d.Killed, "admitted by flags that were read in part")
	require.Equal(t, [2]int64{0, 1}, stands(t, s, l))
}

// A process that dies between asking reservations to wait and setting its flag holds them up for a while, and no longer.
func TestADeadKillersDrainPasses(t *testing.T) {
	s := newStore(t)
	l := line(1, driver.Daily, 10)
	admitted(t, s, hold(1, l))
	g, err := s.readGate(t.Context())
	require.NoError(t, err)
	now, err := s.clock.now()
	require.NoError(t, err)
	require.NoError(t, s.drain(t.Context(), g, now.Add(-drainTime+drainTime/20)))
	admitted(t, s, hold(1, l)) // after half a second
	require.NoError(t, s.drain(t.Context(), g, now))
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))
	admitted(t, s, hold(1, l)) // at once: the next flag ends the wait
}

// No text of a user is part of a key: names are hashed, and kept as values where they are kept.
func TestNoTextOfAUserIsPartOfAKey(t *testing.T) {
	const canary = "canary-7f3a"
	s := newStore(t)
	ledger, err := budget.Open(t.Context(), s, budget.Policy{Limits: []budget.Limit{
		{Name: canary, Max: budget.USD(1), Window: driver.Daily, Per: budget.PerPrincipal | budget.PerWorkflow, PerTags: []string{canary}},
	}})
	require.NoError(t, err)
	scope := driver.Scope{Principal: canary + "\x00'; #", Workflow: canary + "{}", Model: canary, Tags: map[string]string{canary: canary}}
	receipt, err := ledger.Reserve(t.Context(), budget.Request{Scope: scope, Worst: usd(5)})
	require.NoError(t, err)
	_, err = ledger.Settle(t.Context(), receipt, usd(5), false)
	require.NoError(t, err)
	require.NoError(t, storetest.Done(ledger.Kill(t.Context(), scope, canary)))
	_, err = ledger.Reserve(t.Context(), budget.Request{Scope: scope, Worst: usd(5)})
	require.ErrorIs(t, err, driver.ErrKilled)
	for key, whole := range dump(t, s) {
		require.NotContains(t, key, canary)
		for attribute := range whole {
			require.NotContains(t, attribute, canary)
		}
		if !strings.HasPrefix(key, killPartition) {
			require.NotContains(t, string(jsonOf(t, whole)), canary)
		}
	}
}

// Changes of one process don't fail on each other: each requires the revision that it has read, so that of many at once all but one would be
// made anew, again and again.
func TestChangesOfOneProcessWaitForEachOther(t *testing.T) {
	w, s := wired(t)
	l := line(1, driver.Lifetime, 100)
	r := hold(1, l)
	admitted(t, s, r)
	settled(t, s, r, 1)
	w.follow(nil)
	const each = 12
	var all sync.WaitGroup
	for n := range each {
		scope := driver.Scope{Workflow: fmt.Sprint(n)}
		for _, change := range []func() error{
			func() error {
				return s.Kill(context.Background(), driver.Kill{Scope: scope, Reason: "stop"}, storetest.NewChange())
			},
			func() error {
				return s.Override(context.Background(), l.Account, &driver.Override{Max: int64(n), Until: time.Now().Add(time.Hour)}, storetest.NewChange())
			},
			func() error {
				_, err := s.Correct(context.Background(), driver.Correction{ID: r.ID, Actual: usd(int64(n)), Change: storetest.NewChange()})
				return err
			},
		} {
			all.Go(func() { assert.NoError(t, change()) })
		}
	}
	all.Wait()
	writes := 0
	for _, op := range w.calls() {
		if op == "TransactWriteItems" {
			writes++
		}
	}
	require.Equal(t, 3*each, writes)
	revision, err := s.Revision(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(3*each), revision)
}
