package pricing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"pgregory.net/rapid"
)

// drawing draws Converse requests with whatever the SDK has a type for.
type drawing struct {
	t     *rapid.T
	media [][]byte
}

func (d *drawing) number(least, most int) int { return rapid.IntRange(least, most).Draw(d.t, "n") }
func (d *drawing) chance(percent int) bool    { return d.number(0, 99) < percent }

func pick[T any](d *drawing, all ...T) T { return all[d.number(0, len(all)-1)] }

// words draws a text of any length, in which characters occur that some clients write as escapes, and times and ids.
func (d *drawing) words() string {
	s := pick(d, "", " ", "\n\t", "x", "go on", "Съешь ещё этих булок 😀 ", "if err != nil {\n\treturn \"a/b\"\n}\n", "Current time: 2026-11-28T09:12:33Z. ",
		"session 3f2504e0-4f89-11d3-9a0c-0305e82c3301 ", "<b>&amp;</b>\u2028\x7f", "The quick brown fox jumps over the lazy dog. ", "ab ", "\u3000")
	switch d.number(0, 3) {
	case 0, 1:
		return s
	case 2:
		return strings.Repeat(s, d.number(1, 40))
	default:
		return strings.Repeat(s, 1+d.number(500, 14_000)/(len(s)+1)) // about the shortest prefix that is cached
	}
}

func (d *drawing) optional() *string {
	if d.chance(30) {
		return nil
	}
	s := d.words()
	return &s
}

func (d *drawing) json() document.Interface {
	value := pick[any](d, map[string]any{}, map[string]any{"path": d.words()}, map[string]any{"a": []any{1, -2.5, true, nil, d.words()}, "b": map[string]any{"ключ": d.words()}},
		[]any{d.words()}, d.words(), 12, true)
	return document.NewLazyDocument(value)
}

func (d *drawing) schema() document.Interface {
	return document.NewLazyDocument(map[string]any{"type": "object", "properties": map[string]any{"path": map[string]any{"type": "string", "description": d.words()}}})
}

func (d *drawing) bytes() []byte { return d.media[d.number(0, len(d.media)-1)] }

func (d *drawing) cited() *types.CitationsConfig {
	return pick(d, nil, nil, &types.CitationsConfig{Enabled: aws.Bool(true)}, &types.CitationsConfig{Enabled: aws.Bool(false)})
}

func (d *drawing) stored() types.S3Location {
	return types.S3Location{Uri: aws.String("s3://bucket/" + fmt.Sprint(d.number(0, 9))), BucketOwner: pick(d, nil, aws.String("123456789012"))}
}

func (d *drawing) failed() *types.ErrorBlock {
	return pick(d, nil, nil, &types.ErrorBlock{Message: aws.String("could not be read")})
}

func (d *drawing) image() types.ImageBlock {
	return types.ImageBlock{Format: pick(d, types.ImageFormatPng, types.ImageFormatJpeg), Error: d.failed(), Source: pick[types.ImageSource](d,
		&types.ImageSourceMemberBytes{Value: d.bytes()}, &types.ImageSourceMemberBytes{Value: d.bytes()}, &types.ImageSourceMemberS3Location{Value: d.stored()})}
}

func (d *drawing) document() types.DocumentBlock {
	parts := []types.DocumentContentBlock{&types.DocumentContentBlockMemberText{Value: d.words()}, &types.DocumentContentBlockMemberText{Value: "part"}}
	return types.DocumentBlock{
		Name: aws.String("d"), Context: d.optional(), Citations: d.cited(), Format: pick(d, types.DocumentFormatPdf, types.DocumentFormatTxt, types.DocumentFormatDocx, ""),
		Source: pick[types.DocumentSource](d, &types.DocumentSourceMemberBytes{Value: d.bytes()}, &types.DocumentSourceMemberText{Value: d.words()},
			&types.DocumentSourceMemberContent{Value: parts}, &types.DocumentSourceMemberS3Location{Value: d.stored()}),
	}
}

