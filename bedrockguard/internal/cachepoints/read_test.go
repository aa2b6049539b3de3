package cachepoints

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
)

// The shortest ways to say what requests are made of.
func textBlock(s string) types.ContentBlock { return &types.ContentBlockMemberText{Value: s} }

func toolUse(id, name string, input any) types.ContentBlock {
	return &types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{ToolUseId: &id, Name: &name, Input: document.NewLazyDocument(input)}}
}

func toolResult(id string, content ...types.ToolResultContentBlock) types.ContentBlock {
	return &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: &id, Content: content, Status: types.ToolResultStatusSuccess}}
}

func resultText(s string) types.ToolResultContentBlock {
	return &types.ToolResultContentBlockMemberText{Value: s}
}

func reasoning(s string) types.ContentBlock {
	return &types.ContentBlockMemberReasoningContent{Value: &types.ReasoningContentBlockMemberReasoningText{Value: types.ReasoningTextBlock{Text: &s, Signature: aws.String("sig")}}}
}

func pngBlock(tb testing.TB, width, height int) types.ImageBlock {
	var buf bytes.Buffer
	require.NoError(tb, png.Encode(&buf, image.NewGray(image.Rect(0, 0, width, height))))
	return types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberBytes{Value: buf.Bytes()}}
}

func toolSpec(name, description string) types.Tool {
	return &types.ToolMemberToolSpec{Value: types.ToolSpecification{Name: &name, Description: &description, InputSchema: &types.ToolInputSchemaMemberJson{
		Value: document.NewLazyDocument(map[string]any{"type": "object", "properties": map[string]any{"path": map[string]any{"type": "string"}}}),
	}}}
}

func userTurn(content ...types.ContentBlock) types.Message {
	return types.Message{Role: types.ConversationRoleUser, Content: content}
}

func assistantTurn(content ...types.ContentBlock) types.Message {
	return types.Message{Role: types.ConversationRoleAssistant, Content: content}
}

func contentPoint(ttl types.CacheTTL) types.ContentBlock {
	return &types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: ttl}}
}

func systemText(s string) types.SystemContentBlock {
	return &types.SystemContentBlockMemberText{Value: s}
}

func promptOf(tb testing.TB, input any) *prompt.Prompt {
	parts := partsOf(input)
	require.NotNil(tb, parts)
	p := new(prompt.Prompt)
	fillPrompt(p, parts)
	return p
}

