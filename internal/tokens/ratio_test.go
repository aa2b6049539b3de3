package tokens

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRatio_TellsWhichBoundWasViolated(t *testing.T) {
	for name, tc := range map[string]struct {
		seen Observation
		want Violation
		kept Violations
	}{
		"both hold":         {Observation{WideBound: 100, TightBound: 50, Actual: 50}, NotViolated, Violations{}},
		"tight":             {Observation{WideBound: 100, TightBound: 50, Actual: 51}, TightViolated, Violations{Tight: 1}},
		"tight alone asked": {Observation{TightBound: 50, Actual: 51}, TightViolated, Violations{Tight: 1}},
		"wide":              {Observation{WideBound: 100, Actual: 101}, WideViolated, Violations{Wide: 1}},
		"both":              {Observation{WideBound: 100, TightBound: 50, Actual: 101}, WideViolated, Violations{Tight: 1, Wide: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRatio()
			assert.Equal(t, tc.want, r.Learn("m", tc.seen))
			assert.Equal(t, tc.kept, r.Violations("m"))
			assert.Zero(t, r.Violations("another"))
		})
	}
}

func TestRatio_GoodResponsesDoNotForgiveAViolation(t *testing.T) {
	r := NewRatio()
	r.Learn("m", Observation{TightBound: 50, Actual: 51})
	for range 1000 {
		r.Learn("m", Observation{WideBound: 100, TightBound: 50, Actual: 10})
	}
	assert.Equal(t, Violations{Tight: 1}, r.Violations("m"))
}

func TestRatio_Guess(t *testing.T) {
	r := NewRatio()
	assert.EqualValues(t, 300, r.Guess("m", 900))
	assert.EqualValues(t, 1, r.Guess("m", 0))
	for range 200 {
		r.Learn("m", Observation{WideBound: 1000, Actual: 200})
	}
	assert.InDelta(t, 200, r.Guess("m", 1000), 2)
	assert.LessOrEqual(t, r.Guess("m", math.MaxInt64), int64(math.MaxInt64))
}

func TestRatio_IgnoresWhatTeachesNothing(t *testing.T) {
	r := NewRatio()
	for _, o := range []Observation{{}, {TightBound: 5}, {Actual: 5}, {TightBound: -1, Actual: 5}, {WideBound: 5, Actual: -5}} {
		assert.Equal(t, NotViolated, r.Learn("m", o))
	}
	assert.Empty(t, r.models)
}

func TestRatio_ModelsBeyondTheLimitShareTheirViolations(t *testing.T) {
	r := NewRatio()
	for i := range maxRatioModels + 50 {
		r.Learn(fmt.Sprint(i), Observation{WideBound: 10, Actual: 10})
	}
	assert.Len(t, r.models, maxRatioModels)
	assert.Zero(t, r.Violations("one too many"))
	assert.Equal(t, TightViolated, r.Learn("one too many", Observation{TightBound: 10, Actual: 11}))
	assert.EqualValues(t, 1, r.Violations("one too many").Tight)
	assert.EqualValues(t, 1, r.Violations("never seen").Tight, "nobody beyond the limit is trusted any more")
	assert.Zero(t, r.Violations("0"))
}

func TestRatio_Concurrent(t *testing.T) {
	r := NewRatio()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				model := fmt.Sprint((g + i) % 5)
				r.Learn(model, Observation{WideBound: 100, TightBound: 32, Actual: 33})
				r.Violations(model)
				r.Guess(model, 100)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 800, r.Violations("0").Tight)
}

func BenchmarkRatio_Learn(b *testing.B) {
	r := NewRatio()
	b.ReportAllocs()
	for b.Loop() {
		r.Learn("m", Observation{WideBound: 3000, TightBound: 1200, Actual: 1100})
	}
}

func BenchmarkRatio_Violations(b *testing.B) {
	r := NewRatio()
	r.Learn("m", Observation{WideBound: 3000, TightBound: 1200, Actual: 1100})
	b.ReportAllocs()
	for b.Loop() {
		r.Violations("m")
	}
}
