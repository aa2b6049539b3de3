package agenttest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/agenttest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// A stream that the agent left is drained in the background while the result is read.
func TestTheResultIsReadAfterDrains(t *testing.T) {
	r := agenttest.Check(t, agenttest.Goal{
		Server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.MissingUsage), EventDelay: 20 * time.Millisecond},
		Guard:  bedrockguard.Options{DrainTimeout: 10 * time.Second},
	}, func(ctx context.Context, client *bedrockruntime.Client) error {
		out, err := client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
			ModelId:  aws.String("us.anthropic.claude-opus-4-6-v1"),
			Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: strings.Repeat("hello there ", 10)}}}},
		})
		if err != nil {
			return err
		}
		return out.GetStream().Close()
	})
	require.NotEmpty(t, r.Calls, "the finding that comes with the end of the stream")
}
