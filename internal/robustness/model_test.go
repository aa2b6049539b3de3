package robustness

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// drawn lets rapid choose a walk's steps, so that it can make a walk that fails smaller.
type drawn struct{ t *rapid.T }

func (d drawn) IntN(n int) int       { return rapid.IntRange(0, n-1).Draw(d.t, "n") }
func (d drawn) Int64N(n int64) int64 { return rapid.Int64Range(0, n-1).Draw(d.t, "n") }
func (d drawn) Uint32() uint32       { return rapid.Uint32().Draw(d.t, "bits") }

// TestStoresAgreeWithTheModel drives every store and a model that adds up from the beginning through the same steps, on a
// clock that jumps forth and back: reservations, replays, late settlements, tombstones, corrections, expiries, overrides,
// latches and kill flags over five kinds of window. ROBUSTNESS_WALKS says how many walks.
func TestStoresAgreeWithTheModel(t *testing.T) {
	setWalks(t, 12)
	backend.Each(t, nil, func(t *testing.T, _ backend.Backend, s backend.Server) {
		walks, total := 0, 0
		rapid.Check(t, func(rt *rapid.T) {
			clock := storetest.NewClock(time.Date(2026, 3, 10, 12, 30, 15, 0, time.UTC))
			store, err := backend.Open(t.Context(), s.NewLedger(t), backend.Patient, func(o *backend.Options) { o.Clock, o.Relaxed = clock.Now, true })
			require.NoError(rt, err)
			defer store.Close()
			steps := rapid.IntRange(1, 300).Draw(rt, "steps")
			walks, total = walks+1, total+steps
			storetest.Walk(rt, store, clock, drawn{rt}, steps)
		})
		t.Logf("%d walks of %d steps", walks, total)
	})
}
