package cachepoints

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// placingClient puts cache points where they should stand and sends the request, without a guard.
type placingClient struct {
	client *bedrockruntime.Client
	model  cache.Model
	id     string
}

// modelFacts is what the catalog says of a model's caching.
func modelFacts(modelID, region string) (cache.Model, error) {
	r, err := catalog.Default().Resolve(modelID, region)
	if err != nil {
		return cache.Model{}, err
	}
	return Model(r), nil
}

func newPlacingClient(tb testing.TB, server *bedrocktest.Server, modelID string) *placingClient {
	m, err := modelFacts(modelID, "us-east-1")
	require.NoError(tb, err)
	return &placingClient{client: bedrockruntime.NewFromConfig(server.Config()), model: m, id: modelID}
}

func (c *placingClient) send(in *bedrockruntime.ConverseInput) (*types.TokenUsage, error) {
	in.ModelId = &c.id
	in.InferenceConfig = &types.InferenceConfiguration{MaxTokens: aws.Int32(500)}
	parts := partsOf(in)
	p := new(prompt.Prompt)
	fillPrompt(p, parts)
	fixed := WithPoints(in, p, cache.Place(p, c.model, cache.PlaceOptions{}))
	out, err := c.client.Converse(context.Background(), fixed.(*bedrockruntime.ConverseInput))
	if err != nil {
		return nil, err
	}
	return out.Usage, nil
}

func quickServer(tb testing.TB) *bedrocktest.Server {
	return bedrocktest.New(tb, bedrocktest.Options{Without: bedrocktest.Rules()})
}

// agent is a conversation with tools: every request repeats what was said before.
type agent struct {
	in      *bedrockruntime.ConverseInput
	reasons bool // the model shows its reasoning
	pending []string
}

func newAgent(reasons bool) *agent {
	in := &bedrockruntime.ConverseInput{ToolConfig: &types.ToolConfiguration{}}
	for i := range 8 {
		in.ToolConfig.Tools = append(in.ToolConfig.Tools, toolSpec(fmt.Sprint("tool", i), strings.Repeat("Reads, writes or runs something, and tells what came of it. ", 10)))
	}
	in.System = []types.SystemContentBlock{systemText(strings.Repeat("You are a careful engineer; you change little and test all of it. ", 500))}
	return &agent{in: in, reasons: reasons}
}

// ask adds the user's next message: the results of the tools that were used, and the content given.
func (a *agent) ask(content ...types.ContentBlock) {
	var results []types.ContentBlock
	for _, id := range a.pending {
		results = append(results, toolResult(id, resultText(strings.Repeat("the output of "+id+" goes on; ", 12))))
	}
	a.pending = nil
	a.in.Messages = append(a.in.Messages, userTurn(append(results, content...)...))
}

// answer adds the model's message, with so many uses of tools.
func (a *agent) answer(turn, tools int) {
	var content []types.ContentBlock
	if a.reasons {
		content = append(content, reasoning(fmt.Sprint("the reasons of turn ", turn)))
	}
	content = append(content, textBlock(fmt.Sprintf("In turn %d I look at some files. %s", turn, strings.Repeat("That seems right. ", 20))))
	for i := range tools {
		id := fmt.Sprintf("call-%d-%d", turn, i)
		content = append(content, toolUse(id, "tool0", map[string]any{"path": id, "mode": "r"}))
		a.pending = append(a.pending, id)
	}
	a.in.Messages = append(a.in.Messages, assistantTurn(content...))
}

// TestPlacedPromptsAreAccepted runs agents of many turns, with fan-outs wider than the lookback, images, documents,
// reasoning, and cache points of their own in places where the service refuses them.
func TestPlacedPromptsAreAccepted(t *testing.T) {
	for id, want := range map[string]struct{ reasons, caches bool }{
		"global.anthropic.claude-opus-5-5":                                         {true, true},
		"us.anthropic.claude-sonnet-4-6":                                           {true, true},
		"us.anthropic.claude-haiku-4-5-20251001-v1:0":                              {false, true},
		"anthropic.claude-3-7-sonnet-20250219-v1:0":                                {false, true},
		"us.amazon.nova-pro-v1:0":                                                  {false, true},
		"us.amazon.nova-2-lite-v1:0":                                               {true, true},
		"qwen.qwen3-235b-a22b-2507-v1:0":                                           {false, false},
		"us.meta.llama3-3-70b-instruct-v1:0":                                       {false, false},
		"mistral.mistral-large-3-675b-instruct":                                    {true, false},
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6-v1": {false, true},
	} {
		t.Run(id, func(t *testing.T) {
			server := quickServer(t)
			client := newPlacingClient(t, server, id)
			a := newAgent(want.reasons)
			a.in.System = append(a.in.System, &types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}})
			a.in.ToolConfig.Tools = append(a.in.ToolConfig.Tools, &types.ToolMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: types.CacheTTLFiveMinutes}})
			for turn := range 24 {
				content := []types.ContentBlock{contentPoint(types.CacheTTLOneHour)}
				switch turn % 4 {
				case 0:
					content = append(content, textBlock(fmt.Sprint("go on with step ", turn)), contentPoint(""))
				case 1:
					content = append(content, &types.ContentBlockMemberImage{Value: pngBlock(t, 64, 64+turn)}, contentPoint(types.CacheTTLOneHour))
				case 2:
					content = append(content, &types.ContentBlockMemberDocument{Value: types.DocumentBlock{
						Name: aws.String(fmt.Sprint("notes ", turn)), Format: types.DocumentFormatTxt, Source: &types.DocumentSourceMemberBytes{Value: []byte("some notes")},
					}}, contentPoint(""))
				default:
					content = nil
				}
				if turn == 0 {
					content = content[1:]
				}
				if len(a.pending) == 0 && content == nil {
					content = append(content, textBlock("and now?"))
				}
				a.ask(content...)
				_, err := client.send(a.in)
				require.NoError(t, err, "turn %d", turn)
				a.answer(turn, []int{1, 25, 3, 0}[turn%4])
				if want.reasons {
					last := &a.in.Messages[len(a.in.Messages)-1]
					last.Content = append(last.Content, contentPoint("")) // where Claude takes none
				}
			}
			require.Equal(t, want.caches, server.Bill().CacheRead.Tokens > 0)
		})
	}
}

