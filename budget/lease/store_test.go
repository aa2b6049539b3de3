package lease_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

const loose = "what leases spend is posted when they are given back, with the worst cases of what is then in flight; and a share that was " +
	"set aside within an observe-only limit stays within it, whoever has overrun it since"

// leases is a leased store in one process, as a store of its own. Each rule of the contract holds.
func leases(scale int64, stride time.Duration) storetest.Harness {
	lease := func(t *testing.T, inner driver.Store, clock *storetest.Clock) driver.Store {
		s, err := lease.NewWithClock(inner, lease.Options{Retention: storetest.Retention}, clock.Now)
		require.NoError(t, err)
		return s
	}
	seeds := 10
	if raceDetector {
		seeds = 3
	}
	return storetest.Harness{
		Seeds: seeds, Loose: loose, Scale: scale, Stride: stride,
		Exceptions: map[string]string{
			"ADayHasSoManyRows":      "calls inside a lease have rows of their own until it is given back",
			"SharesDivideUsage":      "shares are how leases tell of their calls; a call inside of one has none",
			"SharesOfWhatExpired":    "shares are how leases tell of their calls; a call inside of one has none",
			"UsageOverflowIsRefused": "the rows of calls inside a lease are added up when it is given back",
			"CorrectionsAreRecorded": "a call inside a lease is corrected in its process, and the store inside is told of the lease's own entry",
		},
		Open: func(t *testing.T, clock *storetest.Clock) driver.Store {
			return lease(t, memstore.New(memstore.Options{
				Clock:     clock.Now,
				Retention: storetest.Retention,
				UsageRows: storetest.UsageRows,
			}), clock)
		},
	}
}

func TestLeasedStore(t *testing.T) {
	storetest.Run(t, leases(1, 0))
}

// Enough is left, and time passes slowly enough, for many calls to be served from leases.
func TestLeasedStoreWithRoom(t *testing.T) {
	for _, scale := range []int64{5, 50} {
		storetest.Run(t, leases(scale, 5*time.Second))
	}
}

// Several processes over one store keep all rules but those that a lease is there to break.
func TestLeasedStoreOfSeveralProcesses(t *testing.T) {
	h := leases(1, 0)
	h.Seeds = 1 // the random run has one handle
	h.Reopen = func(t *testing.T, store driver.Store, clock *storetest.Clock) driver.Store {
		s, err := lease.NewWithClock(store.(*lease.Store).Inner(), lease.Options{Retention: storetest.Retention}, clock.Now)
		require.NoError(t, err)
		return s
	}
	h.Wipe = func(t *testing.T, store driver.Store) {
		require.NoError(t, store.(*lease.Store).Inner().Close())
	}
	h.Merged = "the leases of other processes come as what they are to the store"
	h.Exceptions["ConcurrentKillIsFinal"] = "other processes may admit calls from leases that they drew before the flag: until Kill.EffectiveBy"
	for _, name := range []string{"AWipedStoreAnswersNothing", "ALossIsRefusedForGood", "AcceptLossGoesOnWithWhatIsThere"} {
		h.Exceptions[name] = "calls go on inside a lease while the store does not answer: until its length has passed"
	}
	storetest.Run(t, h)
}
