package bedrockguard_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Whoever asks first is told what the call then does, call by call until nothing fits any more: which model answers, what is set aside for an
// answer that is shortened into what is left, and the refusal.
func TestEstimateForetellsSubstitutesAndShortenedAnswers(t *testing.T) {
	for name, o := range map[string]bedrockguard.Options{
		"substitute": {Substitute: cheaperFrom(0.5, cheap)},
		"clamp":      {Output: bedrockguard.Output{Clamp: true, Floor: 20}},
		"both":       {Output: bedrockguard.Output{Clamp: true, Floor: 20, Default: 900}, Substitute: cheaperFrom(0.5, cheap)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{
				limits: []budget.Limit{{Name: "small", Max: budget.USD(0.05), Window: budget.Daily}, {Name: "output", Max: budget.OutputTokens(9000), Window: budget.Daily}},
				guard:  o, server: bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply { return bedrocktest.Reply{OutputTokens: 150} }},
			})
			models := make(map[string]bool)
			for n := 0; ; n++ {
				require.Less(t, n, 200)
				in := converseInput("hello")
				in.ModelId, in.InferenceConfig = aws.String(dear), maxTokens(1000)
				told := len(r.events.all)
				e, err := r.guard.Estimate(context.Background(), in, inRegion)
				require.NoError(t, err)
				require.Len(t, r.events.all, told, "nothing is told by asking")
				_, err = r.client.Converse(context.Background(), in)
				if err != nil {
					require.Error(t, e.Refusal)
					require.ErrorContains(t, err, e.Refusal.Error())
					break
				}
				require.NoError(t, e.Refusal)
				reserved := r.events.of(bedrockguard.EventReserved)
				last := reserved[len(reserved)-1]
				require.Equal(t, last.Model, e.Model)
				require.Equal(t, last.Worst, e.Worst)
				models[e.Model] = true
			}
			if o.Substitute != nil {
				require.Len(t, models, 2)
			}
			if o.Output.Clamp {
				require.NotEmpty(t, r.events.of(bedrockguard.EventOutputLimited))
			}
		})
	}
}
