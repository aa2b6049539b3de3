// Package odds tells by what happened to earlier requests whether what the next one writes to the cache is likely to be read. It knows no prompts:
// an outcome is a yes or a no at a time. CallTimes tells how often a workflow calls.
package odds

// Trend predicts whether the next prefix of a conversation will be read again, from what happened to the earlier ones. An outcome is
// recorded for each request, even if it had no cache point there: whether a later request had the same prefix in time. What followed a good
// outcome and what followed a bad one are counted separately, so that occasional changes can be told from a change in each request. The zero
// value knows nothing.
type Trend struct {
	last      outcome
	afterBad  tally // the outcomes that have followed a bad one
	afterGood tally // those that have followed a good one
}

// tally counts outcomes.
type tally struct{ bad, good uint8 }

// outcome is what happened to a prefix.
type outcome uint8

const (
	unknown outcome = iota // nothing is known yet
	bad                    // it was not met again in time
	good
)

// maxOutcomes is how many outcomes are counted before the counts are halved, so that newer ones weigh more.
const maxOutcomes = 16

// Add records an outcome: whether the prefix was read again, or could have been.
func (t *Trend) Add(met bool) {
	now := bad
	if met {
		now = good
	}
	switch t.last {
	case bad:
		t.afterBad.add(met)
	case good:
		t.afterGood.add(met)
	}
	t.last = now
}

// add counts an outcome.
func (y *tally) add(met bool) {
	if met {
		y.good++
	} else {
		y.bad++
	}
	if y.bad+y.good > maxOutcomes {
		y.bad, y.good = y.bad/2, y.good/2
	}
}

// Likely reports whether more than half of the outcomes after one like the last were good. To begin with, one good outcome counts as
// following a good one, and one bad outcome as following a bad one.
func (t *Trend) Likely() bool {
	switch t.last {
	case bad:
		return t.afterBad.good > t.afterBad.bad+1
	case good:
		return t.afterGood.good+1 > t.afterGood.bad
	default:
		return false
	}
}

// Broken reports whether the last outcome was bad and no good one is likely to follow it, and whether ever, so far as is remembered, a bad one has
// followed a bad one.
func (t *Trend) Broken() (broken, again bool) {
	return t.last == bad && !t.Likely(), t.afterBad.bad > 0
}
