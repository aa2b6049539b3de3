package cache

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/internal/hash"
	"github.com/bedrockguard/bedrockguard-go/cache/internal/odds"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// Words that this package's files share:
//
//   - A prompt.Record has hashes and sizes of one block instead of its text. Its Chain is the hash of all blocks up to it, and its UpTo is
//     their size: two requests with the same Chain have the same prefix.
//   - A location is where cached prefixes are found: a model with a region, profile and account.
//   - A level is the hash of those settings on which the cache of a section depends: see levelOf.
//   - An entry is what the service's cache holds of one prefix. It is found only at its location and level, until it expires.
//   - The predecessor of a request is the earlier request that it continues.
//   - A newest turn is a prompt's last user turn. To write it is to write the prefix that ends with it, which the next request can read.
//   - A trial is such a write before anything is known of the conversation.

// session is what is remembered of one workflow.
type session struct {
	tracker  *Tracker
	workflow string
	number   uint64    // from 1, because 0 stands for all workflows in Tracker.steps
	memory   memoryUse // guarded by the tracker's lock

	mu            sync.Mutex      // guards the following fields, and the turns of the session
	conversations []*conversation // the most recently used first
	cached        []cachedPrefix  // prefixes that the cache should hold, the newest last
	running       []*Turn         // requests that were checked and whose responses have not begun
	scale         estimate.Scale  // estimates tokens
	calls         odds.CallTimes
	gaps          Gaps
	ratio         odds.HitRatio
	streak        streaks
	tripped       []Finding       // the trip and its causes, while the workflow reads too little of what it could: see Turn.trip
	asks          [maxAsks]uint64 // the chain hashes of the last requests, a ring
	asksN         int             // how many requests there have been; the next one's index is the remainder by maxAsks
	doubled       bool            // a response reported its writes twice

	// The following fields decide whether writing to the cache pays.
	prefixes  []knownPrefix // beginnings that several requests may share
	unread    int           // how many writes no request has read so far: each lets the next one wait until its prefix was seen twice more
	costs     lifetimeCosts // whether points should ask for an hour
	step      int           // the number in Tracker.steps of the last of its first three requests; later ones are not added there by workflow
	trials    int           // how many trials were written and not read so far
	trialsWon int           // how many trials were written and then read
	losses    int           // how many responses in a row read nothing of what should have been cached; at most fewLosses
	pause     int           // for how many more requests nothing is written
	everRead  bool          // a response has read something from the cache
}

// conversation is one conversation of a workflow, or one branch of it: the longest request that was seen of it. Later requests only extend it.
type conversation struct {
	blocks  []prompt.Record
	texts   prompt.Memory    // by which the next request's texts are recognised without reading them
	begun   int              // how many of the blocks were in a request whose response has begun
	forks   int              // how many requests in a row have replaced its last message
	counted estimate.Counted // the token count of the last response, for its blocks
	habit   habit            // whether what its requests write is usually read by the next one

	// The following fields are those of its last request, which may be shorter than the conversation.
	tools    int // how many blocks the tools have
	system   int // how many blocks the system prompt has
	sent     int // how many blocks it had in all
	userEnd  int // how many blocks it had up to the end of its newest user turn
	before   int // how many blocks it had up to the end of the user turn before that; 0 if there was none
	points   []conversationPoint
	location string // Call.Place: region, profile and account
	model    string // the model's ID
	settings prompt.Settings
	level    uint64        // messagesLevel of the settings
	levels   sectionLevels // levelOf of each section
	lastAt   time.Time     // when it was made
}

// conversationPoint is a cache point of a conversation's last request.
type conversationPoint struct {
	block int
	ttl   time.Duration
}

// cachedPrefix is a prefix that the cache should hold, or will hold when a running request gets its answer.
type cachedPrefix struct {
	chain    uint64 // the Chain of its last block
	block    int    // the last block of the prefix
	location uint64 // locationHash of the model and Call.Place
	level    uint64 // levelOf its last section
	tokens   int64  // of the whole prefix; 0 in a cachedPrefix that stands for none
	ttl      time.Duration
	expires  time.Time
	size     prompt.Size
	exact    bool  // tokens is a count from a response, and no estimate
	wrote    int64 // how many tokens that response said that it wrote
	message  bool  // the prefix ends in the messages
}