// TestPromptHasEveryBlockInItsPlace covers each member of each union.
func TestPromptHasEveryBlockInItsPlace(t *testing.T) {
	in := &bedrockruntime.ConverseStreamInput{
		ToolConfig: &types.ToolConfiguration{Tools: []types.Tool{
			toolSpec("read", "reads a file"), &types.ToolMemberSystemTool{Value: types.SystemTool{Name: aws.String("ground")}},
			&types.ToolMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: types.CacheTTLOneHour}},
			&types.UnknownUnionMember{Tag: "newTool"},
		}},
		System: []types.SystemContentBlock{
			&types.SystemContentBlockMemberCachePoint{}, systemText("rules"), systemText(" \n\t"),
			&types.SystemContentBlockMemberGuardContent{Value: &types.GuardrailConverseContentBlockMemberText{Value: types.GuardrailConverseTextBlock{Text: aws.String("guarded")}}},
			&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Ttl: types.CacheTTLFiveMinutes}},
		},
		Messages: []types.Message{
			userTurn(
				textBlock("question"), &types.ContentBlockMemberImage{Value: pngBlock(t, 750, 100)}, contentPoint(""),
				&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Name: aws.String("a"), Format: types.DocumentFormatPdf, Source: &types.DocumentSourceMemberBytes{Value: []byte("%PDF-1.4 <</Type/Page>> <</Type/Page>>")}}},
				&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Name: aws.String("b"), Format: types.DocumentFormatMd, Source: &types.DocumentSourceMemberText{Value: "notes"}}},
				contentPoint("30m"), contentPoint("soon"),
			),
			assistantTurn(reasoning("so"), toolUse("1", "read", map[string]any{"path": "x"}), &types.ContentBlockMemberCitationsContent{}),
			userTurn(
				toolResult("1", resultText("content"), &types.ToolResultContentBlockMemberImage{Value: pngBlock(t, 750, 1)}),
				&types.ContentBlockMemberSearchResult{}, &types.ContentBlockMemberGuardContent{}, &types.ContentBlockMemberVideo{}, &types.ContentBlockMemberAudio{},
				&types.ContentBlockMemberToolAddition{}, &types.ContentBlockMemberToolRemoval{}, &types.UnknownUnionMember{Tag: "newBlock"}, nil,
			),
		},
	}
	p := promptOf(t, in)
	var blocks, points []string
	for _, b := range p.Blocks {
		marks := ""
		if b.User {
			marks += " user"
		}
		if b.NoPoint {
			marks += " closed"
		}
		blocks = append(blocks, fmt.Sprintf("%s %s%s", b.Where, b.Kind, marks))
	}
	for _, pt := range p.Points {
		points = append(points, fmt.Sprintf("%s behind %d, %s, %v", pt.Where, pt.Block, pt.TTL, pt.Open))
	}
	require.Equal(t, []string{
		"tools[0] tool definition", "tools[1] other content", "tools[3] other content",
		"system[1] text", "system[2] text", "system[3] other content",
		"messages[0].content[0] text user", "messages[0].content[1] image user", "messages[0].content[3] document user", "messages[0].content[4] document user closed",
		"messages[1].content[0] reasoning", "messages[1].content[1] tool use", "messages[1].content[2] other content",
		"messages[2].content[0] tool result user",
		"messages[2].content[1] other content user", "messages[2].content[2] other content user", "messages[2].content[3] other content user", "messages[2].content[4] other content user",
		"messages[2].content[5] other content user", "messages[2].content[6] other content user", "messages[2].content[7] other content user", "messages[2].content[8] other content user",
	}, blocks)
	require.Equal(t, []string{
		"tools[2] behind 1, 1h0m0s, false", "system[0] behind -1, 5m0s, true", "system[4] behind 5, 5m0s, false",
		"messages[0].content[2] behind 7, 5m0s, true", "messages[0].content[5] behind 9, 30m0s, false", "messages[0].content[6] behind 9, 0s, false",
	}, points)
	require.Equal(t, 12, p.Unknown)
	tokens := map[string]int64{}
	for _, b := range p.Blocks {
		tokens[b.Where.String()] = b.MediaTokens
	}
	require.EqualValues(t, 100, tokens["messages[0].content[1]"], "an image by its pixels")
	require.EqualValues(t, 4000, tokens["messages[0].content[3]"], "a PDF by its pages")
	require.EqualValues(t, 1, tokens["messages[2].content[0]"], "an image in a tool's result")
}

