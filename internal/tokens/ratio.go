package tokens

import (
	"math"
	"math/bits"
	"sync"
)

const (
	priorGuess     = 333_333 // millionths of a token per token of the wide bound: a third
	guessWeight    = 8       // a new observation moves the guess by one eighth of the difference
	maxRatioModels = 1024    // models with a record of their own
)

// Observation is what one response shows. Nothing is learned from zero fields.
type Observation struct {
	WideBound  int64 // UpperBound of the prompt, or the model's context window
	TightBound int64 // TightBound of the prompt, if it was computed
	Actual     int64 // input tokens that the response reports, including cached ones
}

// Violation says which bound was lower than the tokens that a response was billed.
type Violation uint8

// The violations. If both bounds were too low it is WideViolated; Violations counts both.
const (
	NotViolated Violation = iota
	TightViolated
	WideViolated
)

// Violations count the responses of a model that were billed more tokens than a bound.
type Violations struct {
	Tight int64 // from the first one on the tight bound of the model must not be used
	Wide  int64
}

// Ratio learns, for each model, how many tokens are billed for one token of the wide bound, and whether the bounds hold. It keeps 1,024
// models; all others share one record. A Ratio is safe for concurrent use. Make one with NewRatio.
type Ratio struct {
	mu     sync.RWMutex
	models map[string]*modelRatio
	others modelRatio
}

// modelRatio is what was learned of one model, or of all those without a record of their own.
type modelRatio struct {
	mu         sync.Mutex
	guess      int64 // billed tokens for one token of the wide bound, in millionths
	violations Violations
}

// NewRatio returns a Ratio without any observations.
func NewRatio() *Ratio {
	return &Ratio{models: make(map[string]*modelRatio), others: modelRatio{guess: priorGuess}}
}

// Guess returns the most likely number of billed tokens for a prompt with the given wide bound, for rate limiting and never for a budget. It
// is a third of the bound until the model was observed, never more than the bound, and at least one token.
func (r *Ratio) Guess(model string, wideBound int64) int64 {
	m := r.find(model)
	m.mu.Lock()
	guess := m.guess
	m.mu.Unlock()
	return max(min(scale(wideBound, guess, 1_000_000), wideBound), 1)
}

// Violations returns how often the bounds of a model were too low.
func (r *Ratio) Violations(model string) Violations {
	m := r.find(model)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.violations
}

// Learn records one response and returns which bound was too low.
func (r *Ratio) Learn(model string, o Observation) Violation {
	if o.Actual <= 0 || o.WideBound <= 0 && o.TightBound <= 0 {
		return NotViolated
	}
	m := r.findOrAdd(model)
	m.mu.Lock()
	defer m.mu.Unlock()
	violated := NotViolated
	if o.TightBound > 0 && o.Actual > o.TightBound {
		m.violations.Tight++
		violated = TightViolated
	}
	if o.WideBound > 0 {
		// A guess is never more than the bound, whatever one response shows.
		ratio := min(scale(o.Actual, 1_000_000, o.WideBound), 1_000_000)
		m.guess += (ratio - m.guess) / guessWeight
		if o.Actual > o.WideBound {
			m.violations.Wide++
			violated = WideViolated
		}
	}
	return violated
}

// find returns the record of a model that was observed, or else the record that all models beyond the 1,024 share.
func (r *Ratio) find(model string) *modelRatio {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if m := r.models[model]; m != nil {
		return m
	}
	return &r.others
}

// findOrAdd returns the record of a model, and adds one if there is room; otherwise it returns the one that the other models share.
func (r *Ratio) findOrAdd(model string) *modelRatio {
	if m := r.find(model); m != &r.others {
		return m
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.models[model]
	if m == nil {
		if len(r.models) >= maxRatioModels {
			return &r.others
		}
		m = &modelRatio{guess: priorGuess}
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