// sameEntry reports whether two prefixes are the same entry of the cache: the same blocks, in the same place, under the same settings.
func (prefix *cachedPrefix) sameEntry(o *cachedPrefix) bool {
	return prefix.chain == o.chain && prefix.location == o.location && prefix.level == o.level
}

// begins reports whether a prompt begins with the prefix.
func (prefix *cachedPrefix) begins(p *prompt.Prompt) bool {
	return prefix.block < len(p.Records()) && p.Records()[prefix.block].Chain == prefix.chain
}

const (
	maxCached = 256 // prefixes that are remembered of a workflow
	maxAsks   = 256 // requests whose chain hashes are remembered of a workflow
)

// asked returns how many of the last requests had exactly the blocks with this chain hash, by which dropped tells lost tool turns from a branch.
func (s *session) asked(chain uint64) int {
	n := 0
	for _, c := range s.asks[:min(s.asksN, maxAsks)] {
		if c == chain {
			n++
		}
	}
	return n
}

// Gaps are the pauses between a workflow's requests, counted by length. They decide which lifetime pays.
type Gaps struct {
	Short  int // up to five minutes
	Medium int // more, and up to an hour
	Long   int // more than an hour
	// PrefixTokens and NewTokens are, on average, how many tokens a request has in common with the one before it, and how many it adds.
	PrefixTokens, NewTokens int64
}

// add counts a pause.
func (g *Gaps) add(d time.Duration) {
	switch {
	case d <= prompt.FiveMinutes:
		g.Short++
	case d <= prompt.OneHour:
		g.Medium++
	default:
		g.Long++
	}
}

// streaks count for how many calls in a row something has happened.
type streaks struct {
	same      int          // the request was the same
	lastChain uint64       // the hash of the last request, blocks and settings, with which the next one is compared
	idle      int          // nothing was read and nothing written, though the input did not shrink
	idleTotal int64        // the input tokens of the last such call
	written   int          // something was written and nothing read
	missed    int          // less was read than expected, for no known reason
	rules     map[Rule]int // the request had a finding of this rule
}

// repeated returns, for each finding's rule, how many calls in a row have had it, including this one, and sets each finding's Repeated to that. A
// rule that this call has not broken is left out, so that its count begins anew.
func (streak *streaks) repeated(found []Finding) map[Rule]int {
	if len(found) == 0 {
		return nil
	}
	next := make(map[Rule]int, len(found))
	for i := range found {
		next[found[i].Rule] = streak.rules[found[i].Rule] + 1
		found[i].Repeated = next[found[i].Rule]
	}
	return next
}

// locationHash returns the hash of where cached prefixes are found: the model's ID, and Call.Place, which has region, profile and account.
func locationHash(model, place string) uint64 {
	return hash.Mix(hash.String(model), hash.String(place))
}

// knownTexts returns what is remembered of the texts of earlier requests, the most recently used first.
func (s *session) knownTexts(buf []prompt.Memory) []prompt.Memory {
	for _, conv := range s.conversations {
		buf = append(buf, conv.texts)
	}
	return buf
}

// keep remembers a request: it extends a conversation, or is a part of one, or begins a new one. It returns that conversation, now the most recently
// used, or nil for a request without blocks.
func (s *session) keep(c *Call, p *prompt.Prompt) *conversation {
	n := min(len(p.Records()), maxConversationBlocks) // how many blocks are remembered
	if n == 0 {
		return nil
	}
	var conv *conversation
	if at := s.belongsTo(p.Records()[:n]); at >= 0 {
		conv = s.conversations[at]
		s.conversations = slices.Delete(s.conversations, at, at+1)
	} else {
		conv = s.newConversation()
	}
	s.conversations = slices.Insert(s.conversations, 0, conv)
	if n > len(conv.blocks) { // else the request is a part of the conversation, which stays as long as it is
		s.extend(conv, p, n)
	}
	conv.setLast(c, p, n)
	return conv
}

