package cache

import (
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// Section is a part of a prompt. The service reads a prompt in this order, so a change in one section invalidates those
// behind it.
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

// Kind says what a block holds, as far as caching goes by it.
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
	Other // content that this package does not know: it is counted and passed through
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
	Message int // index of the message; meaningless outside of Messages
	Index   int // index in the section's or the message's list; negative for content that is a plain string
}

// String prints the place as it is addressed in a request: "tools[2]", "system[0]", "messages[3].content[1]".
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

// Block is one position of a prompt's prefix.
type Block struct {
	Where
	Kind Kind
	// User says that the block belongs to a message of the user.
	User bool
	// NoPoint says that no cache point may follow the block, for a reason that its kind does not tell: a document in a
	// format behind which the service refuses one, a tool whose loading is deferred.
	NoPoint bool
	// Bytes is the size of its text. Media count by MediaTokens instead.
	Bytes int
	// MediaTokens are the tokens of images and documents in it, as far as they can be told from outside.
	MediaTokens int64
	// Span is where the block stands in the body that it was read from, for InvokeModel. Zero elsewhere.
	Span Span

	leafEnd int  // index behind its last leaf
	blank   bool // text of a body without any character but white space
	room    bool // it stands in a body and holds something besides cache points, so that one can be spliced in
	plain   Span // of the string that stands in a body in the place of a list of blocks
}

// Span is a range of bytes in a request body.
type Span struct{ Start, End int }

// Point is a cache point of a request.
type Point struct {
	Where
	// Block is the index of the block that it closes, or -1 when nothing of its own section and message stands before it.
	Block int
	// TTL is the lifetime that it asks for; a point that names none asks for five minutes. Zero is one that nobody knows.
	TTL time.Duration
	// Open says that it names no lifetime, so that a longer one does not go against the caller's word.
	Open bool
	// Nested says that it stands inside of a block, where the service takes none.
	Nested bool
	// Span is the marker's range in the body that it was read from, with the comma that goes with it. Zero elsewhere.
	Span Span
}

// Prompt is what a request asks a model to read, block by block, with its cache points. It borrows the request's texts and
// must not outlive the call. A Prompt is built by one goroutine; the zero value is empty and ready to be built.
type Prompt struct {
	Blocks []Block
	Points []Point
	// Flaws are signs of trouble that are no block and no point.
	Flaws []Flaw
	// Final says that the request asks for one answer and no turn is to follow: its tool choice names a single tool.
	Final bool
	// Unknown counts blocks whose kind this package does not know. They are passed through untouched.
	Unknown int

	leaves     []leaf
	records    []blockRecord // one a block, once recorded
	leafHashes []leafHash    // one a leaf, once recorded

	settings uint64              // hash of what changes the messages' level without being in it
	levels   [numSettings]uint64 // the same, by the kind of setting
	images   bool
	dialect  dialect // of the body that it was read from
	bodyLen  int
	section  Section // of the next block
	message  int
	user     bool
	open     bool // Blocks' last one takes leaves
}

// Flaw is a sign of trouble in a request's form, found while it was read.
type Flaw struct {
	Rule  Rule
	Where string
}

// Marshaler is content that serialises itself, such as the SDK's documents.
type Marshaler interface{ MarshalSmithyDocument() ([]byte, error) }

