package memstore

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The index holds what a map would hold, with ids that are random, that count up, and that all fall into a few slots.
func TestIndexIsAMap(t *testing.T) {
	for name, id := range map[string]func(*rand.Rand) budget.ID{
		"random":   func(*rand.Rand) budget.ID { return budget.NewID() },
		"counting": func(r *rand.Rand) (id budget.ID) { id[r.IntN(16)] = byte(r.IntN(256)); return id },
		"crowded": func(r *rand.Rand) (id budget.ID) { // without a seed these have the hashes 0 to 3 in one part
			binary.LittleEndian.PutUint64(id[:], uint64(r.IntN(4)))
			binary.LittleEndian.PutUint64(id[8:], 1+uint64(r.IntN(40))<<32)
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			x, want := newIndex(), map[budget.ID]*entry{}
			if name == "crowded" {
				x.seed = [2]uint64{}
			}
			var ids []budget.ID
			for range 50_000 {
				var next budget.ID
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
