package bedrockguard_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// converseModels are models that Converse serves, of every family whose prompts, images or prices differ.
func converseModels() []string {
	return []string{
		"anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5", bareSonnet, "anthropic.claude-opus-4-8", "anthropic.claude-haiku-5-5", "anthropic.claude-fable-5",
		"amazon.nova-pro-v1:0", "amazon.nova-2-lite-v1:0", "amazon.nova-2-lite-v1:0", "amazon.nova-lite-v1:0", gptOSS, "meta.llama3-1-8b-instruct-v1:0",
		"mistral.mistral-large-3-675b-instruct", "qwen.qwen3-32b-v1:0", "deepseek.v3.2", "cohere.command-r-v1:0", "moonshotai.kimi-k2.5", "google.gemma-4-31b",
		"writer.palmyra-x5-v1:0", "zai.glm-5",
	}
}

// points are the cache points of one request: at most three, those of an hour before those of five minutes.
type points struct {
	d    *draws
	left int
	ttl  string
}

// points draws how many cache points a request to the model has.
func (d *draws) points(model string) *points {
	p := &points{d: d, ttl: "5m"}
	if strings.HasPrefix(model, "anthropic.") && model != bareSonnet || strings.HasPrefix(model, "amazon.nova") {
		if d.feature("cache points", 40) {
			p.left = d.size(1, 3)
		}
	}
	if p.left > 0 && strings.HasPrefix(model, "anthropic.") && d.feature("cache points of an hour", 40) {
		p.ttl = "1h"
	}
	return p
}

// mark puts a point on a block of an Anthropic body, if one is left.
func (p *points) mark(block object) object {
	if p.take() {
		block["cache_control"] = object{"type": "ephemeral", "ttl": p.ttl}
	}
	return block
}

func (p *points) take() bool {
	if p.left == 0 || !p.d.chance(60) {
		return false
	}
	p.left--
	return true
}

func (p *points) point() types.CachePointBlock {
	return types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: types.CacheTTL(p.ttl)}
}

func (d *draws) converseInput(model, region string) *bedrockruntime.ConverseInput {
	claude, nova := strings.HasPrefix(model, "anthropic."), strings.HasPrefix(model, "amazon.")
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(d.modelID(model, region))}
	if n, set := d.maxTokens(); set {
		in.InferenceConfig = maxTokens(int32(n))
	}
	p := d.points(model)
	if d.feature("system", 40) {
		in.System = []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: d.text()}}
		if p.take() {
			in.System = append(in.System, &types.SystemContentBlockMemberCachePoint{Value: p.point()})
		}
	}
	if d.feature("tools", 30) {
		in.ToolConfig = d.converseTools()
	}
	in.Messages = d.converseMessages(p, claude || nova, claude)
	if !claude && d.feature("a tier", 25) {
		in.ServiceTier = &types.ServiceTier{Type: one(d, types.ServiceTierTypeFlex, types.ServiceTierTypePriority, types.ServiceTierTypeDefault)}
	}
	if d.feature("a schema of the output", 15) {
		raw, _ := json.Marshal(d.schemaJSON()) // maps and strings
		in.OutputConfig = &types.OutputConfig{TextFormat: &types.OutputFormat{Type: types.OutputFormatTypeJsonSchema, Structure: &types.OutputFormatStructureMemberJsonSchema{
			Value: types.JsonSchemaDefinition{Schema: aws.String(string(raw))},
		}}}
	}
	// A model without that mode that answers in the stead of one asked for it is a gap.
	if strings.HasPrefix(model, "amazon.nova-pro") && d.feature("optimised latency", 30) {
		in.PerformanceConfig = &types.PerformanceConfiguration{Latency: types.PerformanceConfigLatencyOptimized}
	}
	if d.feature("a guardrail by name", 5) {
		in.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: aws.String("gr-own"), GuardrailVersion: aws.String("1"), Trace: types.GuardrailTraceDisabled}
		if d.traced() {
			in.GuardrailConfig.Trace = types.GuardrailTraceEnabled
		}
	}
	if fields := d.additional(claude); len(fields) > 0 {
		in.AdditionalModelRequestFields = lazy(fields)
	}
	return in
}

