package prompt

import (
	"slices"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/hash"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// Record is what can be remembered of a block without its text, and compared with the blocks of later requests. Each hash is 0 if there is
// nothing to hash. Hashes mean something in the process that made them alone.
type Record struct {
	Hash          uint64 // of its content
	Canonical     uint64 // of its content, without regard to the order of keys
	Name          uint64 // of its first piece of content: the name of a tool
	Chain         uint64 // of all blocks up to it
	MessagesChain uint64 // of the message blocks up to it, without tools and system prompt; 0 outside of Messages
	UpTo          Size   // the size of all blocks up to it

	// Volatile is what Prompt.Volatile has found in it, or in the same block of an earlier request.
	Volatile Volatile
	Message  int32
	Section  Section
	Kind     Kind
	User     bool
}

// Size is the size of a part of a prompt.
type Size struct {
	Bytes int64 // of its text
	Media int64 // tokens of its images and documents
}

// Plus returns the sum of two sizes.
func (s Size) Plus(o Size) Size { return Size{s.Bytes + o.Bytes, s.Media + o.Media} }

// Minus returns the difference of two sizes.
func (s Size) Minus(o Size) Size { return Size{s.Bytes - o.Bytes, s.Media - o.Media} }

// Size returns the size of the block. That of a document that serialises itself is in it once Measure or Record has run.
func (b *Block) Size() Size { return Size{int64(b.Bytes), b.MediaTokens} }

// leafHash is what was computed of a leaf, which is one piece of a block's content.
type leafHash struct {
	n      int    // bytes; those of a document are counted without white space and escapes
	plain  uint64 // the hash of its text
	canon  uint64 // of a tool definition's JSON: a hash without regard to the order of keys; of anything else: plain
	sample uint64 // of a []byte: the hash of a part of it, which tells whether the buffer was filled with something else
}

// shortLeaf is the length in bytes below which hashing a text is as fast as comparing its address with remembered ones.
const shortLeaf = 256

// Record computes the records of the prompt's blocks. known are the memories of earlier requests, the most likely one first. A text that still lies at
// the memory address that one of them has noted is not read again.
func (p *Prompt) Record(known []Memory) {
	p.records = slices.Grow(p.records[:0], len(p.Blocks))[:len(p.Blocks)]
	p.leafHashes = slices.Grow(p.leafHashes[:0], len(p.leaves))[:len(p.leaves)]
	var chain, messagesChain uint64
	var upTo Size
	firstLeaf := 0 // of the block
	for i := range p.Blocks {
		b := &p.Blocks[i]
		r := &p.records[i]
		// The hashes begin with the kind, so that blocks of two kinds with the same content differ.
		*r = Record{Hash: uint64(b.Kind) + 1, Canonical: uint64(b.Kind) + 1, Message: int32(b.Message), Section: b.Section, Kind: b.Kind, User: b.User}
		p.recordContent(b, r, firstLeaf, known)
		firstLeaf = b.leafEnd
		upTo = upTo.Plus(b.Size())
		// The same content has another Chain in another section, and another MessagesChain in another message.
		chain = hash.Mix(chain, r.Hash+uint64(b.Section))
		if b.Section == Messages {
			messagesChain = hash.Mix(messagesChain, r.Hash+uint64(b.Message)<<1) // the shift has no meaning: any mixture of the two would do
		}
		r.Chain, r.MessagesChain, r.UpTo = chain, messagesChain, upTo
	}
}

// recordContent takes the leaves of a block, the pieces of its content, into the hashes of its record. It adds the sizes of documents, which are
// known only now, to the block's.
func (p *Prompt) recordContent(b *Block, r *Record, firstLeaf int, known []Memory) {
	for i := firstLeaf; i < b.leafEnd; i++ {
		h := p.recognise(i, b.Kind == ToolDefinition, known)
		r.Hash, r.Canonical = hash.Mix(r.Hash, h.plain), hash.Mix(r.Canonical, h.canon)
		if i == firstLeaf {
			r.Name = h.plain
		}
		if l := &p.leaves[i]; l.doc != nil && !l.sized {
			b.Bytes += h.n
			l.sized = true
		}
	}
}

// recognise returns the hashes of the leaf at index i: from a leaf that was remembered at the same index and address, if there is one, else by
// reading it. canonical asks for the hash that does not depend on the order of keys.
func (p *Prompt) recognise(i int, canonical bool, known []Memory) *leafHash {
	l, h := &p.leaves[i], &p.leafHashes[i]
	if l.hasIdentity() {
		for _, m := range known {
			if i < len(m.leaves) && l.equals(&m.leaves[i]) {
				*h = m.leaves[i].leafHash
				return h
			}
		}
	}
	*h = leafHash{} // it may be that of an earlier request
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

// documentLen is how many bytes a document has without white space and escapes. It serialises the document.
func (l *leaf) documentLen() int { return jsonscan.Len(l.text()) }

// hasIdentity reports whether the leaf can be recognised by its address: it has one, and is not so short that hashing it is as fast.
func (l *leaf) hasIdentity() bool { return l.id != nil && (l.doc != nil || l.n >= shortLeaf) }

// equals reports whether the leaf is the same as a remembered one: it has the same address, which is kept alive and so has no other content. A []byte
// may have been changed in place, so its sample has to be the same too.
func (l *leaf) equals(r *leafRecord) bool {
	if r.at == nil || l.id != r.at {
		return false
	}
	if l.doc != nil {
		return true // a document counts as unchanged, and its size is not known before it is serialised
	}
	return l.n == r.n && (!l.binary || l.sample() == r.sample)
}

// Adopt takes over the records of a prompt that differs only in its cache points, so that the texts need not be read again. If it has other blocks,
// it is recorded itself.
func (p *Prompt) Adopt(old *Prompt, known []Memory) {
	if len(p.Blocks) != len(old.Blocks) || len(p.leaves) != len(old.leaves) {
		p.Record(known)
		return
	}
	p.records = append(p.records[:0], old.records...)
	p.leafHashes = append(p.leafHashes[:0], old.leafHashes...)
	for i := range p.Blocks {
		p.Blocks[i].Bytes = old.Blocks[i].Bytes // with the sizes of documents, which Record has added there
	}
	for i := range p.leaves {
		l, o := &p.leaves[i], &old.leaves[i]
		l.sized = o.sized
		if l.doc != nil { // it need not be serialised again
			l.at, l.n = o.at, o.n
		}
	}
}

// Records returns what Record has computed, one for each block. The slice is the prompt's own, until it is reset.
func (p *Prompt) Records() []Record { return p.records }

// UpTo returns the size of all blocks up to and including one; for -1 it is zero. Record must have run.
func (p *Prompt) UpTo(block int) Size {
	if block < 0 || block >= len(p.records) {
		return Size{}
	}
	return p.records[block].UpTo
}

// Total returns the size of the whole prompt. Record must have run.
func (p *Prompt) Total() Size { return p.UpTo(len(p.records) - 1) }

// Measure serialises those documents of a block whose size is not known yet, and adds their size to the block's. Nothing is hashed.
func (p *Prompt) Measure(block int) {
	if p.documents {
		p.measure(block)
	}
}

// measure is Measure for a prompt that has documents.
func (p *Prompt) measure(block int) {
	leaves := p.leavesOf(block)
	for i := range leaves {
		if l := &leaves[i]; l.doc != nil && !l.sized {
			p.Blocks[block].Bytes += l.documentLen() // if it can't be serialised, the SDK reports it when it sends the request
			l.sized = true
		}
	}
}
