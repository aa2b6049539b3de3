package odds

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In the outcomes a 1 is a prefix that was read again.
func TestTrendTellsOccasionalChangesFromOnesInEachRequest(t *testing.T) {
	for outcomes, want := range map[string]struct{ likely, broken, again bool }{
		"":                     {},
		"1":                    {likely: true},
		"0":                    {broken: true},
		"00":                   {broken: true, again: true},
		"10":                   {broken: true},
		"101":                  {}, // the only good one before it was followed by a bad one
		"1010":                 {broken: true},
		"10101010":             {likely: true}, // a good one has followed each bad one
		"111111110":            {broken: true},
		"1111111101":           {likely: true},
		"0000":                 {broken: true, again: true},
		"00001":                {likely: true, again: true},
		"000010":               {broken: true, again: true},
		"11111111111111111110": {broken: true},
	} {
		var trend Trend
		for _, outcome := range outcomes {
			trend.Add(outcome == '1')
		}
		broken, again := trend.Broken()
		assert.Equal(t, want.likely, trend.Likely(), "%q", outcomes)
		assert.Equal(t, []bool{want.broken, want.again}, []bool{broken, again}, "%q", outcomes)
	}
}

func TestStepsCountByDepthAndByWorkflow(t *testing.T) {
	var steps Steps
	at := time.Unix(1_800_000_000, 0)
	require.False(t, steps.RarelyGoOn(1, 1, at), "nothing is known")
	require.False(t, steps.MostlyGoOn(1, at))

	first, second := steps.Add(1, 1, at), steps.Add(1, 1, at)
	steps.Follow(first, at.Add(time.Minute), true)
	require.False(t, steps.MostlyGoOn(1, at.Add(time.Minute)), "the second one may still go on")
	steps.Follow(second, at.Add(time.Minute), true)
	require.True(t, steps.MostlyGoOn(1, at.Add(time.Minute)))
	require.False(t, steps.MostlyGoOn(2, at.Add(time.Minute)), "another workflow's")

	for range 5 {
		steps.Add(1, 3, at)
	}
	require.False(t, steps.RarelyGoOn(1, 3, at.Add(time.Minute)), "all may still go on")
	require.True(t, steps.RarelyGoOn(1, 3, at.Add(time.Hour)), "they are silent for long")
	require.True(t, steps.RarelyGoOn(9, 3, at.Add(time.Hour)), "what is known of others counts for a workflow without history")
	require.False(t, steps.RarelyGoOn(1, 4, at.Add(time.Hour)))

	steps.Add(1, 2, at)
	require.True(t, steps.RarelyGoOn(1, 2, at), "one second request is written until it is followed by a third")
}

func TestStepsForgetTheOldest(t *testing.T) {
	var steps Steps
	at := time.Unix(1_800_000_000, 0)
	old := steps.Add(1, 1, at)
	for range maxSteps {
		steps.Add(2, 1, at)
	}
	steps.Follow(old, at, true)
	steps.Follow(-1, at, true)
	require.False(t, steps.MostlyGoOn(1, at))
	require.False(t, steps.MostlyGoOn(2, at), "the number of a forgotten request is nobody else's")
}
