package cache

import "time"

// step is one request as far as it tells whether others like it are followed by another one.
type step struct {
	session uint64 // whose it was, by number: a forgotten workflow is not kept alive
	at      time.Time
	depth   int  // which request of its conversation it was, or of its workflow
	went    bool // another one followed
	met     bool // and had all of it
}

// The depths of requests whose place in a conversation is not known, and of a workflow's requests.
const (
	unknownDepth  = 0
	workflowDepth = 1000 // and more: the first, the second, ...
)

// steps are the last requests of all workflows. The zero value has seen none.
type steps struct {
	last [maxSteps]step
	n    int
	gap  time.Duration // between two requests of a conversation, on average
}

const maxSteps = 256

// add notes a request and returns its number.
func (k *steps) add(s step) int {
	k.last[k.n%maxSteps] = s
	k.n++
	return k.n - 1
}

// goOn notes that another request has followed one.
func (k *steps) goOn(number int, at time.Time, met bool) {
	if number < 0 || number < k.n-maxSteps {
		return // forgotten
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

// quietGaps is how many usual pauses a conversation may be silent before it counts as over.
const quietGaps = 4

// count tells of the requests at a depth, of one workflow or, for 0, of all, how many were followed by another one that had
// all of them, how many were not, and how many may still be.
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
	fewSteps = 2 // have to be known before they speak against one more write
	fewOpen  = 1 // second request may wait for the third before any has had one
)

// rarelyGoesOn reports whether less than a third of the requests at a depth were followed by one that could read them: of the
// workflow's, or of all if it has few. Of second requests, the first to write all of a conversation, some have to be followed
// before others write.
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

// lifetimeCosts are what a workflow's requests would have cost without cache points, and with a point at the end of each that asks for
// five minutes or for an hour. In pico-USD, of the last requests.
type lifetimeCosts struct {
	none, five, hour int64
	n                int
	long             bool // an hour is what is asked for
}

// fewCosts is how many requests have to be known before an hour is asked for.
const fewCosts = 4

// hourPays reports whether to ask for an hour: once that would have been the cheapest by as much as it costs to write the prompt
// now, and until it would have been dearer than no cache points.
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

// add takes in a request of so many tokens, of which some were there to be read with either lifetime.
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
