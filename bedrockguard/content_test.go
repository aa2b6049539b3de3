package bedrockguard_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// words is how many words the text has that every place of a request is tried with: at least as many tokens.
const words = 2000

func manyWords() string { return strings.Repeat(" word", words) }

// places puts a text everywhere that Converse takes text.
func places(text string) map[string]func(*bedrockruntime.ConverseInput) {
	s := aws.String(text)
	object := document.NewLazyDocument(map[string]any{"key": text})
	content := func(b types.ContentBlock) func(*bedrockruntime.ConverseInput) {
		return func(in *bedrockruntime.ConverseInput) { in.Messages[0].Content = append(in.Messages[0].Content, b) }
	}
	system := func(b types.SystemContentBlock) func(*bedrockruntime.ConverseInput) {
		return func(in *bedrockruntime.ConverseInput) { in.System = append(in.System, b) }
	}
	result := func(b types.ToolResultContentBlock) func(*bedrockruntime.ConverseInput) {
		return content(&types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: aws.String("t"), Content: []types.ToolResultContentBlock{b}}})
	}
	tool := func(spec types.ToolSpecification) func(*bedrockruntime.ConverseInput) {
		return func(in *bedrockruntime.ConverseInput) {
			in.ToolConfig = &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: spec}}}
		}
	}
	found := types.SearchResultBlock{Source: aws.String("s"), Title: aws.String("t"), Content: []types.SearchResultContentBlock{{Text: s}}}
	schema := &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})}
	guarded := &types.GuardrailConverseContentBlockMemberText{Value: types.GuardrailConverseTextBlock{Text: s}}
	file := types.DocumentBlock{Name: aws.String("d"), Format: types.DocumentFormatTxt, Source: &types.DocumentSourceMemberText{Value: text}}
	parts := types.DocumentBlock{Name: aws.String("d"), Source: &types.DocumentSourceMemberContent{Value: []types.DocumentContentBlock{&types.DocumentContentBlockMemberText{Value: text}}}}
	cited := types.CitationsContentBlock{Citations: []types.Citation{{SourceContent: []types.CitationSourceContent{&types.CitationSourceContentMemberText{Value: text}}}}}
	generated := types.CitationsContentBlock{Content: []types.CitationGeneratedContent{&types.CitationGeneratedContentMemberText{Value: text}}}
	return map[string]func(*bedrockruntime.ConverseInput){
		"text":                 content(&types.ContentBlockMemberText{Value: text}),
		"system":               system(&types.SystemContentBlockMemberText{Value: text}),
		"system, guarded":      system(&types.SystemContentBlockMemberGuardContent{Value: guarded}),
		"guarded":              content(&types.ContentBlockMemberGuardContent{Value: guarded}),
		"tool's description":   tool(types.ToolSpecification{Name: aws.String("t"), Description: s, InputSchema: schema}),
		"tool's schema":        tool(types.ToolSpecification{Name: aws.String("t"), InputSchema: &types.ToolInputSchemaMemberJson{Value: object}}),
		"tool use":             content(&types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{Name: aws.String("t"), ToolUseId: aws.String("t"), Input: object}}),
		"tool result, text":    result(&types.ToolResultContentBlockMemberText{Value: text}),
		"tool result, JSON":    result(&types.ToolResultContentBlockMemberJson{Value: object}),
		"tool result, search":  result(&types.ToolResultContentBlockMemberSearchResult{Value: found}),
		"tool result, file":    result(&types.ToolResultContentBlockMemberDocument{Value: file}),
		"reasoning":            content(&types.ContentBlockMemberReasoningContent{Value: &types.ReasoningContentBlockMemberReasoningText{Value: types.ReasoningTextBlock{Text: s}}}),
		"redacted reasoning":   content(&types.ContentBlockMemberReasoningContent{Value: &types.ReasoningContentBlockMemberRedactedContent{Value: []byte(text)}}),
		"file":                 content(&types.ContentBlockMemberDocument{Value: file}),
		"file's parts":         content(&types.ContentBlockMemberDocument{Value: parts}),
		"file's bytes":         content(&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Name: aws.String("d"), Format: types.DocumentFormatTxt, Source: &types.DocumentSourceMemberBytes{Value: []byte(text)}}}),
		"search result":        content(&types.ContentBlockMemberSearchResult{Value: found}),
		"citation's source":    content(&types.ContentBlockMemberCitationsContent{Value: cited}),
		"citation's generated": content(&types.ContentBlockMemberCitationsContent{Value: generated}),
		"additional fields":    func(in *bedrockruntime.ConverseInput) { in.AdditionalModelRequestFields = object },
		"prompt variable": func(in *bedrockruntime.ConverseInput) {
			in.PromptVariables = map[string]types.PromptVariableValues{"v": &types.PromptVariableValuesMemberText{Value: text}}
		},
		"output schema": func(in *bedrockruntime.ConverseInput) {
			in.OutputConfig = &types.OutputConfig{TextFormat: &types.OutputFormat{
				Type: types.OutputFormatTypeJsonSchema, Structure: &types.OutputFormatStructureMemberJsonSchema{Value: types.JsonSchemaDefinition{Schema: s}},
			}}
		},
	}
}

// TestTextCountsWhereverItStands: a place that a bound forgets is a place to spend unseen. Both bounds are tried, and
// neither may be below the number of words.
func TestTextCountsWhereverItStands(t *testing.T) {
	text := manyWords()
	for name, put := range places(text) {
		for _, strict := range []bool{false, true} {
			bound := map[bool]string{false: "tight", true: "wide"}[strict]
			t.Run(name+"/"+bound, func(t *testing.T) {
				r := newRig(t, settings{
					limits: []budget.Limit{{Name: "input", Max: budget.InputTokens(1), Window: budget.Lifetime}},
					guard:  bedrockguard.Options{StrictBound: strict},
				})
				in := converseInput("hello")
				put(in)
				_, err := r.client.Converse(context.Background(), in)
				var denied *budget.ExceededError
				require.True(t, errors.As(err, &denied), "%v", err)
				assert.GreaterOrEqual(t, denied.Requested.N, int64(words))
				r.requireNothingSpent(t)
			})
		}
	}
}
