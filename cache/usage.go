package cache

import (
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// From how many calls on there is a finding. The last three count calls in a row.
const (
	minJudged   = 4 // calls before a workflow can trip, which it does when too little of its input is read from the cache (see trip)
	manyIdle    = 3 // calls without any caching
	manyWritten = 4 // writes without a read
	manyMissed  = 3 // misses without a reason
)

// End records the response's usage, and returns what it shows: misses, their causes, and whether the workflow trips. Counters that contradict each
// other are one finding, and nothing is learned from them. The time of the response is not used.
func (t *Turn) End(u Usage, at time.Time) []Finding {
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	t.begin() // for a response whose beginning nobody has reported; else it does nothing
	if t.state != begun {
		return nil // it was not sent, or has ended
	}
	t.state = ended
	t.found = nil // Findings keeps those of the request
	if u.contradictory() {
		t.add(Finding{Rule: ruleContradiction, Repeated: 1, Detail: "the counters of the response contradict each other"})
		return t.found
	}
	t.judgeRetries(u)
	s.scale.Learn(t.size, u.total())
	t.keepCount(u)
	t.confirmCached(u)
	if t.call.Model.Explicit || t.call.Model.Implicit { // the model caches, at cache points or by itself
		t.judge(u)
		t.trip(u)
	}
	for i := range t.found {
		t.found[i].Repeated = max(t.found[i].Repeated, 1) // findings of a response are not counted over calls
	}
	s.priceByDay(t.found)
	return t.found
}

// contradictory reports whether the counters can't be right.
func (u Usage) contradictory() bool {
	return u.Contradicts || u.InputTokens < 0 || u.CacheReadTokens < 0 || u.CacheWrite5mTokens < 0 || u.CacheWrite1hTokens < 0
}

// judgeRetries finds earlier attempts of the call that were billed: each for the same input.
func (t *Turn) judgeRetries(u Usage) {
	if u.Billed > 0 {
		tokens := estimate.MulDiv(u.total(), int64(u.Billed), 1) // the product, without overflow
		t.add(Finding{Rule: ruleRetried, Tokens: tokens, NanoUSD: estimate.NanoUSD(tokens, t.call.Model.InputPrice), Detail: fmt.Sprintf("%d attempts before the one that was answered were billed", u.Billed)})
	}
}

// keepCount remembers the count if it is right and belongs to exactly the blocks that the conversation remembers: not if the counters are known to
// double, the conversation was forgotten since (then it is empty), or the request had blocks beyond maxConversationBlocks.
func (t *Turn) keepCount(u Usage) {
	if !t.session.doubled && t.conversation != nil && t.sent <= len(t.conversation.blocks) && t.sent < maxConversationBlocks {
		t.conversation.counted = estimate.Counted{Blocks: t.sent, Tokens: u.total()}
	}
}

// confirmCached corrects what the cache should hold, s.cached, by what the response says. t.writes are the prefixes of the request that end with a
// cache point, the shortest first: begin has added them to s.cached.
func (t *Turn) confirmCached(u Usage) {
	s := t.session
	held := estimate.Sum(u.CacheReadTokens, u.written()) // the tokens of the longest of them, which the cache holds now
	if held == 0 {                                       // it holds none
		s.cached = slices.DeleteFunc(s.cached, func(prefix cachedPrefix) bool {
			return slices.ContainsFunc(t.writes, func(own cachedPrefix) bool { return own.sameEntry(&prefix) })
		})
		return
	}
	for i := range s.cached {
		prefix := &s.cached[i]
		for k := range t.writes {
			own := &t.writes[k]
			switch longest := k == len(t.writes)-1; {
			case !own.sameEntry(prefix):
			case longest: // a count that may be doubled is not exact
				prefix.tokens, prefix.wrote, prefix.exact = held, u.written(), !s.doubled
			case !prefix.exact: // a shorter prefix is estimated until a response has counted it, and can't have more than the longest
				prefix.tokens = min(s.scale.Mid(own.size), held)
			}
		}
	}
	if t.expected.tokens > 0 && u.CacheReadTokens > 0 {
		t.renew(&t.expected)
	}
}

// renew lets an entry that was read live for another lifetime.
func (t *Turn) renew(read *cachedPrefix) {
	for i := range t.session.cached {
		if prefix := &t.session.cached[i]; prefix.sameEntry(read) {
			prefix.expires = t.call.At.Add(prefix.ttl)
		}
	}
}

// judge compares the usage with what was expected.
func (t *Turn) judge(u Usage) {
	missing, missed := t.missing(u)
	if t.doubled(u) { // it also adds a finding and corrects what was learned
		missed = false // an earlier response had reported too many tokens, so that too many were expected
	}
	t.account(u, missed) // for the decisions where writing pays; the others add findings
	t.judgeMiss(u, missing, missed)
	t.idle(u)
	t.judgeLifetime(u)
	t.judgeWrites(u)
}

// missing returns how many tokens less were read than expected, and whether that is a miss: nothing was read at all, or a fifth and more than 256
// tokens are missing of a prefix that a response has counted. A prefix that was only estimated may just be shorter. t.expected has no tokens if
// nothing was expected.
func (t *Turn) missing(u Usage) (tokens int64, missed bool) {
	tokens = t.expected.tokens - u.CacheReadTokens
	tooFew := t.expected.exact && tokens > max(t.expected.tokens/5, 256)
	nothing := t.expected.tokens > 0 && u.CacheReadTokens == 0
	return tokens, tooFew || nothing
}

// judgeMiss adds a finding that says why less was read than expected, if that is known. A single miss counts as an eviction, and several in a row as
// points that do not work. A miss that is explained by dropped thinking is not counted.
func (t *Turn) judgeMiss(u Usage, missing int64, missed bool) {
	streak := &t.session.streak
	if !missed {
		streak.missed = 0
		return
	}
	f := Finding{Suspected: true, Tokens: missing, NanoUSD: t.call.Model.writtenAgain(missing)}
	if t.forgets { // the model drops earlier thinking when the user asks anew
		f.Rule = ruleThinking
		f.Detail = fmt.Sprintf("%d of %d tokens were read: this model drops its earlier thinking when the user asks anew, and what stands behind it is written again", u.CacheReadTokens, t.expected.tokens)
		t.add(f)
		return
	}
	if streak.missed++; streak.missed < manyMissed {
		f.Rule = ruleEvicted
		f.Detail = fmt.Sprintf("%d of %d tokens were read though nothing before them has changed and the entry is still alive", u.CacheReadTokens, t.expected.tokens)
	} else {
		f.Rule, f.Suspected = ruleSilentMiss, false
		f.Detail = fmt.Sprintf("in %d calls in a row less was read than the requests before have written: %d of %d tokens", streak.missed, u.CacheReadTokens, t.expected.tokens)
	}
	t.add(f)
}

// judgeLifetime finds a response that wrote for five minutes although each point of the request asked for an hour. What it wrote is then expected to
// expire after five minutes.
func (t *Turn) judgeLifetime(u Usage) {
	downgraded := t.all1h && u.CacheWrite5mTokens > 0 && u.CacheWrite1hTokens == 0
	if !downgraded {
		return
	}
	t.add(Finding{
		Rule: ruleDowngraded, Tokens: u.CacheWrite5mTokens, NanoUSD: t.call.Model.writtenAgain(u.CacheWrite5mTokens),
		Detail: "every cache point asks for 1h, and the response says that it wrote for 5m",
	})
	cached := t.session.cached
	for i := range cached {
		for j := range t.writes {
			if cached[i].sameEntry(&t.writes[j]) && cached[i].ttl == prompt.OneHour {
				cached[i].ttl, cached[i].expires = prompt.FiveMinutes, t.call.At.Add(prompt.FiveMinutes)
			}
		}
	}
}

// judgeWrites finds a workflow that writes to the cache again and again and never reads. A call that does neither leaves the count as it is.
func (t *Turn) judgeWrites(u Usage) {
	streak, m := &t.session.streak, &t.call.Model
	switch {
	case u.CacheReadTokens > 0:
		streak.written = 0
	case u.written() > 0:
		streak.written++
	}
	if streak.written >= manyWritten {
		t.add(Finding{
			Rule: ruleNeverRead, Tokens: u.written(), NanoUSD: estimate.NanoUSD(u.written(), m.CacheWrite5mPrice-m.InputPrice),
			Detail: fmt.Sprintf("%d calls in a row wrote to the cache and read nothing", streak.written),
		})
	}
}

// doubled finds an earlier response that reported its writes twice: this one reads what was read then and half of what was written. A streamed
// response with thinking was seen to do that (2026-11). From then on the workflow's counters are used as estimates only, and what was learned about
// its tokens begins anew.
func (t *Turn) doubled(u Usage) bool {
	s, e := t.session, &t.expected // e is the prefix that this response was expected to read
	half := e.wrote / 2            // of the tokens that the earlier response said that it wrote of the prefix
	if !e.exact || half < minDoubled || u.CacheReadTokens <= 0 {
		return false // no response has counted the prefix, half of the write is small, or nothing was read
	}
	off := u.CacheReadTokens - (e.tokens - half) // by how much the read differs from the prefix without the half that was reported twice
	if max(off, -off) > max(half/50, 16) {
		return false // by more than a fiftieth of half, and by more than 16 tokens
	}
	s.doubled, s.scale = true, estimate.Scale{}
	s.scale.Learn(e.size, u.CacheReadTokens)
	for i := range s.cached {
		if prefix := &s.cached[i]; prefix.sameEntry(e) {
			prefix.tokens, prefix.wrote = u.CacheReadTokens, 0 // what was read is a count to rely on, and nothing of it is doubled any more
		} else {
			prefix.exact = false // its response may have told too much as well
		}
	}
	t.add(Finding{
		Rule: ruleDoubled, Suspected: true, Tokens: half, NanoUSD: estimate.NanoUSD(half, t.call.Model.writePrice(e.ttl)),
		Detail: fmt.Sprintf("an earlier response said that it wrote %d tokens, and half of them were there to be read", e.wrote),
	})
	return true
}

// minDoubled is by how many tokens a report has to be too large to count as doubled.
const minDoubled = 128

// idle finds calls in which nothing is read or written. Why depends on the request: the prompt or the prefix before its last point is too short, its
// points have no effect, or it has none.
func (t *Turn) idle(u Usage) {
	nothing := u.CacheReadTokens == 0 && u.written() == 0
	m, streak := &t.call.Model, &t.session.streak
	switch {
	case !nothing || u.total() < m.MinTokens:
		streak.idle, streak.idleTotal = 0, 0
		// A last point in the messages is no finding: the conversation may grow long enough.
		if nothing && len(t.writes) > 0 && !t.writes[len(t.writes)-1].message {
			t.add(Finding{Rule: ruleBelowMinimum, Tokens: u.total(), Detail: fmt.Sprintf("nothing was cached: the whole request has %d tokens, and nothing shorter than %d is cached", u.total(), m.MinTokens)})
		}
	case len(t.writes) > 0 && t.expected.tokens == 0:
		t.pointless()
	case t.points == 0:
		t.growsUncached(u)
	} // else another finding says why: a point is misplaced, or what was expected was not read
}

// pointless adds a finding for a request that had points to write at, when nothing was there to be read and nothing was written.
func (t *Turn) pointless() {
	m := &t.call.Model
	last := t.session.scale.Mid(t.writes[len(t.writes)-1].size) // an estimate, so that twice the minimum may still be too short
	if last < 2*m.MinTokens {
		t.add(Finding{Rule: ruleBelowMinimum, Tokens: last, Detail: fmt.Sprintf("nothing was cached: about %d tokens precede the last cache point, and the model's minimum is %d", last, m.MinTokens)})
	} else {
		t.add(Finding{Rule: ruleSilentMiss, Tokens: last, NanoUSD: m.paidAgain(last), Detail: fmt.Sprintf("cache points enclose about %d tokens, and the response neither read nor wrote any: the points did not arrive, or the model ignores them", last)})
	}
}

// growsUncached counts requests without points in a row whose input did not shrink, and adds a finding after several: then a conversation grows
// uncached. An input that is smaller than the one before counts as the first of another conversation.
func (t *Turn) growsUncached(u Usage) {
	streak := &t.session.streak
	if streak.idle == 0 || u.total() >= streak.idleTotal {
		streak.idle++
	} else {
		streak.idle = 1
	}
	streak.idleTotal = u.total()
	// t.avoidable is the size of what could have been read if the previous request had written all of its prefix; 0 if there is no such request.
	if tokens := t.session.scale.Mid(t.avoidable); streak.idle >= manyIdle && tokens > 0 {
		t.add(Finding{Rule: ruleIdle, Tokens: tokens, NanoUSD: t.call.Model.paidAgain(tokens), Detail: fmt.Sprintf("%d calls in a row neither read nor wrote the cache while their input grew to %d tokens", streak.idle, u.total())})
	}
}

// trip decides whether the workflow trips: whether its last calls read too small a share of the input that they could have read from the
// cache. The requests after that get the same findings, which the policy may refuse.
func (t *Turn) trip(u Usage) {
	s := t.session
	if !t.countsForTrip() {
		return
	}
	// t.avoidable is the size of what could be read if nothing had changed, and Mid the most likely number of its tokens.
	avoidable := s.scale.Mid(t.avoidable)
	if previous := t.countedBefore; previous.Blocks > 0 { // no more can be read than the previous request had
		avoidable = min(avoidable, previous.Tokens)
	}
	s.ratio.Add(u.CacheReadTokens, avoidable)
	floor := s.tracker.policy.floor()
	share, judged := s.ratio.Share(minJudged)
	if !judged || floor < 0 || share >= floor { // too few calls for a share, no floor, or a share that is large enough
		s.tripped = nil
		return
	}
	f := Finding{
		Rule: ruleTripped, Repeated: 1, Tokens: max(avoidable-u.CacheReadTokens, 0), NanoUSD: t.call.Model.paidAgain(avoidable - u.CacheReadTokens),
		Detail: fmt.Sprintf("%.0f %% of the input that could have been read from the cache was read in the last %d calls, and the floor is %.0f %%", 100*share, s.ratio.Calls(), 100*floor),
	}
	t.add(f)
	s.tripped = append([]Finding{f}, t.causes()...)
}

// countsForTrip reports whether the call says something about the share that is read from the cache.
func (t *Turn) countsForTrip() bool {
	m := &t.call.Model
	mayBeTooShort := t.session.scale.Low(t.avoidable) < max(m.MinTokens, 1) // the lower bound of what could be read
	// Fix gave the previous request no cache point, because writing was not known to pay, and nothing is wrong with this one.
	onPurpose := t.unproven && len(t.Findings) == 0
	return !mayBeTooShort && m.Explicit && !onPurpose // Explicit: the model takes cache points
}

// causes returns at most maxCauses findings of the turn other than the trip: first those of the request, then those of the response.
func (t *Turn) causes() []Finding {
	var causes []Finding
	for _, found := range [...][]Finding{t.Findings, t.found} {
		for _, f := range found {
			if f.Rule != ruleTripped && len(causes) < maxCauses {
				causes = append(causes, f)
			}
		}
	}
	return causes
}

// maxCauses bounds how many findings a refusal lists besides the trip itself.
const maxCauses = 4
