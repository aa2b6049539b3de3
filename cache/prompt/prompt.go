package prompt

import (
	"cmp"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// Section is a part of a prompt. The service reads the sections in this order, so that a change in one invalidates what is cached of the
// later ones.
type Section uint8

// The sections.
const (
	Tools Section = iota
	System
	Messages
)

var sectionNames = [...]string{"tools", "system", "messages"}

// String returns the section's name in a request.
func (s Section) String() string {
	if int(s) < len(sectionNames) {
		return sectionNames[s]
	}
	return "section(" + strconv.Itoa(int(s)) + ")"
}

// Kind says what a block contains, as far as caching depends on it.
type Kind uint8

// The kinds of block.
const (
	Text Kind = iota
	ToolDefinition
	ToolUse
	ToolResult
	Image
	Document
	Reasoning
	Other // content that this package does not know: it is counted and otherwise left alone
)

var kindNames = [...]string{"text", "tool definition", "tool use", "tool result", "image", "document", "reasoning", "other content"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Where is a place in a request.
type Where struct {
	Section Section
	Message int // index of the message; only used in the section Messages
	Index   int // index in the section's or the message's list; negative for content that is a plain string
}

// Compare compares two places by the order in which the service reads them.
func (w Where) Compare(o Where) int {
	if c := cmp.Compare(w.Section, o.Section); c != 0 || w.Section != Messages {
		return cmp.Or(c, cmp.Compare(w.Index, o.Index))
	}
	return cmp.Or(cmp.Compare(w.Message, o.Message), cmp.Compare(w.Index, o.Index))
}

// String prints the place in a request: "tools[2]", "system[0]", "messages[3].content[1]".
func (w Where) String() string {
	s := w.Section.String()
	if w.Section == Messages {
		s += "[" + strconv.Itoa(w.Message) + "].content"
	}
	if w.Index < 0 {
		return s
	}
	return s + "[" + strconv.Itoa(w.Index) + "]"
}

// Block is one part of a prompt, such as a text, an image or a tool definition.
type Block struct {
	Where
	Kind Kind
	// User says that the block belongs to a message of the user.
	User bool
	// NoPoint says that the service accepts no cache point after the block although its kind would allow one: after a document in some
	// formats, or a tool that is loaded later.
	NoPoint bool
	// Bytes is the size of its text. Media are counted in MediaTokens instead.
	Bytes int
	// MediaTokens are the estimated tokens of its images and documents.
	MediaTokens int64
	// Span is the block's range in the body that it was parsed from, for InvokeModel, else zero.
	Span Span

	leafEnd int  // index, in Prompt.leaves, after its last leaf: a leaf is one piece of a block's content
	blank   bool // it was parsed from a body and is text without any character but white space
	room    bool // it was parsed from a body and contains something besides cache points, so that a point can be inserted
	plain   Span // the range of a string that the body has in the place of a list of blocks; zero if the block is no such string
}

// Span is a range of bytes in a request body.
type Span struct{ Start, End int }

// The lifetimes that a cache point can ask for.
const (
	FiveMinutes = 5 * time.Minute
	OneHour     = time.Hour
)

// Point is a cache point of a request.
type Point struct {
	Where
	// Block is the index of the block before it in its section and message, or -1 if there is none.
	Block int
	// TTL is the lifetime that it asks for, five minutes if it names none. Zero is a lifetime that this package does not know.
	TTL time.Duration
	// Open says that it names no lifetime, so that it may get a longer one.
	Open bool
	// Nested says that it is inside of a block, where the service accepts none.
	Nested bool
	// Span is the marker's range in the body that it was parsed from, including its comma. Zero if there is no body.
	Span Span
}

// Prompt is what a model reads of a request, block by block, with its cache points. It refers to the request's memory and must not be used
// after the call. A Prompt is built by one goroutine; the zero value is empty and can be used.
type Prompt struct {
	Blocks []Block
	Points []Point
	// Flaws are mistakes in the request that concern no block and no point.
	Flaws []Flaw
	// Final says that the request asks for one answer and no turn follows: its tool choice names a single tool.
	Final bool
	// Unknown counts blocks whose kind this package does not know. They are left alone.
	Unknown int
	// Settings are what Setting was called with.
	Settings Settings

	leaves     []leaf     // the pieces of content of all blocks, in order: Block.leafEnd divides them
	records    []Record   // one for each block, once Record has run
	leafHashes []leafHash // one for each leaf, once Record has run

	dialect dialect // of the body that it was parsed from; noDialect without a body
	bodyLen int     // of that body, in bytes
	section Section // of the next block
	message int     // the index of its message
	user    bool    // that message is the user's
	open    bool    // the last of Blocks still gets leaves

	documents bool // any leaf is a document that serialises itself
}

// Flaw is a mistake in a request's form, found while it was parsed. Rule is the name of the rule of package cache that the request breaks, such as
// WrongDialect.
type Flaw struct{ Rule, Where string }

// The rules of package cache that this package finds broken.
const (
	WrongDialect   = "wrong-dialect"        // a cache point in the form of another API
	TopLevelMarker = "top-level-marker"     // a cache_control outside of any block
	DeferredMarker = "deferred-tool-marker" // a cache_control on a tool that is loaded when it is needed
)

// Marshaler is content that serialises itself, such as the SDK's documents.
type Marshaler interface{ MarshalSmithyDocument() ([]byte, error) }

// leaf is one piece of content. If a piece with the same address is remembered, it is not hashed again.
type leaf struct {
	id     unsafe.Pointer // the address of the content, or of the value that serialises to it; nil if it can't be recognised by an address
	at     unsafe.Pointer // the address of the text; nil for a document that was not serialised
	n      int            // bytes of the text at that address
	binary bool           // no text: a []byte, whose content may change under the same address, or a word that only changes the hash
	json   bool           // the text is JSON: in a tool definition it also gets a hash without regard to the order of keys
	fresh  bool           // for tests: it was read when it was hashed, and not recognised by its address
	sized  bool           // a document whose size is in its block
	quoted bool           // the inside of a JSON string, its escapes not resolved
	doc    Marshaler      // content that serialises itself; nil for any other
}

// Reset empties the prompt and keeps its memory.
func (p *Prompt) Reset() {
	clear(p.leaves)
	*p = Prompt{
		Blocks: p.Blocks[:0], Points: p.Points[:0], Flaws: p.Flaws[:0],
		leaves: p.leaves[:0], leafHashes: p.leafHashes[:0], records: p.records[:0],
	}
}

// Enter begins a section.
func (p *Prompt) Enter(s Section) { p.section, p.message, p.open = s, 0, false }

// Message begins the message with the given index, in the section Messages.
func (p *Prompt) Message(index int, user bool) {
	p.section, p.message, p.user, p.open = Messages, index, user, false
}

// Block begins the block with the given index in its list; Text, JSON, Binary and Media add content to it.
func (p *Prompt) Block(k Kind, index int) {
	p.Blocks = append(p.Blocks, Block{
		Where: Where{p.section, p.message, index}, Kind: k, User: p.section == Messages && p.user, leafEnd: len(p.leaves),
	})
	p.open = true
	if k == Other {
		p.Unknown++
	}
}

// last returns the block to which content is added. If there is none, it begins one of unknown kind.
func (p *Prompt) last() *Block {
	if !p.open {
		p.Block(Other, 0)
	}
	return &p.Blocks[len(p.Blocks)-1]
}

// add adds a leaf to the block. All its bytes count in the block's; callers whose content counts for less subtract the difference.
func (p *Prompt) add(l leaf) {
	b := p.last()
	p.leaves = append(p.leaves, l)
	b.leafEnd = len(p.leaves)
	b.Bytes += l.n
}

// Text adds text to the block.
func (p *Prompt) Text(s string) {
	if !p.open {
		p.Block(Other, 0)
	}
	p.text(&p.Blocks[len(p.Blocks)-1], s)
}

// text adds text to the last block. It fills its leaf in place: those behind the last one are empty, which saves a third of the time.
func (p *Prompt) text(b *Block, s string) {
	n := len(p.leaves)
	if n < cap(p.leaves) { // Reset has cleared what is behind
		p.leaves = p.leaves[:n+1]
	} else {
		p.leaves = append(p.leaves, leaf{})
	}
	l := &p.leaves[n]
	l.at = unsafe.Pointer(unsafe.StringData(s))
	l.id, l.n = l.at, len(s)
	b.leafEnd = n + 1
	b.Bytes += len(s)
}

// textBlock begins a block of text at an index of its list, and fills it.
func (p *Prompt) textBlock(index int, s string) {
	p.Block(Text, index)
	p.text(&p.Blocks[len(p.Blocks)-1], s)
}

// textLeaf returns the leaf of a text, which is recognised by its address.
func textLeaf(s string) leaf {
	at := unsafe.Pointer(unsafe.StringData(s))
	return leaf{id: at, at: at, n: len(s)}
}

// JSON adds serialised JSON to the block. In a tool definition, a changed order of its keys can be distinguished from a changed content.
func (p *Prompt) JSON(s string) { p.sizedJSON(s, jsonscan.Len(s)) }

// sizedJSON adds serialised JSON. length is how long it is without white space and escapes, so that the block's size does not depend on who wrote it.
func (p *Prompt) sizedJSON(s string, length int) {
	l := textLeaf(s)
	l.json = true
	p.add(l)
	p.last().Bytes -= len(s) - length
}

// Flag adds to the block that something is switched on for it, such as citations. The name is no text of the block and does not count in Bytes, but
// changes its hash.
func (p *Prompt) Flag(name string) {
	l := textLeaf(name)
	l.binary = true
	p.add(l)
	p.last().Bytes -= len(name)
}

// Binary adds bytes that are not text to the block, such as an image's; they do not count in Bytes. If a caller changes them in place
// between two calls, that may go unnoticed.
func (p *Prompt) Binary(b []byte) {
	at := unsafe.Pointer(unsafe.SliceData(b))
	p.add(leaf{id: at, at: at, n: len(b), binary: true})
	p.last().Bytes -= len(b)
}

// Document adds content that serialises itself. It is serialised when it is first seen, and recognised by its address later. Until Record or Measure
// has run, its size is not in the block's.
func (p *Prompt) Document(d Marshaler) {
	if d != nil {
		p.add(leaf{id: dataOf(d), doc: d, json: true})
		p.documents = true
	}
}

// Media adds the tokens of an image or a document to the block.
func (p *Prompt) Media(k Kind, tokens int64) {
	p.last().MediaTokens += tokens
	p.Settings.Images = p.Settings.Images || k == Image
}

// Cited notes that citations are asked for of something in the request.
func (p *Prompt) Cited() {
	if p.Settings.Citations == 0 {
		p.Setting("citations", "enabled")
	}
}

// Point adds a cache point at an index of the list that is being read.
func (p *Prompt) Point(index int, ttl time.Duration) {
	p.Points = append(p.Points, Point{Where: Where{p.section, p.message, index}, Block: p.closed(), TTL: ttl})
}

// OpenPoint adds a cache point without a lifetime at an index of the list that is being parsed.
func (p *Prompt) OpenPoint(index int) {
	p.Point(index, FiveMinutes)
	p.Points[len(p.Points)-1].Open = true
}

// NestedPoint adds a cache point inside of the block that is being parsed.
func (p *Prompt) NestedPoint(ttl time.Duration) {
	w := p.last().Where
	p.Points = append(p.Points, Point{Where: w, Block: p.closed(), TTL: ttl, Nested: true})
}

// closed returns the index of the block that a point at the present place would follow, or -1 if its section or message has none yet.
func (p *Prompt) closed() int {
	i := len(p.Blocks) - 1
	if i < 0 || p.Blocks[i].Section != p.section || p.section == Messages && p.Blocks[i].Message != p.message {
		return -1
	}
	return i
}

// Flaw adds a flaw.
func (p *Prompt) Flaw(rule, where string) { p.Flaws = append(p.Flaws, Flaw{rule, where}) }

// Empty reports whether a block is text that is only white space, and so gets no new cache point. It may read the block's text: call it for the few
// blocks that have a point or may get one.
func (p *Prompt) Empty(block int) bool {
	b := &p.Blocks[block]
	switch {
	case b.blank: // it comes from a body, whose reader has found only white space
		return true
	case b.Kind != Text:
		return false
	}
	for _, l := range p.leavesOf(block) { // a quoted leaf comes from a body too, where blank would be set
		if l.doc != nil || l.quoted || strings.TrimSpace(l.text()) != "" {
			return false
		}
	}
	return true
}

// TakesPoint reports whether the form of the request has a place for a cache point after a block: NoPoint is not set, or FixBody can make one.
func (p *Prompt) TakesPoint(block int) bool { return !p.Blocks[block].NoPoint || p.wraps(block) }

// InClaudeBody reports whether the prompt was read from an InvokeModel body for Claude.
func (p *Prompt) InClaudeBody() bool { return p.dialect == anthropicBody }

// leavesOf returns the leaves of a block.
func (p *Prompt) leavesOf(i int) []leaf {
	start := 0
	if i > 0 {
		start = p.Blocks[i-1].leafEnd
	}
	return p.leaves[start:p.Blocks[i].leafEnd]
}
