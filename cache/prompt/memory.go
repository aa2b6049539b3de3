package prompt

import (
	"slices"
	"unsafe"
)

// Memory is what a conversation remembers of the texts of its last request, so that Record need not read them again. It holds hashes, and keeps long
// texts alive, so that no other text can get the same address: equal addresses then mean equal content. A copy is the same memory. The zero value is
// empty. It is not safe for concurrent use.
type Memory struct{ leaves []leafRecord }

// leafRecord is what is remembered of a leaf, which is one piece of a block's content.
type leafRecord struct {
	at       unsafe.Pointer // the address of the content; nil for short leaves, which are hashed each time
	leafHash                // its size and hashes
}

// maxRemembered is how many texts a Memory holds; of a request with more it holds none.
const maxRemembered = 1 << 15

// Keep remembers the texts of the first blocks of a prompt, of which there must be at least one, instead of those that it has held. Record must have
// run. It returns how many more texts it holds now, and how many more bytes it keeps alive; less is negative.
//
// Texts with a new address, because the request was built again, are replaced. What did not change is not written again: while the garbage
// collector runs, it tracks each write of a pointer.
func (m *Memory) Keep(p *Prompt, blocks int) (texts int, bytes int64) {
	leaves := p.leaves[:p.Blocks[blocks-1].leafEnd]
	if len(leaves) > maxRemembered || !slices.ContainsFunc(leaves, func(l leaf) bool { return l.hasIdentity() }) {
		leaves = nil // too many to remember, or none of them could be recognised
	}
	before := len(m.leaves)
	bytes = m.cut(min(len(leaves), before)) // old records behind the new ones
	for i := range leaves {
		r := leafRecord{leafHash: p.leafHashes[i]}
		if leaves[i].hasIdentity() { // it can be recognised by its address; else at stays nil
			r.at = leaves[i].id
		}
		bytes += m.set(i, &r)
	}
	return len(m.leaves) - before, bytes
}

// set replaces the record at an index, or appends it, and returns how many more bytes are kept alive; less is negative.
func (m *Memory) set(i int, r *leafRecord) int64 {
	if i == len(m.leaves) {
		m.leaves = append(m.leaves, *r)
		return r.retains()
	}
	old := &m.leaves[i]
	if *old == *r {
		return 0
	}
	more := r.retains() - old.retains()
	*old = *r
	return more
}

// cut drops the records from an index on, and returns how many more bytes are kept alive, which is never positive.
func (m *Memory) cut(from int) int64 {
	bytes := -retainedBy(m.leaves[from:])
	clear(m.leaves[from:])
	m.leaves = m.leaves[:from]
	return bytes
}

// Forget empties the memory, and returns what Keep would: how many more texts it holds now, and how many more bytes it keeps alive. Neither is
// positive.
func (m *Memory) Forget() (texts int, bytes int64) { return -len(m.leaves), m.cut(0) }

// retains returns how many bytes of text the record keeps in memory.
func (r *leafRecord) retains() int64 {
	if r.at == nil {
		return 0
	}
	return int64(r.n)
}

// retainedBy returns how many bytes of text the records keep in memory together.
func retainedBy(leaves []leafRecord) (n int64) {
	for i := range leaves {
		n += leaves[i].retains()
	}
	return n
}
