package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// TestAServerThatHangsCostsAGuardedCallTwoSeconds holds every store, as a user opens it, against servers and networks that fall silent:
// a guarded call is refused in the two seconds that the guard's defaults give it. The test prints how long it took; it fails at twice
// that, which no machine is too slow for.
func TestAServerThatHangsCostsAGuardedCallTwoSeconds(t *testing.T) {
	bedrock := bedrocktest.New(t, bedrocktest.Options{})
	call := &bedrockruntime.ConverseInput{
		ModelId:         aws.String("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(100)},
		Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "hello"}}}},
	}
	hangs := func(name string) bool {
		for _, part := range []string{"paused", "hangs", "busy", "locked by somebody", "network silent"} {
			if strings.Contains(name, part) && !strings.Contains(name, "closed") {
				return true
			}
		}
		return false
	}
	backend.Each(t, nil, func(t *testing.T, b backend.Backend, server backend.Server) {
		for _, trouble := range troubles(t, server) {
			if !hangs(trouble.name) {
				continue
			}
			t.Run(trouble.name, func(t *testing.T) {
				address := server.NewLedger(t)
				store, err := backend.Open(t.Context(), address, func(o *backend.Options) { o.Via = trouble.via })
				require.NoError(t, err)
				t.Cleanup(func() { _ = store.Close() })
				ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(1), Window: budget.Lifetime}}})
				require.NoError(t, err)
				guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
				require.NoError(t, err)
				client := guard.NewFromConfig(bedrock.Config())
				_, err = client.Converse(t.Context(), call)
				require.NoError(t, err)

				require.NoError(t, trouble.begin(address))
				began := time.Now()
				_, err = client.Converse(t.Context(), call)
				took := time.Since(began)
				require.NoError(t, trouble.end(address))
				require.ErrorIs(t, err, budget.ErrStore)
				t.Logf("%s, %s: refused after %s", b.Name, trouble.name, took.Round(time.Millisecond))
				require.Less(t, took, 4*time.Second)
			})
		}
	})
}
