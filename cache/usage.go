package cache

import (
	"fmt"
	"slices"
	"time"
)

// hitRatio is the share of what could have been read that was read, over the last calls.
type hitRatio struct {
	read, avoidable [8]int64
	n               int
}

func (h *hitRatio) add(read, avoidable int64) {
	i := h.n % len(h.read)
	h.read[i], h.avoidable[i] = min(read, avoidable), avoidable
	h.n++
}

// share returns the ratio, and false while there is too little to judge by.
func (h *hitRatio) share() (float64, bool) {
	k := min(h.n, len(h.read))
	var read, avoidable int64
	for i := range k {
		read, avoidable = read+h.read[i], avoidable+h.avoidable[i]
	}
	if k < minJudged || avoidable == 0 {
		return 1, false
	}
	return float64(read) / float64(avoidable), true
}

const (
	minJudged   = 4 // calls before a workflow can trip
	manyIdle    = 3 // calls without any caching
	manyWritten = 4 // writes without a read
	manyMissed  = 3 // misses without a reason
)

// End notes what the response told, and returns what it shows: misses, their causes, and whether the workflow trips.
func (t *Turn) End(u Usage, at time.Time) []Finding {
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	t.begin()
	if t.state != begun {
		return nil
	}
	t.state = ended
	t.found = nil
	if u.Contradicts || u.InputTokens < 0 || u.CacheReadTokens < 0 || u.CacheWrite5mTokens < 0 || u.CacheWrite1hTokens < 0 {
		t.add(Finding{Rule: ruleContradiction, Repeated: 1, Detail: "the counters of the response contradict each other"})
		return t.found
	}
	if u.Billed > 0 {
		tokens := mulDiv(u.total(), int64(u.Billed), 1)
		t.add(Finding{Rule: ruleRetried, Tokens: tokens, NanoUSD: nanoUSD(tokens, t.call.Model.InputPrice), Detail: fmt.Sprintf("%d attempts before the one that was answered were billed", u.Billed)})
	}
	s.scale.learn(t.size, u.total())
	if !s.doubled && t.path != nil && t.sent <= len(t.path.blocks) && t.sent < maxPathBlocks {
		t.path.told = told{t.sent, u.total()}
	}
	t.confirm(u)
	if t.call.Model.Explicit || t.call.Model.Implicit {
		t.judge(u)
		t.trip(u)
	}
	for i := range t.found {
		t.found[i].Repeated = max(t.found[i].Repeated, 1)
	}
	s.priceByDay(t.found)
	return t.found
}

// confirm corrects what the cache should hold by what the response says that it holds.
func (t *Turn) confirm(u Usage) {
	s := t.session
	held := sum(u.CacheReadTokens, u.written())
	if held == 0 { // nothing is cached there
		s.marks = slices.DeleteFunc(s.marks, func(w mark) bool {
			return slices.ContainsFunc(t.marks, func(own mark) bool { return own.chain == w.chain && own.place == w.place && own.settings == w.settings })
		})
		return
	}
	for i := range s.marks {
		w := &s.marks[i]
		for k := range t.marks {
			own := &t.marks[k]
			if w.chain != own.chain || w.place != own.place || w.settings != own.settings {
				continue
			}
			switch {
			case k == len(t.marks)-1:
				w.tokens, w.wrote, w.exact = held, u.written(), !s.doubled
			case !w.exact:
				w.tokens = min(s.scale.mid(own.size), held)
			}
		}
	}
	if e := t.expected; e.tokens > 0 && u.CacheReadTokens > 0 {
		for i := range s.marks {
			if w := &s.marks[i]; w.chain == e.chain && w.place == e.place {
				w.expires = t.call.At.Add(w.ttl)
			}
		}
	}
}

// judge compares the usage with what was expected.
func (t *Turn) judge(u Usage) {
	s, m, k := t.session, &t.call.Model, &t.session.streak
	nothing := u.CacheReadTokens == 0 && u.written() == 0
	missing := t.expected.tokens - u.CacheReadTokens
	missed := missing > max(t.expected.tokens/5, 256) && t.expected.exact || t.expected.tokens > 0 && u.CacheReadTokens == 0
	if t.doubled(u) {
		missed = false
	}
	t.account(u, missed)
	switch {
	case !missed:
		k.missed = 0
	case t.forgets:
		t.add(Finding{
			Rule: ruleThinking, Suspected: true, Tokens: missing, NanoUSD: m.writtenAgain(missing),
			Detail: fmt.Sprintf("%d of %d tokens were read: this model drops its earlier thinking when the user asks anew, and what stands behind it is written again", u.CacheReadTokens, t.expected.tokens),
		})
	default:
		k.missed++
		f := Finding{
			Rule: ruleEvicted, Suspected: true, Tokens: missing, NanoUSD: m.writtenAgain(missing),
			Detail: fmt.Sprintf("%d of %d tokens were read though nothing before them has changed and the entry is still alive", u.CacheReadTokens, t.expected.tokens),
		}
		if k.missed >= manyMissed {
			f.Rule, f.Suspected = ruleSilentMiss, false
			f.Detail = fmt.Sprintf("in %d calls in a row less was read than the requests before have written: %d of %d tokens", k.missed, u.CacheReadTokens, t.expected.tokens)
		}
		t.add(f)
	}
	t.idle(nothing, u)
	if t.all1h && u.CacheWrite5mTokens > 0 && u.CacheWrite1hTokens == 0 {
		t.add(Finding{Rule: ruleDowngraded, Tokens: u.CacheWrite5mTokens, NanoUSD: m.writtenAgain(u.CacheWrite5mTokens), Detail: "every cache point asks for 1h, and the response says that it wrote for 5m"})
		for i := range s.marks {
			for j := range t.marks {
				if s.marks[i].chain == t.marks[j].chain && s.marks[i].ttl == OneHour {
					s.marks[i].ttl, s.marks[i].expires = FiveMinutes, t.call.At.Add(FiveMinutes)
				}
			}
		}
	}
	if u.written() > 0 && u.CacheReadTokens == 0 {
		k.written++
	} else if u.CacheReadTokens > 0 {
		k.written = 0
	}
	if k.written >= manyWritten {
		t.add(Finding{
			Rule: ruleNeverRead, Tokens: u.written(), NanoUSD: nanoUSD(u.written(), m.CacheWrite5mPrice-m.InputPrice),
			Detail: fmt.Sprintf("%d calls in a row wrote to the cache and read nothing", k.written),
		})
	}
}