func (d *drawing) search() types.SearchResultBlock {
	return types.SearchResultBlock{Source: aws.String("s"), Title: aws.String("t"), Citations: d.cited(), Content: []types.SearchResultContentBlock{{Text: aws.String(d.words())}}}
}

func (d *drawing) video() types.VideoBlock {
	return types.VideoBlock{Format: types.VideoFormatMp4, Source: pick[types.VideoSource](d, &types.VideoSourceMemberBytes{Value: d.bytes()}, &types.VideoSourceMemberS3Location{Value: d.stored()})}
}

func (d *drawing) guarded() types.GuardrailConverseContentBlock {
	return pick[types.GuardrailConverseContentBlock](d,
		&types.GuardrailConverseContentBlockMemberText{Value: types.GuardrailConverseTextBlock{
			Text: aws.String(d.words()), Qualifiers: pick(d, nil, []types.GuardrailConverseContentQualifier{types.GuardrailConverseContentQualifierQuery}),
		}},
		&types.GuardrailConverseContentBlockMemberImage{Value: types.GuardrailConverseImageBlock{
			Format: types.GuardrailConverseImageFormatPng, Source: &types.GuardrailConverseImageSourceMemberBytes{Value: d.bytes()},
		}})
}

func (d *drawing) citations() types.CitationsContentBlock {
	n := aws.Int32(int32(d.number(0, 300)))
	return types.CitationsContentBlock{
		Content: []types.CitationGeneratedContent{&types.CitationGeneratedContentMemberText{Value: d.words()}},
		Citations: []types.Citation{{
			Source: d.optional(), Title: d.optional(), SourceContent: []types.CitationSourceContent{&types.CitationSourceContentMemberText{Value: d.words()}},
			Location: pick[types.CitationLocation](d, nil, &types.CitationLocationMemberDocumentChar{Value: types.DocumentCharLocation{DocumentIndex: n, Start: n, End: n}},
				&types.CitationLocationMemberWeb{Value: types.WebLocation{Url: aws.String("https://example.com/a"), Domain: aws.String("example.com")}},
				&types.CitationLocationMemberSearchResultLocation{Value: types.SearchResultLocation{SearchResultIndex: n, Start: n, End: n}}),
		}},
	}
}

func (d *drawing) reasoning() types.ReasoningContentBlock {
	return pick[types.ReasoningContentBlock](d,
		&types.ReasoningContentBlockMemberReasoningText{Value: types.ReasoningTextBlock{Text: aws.String(d.words()), Signature: pick(d, nil, aws.String("EqQBCgIYAhIM"))}},
		&types.ReasoningContentBlockMemberRedactedContent{Value: d.bytes()})
}

func (d *drawing) result() types.ToolResultBlock {
	r := types.ToolResultBlock{ToolUseId: aws.String("tooluse_1"), Status: pick(d, "", types.ToolResultStatusSuccess), Type: pick(d, nil, aws.String("function"))}
	for range d.number(0, 2) {
		r.Content = append(r.Content, pick[types.ToolResultContentBlock](d,
			&types.ToolResultContentBlockMemberText{Value: d.words()}, &types.ToolResultContentBlockMemberJson{Value: d.json()}, &types.ToolResultContentBlockMemberImage{Value: d.image()},
			&types.ToolResultContentBlockMemberDocument{Value: d.document()}, &types.ToolResultContentBlockMemberSearchResult{Value: d.search()},
			&types.ToolResultContentBlockMemberVideo{Value: d.video()}))
	}
	return r
}

func (d *drawing) point() types.CachePointBlock {
	return types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: pick(d, "", types.CacheTTLFiveMinutes, types.CacheTTLOneHour, "soon", "30m")}
}

