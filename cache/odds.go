package cache

import "time"

// step is one request, with what shows whether others like it are followed by another one.
type step struct {
	session uint64 // the number of its workflow; a pointer would keep a forgotten workflow in memory
	at      time.Time
	depth   int  // its rank in its conversation, or in its workflow plus workflowDepth
	went    bool // another request followed
	met     bool // the request that followed could read all of this one from the cache
}

// Depths of requests with an unknown place in their conversation, and of a workflow's first requests.
const (
	unknownDepth  = 0
	workflowDepth = 1000 // plus the number of the request in its workflow, counted from 1
)

// steps are the last requests of all workflows. The zero value is empty.
type steps struct {
	last [maxSteps]step
	n    int
	gap  time.Duration // the average pause between two requests of a conversation
}

const maxSteps = 256

// add records a request and returns its number.
func (k *steps) add(s step) int {
	k.last[k.n%maxSteps] = s
	k.n++
	return k.n - 1
}

// goOn records that another request has followed one.
func (k *steps) goOn(number int, at time.Time, met bool) {
	if number < 0 || number < k.n-maxSteps {
		return // forgotten already
	}
	s := &k.last[number%maxSteps]
	if gap := at.Sub(s.at); gap > 0 {
		if k.gap == 0 {
			k.gap = gap
		}
		k.gap += (gap - k.gap) / 8
	}
	s.went, s.met = true, s.met || met
}

// quietGaps is after how many average pauses a silent conversation counts as over.
const quietGaps = 4

// count returns, of the requests at a depth, how many were followed by one that could read all of them, how many were not, and how many
// still may be. It counts those of one workflow or, for 0, of all.
func (k *steps) count(of uint64, depth int, now time.Time) (met, over, open int) {
	for i := range min(k.n, maxSteps) {
		s := &k.last[i]
		switch {
		case s.depth != depth || of != 0 && s.session != of:
		case s.met:
			met++
		case s.went || now.Sub(s.at) > quietGaps*k.gap:
			over++
		default:
			open++
		}
	}
	return met, over, open
}

const (
	fewSteps = 2 // so many have to be known before they prevent another write
	fewOpen  = 1 // so many second requests may be written before any of them was followed by a third
)

// rarelyGoesOn reports whether less than a third of the requests at a depth were followed by one that could read them: of the workflow's
// requests, or of all if it has few. Second requests are the first that write a whole conversation: after a few of them, some have to be
// followed before more are written.
func (t *Tracker) rarelyGoesOn(s *session, depth int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	met, over, open := t.steps.count(s.number, depth, now)
	if met+over < fewSteps {
		met, over, open = t.steps.count(0, depth, now)
	}
	isSecond := depth == 2 || depth == unknownDepth || depth == workflowDepth+2
	if isSecond && met == 0 && over+open >= fewOpen {
		return true
	}
	return met+over >= fewSteps && 2*met < over
}

// lifetimeCosts are three sums over a workflow's last requests, in pico-USD: what they would have cost without cache points, and with a
// point at the end of each for five minutes or for an hour.
type lifetimeCosts struct {
	none, five, hour int64
	n                int
	long             bool // points ask for an hour now
}

// fewCosts is how many requests have to be known before points ask for an hour.
const fewCosts = 4

// hourPays reports whether points should ask for an hour. They begin to when an hour would have been the cheapest by at least the cost of
// writing the prompt now, and stop when it would have cost more than no cache points.
func (b *lifetimeCosts) hourPays(m *Model, tokens int64) bool {
	premium := mulDiv(tokens, max(m.CacheWrite1hPrice-m.InputPrice, 0), 1)
	switch {
	case b.hour >= b.none:
		b.long = false
	case b.n >= fewCosts && b.hour < b.five && b.none-b.hour >= premium:
		b.long = true
	}
	return b.long
}

// add adds a request with its number of tokens, and how many of these could have been read with either lifetime.
func (b *lifetimeCosts) add(m *Model, tokens, inFive, inHour int64) {
	price := func(read, write int64) int64 {
		return mulDiv(read, m.CacheReadPrice, 1) + mulDiv(tokens-read, write, 1)
	}
	b.none += mulDiv(tokens, m.InputPrice, 1)
	b.five += price(inFive, m.CacheWrite5mPrice)
	b.hour += price(inHour, m.CacheWrite1hPrice)
	if b.n++; b.n%maxCosts == 0 {
		b.none, b.five, b.hour = b.none/2, b.five/2, b.hour/2
	}
}

const maxCosts = 16
