package bedrockguard_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// TestARefusalWithoutATighterBoundLatches: the first refusal is tentative, so one that nothing can tighten has to be
// made again in earnest.
func TestARefusalWithoutATighterBoundLatches(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, settings{limits: []budget.Limit{{Name: "latched", Max: budget.InputTokens(5000), Window: budget.Lifetime, Latch: true}}})
	_, err := r.client.Converse(ctx, converseInput("hello"))
	require.NoError(t, err)
	unknown := converseInput("hello")
	unknown.ModelId = aws.String(novaPro)
	unknown.Messages[0].Content = append(unknown.Messages[0].Content, &types.ContentBlockMemberVideo{Value: types.VideoBlock{
		Format: types.VideoFormatMp4, Source: &types.VideoSourceMemberBytes{Value: []byte("of a length that is no measure")},
	}})
	var denied *budget.ExceededError
	_, err = r.client.Converse(ctx, unknown)
	require.ErrorAs(t, err, &denied)
	require.False(t, denied.Latched, "the first refusal is the reason, not its echo")
	_, err = r.client.Converse(ctx, converseInput("hello"))
	require.ErrorAs(t, err, &denied)
	require.True(t, denied.Latched)
	require.Equal(t, 1, r.server.Requests())
}