func (d *drawing) block() types.ContentBlock {
	switch d.number(0, 19) {
	case 0, 1, 2, 3, 4:
		return &types.ContentBlockMemberText{Value: d.words()}
	case 5, 6:
		return &types.ContentBlockMemberCachePoint{Value: d.point()}
	case 7, 8:
		return &types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{ToolUseId: aws.String("tooluse_1"), Name: aws.String("read"), Input: d.json(), Type: pick(d, "", types.ToolUseTypeServerToolUse)}}
	case 9, 10:
		return &types.ContentBlockMemberToolResult{Value: d.result()}
	case 11:
		return &types.ContentBlockMemberImage{Value: d.image()}
	case 12:
		return &types.ContentBlockMemberDocument{Value: d.document()}
	case 13:
		return &types.ContentBlockMemberReasoningContent{Value: d.reasoning()}
	case 14:
		return &types.ContentBlockMemberCitationsContent{Value: d.citations()}
	case 15:
		return &types.ContentBlockMemberSearchResult{Value: d.search()}
	case 16:
		return &types.ContentBlockMemberGuardContent{Value: d.guarded()}
	case 17:
		return &types.ContentBlockMemberVideo{Value: d.video()}
	case 18:
		return &types.ContentBlockMemberAudio{Value: types.AudioBlock{Format: types.AudioFormatMp3, Error: d.failed(), Source: &types.AudioSourceMemberBytes{Value: d.bytes()}}}
	default:
		tool := &types.ToolReference{Name: aws.String("read"), ServerName: pick(d, nil, aws.String("files")), Type: pick(d, nil, aws.String("mcp"))}
		return pick[types.ContentBlock](d, &types.ContentBlockMemberToolAddition{Value: types.ToolAdditionBlock{Tool: tool}}, &types.ContentBlockMemberToolRemoval{Value: types.ToolRemovalBlock{Tool: tool}})
	}
}

func (d *drawing) turn(user bool) types.Message {
	m := types.Message{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{}}
	if user {
		m.Role = types.ConversationRoleUser
	}
	for range d.number(0, 4) {
		m.Content = append(m.Content, d.block())
	}
	return m
}

func (d *drawing) tool(i int) types.Tool {
	switch d.number(0, 9) {
	case 0:
		return &types.ToolMemberCachePoint{Value: d.point()}
	case 1:
		return &types.ToolMemberSystemTool{Value: types.SystemTool{Name: aws.String("nova_grounding")}}
	default:
		spec := types.ToolSpecification{Name: aws.String(fmt.Sprint("tool", i)), Description: d.optional(), Strict: pick(d, nil, aws.Bool(false), aws.Bool(true))}
		if d.chance(90) {
			spec.InputSchema = &types.ToolInputSchemaMemberJson{Value: d.schema()}
		}
		return &types.ToolMemberToolSpec{Value: spec}
	}
}

func (d *drawing) systemBlock() types.SystemContentBlock {
	return pick[types.SystemContentBlock](d, &types.SystemContentBlockMemberText{Value: d.words()}, &types.SystemContentBlockMemberText{Value: d.words()},
		&types.SystemContentBlockMemberCachePoint{Value: d.point()}, &types.SystemContentBlockMemberGuardContent{Value: d.guarded()})
}

func (d *drawing) fields() document.Interface {
	return pick(d, nil, nil, document.NewLazyDocument(map[string]any{"top_k": 5}), document.NewLazyDocument(map[string]any{"thinking": map[string]any{"type": "enabled", "budget_tokens": d.number(1024, 1026)}}),
		document.NewLazyDocument(map[string]any{"tools": []any{map[string]any{"type": "bash_20250124", "name": "bash"}, map[string]any{"type": "web_search_20250305"}}, "mcp_servers": []any{"x"}}),
		document.NewLazyDocument(map[string]any{"service_tier": "priority", "n": 3, "max_tokens": 5000, "context_management": map[string]any{"edits": []any{map[string]any{"type": "compact_20260112"}}}}),
		document.NewLazyDocument(map[string]any{"speed": "fast", "tool_choice": map[string]any{"type": "tool", "name": "x"}}), document.NewLazyDocument(map[string]any{"cache_control": map[string]any{"type": "ephemeral"}, "effort": nil}))
}

func (d *drawing) output() *types.OutputConfig {
	return pick(d, nil, nil, nil, &types.OutputConfig{}, &types.OutputConfig{TextFormat: &types.OutputFormat{Type: types.OutputFormatTypeJsonSchema, Structure: &types.OutputFormatStructureMemberJsonSchema{
		Value: types.JsonSchemaDefinition{Schema: aws.String(`{"type":"object","properties":{}}`), Name: d.optional(), Description: d.optional()},
	}}})
}

