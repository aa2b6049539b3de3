package promptcache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSweepDropsTheLapsedFirstAndEverythingWhenThatIsNotEnough(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	c := Cache{entries: make(map[[32]byte]*cached)}
	for i := range maxEntries {
		e := &cached{expires: now.Add(time.Minute)}
		if i%2 == 0 {
			e.expires = now
		}
		c.entries[[32]byte{byte(i), byte(i >> 8)}] = e
	}
	c.sweep(now)
	require.Len(t, c.entries, maxEntries/2)
	for i := range maxEntries {
		c.entries[[32]byte{byte(i), byte(i >> 8)}] = &cached{expires: now.Add(time.Minute)}
	}
	c.sweep(now)
	require.Empty(t, c.entries)
}
