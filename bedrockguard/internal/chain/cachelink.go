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

// cacheLink is the prompt-cache check, between identification and the reservation: it sees each request once, before it is
// serialised, may change its cache points or refuse it with a *cache.RefusedError, and is told what became of it.
type cacheLink struct {
	policy  cache.Policy
	tracker *cache.Tracker
	clock   func() time.Time
	prompts chan *prompt.Prompt // those that wait to be used again
}

// A sync.Pool would be emptied by each collection of garbage, and a call with a long conversation causes one: the next would
// have to grow its prompt anew, at a cost that grows with the conversation. Of longer prompts than keptBlocks none is kept.
const (
	keptPrompts = 32
	keptBlocks  = 1 << 14
)

func newCacheLink(policy cache.Policy, clock func() time.Time) *cacheLink {
	if !policy.Enabled() {
		return nil
	}
	if clock == nil {
		clock = time.Now
	}
	return &cacheLink{policy: policy, tracker: cache.NewTracker(policy), clock: clock, prompts: make(chan *prompt.Prompt, keptPrompts)}
}

// cacheCall is what the link keeps of a call. The zero value is one that is not checked.
type cacheCall struct {
	place  *cache.Call
	turn   *cache.Turn
	prompt *prompt.Prompt
	points bool
}

// cacheKey names the workflow to the tracker: two principals never share a history.
func cacheKey(s budget.Scope) string { return s.Principal + "\x00" + s.Workflow }

// ReviveCache is bedrockguard.Guard.ReviveCache.
func (g *Guard) ReviveCache(s budget.Scope) int {
	if g.cache == nil {
		return 0
	}
	return g.cache.tracker.Revive(func(key string) bool {
		principal, workflow, _ := strings.Cut(key, "\x00")
		return (s.Principal == "" || s.Principal == principal) && (s.Workflow == "" || s.Workflow == workflow)
	})
}

// checkCache judges a request, and returns it with its cache points changed where the policy says so. It needs a cache link.
func (g *Guard) checkCache(ctx context.Context, c *Call, input any, r *catalog.Resolved) (any, error) {
	l := g.cache
	mode := l.policy.ModeOf(c.Scope.Workflow)
	fixed := inputs.IsSigned(input) // what is signed stays as it is
	if mode == cache.Fix && fixed {
		mode = cache.Report
	}
	if mode == cache.Off && len(l.policy.Rules) == 0 {
		return input, nil
	}
	now := cache.Call{
		Workflow: cacheKey(c.Scope), Model: cachepoints.Model(r), Place: c.Region + "/" + r.Profile, At: l.clock(), Compacted: cache.Compacted(ctx),
	}
	now.Model = l.tracker.Knows(now)
	p := l.prompt()
	if !cachepoints.ReadPrompt(p, now.Model.Provider, input) {
		l.release(p)
		return input, nil // not understood here: identification refuses what is malformed
	}
	c.cache = cacheCall{place: &now, prompt: p}
	if mode == cache.Fix {
		input = l.fix(input, c)
	} else if c.cache.turn = l.tracker.Check(now, p); !fixed && l.wantsFix(c.cache.turn.Findings) {
		c.cache.turn.Fail()
		input = l.fix(input, c)
	}
	c.cache.points = len(c.cache.prompt.Points) > 0
	if err := g.actOn(ctx, c, c.cache.turn.Findings); err != nil {
		return nil, err
	}
	return input, l.hold(ctx, c.cache.turn)
}

// fix checks a request with its cache points placed, as far as they pay, and returns the request that is to be sent.
func (l *cacheLink) fix(input any, c *Call) any {
	before := c.cache.prompt
	c.cache.turn = l.tracker.Fix(*c.cache.place, before, func(edits []prompt.Edit) *prompt.Prompt {
		fixed, p := cachepoints.WithPoints(input, before, edits), l.prompt()
		if !cachepoints.ReadPrompt(p, c.cache.place.Model.Provider, fixed) {
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

// actOn reports findings, and returns a *cache.RefusedError if the policy refuses any of them: those that do come first.
func (g *Guard) actOn(ctx context.Context, c *Call, found []cache.Finding) error {
	var refused, others []cache.Finding
	for _, f := range found {
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

// hold waits for the response that is writing the request's prefix, if the policy says so.
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

// prompt returns an empty prompt, with the memory of an earlier one if it can.
func (l *cacheLink) prompt() *prompt.Prompt {
	select {
	case p := <-l.prompts:
		return p
	default:
		return new(prompt.Prompt)
	}
}

// release keeps a prompt's memory for another request, and none of its texts.
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

// CacheSent tells the tracker that an attempt goes out, if it is the first one of a call that is checked.
func (g *Guard) CacheSent(c *Call) {
	if c.cache.prompt == nil {
		return
	}
	c.cache.turn.Send()
	g.cache.release(c.cache.prompt)
	c.cache.prompt = nil
}

// cacheUnchecked ends the check of a call that is sent without the cache points that were checked.
func (g *Guard) cacheUnchecked(c *Call) {
	if c.cache.turn == nil {
		return
	}
	c.cache.turn.Fail() // it has no findings yet: nothing was sent
	if c.cache.prompt != nil {
		g.cache.release(c.cache.prompt)
	}
	c.cache = cacheCall{}
}

// cacheBegun tells the tracker that the response begins.
func (c *Call) cacheBegun() {
	if c.cache.turn != nil {
		c.cache.turn.Begin()
	}
}

// cacheEnded hands the usage of a call that is checked to the tracker and reports what it shows.
func (g *Guard) cacheEnded(ctx context.Context, c *Call, u price.Usage, contradicts bool) {
	found := c.cache.turn.End(cache.Usage{
		InputTokens: u.UncachedInputTokens(), CacheReadTokens: u.CacheReadInputTokens,
		CacheWrite5mTokens: u.CacheWrite5mInputTokens, CacheWrite1hTokens: u.CacheWrite1hInputTokens,
		Contradicts: contradicts, Billed: c.charged,
	}, g.cache.clock())
	g.report(ctx, c, found)
}

// CacheOver tells the tracker that a door has done with a call, unless a stream has taken over: that tells of its end itself, later.
func (g *Guard) CacheOver(ctx context.Context, c *Call, err error) {
	if !c.streaming.Load() {
		g.cacheLost(ctx, c, err)
	}
}

// cacheLost tells the tracker that the call ended without usage. It does nothing for a call that told it.
func (g *Guard) cacheLost(ctx context.Context, c *Call, err error) {
	if c.cache.turn == nil {
		return
	}
	found := c.cache.turn.Fail()
	if c.cache.prompt != nil { // never sent
		g.cache.release(c.cache.prompt)
		c.cache.prompt = nil
	}
	g.report(ctx, c, found)
	var api smithy.APIError
	if c.cache.points && errors.As(err, &api) && rejectsPoints(api.ErrorMessage()) {
		g.cache.tracker.Rejected(*c.cache.place)
	}
}

// rejectsPoints reads a refusal of the service. The wordings are those that users have reported (2026-11).
func rejectsPoints(message string) bool {
	return strings.Contains(message, "did not allow prompt caching") || strings.Contains(message, "doesn't support the cachePoint field")
}

// report emits findings of a response. None of them refuses anything: the money is spent.
func (g *Guard) report(ctx context.Context, c *Call, found []cache.Finding) {
	for _, f := range found {
		if g.cache.policy.Action(f, c.Scope.Workflow) != cache.Off {
			g.emit(ctx, c, nil, event.Event{Kind: event.CacheFinding, Finding: f})
		}
	}
}
