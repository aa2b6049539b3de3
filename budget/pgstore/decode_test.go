package pgstore

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Whatever comes back, no answer is made up: it is read as it stands or refused.
func FuzzDecode(f *testing.F) {
	f.Add("admitted", "12", "7", "1795594254358569000", "1795597854358569000", []byte(nil))
	f.Add("denied", "1", "", "1", "", []byte(`{"Denied":[{"Line":0,"Amount":5,"Max":10,"Settled":9,"Pending":0,"LatchedUntil":0,"Buckets":[[1,9]]}]}`))
	f.Add("done", "1", "0", "-1", "9", []byte(`{"Balances":[{"Line":0,"Buckets":[[9223372036854775807,1]]}],"Crossed":[[0,-1,5,9]],"Flags":[{"Scope":"e30=","Reason":"AA=="}]}`))
	f.Add("done", "1", "0", "0", "0", []byte(`{"Entries":[{"ID":"00000000-0000-0000-0000-000000000001","State":2,"Reserved":[0,1,2,3,4,5,6,7],"Actual":[]}]}`))
	f.Add("killed", "1", "0", "0", "0", []byte(`{"Killed":{"Scope":"bm8="}}`))
	lines := []driver.Line{line(1, driver.Rolling(time.Hour), 10)}
	f.Fuzz(func(t *testing.T, status, step, xid, clock, value string, detail []byte) {
		column := func(s string) []byte {
			if s == "" {
				return nil
			}
			return []byte(s)
		}
		a, err := decodeAnswer([][]byte{column(status), column(step), column(xid), column(clock), column(value), detail})
		if err != nil {
			require.Equal(t, answer{}, a)
			return
		}
		d, err := a.decision(lines)
		require.False(t, d.Admitted && (err != nil || len(d.Denied) > 0 || d.Killed != nil))
		require.Equal(t, err == nil && (status == "admitted" || status == "replayed"), d.Admitted)
		if len(d.Denied) > 0 && err == nil {
			require.Zero(t, d.Denied[0].Line)
		}
		for i := range a.detail.Balances {
			_, _ = a.detail.Balances[i].balance(lines, a.clock, math.MaxInt64)
		}
		for i := range a.detail.Entries {
			_, _ = a.detail.Entries[i].public()
		}
		for i := range a.detail.Flags {
			_, _ = a.detail.Flags[i].public()
		}
	})
}

// A scope's text comes back byte for byte.
func FuzzScope(f *testing.F) {
	f.Add("ci", "\xff\x00", "m", "team", "'; DROP SCHEMA public; --")
	f.Fuzz(func(t *testing.T, principal, workflow, model, name, value string) {
		s := driver.Scope{Principal: principal, Workflow: workflow, Model: model, Tags: map[string]string{name: value}}
		raw, err := account.EncodeScope(s)
		require.NoError(t, err)
		again, err := account.DecodeScope(raw)
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}
