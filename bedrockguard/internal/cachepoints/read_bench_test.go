package cachepoints

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// longTalk is a conversation of so many messages, three blocks each: text, uses of a tool and their results, an image now
// and then.
func longTalk(tb testing.TB, messages int) *bedrockruntime.ConverseInput {
	in := &bedrockruntime.ConverseInput{
		ToolConfig: &types.ToolConfiguration{Tools: []types.Tool{toolSpec("read", "reads"), toolSpec("write", "writes")}},
		System:     []types.SystemContentBlock{systemText(strings.Repeat("be kind ", 500))},
	}
	picture := pngBlock(tb, 32, 32)
	for i := range messages {
		id := fmt.Sprint("call-", i/2)
		if i%2 == 1 {
			in.Messages = append(in.Messages, assistantTurn(textBlock("I look"), toolUse(id, "read", map[string]any{"path": id}), toolUse(id+"b", "read", nil)))
			continue
		}
		last := textBlock("go on")
		if i%20 == 0 {
			last = &types.ContentBlockMemberImage{Value: picture}
		}
		in.Messages = append(in.Messages, userTurn(toolResult(id, resultText(strings.Repeat("line ", 200))), toolResult(id+"b", resultText("ok")), last))
	}
	return in
}

// The walk allocates nothing that grows with the conversation, once a prompt was used.
func TestFillPromptAllocatesNothing(t *testing.T) {
	parts := partsOf(longTalk(t, 100))
	p := new(prompt.Prompt)
	fillPrompt(p, parts)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		p.Reset()
		fillPrompt(p, parts)
	}))
}

// BenchmarkFillPrompt is what the cache check costs before it has looked at anything. "ask" is the walk that every guarded
// call takes anyway.
func BenchmarkFillPrompt(b *testing.B) {
	for _, messages := range []int{10, 100, 1000} {
		in := longTalk(b, messages)
		parts := partsOf(in)
		p := new(prompt.Prompt)
		fillPrompt(p, parts)
		blocks := float64(len(p.Blocks))
		perBlock := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/blocks, "ns/block")
		}
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Reset()
				fillPrompt(p, parts)
			}
			perBlock(b)
		})
		b.Run(fmt.Sprint(messages, "/ask"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := new(pricing.Demand).Read(in, "m"); err != nil {
					b.Fatal(err)
				}
			}
			perBlock(b)
		})
		m := cache.Model{Provider: "anthropic", Explicit: true, MinTokens: 1024, MaxPoints: 4}
		edits := cache.Place(p, m, cache.PlaceOptions{})
		b.Run(fmt.Sprint(messages, "/place"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cache.Place(p, m, cache.PlaceOptions{})
			}
			perBlock(b)
		})
		b.Run(fmt.Sprint(messages, "/edit"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				WithPoints(in, p, edits)
			}
			perBlock(b)
		})
	}
}
