package cache

import (
	"slices"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// blockRecord is what is remembered of a block, without its text. Each hash is 0 if there is nothing to hash.
type blockRecord struct {
	hash          uint64 // of its content
	canon         uint64 // of its content, without regard to the order of keys
	name          uint64 // of its first leaf: the name of a tool
	chain         uint64 // of all blocks up to it
	messagesChain uint64 // of the message blocks up to it, without tools and system prompt; 0 outside of Messages
	upTo          size   // the size of all blocks up to it

	volatile volatile // what volatileIn has found in it
	message  int32
	section  Section
	kind     Kind
	user     bool
}

// leafHash is what was computed of a leaf.
type leafHash struct {
	n      int // bytes; of a document whatever its spelling
	plain  uint64
	canon  uint64
	sample uint64 // of a []byte
}

// leafRecord is what a conversation remembers of a leaf. It keeps a long leaf's memory alive, so that no other text can get the same
// address: equal addresses then mean equal content.
type leafRecord struct {
	at unsafe.Pointer // nil for short leaves, which are hashed each time
	leafHash
}

// shortLeaf is the length in bytes below which hashing a text is as fast as comparing its address with remembered ones.
const shortLeaf = 256

// record fills in the records of the prompt. known are earlier requests' leaves, the most likely first: a leaf with the address of one of
// them is not read again.
func (p *Prompt) record(known [][]leafRecord) {
	p.records = slices.Grow(p.records[:0], len(p.Blocks))[:len(p.Blocks)]
	p.leafHashes = slices.Grow(p.leafHashes[:0], len(p.leaves))[:len(p.leaves)]
	var chain, talk uint64
	var upTo size
	next := 0
	for i := range p.Blocks {
		b := &p.Blocks[i]
		r := &p.records[i]
		*r = blockRecord{hash: uint64(b.Kind) + 1, canon: uint64(b.Kind) + 1, message: int32(b.Message), section: b.Section, kind: b.Kind, user: b.User}
		for first := next; next < b.leafEnd; next++ {
			l := p.recognise(next, b.Kind == ToolDefinition, known)
			r.hash, r.canon = mix(r.hash, l.plain), mix(r.canon, l.canon)
			if next == first {
				r.name = l.plain
			}
			if doc := &p.leaves[next]; doc.doc != nil && !doc.sized {
				b.Bytes += l.n
				doc.sized = true
			}
		}
		upTo = upTo.plus(b.size())
		chain = mix(chain, r.hash+uint64(b.Section))
		if b.Section == Messages {
			talk = mix(talk, r.hash+uint64(b.Message)<<1)
		}
		r.chain, r.messagesChain, r.upTo = chain, talk, upTo
	}
}

// recognise returns the hashes of a leaf, from a remembered leaf if possible. canonical asks for the hash that does not depend on the order
// of keys.
func (p *Prompt) recognise(i int, canonical bool, known [][]leafRecord) *leafHash {
	l, h := &p.leaves[i], &p.leafHashes[i]
	if l.lasts() {
		for _, leaves := range known {
			if i < len(leaves) && l.equals(&leaves[i]) {
				*h = leaves[i].leafHash
				return h
			}
		}
	}
	*h = leafHash{}
	h.plain, h.canon = l.hash(canonical)
	h.n = l.n
	if l.doc != nil {
		h.n = l.documentLen()
	}
	if l.binary {
		h.sample = l.sample()
	}
	l.fresh = true
	return h
}

// documentLen is how long a document is, however it is spelled.
func (l *leaf) documentLen() int { return jsonscan.Len(l.text()) }

// lasts reports whether the leaf can be recognised by where it lies.
func (l *leaf) lasts() bool { return l.id != nil && (l.doc != nil || l.n >= shortLeaf) }

// equals reports whether the leaf is the same as a remembered one.
func (l *leaf) equals(r *leafRecord) bool {
	if r.at == nil || l.id != r.at {
		return false
	}
	if l.doc != nil {
		return true
	}
	return l.n == r.n && (!l.binary || l.sample() == r.sample)
}

// count returns how many blocks tools and system prompt have.
func (p *Prompt) count() (tools, system int) {
	for i := range p.Blocks {
		switch p.Blocks[i].Section {
		case Tools:
			tools++
		case System:
			system++
		default:
			return tools, system
		}
	}
	return tools, system
}

// upTo returns the size of all blocks up to and including one; for -1 it is zero.
func (p *Prompt) upTo(block int) size {
	if block < 0 || block >= len(p.records) {
		return size{}
	}
	return p.records[block].upTo
}

// total returns the size of the whole prompt.
func (p *Prompt) total() size { return p.upTo(len(p.records) - 1) }
