package pricing

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// What the reading does not know, because a later SDK has it or a field is missing, must not count as nothing.
func TestUnknownMembersAreUnbounded(t *testing.T) {
	unknown := &types.UnknownUnionMember{Tag: "new", Value: []byte("xyz")}
	content := func(b types.ContentBlock) converse.Request {
		return converse.Request{Messages: []types.Message{userTurn(textBlock("x")), userTurn(textBlock("x"), b)}}
	}
	cites := func(c types.CitationsContentBlock) converse.Request {
		return content(&types.ContentBlockMemberCitationsContent{Value: c})
	}
	file := func(s types.DocumentSource) converse.Request {
		return content(&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Format: types.DocumentFormatTxt, Source: s}})
	}
	tools := func(all ...types.Tool) converse.Request {
		return converse.Request{Tools: &types.ToolConfiguration{Tools: all}}
	}
	for name, r := range map[string]converse.Request{
		"no block":                content(nil),
		"new block":               content(unknown),
		"no part of a result":     content(toolResult("t", nil)),
		"new part of a result":    content(toolResult("t", unknown)),
		"new reasoning":           content(&types.ContentBlockMemberReasoningContent{Value: unknown}),
		"no reasoning":            content(&types.ContentBlockMemberReasoningContent{}),
		"video":                   content(&types.ContentBlockMemberVideo{}),
		"audio":                   content(&types.ContentBlockMemberAudio{}),
		"nothing guarded":         content(&types.ContentBlockMemberGuardContent{}),
		"guarded picture of none": content(&types.ContentBlockMemberGuardContent{Value: &types.GuardrailConverseContentBlockMemberImage{}}),
		"no file":                 file(nil),
		"file elsewhere":          file(&types.DocumentSourceMemberS3Location{}),
		"new source of a file":    file(unknown),
		"new part of a file":      file(&types.DocumentSourceMemberContent{Value: []types.DocumentContentBlock{unknown}}),
		"new generated content":   cites(types.CitationsContentBlock{Content: []types.CitationGeneratedContent{unknown}}),
		"new source content":      cites(types.CitationsContentBlock{Citations: []types.Citation{{SourceContent: []types.CitationSourceContent{unknown}}}}),
		"no system block":         {System: []types.SystemContentBlock{nil}},
		"new system block":        {System: []types.SystemContentBlock{unknown}},
		"no tool":                 tools(nil),
		"new tool":                tools(unknown),
		"new schema":              tools(&types.ToolMemberToolSpec{Value: types.ToolSpecification{InputSchema: unknown}}),
		"new variable":            {Variables: map[string]types.PromptVariableValues{"v": unknown}},
		"new form of the answer":  {Output: &types.OutputConfig{TextFormat: &types.OutputFormat{Structure: unknown}}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := askOfConverse(&r)
			require.NoError(t, err)
			require.Len(t, a.prompt.Blocks, 1)
			_, bounded := tokens.MediaBound(&a.prompt, tokens.LimitsFor("anthropic"))
			require.False(t, bounded)
		})
	}
}

// The dearest lifetime counts, and one that nobody knows is dear.
func TestLifetimesAreBoundedByTheDearest(t *testing.T) {
	for ttl, want := range map[types.CacheTTL]price.CacheWrites{
		"": price.CacheWrites5m, "5m": price.CacheWrites5m, "1h": price.CacheWrites1h, "30m": price.CacheWrites1h, "300s": price.CacheWrites1h, "5m0s": price.CacheWrites1h, "soon": price.CacheWrites1h,
	} {
		r := converse.Request{Messages: []types.Message{userTurn(contentPoint("5m"), contentPoint(ttl), contentPoint(""))}}
		a, err := askOfConverse(&r)
		require.NoError(t, err)
		require.Equal(t, want, a.Writes, ttl)
	}
}

// What is billed apart is counted, wherever it stands.
func TestTheMeterCountsWhatIsBilledApart(t *testing.T) {
	picture := types.ImageBlock{Source: &types.ImageSourceMemberS3Location{}}
	r := converse.Request{
		Tools: &types.ToolConfiguration{Tools: []types.Tool{toolSpec("f", "d"), &types.ToolMemberSystemTool{Value: types.SystemTool{Name: aws.String("g")}}, &types.ToolMemberCachePoint{}}},
		Messages: []types.Message{userTurn(
			&types.ContentBlockMemberImage{Value: picture}, &types.ContentBlockMemberImage{},
			toolResult("t", &types.ToolResultContentBlockMemberImage{Value: picture}, &types.ToolResultContentBlockMemberVideo{}),
			&types.ContentBlockMemberVideo{}, &types.ContentBlockMemberAudio{},
		)},
	}
	a, err := askOfConverse(&r)
	require.NoError(t, err)
	require.Equal(t, []int64{3, 2, 1}, []int64{a.images, a.videos, a.audios})
	require.Equal(t, 2, a.prompt.Tools)
	require.Equal(t, []string{featureSystemTool}, a.unpriced)
	require.False(t, a.Decodable, "a tool at the service can make an answer of several inferences")
}

func askOfConverse(p *converse.Request) (a Demand, err error) {
	err = a.readConverse(p)
	return a, err
}