// leaf is one piece of content. It is recognised by where it lies before its content is looked at.
type leaf struct {
	id     unsafe.Pointer // where the content lies, or the value that serialises to it; nil if that tells nothing
	at     unsafe.Pointer // where the text lies; nil for a document that was not serialised
	n      int
	binary bool // from a []byte, whose content may change under the same address
	json   bool // canonical form counts, for tool definitions
	fresh  bool // it was read, and not recognised
	sized  bool // a document whose size is in its block
	quoted bool // the inside of a JSON string, its escapes not resolved
	doc    Marshaler
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

// Message begins the message with an index, in the section Messages.
func (p *Prompt) Message(index int, user bool) {
	p.section, p.message, p.user, p.open = Messages, index, user, false
}

// Block begins a block at an index of its list; Text, JSON, Binary and Media fill it.
func (p *Prompt) Block(k Kind, index int) {
	p.Blocks = append(p.Blocks, Block{
		Where: Where{p.section, p.message, index}, Kind: k, User: p.section == Messages && p.user, leafEnd: len(p.leaves),
	})
	p.open = true
	if k == Other {
		p.Unknown++
	}
}

// last returns the block that is being filled, and begins one of unknown kind if there is none.
func (p *Prompt) last() *Block {
	if !p.open {
		p.Block(Other, 0)
	}
	return &p.Blocks[len(p.Blocks)-1]
}

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
	if n < cap(p.leaves) {
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

func textLeaf(s string) leaf {
	at := unsafe.Pointer(unsafe.StringData(s))
	return leaf{id: at, at: at, n: len(s)}
}

// JSON adds serialised JSON to the block. In a tool definition the order of its keys is told apart from its content.
func (p *Prompt) JSON(s string) { p.sizedJSON(s, jsonscan.Len(s)) }

// sizedJSON adds serialised JSON that is so long whatever its spelling.
func (p *Prompt) sizedJSON(s string, length int) {
	l := textLeaf(s)
	l.json = true
	p.add(l)
	p.last().Bytes -= len(s) - length
}

// Flag adds to the block that something is on which is no text of it, such as citations; it does not count in Bytes.
func (p *Prompt) Flag(name string) {
	l := textLeaf(name)
	l.binary = true
	p.add(l)
	p.last().Bytes -= len(name)
}

// Binary adds bytes to the block that are no text, such as an image's; they do not count in Bytes. A caller that changes
// them in place between two calls may go unnoticed.
func (p *Prompt) Binary(b []byte) {
	at := unsafe.Pointer(unsafe.SliceData(b))
	p.add(leaf{id: at, at: at, n: len(b), binary: true})
	p.last().Bytes -= len(b)
}

// Document adds content that serialises itself. It is serialised when it is first seen, and recognised by its address
// afterwards.
func (p *Prompt) Document(d Marshaler) {
	if d != nil {
		p.add(leaf{id: dataOf(d), doc: d, json: true})
	}
}

// Media notes the tokens of an image or a document in the block.
func (p *Prompt) Media(k Kind, tokens int64) {
	p.last().MediaTokens += tokens
	p.images = p.images || k == Image
}

// Cited notes that citations are asked for of something in the request.
func (p *Prompt) Cited() {
	if p.levels[citations] == 0 {
		p.Setting("citations", "enabled")
	}
}

// Point adds a cache point at an index of the list that is being read.
func (p *Prompt) Point(index int, ttl time.Duration) {
	p.Points = append(p.Points, Point{Where: Where{p.section, p.message, index}, Block: p.closed(), TTL: ttl})
}

// OpenPoint adds a cache point that names no lifetime at an index of the list that is being read.
func (p *Prompt) OpenPoint(index int) {
	p.Point(index, FiveMinutes)
	p.Points[len(p.Points)-1].Open = true
}

// NestedPoint adds a cache point that stands inside of the block being read.
func (p *Prompt) NestedPoint(ttl time.Duration) {
	w := p.last().Where
	p.Points = append(p.Points, Point{Where: w, Block: p.closed(), TTL: ttl, Nested: true})
}

// closed returns the block that a point would close now.
func (p *Prompt) closed() int {
	i := len(p.Blocks) - 1
	if i < 0 || p.Blocks[i].Section != p.section || p.section == Messages && p.Blocks[i].Message != p.message {
		return -1
	}
	return i
}

// Flaw notes a sign of trouble.
func (p *Prompt) Flaw(r Rule, where string) { p.Flaws = append(p.Flaws, Flaw{r, where}) }

// empty reports whether a block is text without any character but white space, which gets no new cache point. It is asked of the
// few blocks that have one or may get one: of all others the text need not be touched.
func (p *Prompt) empty(i int) bool {
	b := &p.Blocks[i]
	if b.Kind != Text || b.blank {
		return b.blank
	}
	for _, l := range p.leavesOf(i) {
		if l.doc != nil || l.quoted || strings.TrimSpace(l.text()) != "" {
			return false
		}
	}
	return true
}

// bare reports whether a block is text without any character.
func (p *Prompt) bare(i int) bool {
	return p.Blocks[i].Kind == Text && p.Blocks[i].Bytes == 0 && p.empty(i)
}

// leavesOf returns the leaves of a block.
func (p *Prompt) leavesOf(i int) []leaf {
	start := 0
	if i > 0 {
		start = p.Blocks[i-1].leafEnd
	}
	return p.leaves[start:p.Blocks[i].leafEnd]
}
