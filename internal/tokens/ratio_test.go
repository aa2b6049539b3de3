package tokens

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func learn(r *Ratio, times int, estimate, actual int64) {
	for range times {
		r.Learn("m", Observation{Estimate: estimate, Actual: actual})
	}
}

func TestRatio_Factor(t *testing.T) {
	r := NewRatio()
	assert.EqualValues(t, PriorFactor, r.Factor("m"), "unknown")
	learn(r, 31, 1000, 1200)
	assert.EqualValues(t, PriorFactor, r.Factor("m"), "too few")
	learn(r, 1, 1000, 1200)
	assert.EqualValues(t, 1500, r.Factor("m"), "1.2 x 1.25")
	assert.EqualValues(t, 1500, r.Bound("m", 1000))
	learn(r, 1, 1000, 1300)
	assert.EqualValues(t, 1625, r.Factor("m"), "the largest counts")
	learn(r, 63, 1000, 500)
	assert.EqualValues(t, 1625, r.Factor("m"), "still in the window")
	learn(r, 1, 1000, 500)
	assert.EqualValues(t, 1050, r.Factor("m"), "never below the floor")
	assert.Zero(t, r.Violations("m"))
}

func TestRatio_ViolationResetsToThePrior(t *testing.T) {
	r := NewRatio()
	learn(r, 40, 1000, 1000)
	assert.EqualValues(t, 1250, r.Factor("m"))
	assert.True(t, r.Learn("m", Observation{Estimate: 1000, Actual: 1251}))
	assert.EqualValues(t, 1, r.Violations("m"))
	assert.EqualValues(t, PriorFactor, r.Factor("m"))
	learn(r, 31, 1000, 1000)
	assert.EqualValues(t, PriorFactor, r.Factor("m"), "trust is earned anew")
	assert.True(t, r.Learn("m", Observation{UpperBound: 10, Actual: 11}))
	assert.EqualValues(t, 2, r.Violations("m"))
}

func TestRatio_NeverAboveThePrior(t *testing.T) {
	r := NewRatio()
	learn(r, 100, 1000, 1900)
	assert.EqualValues(t, PriorFactor, r.Factor("m"))
}

func TestRatio_Guess(t *testing.T) {
	r := NewRatio()
	assert.EqualValues(t, 300, r.Guess("m", 900))
	assert.EqualValues(t, 1, r.Guess("m", 0))
	for range 200 {
		r.Learn("m", Observation{UpperBound: 1000, Actual: 200})
	}
	assert.InDelta(t, 200, r.Guess("m", 1000), 2)
	assert.LessOrEqual(t, r.Guess("m", math.MaxInt64), int64(math.MaxInt64))
}

func TestRatio_IgnoresWhatTeachesNothing(t *testing.T) {
	r := NewRatio()
	for _, o := range []Observation{{}, {Estimate: 5}, {Actual: 5}, {Estimate: -1, Actual: 5}, {Estimate: 5, Actual: -5}} {
		assert.False(t, r.Learn("m", o))
	}
	assert.Empty(t, r.models)
	assert.EqualValues(t, math.MaxInt64, r.Bound("m", math.MaxInt64))
}

func TestRatio_BoundedNumberOfModels(t *testing.T) {
	r := NewRatio()
	for i := range maxRatioModels + 50 {
		r.Learn(fmt.Sprint(i), Observation{Estimate: 10, Actual: 10})
	}
	assert.Len(t, r.models, maxRatioModels)
	assert.True(t, r.Learn("one too many", Observation{Estimate: 10, Actual: 21}))
	assert.EqualValues(t, PriorFactor, r.Factor("one too many"))
}

func TestRatio_Concurrent(t *testing.T) {
	r := NewRatio()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				model := fmt.Sprint((g + i) % 5)
				r.Learn(model, Observation{UpperBound: 100, Estimate: 30, Actual: 33})
				r.Factor(model)
				r.Guess(model, 100)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1375, r.Factor("0"))
}

func BenchmarkRatio_Learn(b *testing.B) {
	r := NewRatio()
	b.ReportAllocs()
	for b.Loop() {
		r.Learn("m", Observation{UpperBound: 3000, Estimate: 1000, Actual: 1100})
	}
}

func BenchmarkRatio_Factor(b *testing.B) {
	r := NewRatio()
	r.Learn("m", Observation{UpperBound: 3000, Estimate: 1000, Actual: 1100})
	b.ReportAllocs()
	for b.Loop() {
		r.Factor("m")
	}
}
