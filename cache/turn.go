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
	call    Call
	prompt  *prompt.Prompt // nil after Send
	past    predecessor    // the earlier request that it most likely continues, and how many blocks they share
	found   []Finding      // so far: of the request until Check returns them as Findings, of the response in End

	conversation  *conversation    // that it belongs to; set by Send
	writes        []cachedPrefix   // the prefixes that the request writes
	expected      cachedPrefix     // the longest prefix that it should read; its tokens are 0 if there is none
	avoidable     prompt.Size      // what it could read if nothing were wrong
	countedBefore estimate.Counted // the count that the response to the previous request has reported
	// avoidableTokens is the estimate of avoidable from before the response; it does not change after Check.
	avoidableTokens int64
	sent            int           // how many blocks the request has
	rules           map[Rule]int  // for how many requests in a row, including this one, each rule was found
	begun           chan struct{} // closed when the response begins
	state           turnState
	size            prompt.Size   // of the whole prompt
	points          int           // how many cache points it has
	all1h           bool          // it has points, and each asks for an hour
	unproven        bool          // Fix gave the previous request no point, because writing was not known to pay
	forgets         bool          // the model drops thinking from its history
	placed          bool          // Fix has placed its points
	follows         follows       // whether it continues a conversation, and what it could read of it
	gap             time.Duration // the pause since the previous request; 0 if there is none
	userEnd, before int           // how many blocks the previous request had up to its newest user turn, and up to the one before that
	sameLocation    bool          // model, region, profile and account are those of the previous request
	sameLevel       bool          // the settings on which cached messages depend are those of the previous request
	trial           bool          // it writes its newest turn before anything is known of the conversation
	wrote           knownPrefix   // the prefix that it writes because it was seen before
	saw             []knownPrefix // beginnings of it that Fix has counted as seen, which others can read once its response begins
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
	return s.checkRecorded(c, p, s.findPredecessor(p), false)
}