// TestPromptCountsTextWhereverItStands: a place that the walk forgets is a place whose changes go unnoticed.
func TestPromptCountsTextWhereverItStands(t *testing.T) {
	const size = 3000
	text := strings.Repeat("word ", size/5)
	s := aws.String(text)
	object := document.NewLazyDocument(map[string]any{"key": text})
	found := types.SearchResultBlock{Source: aws.String("s"), Title: aws.String("t"), Content: []types.SearchResultContentBlock{{Text: s}}}
	guarded := &types.GuardrailConverseContentBlockMemberText{Value: types.GuardrailConverseTextBlock{Text: s}}
	file := types.DocumentBlock{Name: aws.String("d"), Format: types.DocumentFormatTxt, Source: &types.DocumentSourceMemberText{Value: text}}
	parts := types.DocumentBlock{Name: aws.String("d"), Source: &types.DocumentSourceMemberContent{Value: []types.DocumentContentBlock{&types.DocumentContentBlockMemberText{Value: text}}}}
	tool := func(spec types.ToolSpecification) *bedrockruntime.ConverseInput {
		return &bedrockruntime.ConverseInput{ToolConfig: &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: spec}}}}
	}
	content := func(b types.ContentBlock) *bedrockruntime.ConverseInput {
		return &bedrockruntime.ConverseInput{Messages: []types.Message{userTurn(b)}}
	}
	result := func(b types.ToolResultContentBlock) *bedrockruntime.ConverseInput { return content(toolResult("t", b)) }
	system := func(b types.SystemContentBlock) *bedrockruntime.ConverseInput {
		return &bedrockruntime.ConverseInput{System: []types.SystemContentBlock{b}}
	}
	for name, in := range map[string]*bedrockruntime.ConverseInput{
		"tool's name":           tool(types.ToolSpecification{Name: s}),
		"tool's description":    tool(types.ToolSpecification{Description: s}),
		"tool's schema":         tool(types.ToolSpecification{InputSchema: &types.ToolInputSchemaMemberJson{Value: object}}),
		"system":                system(systemText(text)),
		"system, guarded":       system(&types.SystemContentBlockMemberGuardContent{Value: guarded}),
		"text":                  content(textBlock(text)),
		"guarded":               content(&types.ContentBlockMemberGuardContent{Value: guarded}),
		"tool use":              content(toolUse("t", "t", map[string]any{"key": text})),
		"tool result, text":     result(resultText(text)),
		"tool result, JSON":     result(&types.ToolResultContentBlockMemberJson{Value: object}),
		"tool result, search":   result(&types.ToolResultContentBlockMemberSearchResult{Value: found}),
		"tool result, file":     result(&types.ToolResultContentBlockMemberDocument{Value: file}),
		"reasoning":             content(reasoning(text)),
		"redacted reasoning":    content(&types.ContentBlockMemberReasoningContent{Value: &types.ReasoningContentBlockMemberRedactedContent{Value: []byte(text)}}),
		"file":                  content(&types.ContentBlockMemberDocument{Value: file}),
		"file's parts":          content(&types.ContentBlockMemberDocument{Value: parts}),
		"file's context":        content(&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Context: s}}),
		"file's name":           content(&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Name: s}}),
		"file's bytes":          content(&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Format: types.DocumentFormatTxt, Source: &types.DocumentSourceMemberBytes{Value: []byte(text)}}}),
		"search result":         content(&types.ContentBlockMemberSearchResult{Value: found}),
		"citation's source":     content(&types.ContentBlockMemberCitationsContent{Value: types.CitationsContentBlock{Citations: []types.Citation{{SourceContent: []types.CitationSourceContent{&types.CitationSourceContentMemberText{Value: text}}}}}}),
		"citation's generated":  content(&types.ContentBlockMemberCitationsContent{Value: types.CitationsContentBlock{Content: []types.CitationGeneratedContent{&types.CitationGeneratedContentMemberText{Value: text}}}}),
		"reference to a tool":   content(&types.ContentBlockMemberToolAddition{Value: types.ToolAdditionBlock{Tool: &types.ToolReference{Name: s}}}),
		"removal of a tool":     content(&types.ContentBlockMemberToolRemoval{Value: types.ToolRemovalBlock{Tool: &types.ToolReference{ServerName: s}}}),
		"image elsewhere":       content(&types.ContentBlockMemberImage{Value: types.ImageBlock{Source: &types.ImageSourceMemberS3Location{Value: types.S3Location{Uri: s}}}}),
		"document elsewhere":    content(&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Source: &types.DocumentSourceMemberS3Location{Value: types.S3Location{Uri: s}}}}),
		"member of a later SDK": content(&types.UnknownUnionMember{Tag: text}),
	} {
		t.Run(name, func(t *testing.T) {
			p := promptOf(t, in)
			cache.Lint(p, cache.Model{}) // serialises documents
			require.Len(t, p.Blocks, 1)
			require.GreaterOrEqual(t, int64(p.Blocks[0].Bytes)*2/7+p.Blocks[0].MediaTokens, int64(size/5))
		})
	}
}

