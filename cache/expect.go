package cache

import (
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// expect sets t.expected to the longest prefix of the request that it should read from the cache. If there is a longer one that it can't read, expect
// adds a finding that says why. Requires s.mu held.
func (t *Turn) expect() {
	location := locationHash(t.call.Model.ID, t.call.Place)
	var wanted cachedPrefix // the longest prefix that can't be read
	var why obstacle        // why it can't
	for i := range t.session.cached {
		prefix := &t.session.cached[i]
		if !prefix.begins(t.prompt) {
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
	var longest *cachedPrefix
	for _, r := range t.session.running {
		for i := range r.writes {
			prefix := &r.writes[i]
			isLonger := longest == nil || prefix.block > longest.block
			if isLonger && prefix.begins(t.prompt) && t.obstacle(prefix, location) == readable {
				longest, t.Begun = prefix, r.begun
			}
		}
	}
	return longest
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

// obstacle returns why the request, at a location, can't read an entry with which it begins, or readable. An entry is read from a cache point at its
// last block or behind it, if the model looks back from there as far as the entry.
func (t *Turn) obstacle(prefix *cachedPrefix, location uint64) obstacle {
	switch {
	case prefix.location != location:
		return elsewhere
	case prefix.level != t.call.levelAt(t.prompt, prefix.block): // the hash of the settings on which the section of the entry's last block depends
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
	case expired:
		lastUse := prefix.expires.Add(-prefix.ttl)
		f.Rule = ruleExpired
		f.Detail = fmt.Sprintf("%s after the last use, the entry of %s has lapsed: about %d tokens are written again", t.call.At.Sub(lastUse).Round(time.Second), ttlName(prefix.ttl), lost)
	case unready:
		if t.session.tracker.policy.HoldFanOut > 0 {
			return // the request waits for t.Begun, and can read it then
		}
		f.Rule = ruleFanOut
		f.Detail = fmt.Sprintf("%d requests that run at the same time write the same prefix of about %d tokens", 1+t.writing(prefix), prefix.tokens)
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
		return // elsewhere: locationChanged reports that
	}
	t.add(f)
}

// writing counts the running requests that write an entry. This one is not among them yet.
func (t *Turn) writing(prefix cachedPrefix) int {
	n := 0
	for _, r := range t.session.running {
		if slices.ContainsFunc(r.writes, func(w cachedPrefix) bool { return w.sameEntry(&prefix) }) {
			n++
		}
	}
	return n
}

// frozen finds a last cache point that stays at the same block while the conversation grows. The finding replaces the one of the rule uncached-tail,
// which says the same without the cause. A model with a maximum has none, because it may not cache more.
func (t *Turn) frozen() {
	last := t.unmovedPoint()
	if last == nil {
		return
	}
	behind := t.size.Minus(t.prompt.UpTo(last.Block))
	if t.session.scale.Low(behind) < max(t.call.Model.MinTokens, 1024) || t.call.Model.MaxTokens > 0 {
		return // fewer tokens are no finding for the rule uncached-tail either
	}
	if i := slices.IndexFunc(t.found, func(f Finding) bool { return f.Rule == ruleTail }); i >= 0 {
		t.found = slices.Delete(t.found, i, i+1)
	}
	tokens := t.session.scale.Mid(behind)
	t.add(Finding{
		Rule: ruleFrozen, Where: last.String(), Tokens: tokens, NanoUSD: t.call.Model.paidAgain(tokens),
		Detail: fmt.Sprintf("the last cache point has not moved since the request before, and about %d tokens behind it are paid for in full", tokens),
	})
}

// unmovedPoint returns the request's last point if it stands in the messages where the last one stood before, while the conversation grew; else nil.
func (t *Turn) unmovedPoint() *prompt.Point {
	conv := t.past.conversation
	if conv == nil || len(conv.points) == 0 || t.points == 0 || t.past.shared < conv.sent {
		return nil // one of the two requests has no points, or this one does not continue all of the other
	}
	l := linter{p: t.prompt} // for lastPoint, which needs no more
	last := l.lastPoint()
	before := conv.points[len(conv.points)-1].block
	hasGrown := len(t.prompt.Records()) >= conv.sent+2 // by at least an answer and what follows it
	if last == nil || last.Section != prompt.Messages || last.Block != before || !hasGrown {
		return nil
	}
	return last
}
