package bedrocktest

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// The sections of a prompt, in the order in which the cache reads them.
const (
	tools    = "tools"
	system   = "system"
	messages = "messages"
)

// block is one block of the prompt.
type block struct {
	section   string
	hash      [32]byte
	tokens    int    // including its framing
	role      string // of the message that begins with this block; empty inside of a message
	point     string // TTL of the cache point after it: "5m", "1h"; empty if there is none
	reasoning bool
}

// inference is a validated request, in a form that is common to all dialects.
type inference struct {
	model   *modeltable.Model
	profile string
	region  string // of the ARN that was called; empty for an id
	blocks  []block
	// variant has the settings on which the cache of the messages depends: tool choice, thinking, whether there are images.
	variant string
	// wholeVariant has the settings on which the whole cache depends: the tool choice on Nova (as recorded, 2026).
	wholeVariant string
	frame        modeltable.Framing
	framing      int    // tokens that are added to the next block: a message's frame, the preamble of tools
	role         string // of a message that has no block yet
	maxTokens    int
	tier         string
	latency      string
	// extraTokens is an output limit in the fields that are passed to the model unchanged. The larger one counts.
	extraTokens int
	choices     int // how many answers are asked for; 0 means 1
	repeats     int // how often the prompt is billed; 0 means 1
	request     Request
	noOutput    bool // for embeddings
	marked      bool // there is a cache point
	hasImages   bool
	images      int   // how many there are
	imageTokens int   // tokens of the images, if the model bills them at another rate
	units       int64 // nano-USD for images, seconds and queries
	hidden      hidden
	guardrails  []string // ids of the guardrails that evaluate the request
	// guardrailVersion is the version of the guardrail that the request names.
	guardrailVersion string
	traced           int    // how many of the guardrails the answer reports; they come first
	guardedTexts     []int  // characters of each text that guardrails evaluate
	guardedIn        string // the section of the last of these texts
	by               answering
	steps            []iteration
	form             string  // the route, for OpenAI's and Anthropic's own; empty for Bedrock's
	usageAsked       bool    // a stream of chat completions asks for usage
	store            *Server // where the response is stored; nil if it is not
	storedItems      []*jsonnode.Node
	sent             *jsonnode.Node // the body of a Responses request
	speaking         bool           // the previous item was the assistant's
	message          int            // number of the message that is being parsed
	block            int            // number of the block in that message
	history          []any          // for Cohere, which repeats it in the answer
	vectors          []vector       // for the answer
	documents        []string       // the documents to rank
	topN             int            // how many of these to return
	// lastIsText says that the last message block is text: Nova accepts cache points only after text.
	lastIsText bool
}

// Request is what a Reply function gets of a request.
type Request struct {
	Seq         int // counted from 1
	Operation   string
	ModelID     string // the foundation model
	AskedID     string // the id or ARN that the request names
	Turn        int    // how many turns the assistant had before it, not counting a prefill
	Header      http.Header
	MaxTokens   int // the model's maximum if the request has none
	InputTokens int // including cached ones
	Messages    int
	LastText    string // the last text block of the last message that has one
	System      string
	Tools       []string     // names of the offered tools
	ToolResults []ToolResult // of the last message; a tool loop can use these
	Body        []byte       // as it was sent
	Refused     string       // why it was refused, for Received; empty if it was answered
}

// add appends a block to the prompt.
func (in *inference) add(s *Server, section, raw string, tokens int) *block {
	in.blocks = append(in.blocks, block{section: section, hash: sha256.Sum256([]byte(raw)), tokens: tokens + in.framing, role: in.role})
	in.framing, in.role = 0, ""
	return &in.blocks[len(in.blocks)-1]
}

// addText adds a block of text. Its count is remembered from an earlier request if possible.
func (in *inference) addText(s *Server, section string, raw, text *jsonnode.Node) *block {
	in.guarded(section, text.Text())
	b := in.add(s, section, raw.Raw, 0)
	b.tokens += s.scaled(in.model, s.counts.of(b.hash, func() int { return s.opts.count(text.Text()) }), len(text.Raw))
	return b
}

// addJSON appends a block that the model reads as JSON.
func (in *inference) addJSON(s *Server, section, raw string) *block {
	if section != tools {
		in.guarded(section, raw)
	}
	b := in.add(s, section, raw, 0)
	b.tokens += s.scaled(in.model, s.counts.of(b.hash, func() int { return s.opts.count(raw) }), len(raw))
	return b
}

// open begins a message.
func (in *inference) open(role string) {
	in.framing += in.frame.Message
	in.role = role
}

