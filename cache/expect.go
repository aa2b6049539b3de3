package cache

import "fmt"

// expect works out what the request should read, and why not more. Requires s.mu held.
func (t *Turn) expect() {
	p, s := t.prompt, t.session
	place := placeHash(t.call.Model.ID, t.call.Place)
	var wanted mark
	var why obstacle
	for i := range s.marks {
		w := &s.marks[i]
		if w.block >= len(p.records) || p.records[w.block].chain != w.chain {
			continue
		}
		o := t.obstacle(w, place)
		switch {
		case o == readable && (t.expected.tokens == 0 || w.block > t.expected.block):
			t.expected = *w
		case o != readable && (wanted.tokens == 0 || w.block > wanted.block):
			wanted, why = *w, o
		}
	}
	if w := t.beingWritten(place); w != nil && w.block >= wanted.block && w.block > t.expected.block {
		wanted, why = *w, unready
	}
	lost := wanted.tokens - t.expected.tokens
	if lost > max(t.call.Model.MinTokens, wanted.tokens/10) {
		t.explain(wanted, why, lost)
	}
	t.frozen()
}

// beingWritten returns the longest prefix of the request that a running one is about to write, or nil.
func (t *Turn) beingWritten(place uint64) *mark {
	var best *mark
	for _, r := range t.session.running {
		for i := range r.marks {
			w := &r.marks[i]
			if w.block >= len(t.prompt.records) || t.prompt.records[w.block].chain != w.chain || best != nil && w.block <= best.block {
				continue
			}
			if t.obstacle(w, place) == readable {
				best, t.Begun = w, r.begun
			}
		}
	}
	return best
}

// obstacle is why an entry can't be read by a request.
type obstacle uint8

const (
	readable obstacle = iota
	elsewhere
	otherSettings
	expired
	unready
	tooFar
	unmarked
)

func (t *Turn) obstacle(w *mark, place uint64) obstacle {
	switch {
	case w.place != place:
		return elsewhere
	case w.settings != t.prompt.levelOf(t.prompt.records[w.block].section, t.call.Model.Provider):
		return otherSettings
	case !t.call.At.Before(w.expires):
		return expired
	}
	reason := unmarked
	for i := range t.prompt.Points {
		pt := &t.prompt.Points[i]
		if pt.Nested || pt.Block < w.block {
			continue
		}
		if pt.Block-w.block < t.call.Model.lookback() {
			return readable
		}
		reason = tooFar
	}
	return reason
}

// explain turns an entry that can't be read into a finding, priced before the request is sent.
func (t *Turn) explain(w mark, why obstacle, lost int64) {
	m := &t.call.Model
	f := Finding{Tokens: lost, NanoUSD: m.writtenAgain(lost)}
	switch why {
	case expired:
		f.Rule = ruleExpired
		f.Detail = fmt.Sprintf("%s after the last use, the entry of %s has lapsed: about %d tokens are written again", t.call.At.Sub(w.expires.Add(-w.ttl)).Round(1e9), ttlName(w.ttl), lost)
	case unready:
		f.Rule = ruleFanOut
		f.Detail = fmt.Sprintf("%d requests that run at the same time write the same prefix of about %d tokens", 1+t.writing(w), w.tokens)
		if t.session.tracker.policy.HoldFanOut > 0 {
			return
		}
	case tooFar:
		f.Rule = ruleLookback
		f.Detail = fmt.Sprintf("the next cache point stands more than %d blocks behind what the request before wrote", m.lookback())
	case unmarked:
		if t.points == 0 {
			return // no-cache-point says so
		}
		f.Rule = ruleJumping
		f.Detail = fmt.Sprintf("the cache points have moved away from what was written before: about %d tokens can't be read", lost)
	case otherSettings:
		if q := t.past.path; q == nil || q.kinds == t.prompt.levels {
			return // the first image, or none any more: that is how a conversation goes on
		}
		f = t.settingsFinding(f)
	default:
		return // a change of place is told by itself
	}
	t.add(f)
}

// writing counts the running requests that write an entry.
func (t *Turn) writing(w mark) int {
	n := 0
	for _, r := range t.session.running {
		for i := range r.marks {
			if r.marks[i].chain == w.chain && r.marks[i].place == w.place {
				n++
				break
			}
		}
	}
	return n
}

// frozen finds a last point that stays in the messages where it was while the conversation grows.
func (t *Turn) frozen() {
	q, p := t.past.path, t.prompt
	if q == nil || len(q.points) == 0 || t.points == 0 || t.past.shared < q.sent {
		return
	}
	l := linter{p: p, m: &t.call.Model, scale: t.session.scale}
	last := l.lastPoint()
	before := q.points[len(q.points)-1].block
	if last == nil || last.Section != Messages || last.Block != before || len(p.records) < q.sent+2 {
		return
	}
	behind := t.size.minus(p.upTo(last.Block))
	if t.session.scale.low(behind) < max(t.call.Model.MinTokens, 1024) || t.call.Model.MaxTokens > 0 {
		return
	}
	for i := range t.found {
		if t.found[i].Rule == ruleTail {
			t.found = append(t.found[:i], t.found[i+1:]...)
			break
		}
	}
	tokens := t.session.scale.mid(behind)
	t.add(Finding{
		Rule: ruleFrozen, Where: last.String(), Tokens: tokens, NanoUSD: t.call.Model.paidAgain(tokens),
		Detail: fmt.Sprintf("the last cache point has not moved since the request before, and about %d tokens behind it are paid for in full", tokens),
	})
}