// checkRecorded is check for a prompt whose records are filled in already. placed says that Fix has placed its points. Requires s.mu held. It
// collects what the request alone shows, what a comparison with the earlier request that it continues shows, loops, and the findings of a tripped
// workflow.
func (s *session) checkRecorded(c Call, p *prompt.Prompt, prev predecessor, placed bool) *Turn {
	t := &Turn{session: s, call: c, prompt: p, size: p.Total(), points: len(p.Points), past: prev, placed: placed}
	t.follows = s.follow(&t.call, p, &t.past)
	if conv := t.past.conversation; conv != nil {
		t.unproven = placed && len(conv.points) == 0
		// The count of the response before, also if the request has not all of its blocks; t.past.counted() below is zero then.
		t.countedBefore = t.past.conversation.counted
		t.forgets = t.call.Model.forgets(p, t.past.shared) // the model drops thinking that both requests have, so that less is read
	}
	// With placed, Fix decides how many points there are, so that fewer are no loss.
	if want := s.tracker.policy.MinPoints; len(p.Points) < want && c.Model.Explicit && !placed {
		t.add(Finding{Rule: rulePointsLost, Detail: fmt.Sprintf("the request has %d cache points, %d were meant to be there", len(p.Points), want)})
	}
	l := linter{p: p, m: &t.call.Model, scale: s.scale, known: t.past.shared, earlier: s.conversations, counted: t.past.counted()}
	l.all()
	for _, f := range l.found {
		if f.Rule != ruleBelowMinimum || !t.wasWritten() { // the estimate of the size was wrong if the prefix is known to be cached
			t.add(f)
		}
	}
	if c.Model.Explicit || c.Model.Implicit { // the model caches, at cache points or by itself
		t.compare()
		t.expect()
	}
	t.findLoop()
	for _, f := range s.tripped {
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

// wasWritten reports whether a response has shown that the prefix before one of the request's points is cached. Then the prefix is exact: a response
// has reported its tokens. Location, settings and expiry do not matter, because the only question is whether the prefix is long enough to be cached.
func (t *Turn) wasWritten() bool {
	for _, prefix := range t.session.cached {
		// It was only estimated, or is no beginning of this request.
		if !prefix.exact || prefix.block >= len(t.prompt.Records()) || t.prompt.Records()[prefix.block].Chain != prefix.chain {
			continue
		}
		if slices.ContainsFunc(t.prompt.Points, func(pt prompt.Point) bool { return pt.Block == prefix.block }) {
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
	rate := s.calls.perDay()
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
	p, streak := t.prompt, &t.session.streak
	if len(p.Records()) == 0 {
		return
	}
	same := streak.same
	// The Chain of the last block is the hash of all blocks.
	if chain := hash.Mix(p.Records()[len(p.Records())-1].Chain, p.Settings.All); chain == streak.lastChain {
		same++
	} else {
		same = 1
	}
	if same >= manySame {
		tokens := t.session.scale.Mid(t.size)
		t.add(Finding{
			Rule: ruleIdentical, Tokens: tokens, NanoUSD: nanoUSD(tokens, max(t.call.Model.CacheReadPrice, 1)),
			Detail: fmt.Sprintf("the same request was sent %d times in a row", same),
		})
	}
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
	if t.state != checked || len(t.prompt.Records()) == 0 {
		return // an empty prompt leaves the state as it is, so that Begin and End do nothing either
	}
	t.state = sent
	s.calls.add(t.call.At)
	s.asks[s.asksN%maxAsks] = t.prompt.Records()[len(t.prompt.Records())-1].Chain // asked counts how often it is there
	s.asksN++
	// t.rules are the counts of findings in a row that Check has computed. Blocks beyond maxConversationBlocks are not remembered.
	s.streak.rules, t.sent = t.rules, min(len(t.prompt.Records()), maxConversationBlocks)
	p, streak := t.prompt, &s.streak
	// What findLoop has only looked at is counted now: requests in a row with the same blocks and settings.
	if chain := hash.Mix(p.Records()[len(p.Records())-1].Chain, p.Settings.All); chain == streak.lastChain {
		streak.same++
	} else {
		streak.same, streak.lastChain = 1, chain
	}
	if conv := t.past.conversation; conv != nil { // copied now, because keep will overwrite them if the request extends this conversation
		t.gap, t.userEnd, t.before = t.call.At.Sub(conv.lastAt), conv.userEnd, conv.before
		t.sameLocation, t.sameLevel = conv.location == t.call.Place && conv.model == t.call.Model.ID, conv.level == messagesLevel(&p.Settings)
	}
	// The gaps decide which lifetime pays, by the averages of what requests repeat and what they add.
	if conv := t.past.conversation; conv != nil && t.past.shared > 0 {
		s.gaps.add(t.call.At.Sub(conv.lastAt))
		shared := p.UpTo(t.past.shared - 1)
		s.gaps.PrefixTokens = average(s.gaps.PrefixTokens, s.scale.Mid(shared))
		s.gaps.NewTokens = average(s.gaps.NewTokens, s.scale.Mid(t.size.Minus(shared)))
	}
	if t.conversation = s.keep(&t.call, p); t.conversation != nil {
		t.conversation.forks = t.past.forks // keep has set it to 0
	}
	t.learn()
	t.prompt = nil // the caller may reset it now
}

// planWrites sets t.writes to the prefixes that the request will write: one for each cache point whose prefix the model may cache, as far as the
// estimate of its size tells: high and low are bounds, and only a prefix that is surely too short or too long is left out. Requires s.mu held.
func (t *Turn) planWrites() {
	p, m := t.prompt, &t.call.Model
	t.all1h = len(p.Points) > 0
	for i := range p.Points {
		pt := &p.Points[i]
		t.all1h = t.all1h && pt.TTL == prompt.OneHour
		if pt.Block < 0 || pt.Nested || pt.Block >= len(p.Records()) {
			continue // a point before any block, or inside of one, encloses no prefix
		}
		tooShort := m.MinTokens > 0 && t.session.scale.High(p.UpTo(pt.Block)) < m.MinTokens
		tooLong := m.MaxTokens > 0 && t.session.scale.Low(p.UpTo(pt.Block)) > m.MaxTokens
		if tooShort || tooLong {
			continue
		}
		r := &p.Records()[pt.Block]
		// Besides its blocks, an entry depends on model and place, for which locationHash stands, and on the settings, for which levelOf does.
		prefix := cachedPrefix{
			chain: r.Chain, block: pt.Block, location: locationHash(m.ID, t.call.Place), tokens: t.session.scale.Mid(r.UpTo), size: r.UpTo,
			ttl: max(pt.TTL, prompt.FiveMinutes), // a lifetime that is not known is 0, and counts as five minutes
		}
		prefix.settings, prefix.message = levelOf(&p.Settings, r.Section, m.Provider), r.Section == prompt.Messages
		prefix.expires = t.call.At.Add(prefix.ttl)
		t.writes = append(t.writes, prefix)
	}
}

// findCached returns the same prefix of those that the cache should hold, or nil.
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
		case prefix.expires.After(known.expires):
			known.expires, known.ttl = prefix.expires, prefix.ttl // reading an entry renews its lifetime
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

// stopRunning removes the turn from the running ones, and wakes requests that wait for it. Requires s.mu held.
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