// point puts a cache point after the last block.
func (in *inference) point(section, ttl string) *refusal.Error {
	rule := in.model.Cache
	if rule == nil {
		return refusal.New(403, "AccessDeniedException", "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.")
	}
	in.marked = true
	if ttl == "" {
		ttl = "5m"
	}
	if !slices.Contains(rule.TTLs, ttl) {
		return refusal.Invalid("the ttl of a cache point is not supported by this model")
	}
	if !slices.Contains(rule.Fields, section) {
		return refusal.Invalid("extraneous key [cachePoint] is not permitted in %s of this model", section)
	}
	if len(in.blocks) == 0 || in.blocks[len(in.blocks)-1].section != section || in.role != "" {
		return refusal.Invalid("a cache point must follow content of its own section and message")
	}
	last := &in.blocks[len(in.blocks)-1]
	if last.reasoning {
		return refusal.Invalid("Cache point cannot be inserted after reasoning block.")
	}
	if last.point != "" {
		return refusal.Invalid("two cache points follow the same block")
	}
	last.point = ttl
	return in.checkPoints()
}

// checkPoints checks the number of points and the order of their lifetimes.
func (in *inference) checkPoints() *refusal.Error {
	n, short := 0, false
	for _, b := range in.blocks {
		if b.point == "" {
			continue
		}
		n++
		if b.point == "1h" && short {
			return refusal.Invalid("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed in the following order: `tools`, `system`, `messages`.")
		}
		short = short || b.point == "5m"
	}
	if n > in.model.Cache.Points {
		return refusal.Invalid("A maximum of %d blocks with cache_control may be provided. Found %d.", in.model.Cache.Points, n)
	}
	return nil
}

// finish makes the checks that need the whole prompt.
func (in *inference) finish() *refusal.Error {
	in.hide()
	in.request.InputTokens = in.framing
	for _, b := range in.blocks {
		in.request.InputTokens += b.tokens
	}
	if in.tooLong() || in.request.InputTokens > maxInput {
		return refusal.Invalid("Input is too long for requested model.")
	}
	if in.repeats > 1 && len(in.blocks) > 0 {
		in.blocks[0].tokens += in.request.InputTokens * (in.repeats - 1)
		in.request.InputTokens *= in.repeats
	}
	limit := in.model.Output
	switch {
	case in.noOutput:
		in.maxTokens = 0
	case in.maxTokens == 0 && in.extraTokens == 0:
		in.maxTokens = limit
	case limit > 0 && in.maxTokens > limit:
		return refusal.Invalid("The maximum tokens you requested exceeds the model limit of %d.", limit)
	}
	in.maxTokens = max(in.maxTokens, in.extraTokens)
	if !slices.Contains([]string{"", "default", "priority", "flex", "reserved", "ultrafast"}, in.tier) {
		return refusal.Invalid("The service tier must be one of priority, default, flex, ultrafast and reserved.")
	}
	if in.tier != "" && in.tier != "default" && in.tier != "reserved" && in.model.Provider == "anthropic" {
		return refusal.Invalid("The service tier is not supported by this model.")
	}
	in.request.MaxTokens, in.request.ModelID = in.maxTokens, in.model.ID
	return nil
}

// longWindow is the window of models that have a price for longer prompts than their usual window: Sonnet 4 and 4.5 with the long-context
// beta (Anthropic, 2026).
const longWindow = 1_000_000

// tooLong reports whether a prompt exceeds the model's window. The window is larger than the table says if there is a long-context price
// from its end on.
func (in *inference) tooLong() bool {
	m := in.model
	if m.Embeds() {
		return false // each text has a window of its own, which is checked when it is parsed
	}
	window := m.Window
	if m.Long.Above >= window && window > 0 {
		window = max(window, longWindow)
	}
	return window > 0 && in.request.InputTokens > window
}

// maxInput bounds every request, so that no bill can overflow.
const maxInput = 10_000_000

// counts remembers the tokens of blocks, so that in a growing conversation only new blocks are counted. It is safe for concurrent use.
type counts struct {
	mu   sync.Mutex
	seen map[[32]byte]int
}

const maxCounts = 1 << 16

func (c *counts) of(hash [32]byte, count func() int) int {
	c.mu.Lock()
	n, ok := c.seen[hash]
	c.mu.Unlock()
	if ok {
		return n
	}
	n = count()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || len(c.seen) >= maxCounts {
		c.seen = make(map[[32]byte]int)
	}
	c.seen[hash] = n
	return n
}
