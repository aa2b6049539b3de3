package cache

import (
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// expect sets t.expected to the longest prefix of the request that it should read from the cache. If there is a longer one that it can't read, expect
// adds a finding that says why. Prefixes are compared by their chain, the hash of all their blocks. Requires s.mu held.
func (t *Turn) expect() {
	p, s := t.prompt, t.session
	location := locationHash(t.call.Model.ID, t.call.Place)
	var wanted cachedPrefix // the longest prefix that can't be read
	var why obstacle
	for i := range s.cached {
		prefix := &s.cached[i]
		if prefix.block >= len(p.Records()) || p.Records()[prefix.block].Chain != prefix.chain {
			continue
		}
		o := t.obstacle(prefix, location)
		switch {
		// The longest of each: no tokens means that none was found yet.
		case o == readable && (t.expected.tokens == 0 || prefix.block > t.expected.block):
			t.expected = *prefix
		case o != readable && (wanted.tokens == 0 || prefix.block > wanted.block):
			wanted, why = *prefix, o
		}
	}
	// A prefix that is being written now counts before these if it is longer than what can be read and at least as long as what can't.
	// beingWritten also sets t.Begun.
	if prefix := t.beingWritten(location); prefix != nil && prefix.block >= wanted.block && prefix.block > t.expected.block {
		wanted, why = *prefix, unready
	}
	lost := wanted.tokens - t.expected.tokens
	if lost > max(t.call.Model.MinTokens, wanted.tokens/10) { // a smaller loss is no finding: the sizes are estimates
		t.explain(wanted, why, lost)
	}
	t.frozen()
}

// beingWritten returns the longest prefix of the request that a running request is writing and that this one could read after it, or nil. It sets
// t.Begun to the channel that is closed when the running request's response begins, so that this one can wait for it.
func (t *Turn) beingWritten(location uint64) *cachedPrefix {
	var best *cachedPrefix
	for _, r := range t.session.running {
		for i := range r.writes {
			prefix := &r.writes[i]
			isPrefix := prefix.block < len(t.prompt.Records()) && t.prompt.Records()[prefix.block].Chain == prefix.chain
			isLonger := best == nil || prefix.block > best.block
			if !isPrefix || !isLonger {
				continue
			}
			if t.obstacle(prefix, location) == readable {
				best, t.Begun = prefix, r.begun
			}
		}
	}
	return best
}

// obstacle is why a request can't read an entry of the cache.
type obstacle uint8

const (
	readable      obstacle = iota
	elsewhere              // it belongs to another model, region, profile or account
	otherSettings          // a setting has changed on which it depends
	expired                // it was not used within its lifetime
	unready                // the request that writes it has no response yet
	tooFar                 // the points behind it are farther away than the model looks back
	unmarked               // the request has no cache point at its end or behind it
)

// obstacle returns why the request can't read an entry, or readable. An entry is read from a cache point at its last block or behind it, if the model
// looks back from there as far as the entry.
func (t *Turn) obstacle(prefix *cachedPrefix, location uint64) obstacle {
	switch {
	case prefix.location != location:
		return elsewhere
	// levelOf is the hash of those settings of this request on which the section of the prefix's last block depends.
	case prefix.settings != levelOf(&t.prompt.Settings, t.prompt.Records()[prefix.block].Section, t.call.Model.Provider):
		return otherSettings
	case !t.call.At.Before(prefix.expires):
		return expired
	}
	reason := unmarked
	for i := range t.prompt.Points {
		pt := &t.prompt.Points[i]
		if pt.Nested || pt.Block < prefix.block {
			continue
		}
		if pt.Block-prefix.block < t.call.Model.lookback() {
			return readable
		}
		reason = tooFar
	}
	return reason
}

// explain makes a finding of an entry that can't be read, with its price, before the request is sent. lost is how many tokens are not read because of
// that. It adds none if another rule reports the cause, if the cause is normal, or if the request will wait for the one that writes.
func (t *Turn) explain(prefix cachedPrefix, why obstacle, lost int64) {
	m := &t.call.Model
	f := Finding{Tokens: lost, NanoUSD: m.writtenAgain(lost)}
	switch why {
	case expired: // the entry's last use was one lifetime before it expired; 1e9 is a second
		f.Rule = ruleExpired
		f.Detail = fmt.Sprintf("%s after the last use, the entry of %s has lapsed: about %d tokens are written again", t.call.At.Sub(prefix.expires.Add(-prefix.ttl)).Round(1e9), ttlName(prefix.ttl), lost)
	case unready:
		f.Rule = ruleFanOut
		f.Detail = fmt.Sprintf("%d requests that run at the same time write the same prefix of about %d tokens", 1+t.writing(prefix), prefix.tokens)
		if t.session.tracker.policy.HoldFanOut > 0 {
			return // the request waits for t.Begun, and can read it then
		}
	case tooFar:
		f.Rule = ruleLookback
		f.Detail = fmt.Sprintf("the next cache point stands more than %d blocks behind what the request before wrote", m.lookback())
	case unmarked:
		if t.points == 0 {
			return // the rule no-cache-point reports that
		}
		f.Rule = ruleJumping
		f.Detail = fmt.Sprintf("the cache points have moved away from what was written before: about %d tokens can't be read", lost)
	case otherSettings:
		if conv := t.past.conversation; conv == nil || len(changedSettings(&conv.settings, &t.prompt.Settings)) == 0 {
			return // the first image was added, or the last one removed, which is normal in a conversation
		}
		f = t.settingsFinding(f)
	default:
		return // a change of location has its own finding
	}
	t.add(f)
}

// writing counts the running requests that write an entry.
func (t *Turn) writing(prefix cachedPrefix) int {
	n := 0
	for _, r := range t.session.running {
		for i := range r.writes {
			if r.writes[i].sameEntry(&prefix) {
				n++
				break
			}
		}
	}
	return n
}

// frozen finds a last cache point that stays at the same block while the conversation grows. The finding replaces the one of the rule uncached-tail,
// which says the same without the cause. A model with a maximum has none, because it may not cache more.
func (t *Turn) frozen() {
	conv, p := t.past.conversation, t.prompt
	if conv == nil || len(conv.points) == 0 || t.points == 0 || t.past.shared < conv.sent {
		return // one of the two requests has no points, or this one does not continue all of the other
	}
	// The linter is only made for its lastPoint. At least two blocks must be new, an answer and what follows it.
	l := linter{p: p, m: &t.call.Model, scale: t.session.scale}
	last := l.lastPoint()
	before := conv.points[len(conv.points)-1].block
	if last == nil || last.Section != prompt.Messages || last.Block != before || len(p.Records()) < conv.sent+2 {
		return // the last point is not in the messages or has moved, or the conversation has not grown
	}
	behind := t.size.Minus(p.UpTo(last.Block))
	if t.session.scale.Low(behind) < max(t.call.Model.MinTokens, 1024) || t.call.Model.MaxTokens > 0 {
		return // fewer tokens are no finding for the rule uncached-tail either
	}
	for i := range t.found {
		if t.found[i].Rule == ruleTail {
			t.found = append(t.found[:i], t.found[i+1:]...)
			break
		}
	}
	tokens := t.session.scale.Mid(behind)
	t.add(Finding{
		Rule: ruleFrozen, Where: last.String(), Tokens: tokens, NanoUSD: t.call.Model.paidAgain(tokens),
		Detail: fmt.Sprintf("the last cache point has not moved since the request before, and about %d tokens behind it are paid for in full", tokens),
	})
}
