package agenttest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/agenttest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spy collects what a failing test would print.
type spy struct {
	testing.TB
	errors []string
}

func (s *spy) Error(args ...any) { s.errors = append(s.errors, fmt.Sprint(args...)) }

// chat is an agent of so many turns that marks its system prompt, and its last two user turns if it is told to.
func chat(turns int, markTurns bool) func(context.Context, *bedrockruntime.Client) error {
	point := types.CachePointBlock{Type: types.CachePointTypeDefault}
	return func(ctx context.Context, client *bedrockruntime.Client) error {
		system := []types.SystemContentBlock{
			&types.SystemContentBlockMemberText{Value: strings.Repeat("Answer with care. ", 2000)},
			&types.SystemContentBlockMemberCachePoint{Value: point},
		}
		var texts []string
		for i := range turns {
			texts = append(texts, fmt.Sprintf("turn %d: %s", i, strings.Repeat("look at this part of the code too; ", 400)))
			var messages []types.Message
			for k, text := range texts {
				content := []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}
				if markTurns && k >= len(texts)-2 {
					content = append(content, &types.ContentBlockMemberCachePoint{Value: point})
				}
				messages = append(messages, types.Message{Role: types.ConversationRoleUser, Content: content})
				if k < len(texts)-1 {
					messages = append(messages, types.Message{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Understood."}}})
				}
			}
			_, err := client.Converse(ctx, &bedrockruntime.ConverseInput{
				ModelId: aws.String("us.anthropic.claude-opus-4-6-v1"), System: system, Messages: messages,
				InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(100)},
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func TestAnAgentThatCachesPasses(t *testing.T) {
	r := agenttest.Check(t, agenttest.Goal{MinHitShare: 0.8, MaxCost: budget.USD(3), NoFindings: true}, chat(20, true))
	require.Equal(t, 20, r.Bill.Inferences)
	require.Empty(t, r.String())
}

func TestAnAgentThatDoesNotIsToldWhy(t *testing.T) {
	s := &spy{TB: t}
	agenttest.Check(s, agenttest.Goal{MinHitShare: 0.8}, chat(10, false))
	require.Len(t, s.errors, 1)
	require.Contains(t, s.errors[0], "of the input was read from the cache, want 80.0 % or more")
	require.Contains(t, s.errors[0], "uncached-tail (G3)")
	require.Contains(t, s.errors[0], "change")
}

func TestAnAgentThatCostsTooMuchFails(t *testing.T) {
	s := &spy{TB: t}
	r := agenttest.Check(s, agenttest.Goal{MaxCost: budget.USD(0.30)}, chat(20, false))
	require.Len(t, s.errors, 1)
	require.Contains(t, s.errors[0], "the agent failed")
	require.Contains(t, s.errors[0], `limit "agenttest" exceeded`)
	require.LessOrEqual(t, r.Bill.NanoUSD, budget.USD(0.30).N, "the price is a hard limit")
}

func TestTheAgentsOwnErrorAndListenerAreKept(t *testing.T) {
	s, heard := &spy{TB: t}, 0
	goal := agenttest.Goal{NoFindings: true}
	goal.Guard.Cache.Mode = cache.Report
	goal.Guard.OnEvent = func(context.Context, bedrockguard.Event) { heard++ }
	agenttest.Check(s, goal, func(ctx context.Context, client *bedrockruntime.Client) error {
		return errors.Join(chat(4, false)(ctx, client), errors.New("out of ideas"))
	})
	require.Len(t, s.errors, 2)
	require.Contains(t, s.errors[0], "out of ideas")
	require.Contains(t, s.errors[1], "findings, want none")
	require.Positive(t, heard)
}