func TestPromptNotesWhatIsNoBlock(t *testing.T) {
	choice := func(c types.ToolChoice) *bedrockruntime.ConverseInput {
		return &bedrockruntime.ConverseInput{ToolConfig: &types.ToolConfiguration{ToolChoice: c}}
	}
	fields := func(v any) *bedrockruntime.ConverseInput {
		return &bedrockruntime.ConverseInput{AdditionalModelRequestFields: document.NewLazyDocument(v)}
	}
	schema := func(s string) *bedrockruntime.ConverseInput {
		return &bedrockruntime.ConverseInput{OutputConfig: &types.OutputConfig{TextFormat: &types.OutputFormat{
			Structure: &types.OutputFormatStructureMemberJsonSchema{Value: types.JsonSchemaDefinition{Schema: &s}},
		}}}
	}
	require.True(t, promptOf(t, choice(&types.ToolChoiceMemberTool{Value: types.SpecificToolChoice{Name: aws.String("x")}})).Final)
	require.False(t, promptOf(t, choice(&types.ToolChoiceMemberAny{})).Final)

	flawed := promptOf(t, fields(map[string]any{"cache_control": map[string]any{"type": "ephemeral"}, "cacheControl": 1, "thinking": map[string]any{}}))
	require.Equal(t, []prompt.Flaw{
		{Rule: "wrong-dialect", Where: "additionalModelRequestFields.cacheControl"}, {Rule: "wrong-dialect", Where: "additionalModelRequestFields.cache_control"},
	}, flawed.Flaws)
	require.Empty(t, promptOf(t, fields(map[string]any{"top_k": 5, "note": `"cache_control"`})).Flaws)
	require.Empty(t, promptOf(t, fields([]int{1})).Flaws, "what is no object is for others to judge")

	// Settings are seen when they change, and not when something else does.
	type pair struct{ a, b *bedrockruntime.ConverseInput }
	for name, tc := range map[string]struct {
		pair
		differ bool
	}{
		"tool choice":      {pair{choice(&types.ToolChoiceMemberAny{}), choice(&types.ToolChoiceMemberAuto{})}, true},
		"tool named":       {pair{choice(&types.ToolChoiceMemberTool{Value: types.SpecificToolChoice{Name: aws.String("x")}}), choice(&types.ToolChoiceMemberTool{Value: types.SpecificToolChoice{Name: aws.String("y")}})}, true},
		"thinking budget":  {pair{fields(map[string]any{"thinking": map[string]any{"budget_tokens": 1024}}), fields(map[string]any{"thinking": map[string]any{"budget_tokens": 2048}})}, true},
		"thinking on":      {pair{fields(map[string]any{"thinking": map[string]any{"type": "enabled"}}), fields(map[string]any{})}, true},
		"order of keys":    {pair{fields(map[string]any{"thinking": map[string]any{"a": 1, "b": 2}}), fields(map[string]any{"thinking": map[string]any{"b": 2, "a": 1}})}, false},
		"top_k":            {pair{fields(map[string]any{"top_k": 1}), fields(map[string]any{"top_k": 2})}, false},
		"schema of output": {pair{schema("{}"), schema(`{"type":"object"}`)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.differ, settingsDiffer(t, tc.a, tc.b))
		})
	}
}

// settingsDiffer reports whether a tracker tells two requests of one conversation apart by their settings.
func settingsDiffer(t *testing.T, a, b *bedrockruntime.ConverseInput) bool {
	m := cache.Model{ID: "m", Provider: "anthropic", Explicit: true, MaxPoints: 4, InputPrice: 10, CacheReadPrice: 1, CacheWrite5mPrice: 12}
	tracker := cache.NewTracker(cache.Policy{Mode: cache.Report})
	text := strings.Repeat("of the conversation ", 2000)
	at := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	found := false
	for i, in := range []*bedrockruntime.ConverseInput{a, b} {
		next := *in
		next.Messages = []types.Message{userTurn(textBlock(text), contentPoint(""))}
		if i > 0 {
			next.Messages = append(next.Messages, assistantTurn(textBlock("answer")), userTurn(textBlock("more"), contentPoint("")))
		}
		turn := tracker.Check(cache.Call{Workflow: "w", Model: m, At: at.Add(time.Duration(i) * time.Second)}, promptOf(t, &next))
		for _, f := range turn.Findings {
			found = found || f.Rule == "settings-changed"
		}
		turn.Send()
		turn.Begin()
		turn.End(cache.Usage{CacheWrite5mTokens: 10_000}, at)
	}
	return found
}

// partsOf returns the parts of a Converse request, or nil for any other.
func partsOf(input any) *converse.Request {
	p := new(converse.Request)
	if !p.Of(input) {
		return nil
	}
	return p
}