// additional draws the fields that Converse hands on to the model as they are.
func (d *draws) additional(claude bool) object {
	fields := object{}
	if !claude {
		if d.feature("a tier beside Converse", 8) {
			fields["service_tier"] = one(d, "priority", "flex")
		}
		if d.feature("a maximum beside Converse", 5) {
			fields["max_tokens"] = d.size(100, 5000)
		}
		return fields
	}
	if d.feature("built-in tools", 12) {
		var all []object
		for range d.size(1, 3) {
			all = append(all, object{"type": one(d, "computer_20250124", "bash_20250124", "text_editor_20250728", "memory_20250818"), "name": "t"})
		}
		fields["tools"] = all
	}
	if d.feature("compaction", 12) {
		if d.chance(50) {
			fields["context_management"] = object{"edits": []object{{"type": "compact_20260112"}}}
		} else {
			fields["compaction"] = object{"type": "enabled"}
		}
	}
	if d.feature("thinking", 15) {
		fields["thinking"] = object{"type": "enabled", "budget_tokens": 1024 + d.size(0, 4000)}
	}
	return fields
}

func (d *draws) converseTools() *types.ToolConfiguration {
	config := new(types.ToolConfiguration)
	for i := range d.size(1, 4) {
		spec := types.ToolSpecification{
			Name: aws.String(fmt.Sprintf("tool%d", i)), Description: aws.String(clip(d.text(), 200)),
			InputSchema: &types.ToolInputSchemaMemberJson{Value: lazy(d.schemaJSON())},
		}
		if d.feature("a strict tool", 25) {
			spec.Strict = aws.Bool(true)
		}
		config.Tools = append(config.Tools, &types.ToolMemberToolSpec{Value: spec})
	}
	return config
}

// converseMessages draws a conversation of up to eleven messages. media says whether the model is shown images and documents, cites
// whether it cites.
func (d *draws) converseMessages(p *points, media, cites bool) []types.Message {
	var all []types.Message
	used := "" // a tool that waits for its result
	for i := range d.turns() {
		if i%2 == 1 {
			m := assistantMessage(d.text())
			if d.feature("tool results", 20) {
				used = fmt.Sprintf("use%d", i)
				m.Content = append(m.Content, &types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{
					ToolUseId: aws.String(used), Name: aws.String("tool0"), Input: lazy(object{"path": d.text()}),
				}})
			}
			all = append(all, m)
			continue
		}
		m := types.Message{Role: types.ConversationRoleUser}
		if used != "" {
			m.Content = append(m.Content, d.toolResult(used, media))
			used = ""
		}
		if media && d.feature("an image", 12) {
			m.Content = append(m.Content, &types.ContentBlockMemberImage{Value: d.imageBlock()})
		}
		if media && d.feature("a document", 15) {
			m.Content = append(m.Content, &types.ContentBlockMemberDocument{Value: d.documentBlock(cites)})
		}
		if cites && d.feature("a search result", 6) {
			m.Content = append(m.Content, &types.ContentBlockMemberSearchResult{Value: types.SearchResultBlock{
				Source: aws.String("s"), Title: aws.String("t"), Content: []types.SearchResultContentBlock{{Text: aws.String(d.text())}},
				Citations: &types.CitationsConfig{Enabled: aws.Bool(d.feature("citations", 60))},
			}})
		}
		m.Content = append(m.Content, &types.ContentBlockMemberText{Value: d.text()})
		if p.take() {
			m.Content = append(m.Content, &types.ContentBlockMemberCachePoint{Value: p.point()})
		}
		all = append(all, m)
	}
	return all
}

func (d *draws) toolResult(id string, media bool) types.ContentBlock {
	content := []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: d.text()}}
	if media && d.feature("an image in a tool result", 20) {
		content = append(content, &types.ToolResultContentBlockMemberImage{Value: d.imageBlock()})
	}
	if media && d.feature("a document in a tool result", 20) {
		content = append(content, &types.ToolResultContentBlockMemberDocument{Value: d.documentBlock(false)})
	}
	return &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: aws.String(id), Content: content}}
}

func (d *draws) imageBlock() types.ImageBlock {
	return types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberBytes{Value: d.picture()}}
}

func (d *draws) documentBlock(cites bool) types.DocumentBlock {
	format, data := d.document()
	b := types.DocumentBlock{Name: aws.String("d"), Format: types.DocumentFormat(format), Source: &types.DocumentSourceMemberBytes{Value: data}}
	if format == "txt" && d.chance(50) {
		b.Source = &types.DocumentSourceMemberText{Value: string(data)}
	}
	if cites && d.feature("citations", 50) {
		b.Citations = &types.CitationsConfig{Enabled: aws.Bool(true)}
	}
	return b
}
