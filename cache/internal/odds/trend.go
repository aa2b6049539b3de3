// Package odds tells by what happened to earlier requests whether what the next one writes to the cache is likely to be read. It knows no prompts:
// an outcome is a yes or a no at a time. CallTimes tells how often a workflow calls.
package odds

// Trend predicts whether the next prefix of a conversation will be read again, from what happened to the earlier ones. An outcome is
// recorded for each request, even if it had no cache point there: whether a later request had the same prefix in time. What followed a good
// outcome and what followed a bad one are counted separately, so that occasional changes can be told from a change in each request. The zero
// value knows nothing.
type Trend struct {
	last   uint8       // 0 if nothing is known, 1 if the last outcome was bad, 2 if it was good
	counts [2][2]uint8 // by the outcome before and the outcome after it
}

// maxOutcomes is how many outcomes are counted before the counts are halved, so that newer ones weigh more.
const maxOutcomes = 16

// Add records an outcome: whether the prefix was read again, or could have been.
func (t *Trend) Add(met bool) {
	now := uint8(1)
	if met {
		now = 2
	}
	if t.last > 0 {
		row := &t.counts[t.last-1] // of what has followed outcomes like the last one
		row[now-1]++
		if row[0]+row[1] > maxOutcomes {
			row[0], row[1] = row[0]/2, row[1]/2
		}
	}
	t.last = now
}

// Likely reports whether more than half of the outcomes after one like the last were good. To begin with, one good outcome counts as
// following a good one, and one bad outcome as following a bad one.
func (t *Trend) Likely() bool {
	switch t.last {
	case 1:
		return t.counts[0][1] > t.counts[0][0]+1
	case 2:
		return t.counts[1][1]+1 > t.counts[1][0]
	default:
		return false
	}
}

// Broken reports whether the last outcome was bad and no good one is likely to follow it, and whether a bad one has followed a bad one before.
func (t *Trend) Broken() (broken, again bool) {
	return t.last == 1 && !t.Likely(), t.counts[0][0] > 0
}
