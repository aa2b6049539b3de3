package tokens

import (
	"math"
	"math/bits"
	"sync"
)

// The rules by which a Ratio learns. Factors are in thousandths. Newer Claude tokenizers are said to yield about 30 % more
// tokens for the same text than older ones, which were close to cl100k_base; the prior leaves room on top of that.
const (
	PriorFactor     = 2000
	minFactor       = 1050
	marginFactor    = 1250 // on the largest ratio seen
	ratioWindow     = 64
	minObservations = 32
	priorGuess      = 333_333 // millionths of a token per token of the upper bound: a third
	guessWeight     = 8       // a new observation moves the guess by one eighth
	maxRatioModels  = 1024
)

// Observation is what one response taught. Zero fields are not learned from.
type Observation struct {
	UpperBound int64 // what UpperBound returned for the prompt
	Estimate   int64 // what Counter.Count returned for it
	Actual     int64 // input tokens that the response reports, cached ones included
}

// Ratio learns, for each model, how many tokens are billed for one that was estimated. It keeps up to 1,024 models; any
// beyond that stay at the prior. A Ratio is safe for concurrent use. Make one with NewRatio.
type Ratio struct {
	mu     sync.RWMutex
	models map[string]*modelRatio
}

type modelRatio struct {
	mu         sync.Mutex
	window     [ratioWindow]int64 // thousandths, a ring
	seen       int                // since the last reset
	factor     int64              // thousandths
	guess      int64              // millionths
	violations int64
}

// NewRatio returns a Ratio that knows no model yet.
func NewRatio() *Ratio { return &Ratio{models: make(map[string]*modelRatio)} }

// Factor returns by how many thousandths to multiply an estimate of Counter to bound the billed input tokens. It is
// PriorFactor until 32 responses were observed, then 1.25 times the largest ratio of the last 64, within 1.05 and the prior.
func (r *Ratio) Factor(model string) int64 {
	m := r.find(model)
	if m == nil {
		return PriorFactor
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.factor
}

// Bound returns the estimate times Factor, rounded up; it saturates at math.MaxInt64.
func (r *Ratio) Bound(model string, estimate int64) int64 {
	return scale(estimate, r.Factor(model), 1000)
}

// Guess returns the likeliest number of billed tokens for a prompt of the given upper bound, for rate limiting and never
// for money. It is a third of the bound until the model was observed, and never more than the bound or less than one token.
func (r *Ratio) Guess(model string, upperBound int64) int64 {
	guess := int64(priorGuess)
	if m := r.find(model); m != nil {
		m.mu.Lock()
		guess = m.guess
		m.mu.Unlock()
	}
	return max(min(scale(upperBound, guess, 1_000_000), upperBound), 1)
}

// Violations returns how many responses were billed more tokens than the bound that held for them.
func (r *Ratio) Violations(model string) int64 {
	m := r.find(model)
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.violations
}

// Learn takes in one response. A response that was billed more than Bound of its estimate, or more than its upper bound,
// counts as a violation and sets the factor back to the prior. Learn reports whether it was one.
func (r *Ratio) Learn(model string, o Observation) (violated bool) {
	if o.Actual <= 0 || o.Estimate <= 0 && o.UpperBound <= 0 {
		return false
	}
	m := r.findOrAdd(model)
	if m == nil {
		return o.Estimate > 0 && o.Actual > scale(o.Estimate, PriorFactor, 1000) || o.UpperBound > 0 && o.Actual > o.UpperBound
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.UpperBound > 0 {
		ratio := min(scale(o.Actual, 1_000_000, o.UpperBound), 1_000_000)
		m.guess += (ratio - m.guess) / guessWeight
		violated = o.Actual > o.UpperBound
	}
	if o.Estimate > 0 {
		violated = violated || o.Actual > scale(o.Estimate, m.factor, 1000)
		m.observe(scale(o.Actual, 1000, o.Estimate))
	}
	if violated {
		m.violations++
		m.seen, m.factor = 0, PriorFactor
	}
	return violated
}

// observe requires mu held.
func (m *modelRatio) observe(ratio int64) {
	m.window[m.seen%ratioWindow] = ratio
	if m.seen++; m.seen == 2*ratioWindow {
		m.seen = ratioWindow
	}
	if m.seen < minObservations {
		return
	}
	var top int64
	for _, v := range m.window[:min(m.seen, ratioWindow)] {
		top = max(top, v)
	}
	m.factor = min(max(scale(top, marginFactor, 1000), minFactor), PriorFactor)
}

func (r *Ratio) find(model string) *modelRatio {
	r.mu.RLock()
	m := r.models[model]
	r.mu.RUnlock()
	return m
}

func (r *Ratio) findOrAdd(model string) *modelRatio {
	if m := r.find(model); m != nil {
		return m
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.models[model]
	if m == nil && len(r.models) < maxRatioModels {
		m = &modelRatio{factor: PriorFactor, guess: priorGuess}
		r.models[model] = m
	}
	return m
}

// scale returns ceil(n*num/den) of non-negative numbers, at most math.MaxInt64.
func scale(n, num, den int64) int64 {
	if n <= 0 || num <= 0 || den <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(n), uint64(num))
	if hi >= uint64(den) {
		return math.MaxInt64
	}
	q, rem := bits.Div64(hi, lo, uint64(den))
	if rem > 0 {
		q++
	}
	return int64(min(q, math.MaxInt64))
}