func (d *drawing) toolChoice() types.ToolChoice {
	return pick[types.ToolChoice](d, nil, nil, &types.ToolChoiceMemberAuto{}, &types.ToolChoiceMemberAny{}, &types.ToolChoiceMemberTool{Value: types.SpecificToolChoice{Name: aws.String(pick(d, "a", "b"))}})
}

// request draws the first request of a conversation.
func (d *drawing) request() *bedrockruntime.ConverseInput {
	in := &bedrockruntime.ConverseInput{ModelId: aws.String("m"), AdditionalModelRequestFields: d.fields(), OutputConfig: d.output()}
	d.settings(in)
	if d.chance(50) {
		in.ToolConfig = &types.ToolConfiguration{ToolChoice: d.toolChoice(), Tools: []types.Tool{}}
		for i := range d.number(0, 4) {
			in.ToolConfig.Tools = append(in.ToolConfig.Tools, d.tool(i))
		}
	}
	for range d.number(0, 3) {
		in.System = append(in.System, d.systemBlock())
	}
	for i := range d.number(0, 5) {
		in.Messages = append(in.Messages, d.turn(i%2 == 0))
	}
	return in
}

// settings draws what decides the price of a request, and how long its answer can be.
func (d *drawing) settings(in *bedrockruntime.ConverseInput) {
	if d.chance(20) {
		in.InferenceConfig = &types.InferenceConfiguration{MaxTokens: aws.Int32(int32(d.number(1, 9000)))}
	}
	if d.chance(20) {
		in.ServiceTier = &types.ServiceTier{Type: pick(d, types.ServiceTierTypeFlex, types.ServiceTierTypeDefault)}
	}
	if d.chance(20) {
		in.PerformanceConfig = &types.PerformanceConfiguration{Latency: types.PerformanceConfigLatencyOptimized}
	}
	if d.chance(20) {
		in.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: aws.String("gr-own"), GuardrailVersion: aws.String("1")}
	}
}

// next draws a request that goes on from another one, or nearly does.
func (d *drawing) next(in *bedrockruntime.ConverseInput) *bedrockruntime.ConverseInput {
	out := *in
	out.System, out.Messages = slices.Clone(in.System), slices.Clone(in.Messages)
	if in.ToolConfig != nil {
		config := *in.ToolConfig
		config.Tools = slices.Clone(config.Tools)
		out.ToolConfig = &config
	}
	for range d.number(0, 2) {
		d.change(&out)
	}
	for range d.number(0, 2) {
		out.Messages = append(out.Messages, d.turn(len(out.Messages)%2 == 0))
	}
	return &out
}

func (d *drawing) change(in *bedrockruntime.ConverseInput) {
	tools := in.ToolConfig != nil && len(in.ToolConfig.Tools) > 0
	switch n := d.number(0, 9); {
	case n == 0 && len(in.System) > 0:
		in.System[d.number(0, len(in.System)-1)] = d.systemBlock()
	case n == 1 && tools:
		slices.Reverse(in.ToolConfig.Tools)
	case n == 2 && tools:
		i := d.number(0, len(in.ToolConfig.Tools)-1)
		in.ToolConfig.Tools[i] = d.tool(i)
	case n == 3 && in.ToolConfig != nil:
		in.ToolConfig.ToolChoice = d.toolChoice()
	case n == 4:
		in.AdditionalModelRequestFields = d.fields()
	case n == 5:
		in.OutputConfig = d.output()
	case n == 6 && len(in.Messages) > 0:
		in.Messages[d.number(0, len(in.Messages)-1)] = d.turn(d.chance(50))
	case n == 7 && len(in.Messages) > 1:
		in.Messages = slices.Delete(in.Messages, 0, d.number(0, len(in.Messages)-1))
	case n == 8 && len(in.Messages) > 0:
		m := &in.Messages[len(in.Messages)-1]
		m.Content = append(slices.Clone(m.Content), &types.ContentBlockMemberCachePoint{Value: d.point()})
	}
}
