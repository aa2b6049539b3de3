package memstore

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The index holds what a map would hold, with ids that are random, that count up, and that all fall into a few slots.
func TestIndexIsAMap(t *testing.T) {
	for name, id := range map[string]func(*rand.Rand) driver.ID{
		"random":   func(*rand.Rand) driver.ID { return driver.NewID() },
		"counting": func(r *rand.Rand) (id driver.ID) { id[r.IntN(16)] = byte(r.IntN(256)); return id },
		"crowded": func(r *rand.Rand) (id driver.ID) { // without a seed these have the hashes 0 to 3 in one part
			binary.LittleEndian.PutUint64(id[:], uint64(r.IntN(4)))
			binary.LittleEndian.PutUint64(id[8:], 1+uint64(r.IntN(40))<<32)
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			x, want := newIndex(), map[driver.ID]*entry{}
			if name == "crowded" {
				x.seed = [2]uint64{}
			}
			var ids []driver.ID
			for range 50_000 {
				var next driver.ID
				if len(ids) > 0 && random.IntN(2) == 0 {
					next = ids[random.IntN(len(ids))]
				} else {
					next = id(random)
					ids = append(ids, next)
				}
				require.Same(t, want[next], x.find(&next))
				if random.IntN(5) < 2 {
					x.remove(&next)
					delete(want, next)
				} else {
					e := &entry{id: next}
					x.put(e)
					want[next] = e
				}
				require.Equal(t, len(want), x.length)
			}
			for e := range x.all() {
				require.Same(t, want[e.id], e)
				delete(want, e.id)
			}
			require.Empty(t, want, "all yields every entry once")
		})
	}
}

// A reservation looks at the flags that have a value of its own in their rarest dimension, and not at all others, whatever was set and taken
// back before.
func TestUnrelatedFlagsAreNotLookedAt(t *testing.T) {
	var f flags
	set := func(k driver.Kill) {
		f.add(&kill{Kill: k, dims: k.Scope.Dims(), object: k.Flag().Object()})
	}
	own := driver.Scope{Principal: "ci", Workflow: "nightly"}
	for n := range 1000 {
		set(driver.Kill{Scope: driver.Scope{Principal: "ci", Workflow: fmt.Sprint(n)}})
		set(driver.Kill{Scope: driver.Scope{Principal: fmt.Sprint(n), Workflow: "nightly"}})
	}
	looked := 0
	for _, d := range own.Dims() {
		looked += len(f.filed[d])
	}
	require.Less(t, looked, 4)
	r := driver.Reservation{Dims: own.Dims()}
	require.Nil(t, f.killed(&r, 0))
	set(driver.Kill{Scope: own, Reason: "own"})
	set(driver.Kill{Reason: "all"})
	require.Equal(t, "own", f.killed(&r, 0).Reason)
	f.remove(driver.Flag{Scope: own}.Object())
	require.Equal(t, "all", f.killed(&r, 0).Reason)
	f.removeAll(func(*kill) bool { return true })
	require.Nil(t, f.killed(&r, 0))
	require.Empty(t, f.filed)
}
