// Package dialects reads requests in the dialect of each family into a prompt, a form that is common to all of them, and counts its tokens.
package dialects

import (
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// A parser reads a request in one dialect (a JSON node, often called n) and fills a Prompt (in) from it. It adds the content as blocks in the
// order in which the model reads it: open begins a message, add, addText and addJSON append a block, point puts a cache point after the last
// block. A block's hash, of its raw JSON, identifies it in the cache; its tokens are billed. Finish completes the Prompt when all is read.

// The sections of a prompt, in the order in which the cache reads them.
const (
	tools    = "tools"
	System   = "system"
	Messages = "messages"
)

// Block is one block of the prompt.
type Block struct {
	Section   string
	Hash      [32]byte
	Tokens    int    // including its framing
	Role      string // of the message that begins with this block; empty inside of a message
	Point     string // TTL of the cache point after it: "5m", "1h"; empty if there is none
	reasoning bool   // the model's own, which no cache point may follow
}

// Result is the result of a tool.
type Result struct{ ID, Content string }

// Prompt is a request that was read, in a form that is common to all dialects.
type Prompt struct {
	// What is called, and how.
	Model    *modeltable.Model
	Profile  string // of the model's id: "us", "global"; empty for an id without one
	Form     string // the route of OpenAI's or Anthropic's API by which the request came; empty for Converse and InvokeModel
	Tier     string // the requested service tier; empty means none
	Latency  string // the requested latency mode; empty means none
	Choices  int    // how many answers are asked for; 0 means 1
	NoOutput bool   // the answer has no tokens: vectors, a ranking, or a limit of zero

	// The content, and what of it a test is shown.
	Blocks       []Block
	InputTokens  int // including cached ones; set by Finish
	MessageCount int
	LastText     string   // the last text block of the last message that has one
	Turns        int      // the assistant's turns in a Responses request; 0 in others, whose turns Request.describe counts later
	Results      []Result // of tools, since the last message of a Responses request; nil in others

	// The output limits: that of the request, or else the model's, 0 meaning none; and one in the fields that are passed to the model unchanged. The
	// larger of the two counts.
	MaxTokens   int
	extraTokens int

	// The cache: Variant has the settings on which the cache of the messages depends (tool choice, thinking, whether there are images), WholeVariant
	// those on which the whole cache depends (the tool choice on Nova, as recordings of 2026 show).
	Variant      string
	WholeVariant string
	Marked       bool // there is a cache point

	// What is billed beside the content of the blocks, and in another way.
	Frame       modeltable.Framing // what the family's template adds to requests and messages, in tokens
	Hidden      hidden             // why the service adds text to the prompt
	repeats     int                // how often the prompt is billed; 0 means 1
	Images      int                // how many there are
	ImageTokens int                // tokens of the images, if the model bills them at another rate
	Units       int64              // nano-USD for images, seconds and queries

	// Guardrails.
	Guardrails   []string // ids of the guardrails that evaluate the request
	GuardedTexts []int    // how many characters each text has that guardrails evaluate
	guardedIn    string   // the section of the last of these texts

	// What the answers of single dialects need of the request.
	Stores      bool             // the response is stored, so that a later Responses request can go on from it
	StoredItems []*jsonnode.Node // the input of a response that is stored, as items
	Sent        *jsonnode.Node   // the body of a Responses request, some of whose settings the answer repeats
	History     []any            // for Cohere, which repeats it in the answer
	Vectors     []Vector         // the embeddings to answer
	Documents   []string         // the documents to rank
	TopN        int              // how many of these to return

	// The state of the parser.
	framing    int    // tokens that are added to the next block: a message's frame; in the end, those of the end of the template
	role       string // of a message that has no block yet; empty once it has one
	hasImages  bool   // there are images, and Variant says so
	speaking   bool   // the previous item of a Responses request was the assistant's
	message    int    // number of the message that is being parsed
	block      int    // number of the block in that message
	lastIsText bool   // the last message block is text: Nova accepts cache points only after text
}

// add appends a block with these tokens, to which it adds the frame that open has left for the next block (framing). raw is what its hash is made of.
// It has the parameter r only because addText and addJSON have it, which count with it.
func (in *Prompt) add(r *Reader, section, raw string, tokens int) *Block {
	in.Blocks = append(in.Blocks, Block{Section: section, Hash: sha256.Sum256([]byte(raw)), Tokens: tokens + in.framing, Role: in.role})
	in.framing, in.role = 0, ""
	return &in.Blocks[len(in.Blocks)-1]
}

// addText adds a block of text. raw is what identifies the block, and may be more than the text: the whole block in the request, of which the hash is
// made. The plain count of a text is remembered by that hash, so that a later request with the same block need not count it.
func (in *Prompt) addText(r *Reader, section string, raw, text *jsonnode.Node) *Block {
	in.guarded(section, text.Text())
	b := in.add(r, section, raw.Raw, 0) // its tokens follow, for which its hash is needed
	// scaled needs the length because no text has more tokens than bytes.
	b.Tokens += r.scaled(in.Model, r.counts.of(b.Hash, func() int { return r.Plain(text.Text()) }), len(text.Raw))
	return b
}

// addJSON appends a block that the model reads as JSON, counted as addText counts a text. Guardrails evaluate it too, except for tool definitions.
func (in *Prompt) addJSON(r *Reader, section, raw string) *Block {
	if section != tools {
		in.guarded(section, raw)
	}
	b := in.add(r, section, raw, 0)
	b.Tokens += r.scaled(in.Model, r.counts.of(b.Hash, func() int { return r.Plain(raw) }), len(raw))
	return b
}

// open begins a message: the next block gets its role and the tokens of its frame.
func (in *Prompt) open(role string) {
	in.framing += in.Frame.Message
	in.role = role
}

// point puts a cache point after the last block, which must be in this section and message. An empty ttl means "5m".
func (in *Prompt) point(section, ttl string) *refusal.Error {
	rule := in.Model.Cache
	if rule == nil {
		return refusal.New(403, "AccessDeniedException", "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.")
	}
	in.Marked = true
	if ttl == "" {
		ttl = "5m"
	}
	if !slices.Contains(rule.TTLs, ttl) {
		return refusal.Invalid("the ttl of a cache point is not supported by this model")
	}
	if !slices.Contains(rule.Fields, section) {
		return refusal.Invalid("extraneous key [cachePoint] is not permitted in %s of this model", section)
	}
	// A role that is set belongs to a message that was opened and has no block yet.
	if len(in.Blocks) == 0 || in.Blocks[len(in.Blocks)-1].Section != section || in.role != "" {
		return refusal.Invalid("a cache point must follow content of its own section and message")
	}
	last := &in.Blocks[len(in.Blocks)-1]
	if last.reasoning {
		return refusal.Invalid("Cache point cannot be inserted after reasoning block.")
	}
	if last.Point != "" {
		return refusal.Invalid("two cache points follow the same block")
	}
	last.Point = ttl
	return in.checkPoints()
}

// checkPoints checks the number of points and the order of their lifetimes.
func (in *Prompt) checkPoints() *refusal.Error {
	n, short := 0, false
	for _, b := range in.Blocks {
		if b.Point == "" {
			continue
		}
		n++
		if b.Point == "1h" && short {
			return refusal.Invalid("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed in the following order: `tools`, `system`, `messages`.")
		}
		short = short || b.Point == "5m"
	}
	if n > in.Model.Cache.Points {
		return refusal.Invalid("A maximum of %d blocks with cache_control may be provided. Found %d.", in.Model.Cache.Points, n)
	}
	return nil
}

// Finish completes a Prompt that was read: it adds the hidden text, sums up the tokens, and makes the checks that need the whole prompt: its
// length, the output limit and the service tier.
func (in *Prompt) Finish() *refusal.Error {
	in.hide()
	// What is left in framing comes after the last block: the end of the template.
	in.InputTokens = in.framing
	for _, b := range in.Blocks {
		in.InputTokens += b.Tokens
	}
	if in.tooLong() || in.InputTokens > MaxInput {
		return refusal.Invalid("Input is too long for requested model.")
	}
	if in.repeats > 1 && len(in.Blocks) > 0 { // the first block carries the tokens of all repetitions
		in.Blocks[0].Tokens += in.InputTokens * (in.repeats - 1)
		in.InputTokens *= in.repeats
	}
	if refused := in.finishLimit(); refused != nil {
		return refused
	}
	return in.checkTier()
}

// finishLimit sets MaxTokens to the output limit that applies, or refuses one that is above the model's own. Without any limit in the request the
// model's own applies. That is 0 if it is unknown, and then any limit is accepted. extraTokens is not compared with it.
func (in *Prompt) finishLimit() *refusal.Error {
	most := in.Model.Output
	switch {
	case in.NoOutput:
		in.MaxTokens = 0
	case in.MaxTokens == 0 && in.extraTokens == 0:
		in.MaxTokens = most
	case most > 0 && in.MaxTokens > most:
		return refusal.Invalid("The maximum tokens you requested exceeds the model limit of %d.", most)
	}
	in.MaxTokens = max(in.MaxTokens, in.extraTokens)
	return nil
}

// checkTier refuses a service tier that is unknown, or that the model does not have: Anthropic's models have the usual tier and reserved capacity
// only.
func (in *Prompt) checkTier() *refusal.Error {
	if !slices.Contains([]string{"", "default", "priority", "flex", "reserved", "ultrafast"}, in.Tier) {
		return refusal.Invalid("The service tier must be one of priority, default, flex, ultrafast and reserved.")
	}
	if in.Model.Provider == "anthropic" && !slices.Contains([]string{"", "default", "reserved"}, in.Tier) {
		return refusal.Invalid("The service tier is not supported by this model.")
	}
	return nil
}

// longWindow is the window of models that have a price for longer prompts than their usual window: Sonnet 4 and 4.5 with the long-context
// beta (Anthropic, 2026).
const longWindow = 1_000_000

// tooLong reports whether a prompt exceeds the model's window. If the model has a price for prompts that are longer than its window in the table
// (from Long.Above tokens on), its window is at least longWindow.
func (in *Prompt) tooLong() bool {
	m := in.Model
	if m.Embeds() {
		return false // each text has a window of its own, which is checked when it is parsed
	}
	window := m.Window
	if m.Long.Above >= window && window > 0 {
		window = max(window, longWindow)
	}
	return window > 0 && in.InputTokens > window
}

// MaxInput bounds every request, so that no bill can overflow.
const MaxInput = 10_000_000

// counts remembers the tokens of blocks, so that in a growing conversation only new blocks are counted. It is safe for concurrent use.
type counts struct {
	mu   sync.Mutex
	seen map[[32]byte]int
}

// maxCounts bounds what counts remembers; when it is full, everything is forgotten.
const maxCounts = 1 << 16

// of returns the plain count of the block with this hash, and calls count if it does not remember one.
func (c *counts) of(hash [32]byte, count func() int) int {
	c.mu.Lock()
	n, ok := c.seen[hash]
	c.mu.Unlock()
	if ok {
		return n
	}
	// The lock is not held meanwhile, so that other requests go on, even if one of them counts the same block.
	n = count()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || len(c.seen) >= maxCounts {
		c.seen = make(map[[32]byte]int)
	}
	c.seen[hash] = n
	return n
}

// limit sets the output limit from a field of the request. If n is nil there is no such field, and Finish sets the model's own limit.
func (in *Prompt) limit(n *jsonnode.Node) *refusal.Error {
	if n == nil {
		return nil
	}
	v, ok := n.Number()
	if !ok || v <= 0 {
		return refusal.Invalid("the maximum of output tokens must be an integer of at least 1")
	}
	in.MaxTokens = v
	return nil
}
