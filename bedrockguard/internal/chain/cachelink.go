package chain

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/cachepoints"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// A cache point is a mark in a request up to which the service stores the prompt, so that later requests read it at a lower price. The tracker
// remembers the requests of each workflow, and finds what keeps them from reading the cache. A turn is one request of a workflow in the
// tracker, and a prompt is what a request holds, in the form in which the tracker compares it.

// cacheLink is the prompt-cache check, between identification and the reservation: it sees each request once, before it is
// serialised, may change its cache points or refuse it with a *cache.RefusedError, and is told what became of it.
type cacheLink struct {
	policy  cache.Policy
	tracker *cache.Tracker
	clock   func() time.Time
	prompts chan *prompt.Prompt // prompts that are not in use, whose memory is used again
}

// At most keptPrompts prompts wait to be used again, none of them with room for more than keptBlocks blocks. They wait in a channel, because
// each garbage collection empties a sync.Pool, and a call with a long conversation causes one: the next call would have to grow its prompt
// anew, at a cost that grows with the conversation.
const (
	keptPrompts = 32
	keptBlocks  = 1 << 14
)

// newCacheLink returns nil if the policy checks nothing. A nil clock is time.Now.
func newCacheLink(policy cache.Policy, clock func() time.Time) *cacheLink {
	if !policy.Enabled() {
		return nil
	}
	if clock == nil {
		clock = time.Now
	}
	return &cacheLink{policy: policy, tracker: cache.NewTracker(policy), clock: clock, prompts: make(chan *prompt.Prompt, keptPrompts)}
}

// cacheCall is what the link keeps of a call. The zero value is a call that is not checked.
type cacheCall struct {
	tracked *cache.Call    // the call as the tracker knows it: its workflow, model, place (region and profile) and time
	turn    *cache.Turn    // the request in the tracker, which has to be told what becomes of it
	prompt  *prompt.Prompt // what the request holds; nil once it was sent or failed
	points  bool           // the request that is sent has cache points
}

// cacheKey names the workflow to the tracker: two principals never share a history.
func cacheKey(s budget.Scope) string { return s.Principal + "\x00" + s.Workflow }

// ReviveCache is bedrockguard.Guard.ReviveCache: workflows that the policy has stopped may send again. It returns how many there were.
func (g *Guard) ReviveCache(s budget.Scope) int {
	if g.cache == nil {
		return 0
	}
	// The keys are those of cacheKey. Revive forgets the workflows for which the function returns true.
	return g.cache.tracker.Revive(func(key string) bool {
		principal, workflow, _ := strings.Cut(key, "\x00")
		return (s.Principal == "" || s.Principal == principal) && (s.Workflow == "" || s.Workflow == workflow)
	})
}

// checkCache judges a request, and returns it with its cache points changed where the policy says so: in the mode Fix, or if a finding's own rule
// names Fix. It requires that g.cache is not nil.
func (g *Guard) checkCache(ctx context.Context, c *Call, input any, r *catalog.Resolved) (any, error) {
	l := g.cache
	mode := l.policy.ModeOf(c.Scope.Workflow)
	// Rules can give single findings a mode of their own, although all others are off.
	if mode == cache.Off && len(l.policy.Rules) == 0 {
		return input, nil
	}
	// Compacted: the caller has announced that this call may rewrite the history of its workflow (cache.WithCompaction).
	tracked := cache.Call{
		Workflow: cacheKey(c.Scope), Model: cachepoints.Model(r), Place: c.Region + "/" + r.Profile, At: l.clock(), Compacted: cache.Compacted(ctx),
	}
	tracked.Model = l.tracker.Knows(tracked) // the model's rules, corrected by what the service has rejected
	p := l.prompt()
	if !cachepoints.ReadPrompt(p, tracked.Model.Provider, input) {
		l.release(p)
		return input, nil // not understood here: identification refuses what is malformed
	}
	c.cache = cacheCall{tracked: &tracked, prompt: p}
	input = l.checkOrFix(c, input, mode)
	c.cache.points = len(c.cache.prompt.Points) > 0
	if err := g.actOn(ctx, c, c.cache.turn.Findings); err != nil {
		return nil, err // cacheLost ends the turn and releases the prompt
	}
	return input, l.hold(ctx, c.cache.turn)
}

