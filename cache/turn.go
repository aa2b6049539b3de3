package cache

import (
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/internal/hash"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// Turn is one request of a workflow, from its check to the end of its response. End or Fail has to be called in any case. Its methods are safe for
// concurrent use: the session's lock guards all that is not exported.
type Turn struct {
	// Findings are the findings about the request. Those that the service would reject come first. They do not change after Check.
	Findings []Finding
	// Begun is set if another request is writing the same prefix now. It is closed when that request's response begins.
	Begun <-chan struct{}

	session *session // what is remembered of its workflow
	state   turnState
	begun   chan struct{} // closed when the response begins
	found   []Finding     // so far: of the request until Check returns them as Findings, of the response in End
	rules   map[Rule]int  // for how many requests in a row, including this one, each rule was found

	// The request.
	call   Call
	prompt *prompt.Prompt // nil after Send
	size   prompt.Size    // of the whole prompt
	sent   int            // how many of its blocks are remembered; set by Send
	points int            // how many cache points it has
	all1h  bool           // it has points, and each asks for an hour
	writes []cachedPrefix // the prefixes that it writes, or reads if the cache has them: those before its points, the shortest first

	// What it has in common with the earlier request that it most likely continues, its predecessor.
	past          predecessor      // the predecessor, and how many blocks they share
	follows       follows          // whether it continues a conversation, and what it could read of it
	gap           time.Duration    // the pause since the predecessor; 0 if there is none
	userEnd       int              // how many blocks the predecessor had up to its newest user turn
	before        int              // how many it had up to the user turn before that
	sameLocation  bool             // model, region, profile and account are those of the predecessor
	sameLevel     bool             // the settings on which cached messages depend are those of the predecessor
	forgets       bool             // the model drops thinking that both requests have
	countedBefore estimate.Counted // the count that the predecessor's response has reported
	conversation  *conversation    // that it belongs to; set by Send

	// What it should read from the cache.
	expected  cachedPrefix // the longest prefix that it should read; its tokens are 0 if there is none
	avoidable prompt.Size  // what it could read if nothing were wrong
	// avoidableTokens is the estimate of avoidable from before the response; it does not change after Check.
	avoidableTokens int64

	// What Fix has decided. The zero values are those of a request that it has not seen.
	placed   bool          // Fix has placed its points
	unproven bool          // Fix gave the predecessor no point, because writing was not known to pay
	trial    bool          // it writes its newest turn before anything is known of the conversation
	wrote    knownPrefix   // the prefix that it writes because it was seen before; its chain is 0 if there is none
	saw      []knownPrefix // beginnings of it that Fix has counted as seen, which others can read once its response begins
}

// turnState is how far a request has got.
type turnState uint8

const (
	checked turnState = iota
	sent              // Send was called
	begun             // its response has begun
	ended             // End or Fail was called
)

// check fills in the prompt's records, checks it against what the session knows, and returns its turn with the findings. From then on the turn
// counts as running. Requires s.mu held.
func (s *session) check(c Call, p *prompt.Prompt) *Turn {
	var buf [maxConversations]prompt.Memory
	p.Record(s.knownTexts(buf[:0])) // texts of earlier requests are recognised by their address, and not read again
	const placed = false            // Fix has not placed the points
	return s.checkRecorded(c, p, s.findPredecessor(p), placed)
}

// checkRecorded is check for a prompt whose records are filled in already. placed says that Fix has placed its points. Requires s.mu held.
func (s *session) checkRecorded(c Call, p *prompt.Prompt, prev predecessor, placed bool) *Turn {
	t := &Turn{session: s, call: c, prompt: p, size: p.Total(), points: len(p.Points), past: prev, placed: placed}
	t.follows = s.follow(&t.call, p, &t.past)
	if conv := t.past.conversation; conv != nil {
		t.unproven = placed && len(conv.points) == 0       // Fix gave the predecessor no point
		t.countedBefore = conv.counted                     // also if this request does not have all of the blocks that were counted
		t.forgets = t.call.Model.forgets(p, t.past.shared) // the model drops thinking that both requests have, so that less is read
	}
	t.lint()                                  // what the request alone shows
	if c.Model.Explicit || c.Model.Implicit { // the model caches, at cache points or by itself
		t.compare() // what has changed since the predecessor
		t.expect()  // what should be read from the cache
	}
	t.findLoop()                  // whether the workflow sends the same request again and again
	for _, f := range s.tripped { // empty unless the workflow has tripped: its last calls read too little from the cache
		t.add(f)
	}
	slices.SortStableFunc(t.found, func(a, b Finding) int { return rank(a) - rank(b) })
	// repeated also sets each finding's Repeated. Send stores the counts in the streak.
	t.rules = s.streak.repeated(t.found)
	s.priceByDay(t.found)
	t.Findings, t.avoidableTokens = t.found, s.scale.Mid(t.avoidable)
	// From here on, requests that run at the same time know what this one writes.
	t.begun = make(chan struct{})
	t.planWrites()
	s.running = append(s.running, t)
	return t
}

// lint adds the findings that the request alone shows.
func (t *Turn) lint() {
	s, p, m := t.session, t.prompt, &t.call.Model
	// If Fix has placed the points, it has decided how many there are, so that fewer are no loss.
	if want := s.tracker.policy.MinPoints; len(p.Points) < want && m.Explicit && !t.placed {
		t.add(Finding{Rule: rulePointsLost, Detail: fmt.Sprintf("the request has %d cache points, %d were meant to be there", len(p.Points), want)})
	}
	l := linter{p: p, m: m, scale: s.scale, known: t.past.shared, earlier: s.conversations, counted: t.past.counted()}
	l.all()
	for _, f := range l.found {
		if f.Rule != ruleBelowMinimum || !t.wasWritten() { // the estimate of the size was wrong if the prefix is known to be cached
			t.add(f)
		}
	}
}

// wasWritten reports whether a response has shown that the prefix before one of the request's points is cached. Then the prefix is exact: a response
// has reported its tokens. Location, settings and expiry do not matter, because the only question is whether the prefix is long enough to be cached.
func (t *Turn) wasWritten() bool {
	for i := range t.session.cached {
		prefix := &t.session.cached[i]
		if prefix.exact && prefix.begins(t.prompt) && slices.ContainsFunc(t.prompt.Points, func(pt prompt.Point) bool { return pt.Block == prefix.block }) {
			return true
		}
	}
	return false
}

// rank returns the place of a finding in the order: those that the service rejects come first, then the trip of the workflow, suspected ones last.
func rank(f Finding) int {
	info, _ := f.Rule.Info()
	switch {
	case info.Rejected:
		return 0
	case f.Rule == ruleTripped:
		return 1
	case f.Suspected:
		return 3
	default:
		return 2
	}
}

// add adds a finding to t.found, which gets one for each rule: the first, unless it is only suspected and a later one is certain.
func (t *Turn) add(f Finding) {
	if t.placed && missesPoints(f.Rule) {
		return // there are already as many points as pay
	}
	for i := range t.found {
		if t.found[i].Rule == f.Rule {
			if t.found[i].Suspected && !f.Suspected {
				t.found[i] = f
			}
			return
		}
	}
	t.found = append(t.found, f)
}

// missesPoints reports whether a rule says that a request should have more cache points, or others.
func missesPoints(r Rule) bool {
	switch r {
	case ruleNoPoint, ruleTail, ruleFrozen, ruleJumping, ruleIdle:
		return true
	default:
		return false
	}
}

// priceByDay sets each finding's cost per day, from its cost per call and the workflow's present rate of calls, if both are known: an unknown one is
// 0. A cost that is too large for an int64 is left out.
func (s *session) priceByDay(found []Finding) {
	rate := s.calls.PerDay()
	for i := range found {
		if usd := float64(found[i].NanoUSD) * rate; usd > 0 && usd < 1<<62 {
			found[i].NanoUSDPerDay = int64(usd)
		}
	}
}

// manySame is how many equal requests in a row count as a loop.
const manySame = 5

// findLoop adds a finding if the workflow sends the same request, blocks and settings, again and again. It only looks at the streak: Send counts it.
// Each repetition is priced as if it were all read from the cache, the least that its input can cost, or at one pico-USD a token if that price is not
// known.
func (t *Turn) findLoop() {
	if len(t.prompt.Records()) == 0 {
		return
	}
	same := 1 // how many requests in a row are the same, including this one
	if streak := &t.session.streak; requestHash(t.prompt) == streak.lastChain {
		same += streak.same
	}
	if same >= manySame {
		tokens := t.session.scale.Mid(t.size)
		t.add(Finding{
			Rule: ruleIdentical, Tokens: tokens, NanoUSD: estimate.NanoUSD(tokens, max(t.call.Model.CacheReadPrice, 1)),
			Detail: fmt.Sprintf("the same request was sent %d times in a row", same),
		})
	}
}

// requestHash returns the hash of all blocks and settings of a prompt that has blocks. The Chain of the last block is the hash of all blocks.
func requestHash(p *prompt.Prompt) uint64 {
	return hash.Mix(p.Records()[len(p.Records())-1].Chain, p.Settings.All)
}

// Avoidable returns about how many input tokens the request could have read from the cache, if the previous request had written its whole
// prefix and nothing of that had changed. It is 0 for the first request of a conversation, after a pause in which everything has expired,
// and for a model that does not cache. It is computed in Check.
func (t *Turn) Avoidable() int64 { return t.avoidableTokens }

// Send records that the request is sent: its time, its blocks and what it shows about the workflow. It does nothing for a turn that was sent already
// or has ended, or for an empty prompt.
func (t *Turn) Send() {
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	p := t.prompt
	if t.state != checked || len(p.Records()) == 0 {
		return // an empty prompt leaves the state as it is, so that Begin and End do nothing either
	}
	t.state = sent
	s.calls.Add(t.call.At)
	t.sent = min(len(p.Records()), maxConversationBlocks) // blocks beyond that are not remembered
	s.countRequest(p)
	s.streak.rules = t.rules // the counts of findings in a row that Check has computed
	if t.past.conversation != nil {
		t.copyPredecessor()
		t.addGap()
	}
	if t.conversation = s.keep(&t.call, p); t.conversation != nil {
		t.conversation.forks = t.past.forks // keep has set it to 0
	}
	t.learn()
	t.prompt = nil // the caller may reset it now
}

// countRequest counts a request that is sent: by its blocks, for asked, and in the streak of equal requests, at which findLoop has only looked.
func (s *session) countRequest(p *prompt.Prompt) {
	s.asks[s.asksN%maxAsks] = p.Records()[len(p.Records())-1].Chain
	s.asksN++
	if h := requestHash(p); h == s.streak.lastChain {
		s.streak.same++
	} else {
		s.streak.same, s.streak.lastChain = 1, h
	}
}

// copyPredecessor copies what is needed of the predecessor, because keep overwrites it if this request extends the same conversation.
func (t *Turn) copyPredecessor() {
	conv := t.past.conversation
	t.gap, t.userEnd, t.before = t.call.At.Sub(conv.lastAt), conv.userEnd, conv.before
	t.sameLocation, t.sameLevel = conv.sharesLocation(&t.call), conv.level == messagesLevel(&t.prompt.Settings)
}

// addGap adds the pause since the predecessor, what this request repeats of it and what it adds to the Gaps, which decide which lifetime pays.
func (t *Turn) addGap() {
	if t.past.shared == 0 {
		return
	}
	s := t.session
	s.gaps.add(t.gap)
	shared := t.prompt.UpTo(t.past.shared - 1)
	s.gaps.PrefixTokens = estimate.Average(s.gaps.PrefixTokens, s.scale.Mid(shared))
	s.gaps.NewTokens = estimate.Average(s.gaps.NewTokens, s.scale.Mid(t.size.Minus(shared)))
}

// planWrites sets t.writes to the prefixes that the request will write: one for each cache point whose prefix the model may cache, as far as the
// estimate of its size tells: high and low are bounds, and only a prefix that is surely too short or too long is left out. Requires s.mu held.
func (t *Turn) planWrites() {
	p, m, scale := t.prompt, &t.call.Model, t.session.scale
	t.all1h = len(p.Points) > 0
	for i := range p.Points {
		pt := &p.Points[i]
		t.all1h = t.all1h && pt.TTL == prompt.OneHour
		if pt.Block < 0 || pt.Nested || pt.Block >= len(p.Records()) {
			continue // a point before any block, or inside of one, encloses no prefix
		}
		tooShort := m.MinTokens > 0 && scale.High(p.UpTo(pt.Block)) < m.MinTokens
		tooLong := m.MaxTokens > 0 && scale.Low(p.UpTo(pt.Block)) > m.MaxTokens
		if !tooShort && !tooLong {
			t.writes = append(t.writes, t.prefixBefore(pt))
		}
	}
}

// prefixBefore returns the cache entry that the request writes at a point, as it is before any response has counted its tokens.
func (t *Turn) prefixBefore(pt *prompt.Point) cachedPrefix {
	p, r := t.prompt, &t.prompt.Records()[pt.Block]
	ttl := max(pt.TTL, prompt.FiveMinutes) // a lifetime that is not known is 0, and counts as five minutes
	return cachedPrefix{
		chain: r.Chain, block: pt.Block, location: locationHash(t.call.Model.ID, t.call.Place), level: t.call.levelAt(p, pt.Block),
		tokens: t.session.scale.Mid(r.UpTo), size: r.UpTo, ttl: ttl, expires: t.call.At.Add(ttl), message: r.Section == prompt.Messages,
	}
}

// findCached returns the same entry among those that the cache should hold, or nil.
func (s *session) findCached(prefix *cachedPrefix) *cachedPrefix {
	for i := range s.cached {
		if known := &s.cached[i]; known.sameEntry(prefix) {
			return known
		}
	}
	return nil
}

// Begin records that the response begins: from now on others can read what the request wrote.
func (t *Turn) Begin() {
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	t.begin()
}

// begin adds what the request writes to what the cache should hold, once. Requires s.mu held.
func (t *Turn) begin() {
	if t.state != sent {
		return
	}
	t.state = begun
	s := t.session
	for i := range t.writes {
		prefix := t.writes[i]
		switch known := s.findCached(&prefix); {
		case known == nil:
			s.cached = append(s.cached, prefix)
		case !t.call.At.Before(known.expires):
			*known = prefix // the old entry has expired, so this one is new
		case prefix.expires.After(known.expires): // the request does not write but reads it, which renews its lifetime
			known.expires, known.ttl = prefix.expires, prefix.ttl
		}
	}
	if over := len(s.cached) - maxCached; over > 0 { // the oldest are forgotten
		s.cached = slices.Delete(s.cached, 0, over)
	}
	if t.conversation != nil {
		// The conversation has fewer blocks than were sent if it was forgotten since: then it is empty.
		t.conversation.begun = max(t.conversation.begun, min(t.sent, len(t.conversation.blocks)))
	}
	t.stopRunning()
}

// stopRunning removes the turn from the running ones, once, and wakes requests that wait for it. Requires s.mu held.
func (t *Turn) stopRunning() {
	s := t.session
	if i := slices.Index(s.running, t); i >= 0 {
		s.running = slices.Delete(s.running, i, i+1)
		close(t.begun)
		for _, k := range t.saw { // later requests can read these prefixes now
			s.answered(k)
		}
	}
}

// Fail records that the request ended without reporting its usage: it was not sent, was refused, or its response is incomplete. It does
// nothing if the turn has ended. If the response had begun, it returns one finding: the usage is missing.
func (t *Turn) Fail() []Finding {
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.state == ended {
		return nil
	}
	answered := t.state == begun
	t.stopRunning() // requests that wait for this one go on
	t.state, t.prompt = ended, nil
	if answered {
		return []Finding{{Rule: ruleUsageMissing, Repeated: 1, Detail: "the response ended without its usage"}}
	}
	return nil
}

// Known returns what is known of a workflow about the placing of cache points.
func (t *Tracker) Known(workflow string) PlaceOptions {
	s := t.session(workflow)
	s.mu.Lock()
	defer s.mu.Unlock()
	return PlaceOptions{Factor: s.scale.Factor, Gaps: s.gaps}
}

// alive returns how many blocks of the conversation's last request can still be in the cache after a pause. No entry lives shorter than five minutes,
// and up to then all blocks count, even those that no point has written: Turn.Avoidable assumes that the whole prefix was.
func (conv *conversation) alive(pause time.Duration) int {
	if pause < prompt.FiveMinutes {
		return len(conv.blocks)
	}
	// After that only what is before a point with a longer lifetime is left.
	blocks := 0
	for _, pt := range conv.points {
		if pause < pt.ttl {
			blocks = max(blocks, pt.block+1)
		}
	}
	return blocks
}
