package bedrockguard_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// Whatever refuses a call says what it was, and what the caller can do about it.
func TestEveryRefusalSaysWhatToDo(t *testing.T) {
	ctx := context.Background()
	converse := func(change func(*bedrockruntime.ConverseInput)) func(*rig) error {
		return func(r *rig) error {
			in := converseInput("hello")
			change(in)
			_, err := r.client.Converse(ctx, in)
			return err
		}
	}
	plain := converse(func(*bedrockruntime.ConverseInput) {})
	model := func(id string) func(*rig) error {
		return converse(func(in *bedrockruntime.ConverseInput) { in.ModelId = aws.String(id) })
	}
	guarded := func(o bedrockguard.Options) settings { return settings{guard: o} }
	for name, tc := range map[string]struct {
		settings settings
		call     func(*rig) error
		is       error
		says     []string
	}{
		"killed": {settings{}, func(r *rig) error {
			require.NoError(t, storetest.Done(r.ledger.KillAll(ctx, "runaway loop")))
			return plain(r)
		}, budget.ErrKilled, []string{"runaway loop", "refused until it is revived"}},
		"store": {settings{store: &failingStore{Store: memstore.New(memstore.Options{}), reserve: errors.New("connection refused")}}, plain, budget.ErrStore, []string{"connection refused", "try again once the store answers"}},
		"rate, never": {
			guarded(bedrockguard.Options{Rate: bedrockguard.Rate{UncachedInputTokensPerMinute: 1}}), plain, bedrockguard.ErrRateLimited,
			[]string{"uncached input tokens", "1 per minute", "larger than the burst: shorten the prompt or raise Rate.Burst"},
		},
		"rate, later": {guarded(bedrockguard.Options{Rate: bedrockguard.Rate{UncachedInputTokensPerMinute: 600}}), func(r *rig) error {
			for {
				if err := plain(r); err != nil {
					return err
				}
			}
		}, bedrockguard.ErrRateLimited, []string{"600 per minute", "retry after"}},
		"unknown model": {settings{}, model("acme.unheard-of-v1:0"), bedrockguard.ErrUnpriced, []string{"acme.unheard-of-v1:0"}},
		"opaque ARN":    {settings{}, model("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"), bedrockguard.ErrUnpriced, []string{"ModelFor"}},
		"guardrail":     {settings{}, converse(func(in *bedrockruntime.ConverseInput) { in.GuardrailConfig = &types.GuardrailConfiguration{} }), bedrockguard.ErrUnpriced, []string{"Options.FlatPrices"}},
		"mode": {settings{}, converse(func(in *bedrockruntime.ConverseInput) {
			in.PerformanceConfig = &types.PerformanceConfiguration{Latency: types.PerformanceConfigLatencyOptimized}
		}), bedrockguard.ErrUnpriced, []string{"leave the mode out, or add its price"}},
		"tier": {settings{}, converse(func(in *bedrockruntime.ConverseInput) { in.ServiceTier = &types.ServiceTier{Type: "golden"} }), bedrockguard.ErrUnpriced, []string{"use default, flex, priority"}},
		"operation": {settings{}, func(r *rig) error {
			_, err := r.client.ApplyGuardrail(ctx, &bedrockruntime.ApplyGuardrailInput{
				GuardrailIdentifier: aws.String("g"), GuardrailVersion: aws.String("1"), Source: types.GuardrailContentSourceInput,
				Content: []types.GuardrailContentBlock{&types.GuardrailContentBlockMemberText{Value: types.GuardrailTextBlock{Text: aws.String("hello")}}},
			})
			return err
		}, bedrockguard.ErrUnsupportedOperation, []string{"ApplyGuardrail", "Options.FlatPrices"}},
		"malformed input": {settings{}, converse(func(in *bedrockruntime.ConverseInput) { in.InferenceConfig = maxTokens(-1) }), bedrockguard.ErrMalformedRequest, []string{"inferenceConfig.maxTokens", "want at least 1", "mend the request"}},
		"malformed body":  {settings{}, func(r *rig) error { return invoke(ctx, r.client, sonnet, `{"max_tokens":1.5}`) }, bedrockguard.ErrMalformedRequest, []string{"max_tokens at byte", "not a non-negative integer", "mend the request"}},
		"identity":        {guarded(bedrockguard.Options{Identity: func(context.Context) (string, error) { return "", errors.New("no credentials") }}), plain, bedrockguard.ErrIdentity, []string{"no credentials", "nobody knows who would pay", "budget.WithScope"}},
		"another principal": {guarded(bedrockguard.Options{Identity: func(context.Context) (string, error) { return "ci", nil }}), func(r *rig) error {
			_, err := r.client.Converse(budget.WithScope(ctx, budget.Scope{Principal: "ann"}), converseInput("hello"))
			return err
		}, budget.ErrInvalidScope, []string{"principal", "use a tag for a finer split"}},
		"cache": {guarded(bedrockguard.Options{Cache: cache.Policy{Mode: cache.Refuse}, Clock: func() time.Time { return time.Unix(1e9, 0) }}), func(r *rig) error {
			return onlySystemMarked(newScript(r.client, newFastClock())).say(inWorkflow("refused"), textBlock(passage(1, 30_000)))
		}, cache.ErrRefused, []string{"uncached-tail", "put a cache point behind the last user turn"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.settings)
			err := tc.call(r)
			require.ErrorIs(t, err, tc.is)
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}