// checkOrFix gives the call a turn in the tracker, and returns the request to send. It is changed in the mode Fix, and in any other mode if the check
// has a finding whose own rule names Fix. A signed request must not be changed: what would be fixed is only reported.
func (l *cacheLink) checkOrFix(c *Call, input any, mode cache.Mode) any {
	signed := inputs.IsSigned(input)
	if mode == cache.Fix && !signed {
		return l.fix(input, c)
	}
	c.cache.turn = l.tracker.Check(*c.cache.tracked, c.cache.prompt)
	if signed || !l.wantsFix(c.cache.turn.Findings) {
		return input
	}
	// The changed request gets a turn of its own, so that this one is forgotten.
	c.cache.turn.Fail()
	return l.fix(input, c)
}

// fix places a request's cache points as far as they pay, checks the changed request, and returns it. If the tracker has nothing to change, or the
// change can't be read back, the request and its prompt stay as they were.
func (l *cacheLink) fix(input any, c *Call) any {
	before := c.cache.prompt
	// The tracker calls the function with the edits that pay, if there are any, to make them. The function returns the changed request as a prompt,
	// or nil, which drops the edits.
	c.cache.turn = l.tracker.Fix(*c.cache.tracked, before, func(edits []prompt.Edit) *prompt.Prompt {
		fixed, p := cachepoints.WithPoints(input, before, edits), l.prompt()
		if !cachepoints.ReadPrompt(p, c.cache.tracked.Model.Provider, fixed) {
			l.release(p)
			return nil
		}
		input, c.cache.prompt = fixed, p
		return p
	})
	if c.cache.prompt != before {
		l.release(before)
	}
	return input
}

// wantsFix reports whether the policy names Fix for the rule of any finding.
func (l *cacheLink) wantsFix(found []cache.Finding) bool {
	for _, f := range found {
		if l.policy.Rules[f.Rule] == cache.Fix {
			return true
		}
	}
	return false
}