// doubled finds an earlier response that told twice what it wrote: this one reads what was read then and half of what was
// written. A response of a stream with thinking was seen to do that (2026-11). The counters of the workflow are taken for
// estimates from then on.
func (t *Turn) doubled(u Usage) bool {
	s, e := t.session, &t.expected
	half := e.wrote / 2
	off := u.CacheReadTokens - (e.tokens - half)
	if !e.exact || half < minDoubled || u.CacheReadTokens <= 0 || max(off, -off) > max(half/50, 16) {
		return false
	}
	s.doubled, s.scale = true, scale{}
	s.scale.learn(e.size, u.CacheReadTokens)
	for i := range s.marks {
		w := &s.marks[i]
		if w.chain == e.chain && w.place == e.place && w.settings == e.settings {
			w.tokens, w.wrote = u.CacheReadTokens, 0
		} else {
			w.exact = false
		}
	}
	t.add(Finding{
		Rule: ruleDoubled, Suspected: true, Tokens: half, NanoUSD: nanoUSD(half, t.call.Model.writePrice(e.ttl)),
		Detail: fmt.Sprintf("an earlier response said that it wrote %d tokens, and half of them were there to be read", e.wrote),
	})
	return true
}

// minDoubled is how many tokens too many a response has to tell before that is more than noise.
const minDoubled = 128

// idle finds calls in which nothing is cached at all.
func (t *Turn) idle(nothing bool, u Usage) {
	m, k := &t.call.Model, &t.session.streak
	switch {
	case !nothing || u.total() < m.MinTokens:
		k.idle, k.idleTotal = 0, 0
		if nothing && len(t.marks) > 0 && !t.marks[len(t.marks)-1].message { // a conversation may grow to be long enough
			t.add(Finding{Rule: ruleBelowMinimum, Tokens: u.total(), Detail: fmt.Sprintf("nothing was cached: the whole request has %d tokens, and nothing shorter than %d is cached", u.total(), m.MinTokens)})
		}
		return
	case len(t.marks) > 0 && t.expected.tokens == 0:
		last := t.session.scale.mid(t.marks[len(t.marks)-1].size)
		if last < 2*m.MinTokens {
			t.add(Finding{Rule: ruleBelowMinimum, Tokens: last, Detail: fmt.Sprintf("nothing was cached: about %d tokens precede the last cache point, and the model's minimum is %d", last, m.MinTokens)})
		} else {
			t.add(Finding{Rule: ruleSilentMiss, Tokens: last, NanoUSD: m.paidAgain(last), Detail: fmt.Sprintf("cache points enclose about %d tokens, and the response neither read nor wrote any: the points did not arrive, or the model ignores them", last)})
		}
		return
	case t.points > 0:
		return
	}
	if k.idle == 0 || u.total() >= k.idleTotal {
		k.idle++
	} else {
		k.idle = 1
	}
	k.idleTotal = u.total()
	if tokens := t.session.scale.mid(t.avoidable); k.idle >= manyIdle && tokens > 0 {
		t.add(Finding{Rule: ruleIdle, Tokens: tokens, NanoUSD: m.paidAgain(tokens), Detail: fmt.Sprintf("%d calls in a row neither read nor wrote the cache while their input grew to %d tokens", k.idle, u.total())})
	}
}

// trip judges the workflow by its share of hits.
func (t *Turn) trip(u Usage) {
	s := t.session
	if s.scale.low(t.avoidable) < max(t.call.Model.MinTokens, 1) || !t.call.Model.Explicit {
		return // perhaps too little, or not in the caller's hands
	}
	if t.unproven && len(t.Findings) == 0 {
		return // nobody meant it to be read, and nothing is wrong with it
	}
	avoidable := s.scale.mid(t.avoidable)
	if k := t.counted; k.blocks > 0 {
		avoidable = min(avoidable, k.tokens)
	}
	s.ratio.add(u.CacheReadTokens, avoidable)
	floor := s.tracker.policy.floor()
	share, judged := s.ratio.share()
	if !judged || floor < 0 || share >= floor {
		s.tripped = nil
		return
	}
	f := Finding{
		Rule: ruleTripped, Repeated: 1, Tokens: max(avoidable-u.CacheReadTokens, 0), NanoUSD: t.call.Model.paidAgain(avoidable - u.CacheReadTokens),
		Detail: fmt.Sprintf("%.0f %% of the input that could have been read from the cache was read in the last %d calls, and the floor is %.0f %%", 100*share, min(s.ratio.n, len(s.ratio.read)), 100*floor),
	}
	t.add(f)
	s.tripped = []Finding{f}
	for _, c := range append(t.Findings[:len(t.Findings):len(t.Findings)], t.found...) {
		if c.Rule != ruleTripped && len(s.tripped) < maxCauses {
			s.tripped = append(s.tripped, c)
		}
	}
}

// maxCauses bounds the findings that a refusal names besides the trip itself.
const maxCauses = 4