// belongsTo returns the index of the conversation of which these blocks are a part or a continuation, or -1: the longest, if there are several.
func (s *session) belongsTo(blocks []prompt.Record) int {
	best := -1
	for i, conv := range s.conversations {
		shared := commonChain(conv.blocks, blocks)
		oneExtendsTheOther := shared == len(conv.blocks) || shared == len(blocks)
		isLonger := best < 0 || len(conv.blocks) > len(s.conversations[best].blocks)
		if oneExtendsTheOther && isLonger {
			best = i
		}
	}
	return best
}

// setLast notes a request as the conversation's last one. n is how many of its blocks are remembered. Later Send sets forks, and learn the habit.
func (conv *conversation) setLast(c *Call, p *prompt.Prompt, n int) {
	tools, system := heads(p) // how many blocks each of them has
	conv.tools, conv.system = min(tools, n), min(system, n-min(tools, n))
	conv.location, conv.model, conv.settings, conv.lastAt = c.Place, c.Model.ID, p.Settings, c.At
	conv.points, conv.sent, conv.forks = conv.points[:0], n, 0
	conv.level, conv.levels = messagesLevel(&p.Settings), levelsOf(&p.Settings, c.Model.Provider)
	conv.userEnd, conv.before = turnEnds(p)
	for _, pt := range p.Points {
		if pt.Block >= 0 && !pt.Nested {
			// A lifetime that is not known is 0, and counts as five minutes.
			conv.points = append(conv.points, conversationPoint{pt.Block, max(pt.TTL, prompt.FiveMinutes)})
		}
	}
}

// sharesLocation reports whether a request finds its prefixes where the conversation's last request left them.
func (conv *conversation) sharesLocation(c *Call) bool {
	return conv.location == c.Place && conv.model == c.Model.ID
}

// sharesMessages reports whether a request also has the level of messages of the conversation's last request. Only then can it read what that one
// wrote of the messages.
func (conv *conversation) sharesMessages(c *Call, p *prompt.Prompt) bool {
	return conv.sharesLocation(c) && conv.level == messagesLevel(&p.Settings)
}

// newConversation returns an empty conversation. If there are enough, the one that was used longest ago is forgotten. Its slices are used
// for the new one, which saves an allocation for each conversation; a Turn that still points at the old one then finds it empty, and
// compares nothing.
func (s *session) newConversation() *conversation {
	if len(s.conversations) < maxConversations {
		return new(conversation)
	}
	old := s.conversations[len(s.conversations)-1]
	s.conversations = s.conversations[:len(s.conversations)-1]
	// Forget returns, as numbers that are not positive, how many more texts and bytes are remembered. The records of the blocks go away as well.
	texts, retained := old.texts.Forget()
	s.tracker.grown(s, texts-len(old.blocks), retained)
	conv := &conversation{blocks: old.blocks[:0], texts: old.texts, points: old.points[:0]}
	*old = conversation{}
	return conv
}

// extend appends to a conversation those of the request's first n blocks that it has more, and remembers their texts. It reports to the tracker,
// whose memory is bounded, by how much the conversation has grown.
func (s *session) extend(conv *conversation, p *prompt.Prompt, n int) {
	blocks := n - len(conv.blocks)
	conv.blocks = append(conv.blocks, p.Records()[len(conv.blocks):n]...)
	texts, retained := conv.texts.Keep(p, n)
	s.tracker.grown(s, blocks+texts, retained)
}

// commonChain returns how many blocks two requests have in common from the start. If two blocks have the same Chain, all blocks before them are the
// same too, so that a binary search finds the first ones that differ.
func commonChain(a, b []prompt.Record) int {
	return sort.Search(min(len(a), len(b)), func(i int) bool { return a[i].Chain != b[i].Chain })
}

// commonMessages returns how many blocks of messages two requests have in common from the first message on. It is like commonChain, by the hash of
// all message blocks up to a block, without tools and system prompt.
func commonMessages(a, b []prompt.Record) int {
	return sort.Search(min(len(a), len(b)), func(i int) bool { return a[i].MessagesChain != b[i].MessagesChain })
}
