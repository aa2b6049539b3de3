package cache

import (
	"slices"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// blockRecord is what is remembered of a block, without its text.
type blockRecord struct {
	hash          uint64 // of its content
	canon         uint64 // of its content whatever the order of keys
	name          uint64 // of its first part: a tool's name
	chain         uint64 // of everything up to it
	messagesChain uint64 // of the messages up to it, whatever precedes them; 0 outside of Messages
	upTo          size   // of everything up to it

	volatile volatile // what lint found in it
	message  int32
	section  Section
	kind     Kind
	user     bool
}

// leafHash is what was found of a leaf when it was read.
type leafHash struct {
	n      int // bytes; of a document whatever its spelling
	plain  uint64
	canon  uint64
	sample uint64 // of a []byte
}

// leafRecord is what a conversation remembers of a leaf. It keeps a long leaf's memory alive as long as it is remembered, so that no
// other text can come to lie at its address: lying there again is being the same.
type leafRecord struct {
	at unsafe.Pointer // nil for short leaves, which are hashed each time
	leafHash
}

// shortLeaf is the length in bytes below which hashing a text is as fast as recognising it.
const shortLeaf = 256

// record fills in the records of the prompt. known are earlier requests' leaves, the likeliest first: a leaf that lies where
// it lay then is not looked at again.
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

// recognise returns the hashes of a leaf, from memory if it can. canonical asks for the hash that the order of keys does
// not change.
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

// equals reports whether the leaf is the remembered one.
func (l *leaf) equals(r *leafRecord) bool {
	if r.at == nil || l.id != r.at {
		return false
	}
	if l.doc != nil {
		return true
	}
	return l.n == r.n && (!l.binary || l.sample() == r.sample)
}

// count returns how many blocks belong to the sections before Messages.
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

// upTo returns the size of everything up to a block; -1 is nothing.
func (p *Prompt) upTo(block int) size {
	if block < 0 || block >= len(p.records) {
		return size{}
	}
	return p.records[block].upTo
}

// total returns the size of the whole prompt.
func (p *Prompt) total() size { return p.upTo(len(p.records) - 1) }