// TestPlacedAgentReadsWhatItWrote is the whole point: over fifty turns, fan-outs of 25 tools among them, each request reads
// all that the one before it had in the cache when it ended.
func TestPlacedAgentReadsWhatItWrote(t *testing.T) {
	for id, reasons := range map[string]bool{"global.anthropic.claude-opus-5-5": true, "us.anthropic.claude-sonnet-5": false} {
		t.Run(id, func(t *testing.T) {
			server := quickServer(t)
			client := newPlacingClient(t, server, id)
			a := newAgent(reasons)
			before := int64(0)
			for turn := range 50 {
				if len(a.pending) > 0 {
					a.ask()
				} else {
					a.ask(textBlock(fmt.Sprint("please take step ", turn)))
				}
				usage, err := client.send(a.in)
				require.NoError(t, err)
				read, written := int64(aws.ToInt32(usage.CacheReadInputTokens)), int64(aws.ToInt32(usage.CacheWriteInputTokens))
				require.Equal(t, before, read, "turn %d", turn)
				// What ends the prompt's template is fresh on each turn, as it is on AWS: a few tokens, and no block.
				require.LessOrEqual(t, *usage.InputTokens, int32(6), "turn %d leaves nothing unmarked", turn)
				before = read + written
				a.answer(turn, []int{1, 3, 25, 0}[turn%4])
			}
			bill := server.Bill()
			t.Logf("%d input tokens, %.1f %% of them read", bill.Input.Tokens+bill.CacheRead.Tokens+bill.CacheWrite.Tokens, 100*bill.CacheHitShare())
			require.Greater(t, bill.CacheHitShare(), 0.9)
		})
	}
}

// TestPlacingNeverSpoilsARequest sends random requests: what the service accepts without cache points it accepts with those
// that Place leaves and adds.
func TestPlacingNeverSpoilsARequest(t *testing.T) {
	server := quickServer(t)
	clients := map[string]*placingClient{}
	ids := []string{"us.anthropic.claude-opus-5", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-pro-v1:0", "qwen.qwen3-235b-a22b-2507-v1:0"}
	for _, id := range ids {
		clients[id] = newPlacingClient(t, server, id)
	}
	refused := 0
	rapid.Check(t, func(rt *rapid.T) {
		c := clients[rapid.SampledFrom(ids).Draw(rt, "model")]
		in := drawConversation(rt)
		_, err := c.send(in)
		require.NoError(rt, err)
		if _, err := c.client.Converse(context.Background(), in); err != nil {
			refused++
		}
	})
	require.NotZero(t, refused, "of the requests as they were drawn")
	require.Positive(t, server.Bill().CacheRead.Tokens)
}

// drawConversation draws a conversation that the service accepts but for its cache points.
func drawConversation(t *rapid.T) *bedrockruntime.ConverseInput {
	a := newAgent(rapid.Bool().Draw(t, "reasons"))
	if rapid.Bool().Draw(t, "short prompt") {
		a.in.System = nil
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "system texts") {
		a.in.System = append(a.in.System, systemText(fmt.Sprint("rule ", i)))
	}
	for turn := range rapid.IntRange(0, 6).Draw(t, "turns") {
		a.ask(textBlock(strings.Repeat("go on, ", rapid.IntRange(1, 400).Draw(t, "words"))))
		a.answer(turn, rapid.IntRange(0, 25).Draw(t, "tools"))
	}
	a.ask(textBlock("the end"))
	a.in.ToolConfig.Tools = sprinkle(t, a.in.ToolConfig.Tools, func(b types.CachePointBlock) types.Tool { return &types.ToolMemberCachePoint{Value: b} })
	a.in.System = sprinkle(t, a.in.System, func(b types.CachePointBlock) types.SystemContentBlock {
		return &types.SystemContentBlockMemberCachePoint{Value: b}
	})
	for i := range a.in.Messages {
		m := &a.in.Messages[i]
		m.Content = sprinkle(t, m.Content, func(b types.CachePointBlock) types.ContentBlock { return &types.ContentBlockMemberCachePoint{Value: b} })
	}
	return a.in
}

// sprinkle puts cache points anywhere into a list, mostly none.
func sprinkle[T any](t *rapid.T, list []T, point func(types.CachePointBlock) T) []T {
	if rapid.IntRange(0, 2).Draw(t, "sprinkle") > 0 {
		return list
	}
	var out []T
	for i := range len(list) + 1 {
		if rapid.IntRange(0, 3).Draw(t, "here") == 0 {
			out = append(out, point(pointOf(rapid.IntRange(0, points-1).Draw(t, "lifetime"))))
		}
		if i < len(list) {
			out = append(out, list[i])
		}
	}
	return out
}
