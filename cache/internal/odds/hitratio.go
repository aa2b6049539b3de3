package odds

// HitRatio is the share of a workflow's tokens that could have been read from the cache and were, over its last calls. The zero value has no calls.
type HitRatio struct {
	read, avoidable [8]int64 // by call, two rings: tokens that were read, and that could have been
	calls           int      // how many calls there have been
}

// Add records a call. It counts no more as read than could have been, so that no call can make up for another.
func (h *HitRatio) Add(read, avoidable int64) {
	i := h.calls % len(h.read)
	h.read[i], h.avoidable[i] = min(read, avoidable), avoidable
	h.calls++
}

// Calls returns over how many calls the ratio is taken.
func (h *HitRatio) Calls() int { return min(h.calls, len(h.read)) }

// Share returns the ratio, from 0 to 1. It returns 1 and false with fewer than enough calls, or if nothing could have been read.
func (h *HitRatio) Share(enough int) (float64, bool) {
	var read, avoidable int64
	for i := range h.Calls() {
		read, avoidable = read+h.read[i], avoidable+h.avoidable[i]
	}
	if h.Calls() < enough || avoidable == 0 {
		return 1, false
	}
	return float64(read) / float64(avoidable), true
}
