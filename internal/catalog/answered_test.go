package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// A name that fits two models costs at least what either of them would, whatever the length of the input.
func TestHigherOfIsNoCheaperForALongContext(t *testing.T) {
	rates := func(input price.PicoUSD) price.Rates { return price.Rates{Input: input, Output: 2 * input} }
	model := func(input price.PicoUSD, threshold int64, long price.PicoUSD) *Resolved {
		p := price.Price{Rates: rates(input)}
		if threshold > 0 {
			p.LongContext = price.LongContext{Threshold: threshold, Rates: rates(long)}
		}
		return &Resolved{Price: p}
	}
	for name, pair := range map[string][2]*Resolved{
		"only the cheaper one has a long context": {model(10, 0, 0), model(8, 200, 16)},
		"the cheaper one's begins earlier":        {model(10, 300, 20), model(8, 200, 16)},
		"the dearer one's begins earlier":         {model(10, 200, 20), model(8, 300, 30)},
		"none has":                                {model(10, 0, 0), model(8, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			merged := higherOf(pair[0], pair[1])
			require.Equal(t, merged.Price, higherOf(pair[1], pair[0]).Price)
			for input := int64(100); input <= 400; input += 50 {
				for _, one := range pair {
					require.GreaterOrEqual(t, rateAt(&merged.Price, input).Input, rateAt(&one.Price, input).Input, "%d tokens", input)
					require.GreaterOrEqual(t, rateAt(&merged.Price, input).Output, rateAt(&one.Price, input).Output, "%d tokens", input)
				}
			}
		})
	}
}

// A name that fits two models has latency-optimised rates if either of them has, and they are no cheaper than what either costs in that mode.
func TestHigherOfIsNoCheaperInTheLatencyOptimisedMode(t *testing.T) {
	rates := func(input price.PicoUSD) price.Rates { return price.Rates{Input: input, Output: 2 * input} }
	model := func(input, optimized price.PicoUSD) *Resolved {
		r := &Resolved{Price: price.Price{Rates: rates(input)}}
		if optimized > 0 {
			fast := rates(optimized)
			r.LatencyOptimized = &fast
		}
		return r
	}
	inThatMode := func(r *Resolved) price.Rates {
		if r.LatencyOptimized == nil {
			return r.Price.Rates
		}
		return *r.LatencyOptimized
	}
	for name, pair := range map[string][2]*Resolved{
		"only the cheaper one has the mode":                      {model(10, 0), model(8, 16)},
		"only the cheaper one has it, below the dearer standard": {model(10, 0), model(8, 9)},
		"only the dearer one has it":                             {model(10, 20), model(8, 0)},
		"both have it":                                           {model(10, 12), model(8, 16)},
	} {
		t.Run(name, func(t *testing.T) {
			merged := higherOf(pair[0], pair[1])
			require.Equal(t, merged.LatencyOptimized, higherOf(pair[1], pair[0]).LatencyOptimized)
			require.NotNil(t, merged.LatencyOptimized)
			for _, one := range pair {
				require.GreaterOrEqual(t, merged.LatencyOptimized.Input, inThatMode(one).Input)
				require.GreaterOrEqual(t, merged.LatencyOptimized.Output, inThatMode(one).Output)
			}
		})
	}
	require.Nil(t, higherOf(model(10, 0), model(8, 0)).LatencyOptimized)
}

// rateAt returns the rates of an input of so many tokens.
func rateAt(p *price.Price, tokens int64) price.Rates {
	if p.LongContext.Threshold > 0 && tokens > p.LongContext.Threshold {
		return p.LongContext.Rates
	}
	return p.Rates
}