// actOn reports findings, and returns a *cache.RefusedError if the policy refuses because of any of them. The error begins with the findings that
// are refused.
func (g *Guard) actOn(ctx context.Context, c *Call, found []cache.Finding) error {
	var refused, others []cache.Finding
	for _, f := range found {
		// Action is Refuse, Report or Off.
		switch g.cache.policy.Action(f, c.Scope.Workflow) {
		case cache.Refuse:
			refused = append(refused, f)
		case cache.Report:
			others = append(others, f)
		default:
			continue
		}
		if isPowerOfTwo(f.Repeated) { // of a row of the same finding the first, the second, the fourth, ... are told
			g.emit(ctx, c, nil, event.Event{Kind: event.CacheFinding, Finding: f})
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return &cache.RefusedError{Findings: append(refused, others...)}
}

// isPowerOfTwo reports whether n is 1, 2, 4 and so on; or 0, as for a finding that is not counted.
func isPowerOfTwo(n int) bool { return n&(n-1) == 0 }

// hold waits, for up to Policy.HoldFanOut, while another request writes the beginning of this one to the cache, so that this one can read it.
// That is so if turn.Begun is set, which is closed when the other one's response begins. Only the end of the context is an error.
func (l *cacheLink) hold(ctx context.Context, turn *cache.Turn) error {
	if turn.Begun == nil || l.policy.HoldFanOut <= 0 {
		return nil
	}
	timer := time.NewTimer(l.policy.HoldFanOut)
	defer timer.Stop()
	select {
	case <-turn.Begun:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// prompt returns an empty prompt: an earlier one whose memory is free, or else a new one.
func (l *cacheLink) prompt() *prompt.Prompt {
	select {
	case p := <-l.prompts:
		return p
	default:
		return new(prompt.Prompt)
	}
}

// release empties a prompt and keeps its memory for another request, unless it is too large or enough are kept.
func (l *cacheLink) release(p *prompt.Prompt) {
	if cap(p.Blocks) > keptBlocks {
		return
	}
	p.Reset()
	select {
	case l.prompts <- p:
	default:
	}
}

// ChecksCache reports whether there is a cache check.
func (g *Guard) ChecksCache() bool { return g.cache != nil }

// CacheSent tells the tracker that an attempt is sent, if it is the first one of a call that is checked. The prompt is not needed after that.
func (g *Guard) CacheSent(c *Call) {
	// The prompt is nil for a call that is not checked, and after the first attempt.
	if c.cache.prompt == nil {
		return
	}
	c.cache.turn.Send()
	g.cache.release(c.cache.prompt)
	c.cache.prompt = nil
}

// cacheUnchecked ends the check of a call whose cache points were taken out afterwards, so that what was checked is not what is sent.
func (g *Guard) cacheUnchecked(c *Call) {
	if c.cache.turn == nil {
		return
	}
	c.cache.turn.Fail() // returns no findings, because nothing was sent
	if c.cache.prompt != nil {
		g.cache.release(c.cache.prompt)
	}
	c.cache = cacheCall{}
}

// cacheBegun tells the tracker that the response begins: others can read then what the request wrote to the cache, and hold lets them go on.
func (c *Call) cacheBegun() {
	if c.cache.turn != nil {
		c.cache.turn.Begin()
	}
}

// cacheEnded hands the usage of a call that is checked to the tracker, and reports what it finds. contradicts says that the answer has reported
// two different counts.
func (g *Guard) cacheEnded(ctx context.Context, c *Call, u price.Usage, contradicts bool) {
	// Billed has earlier attempts of the call, which were charged although no answer came.
	found := c.cache.turn.End(cache.Usage{
		InputTokens: u.UncachedInputTokens(), CacheReadTokens: u.CacheReadInputTokens,
		CacheWrite5mTokens: u.CacheWrite5mInputTokens, CacheWrite1hTokens: u.CacheWrite1hInputTokens,
		Contradicts: contradicts, Billed: c.charged,
	}, g.cache.clock())
	g.report(ctx, c, found)
}

// CacheOver tells the tracker that a door has finished a call, unless its answer is still being read as a stream or without its caller:
// whoever reads it tells the tracker later.
func (g *Guard) CacheOver(ctx context.Context, c *Call, err error) {
	if !c.streaming.Load() {
		g.cacheLost(ctx, c, err)
	}
}

// cacheLost tells the tracker that the call ended without usage. It tells nothing new of a call whose usage was handed in. If err is the service's
// rejection of cache points, the tracker learns that the model takes none at the call's place.
func (g *Guard) cacheLost(ctx context.Context, c *Call, err error) {
	if c.cache.turn == nil {
		return
	}
	// Fail finds that the usage is missing if the response had begun, and else nothing.
	found := c.cache.turn.Fail()
	if c.cache.prompt != nil { // never sent
		g.cache.release(c.cache.prompt)
		c.cache.prompt = nil
	}
	g.report(ctx, c, found)
	var api smithy.APIError
	if c.cache.points && errors.As(err, &api) && rejectsPoints(api.ErrorMessage()) {
		g.cache.tracker.Rejected(*c.cache.tracked)
	}
}

// rejectsPoints reports whether the service has refused a request because of its cache points, by the wordings that users have reported (2026-11).
func rejectsPoints(message string) bool {
	return strings.Contains(message, "did not allow prompt caching") || strings.Contains(message, "doesn't support the cachePoint field")
}

// report emits findings of a response. None of them refuses anything: the money is spent. Unlike those of a request they are not counted over several
// calls (Repeated), so that each one is told.
func (g *Guard) report(ctx context.Context, c *Call, found []cache.Finding) {
	for _, f := range found {
		// Where the policy refuses, a finding of a response can only be reported.
		if g.cache.policy.Action(f, c.Scope.Workflow) != cache.Off {
			g.emit(ctx, c, nil, event.Event{Kind: event.CacheFinding, Finding: f})
		}
	}
}
