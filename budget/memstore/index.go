package memstore

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"math/rand/v2"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// index finds entries by their id: a hash table. A store remembers the calls of a whole day, so a look-up mostly misses the processor's cache: it
// reads one place in memory, where a map would read several. The index is divided into parts that grow one at a time, so that no call waits until a
// million entries are moved.
type index struct {
	seed   [2]uint64 // random, so that nobody can choose ids with the same hash
	parts  [16]part
	length int // how many entries there are
}

// part is a hash table with linear probing: an entry is in its home, the slot that the last bits of its hash number, or in the first slot after it
// that was empty. The number of slots is a power of two, and at least a quarter are empty.
type part struct {
	slots []slot
	used  int // how many slots are not empty
}

// slot is empty if its entry is nil.
type slot struct {
	hash  uint64
	entry *entry
}

// minSlots is how many slots a part has when its first entry is added.
const minSlots = 8

// newIndex returns an empty index.
func newIndex() index { return index{seed: [2]uint64{rand.Uint64(), rand.Uint64()}} }

// hash spreads ids even if they are not random.
func (x *index) hash(id *driver.ID) uint64 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^x.seed[0], binary.LittleEndian.Uint64(id[8:])^x.seed[1])
	return hi ^ lo
}

// part returns the part that the first four bits of a hash number.
func (x *index) part(hash uint64) *part { return &x.parts[hash>>60] }

// find returns the entry of an id, or nil.
func (x *index) find(id *driver.ID) *entry {
	hash := x.hash(id)
	p := x.part(hash)
	if i, ok := p.at(hash, id); ok {
		return p.slots[i].entry
	}
	return nil
}

// at returns the number of the slot of an id, and whether there is one.
func (p *part) at(hash uint64, id *driver.ID) (uint64, bool) {
	if len(p.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(p.slots) - 1)
	for i := hash & mask; p.slots[i].entry != nil; i = (i + 1) & mask {
		if p.slots[i].hash == hash && p.slots[i].entry.id == *id {
			return i, true
		}
	}
	return 0, false
}

// put adds an entry, and replaces one with the same id.
func (x *index) put(e *entry) {
	hash := x.hash(&e.id)
	p := x.part(hash)
	if i, ok := p.at(hash, &e.id); ok {
		p.slots[i].entry = e
		return
	}
	if p.used >= len(p.slots)/4*3 { // three quarters are full, or it has no slots yet
		p.grow()
	}
	p.add(slot{hash, e})
	p.used++
	x.length++
}

// add puts an entry that is not in the part into the first free slot.
func (p *part) add(s slot) {
	mask := uint64(len(p.slots) - 1)
	i := s.hash & mask
	for p.slots[i].entry != nil {
		i = (i + 1) & mask
	}
	p.slots[i] = s
}

// grow doubles the number of slots.
func (p *part) grow() {
	old := p.slots
	p.slots = make([]slot, max(2*len(old), minSlots))
	for _, s := range old {
		if s.entry != nil {
			p.add(s)
		}
	}
}

// remove removes the entry of an id, if there is one. A look-up goes from an entry's home to the first empty slot. So that the slot which becomes
// free cuts no look-up short, a later entry whose look-up passes that slot moves into it; then the slot that this entry leaves is the free one.
func (x *index) remove(id *driver.ID) {
	hash := x.hash(id)
	p := x.part(hash)
	free, ok := p.at(hash, id)
	if !ok {
		return
	}
	mask := uint64(len(p.slots) - 1)
	for i := (free + 1) & mask; p.slots[i].entry != nil; i = (i + 1) & mask {
		home := p.slots[i].hash & mask
		// How far i is from both, going on from slot to slot: if free is no further away than home, the look-up from home passes it.
		if passesFree := (i-home)&mask >= (i-free)&mask; passesFree {
			p.slots[free] = p.slots[i]
			free = i
		}
	}
	p.slots[free] = slot{}
	p.used--
	x.length--
}

// all yields every entry, in no order.
func (x *index) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := range x.parts {
			for _, s := range x.parts[i].slots {
				if s.entry != nil && !yield(s.entry) {
					return
				}
			}
		}
	}
}
