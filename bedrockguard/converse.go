package bedrockguard

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// converseParts is what Converse and ConverseStream inputs have in common.
type converseParts struct {
	System      []types.SystemContentBlock
	Messages    []types.Message
	Tools       *types.ToolConfiguration
	Inference   *types.InferenceConfiguration
	Additional  document.Interface
	Guardrail   string // the guardrail's id, or what stands for one without
	Tier        *types.ServiceTier
	Performance *types.PerformanceConfiguration
	Variables   map[string]types.PromptVariableValues
	Output      *types.OutputConfig
}

// of takes what the inputs of Converse and ConverseStream have in common, and reports false for any other input.
func (p *converseParts) of(input any) bool {
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		*p = converseParts{
			System: in.System, Messages: in.Messages, Tools: in.ToolConfig, Inference: in.InferenceConfig,
			Additional: in.AdditionalModelRequestFields, Tier: in.ServiceTier,
			Performance: in.PerformanceConfig, Variables: in.PromptVariables, Output: in.OutputConfig,
		}
		if in.GuardrailConfig != nil {
			p.Guardrail = cmp.Or(aws.ToString(in.GuardrailConfig.GuardrailIdentifier), unnamedGuardrail)
		}
	case *bedrockruntime.ConverseStreamInput:
		*p = converseParts{
			System: in.System, Messages: in.Messages, Tools: in.ToolConfig, Inference: in.InferenceConfig,
			Additional: in.AdditionalModelRequestFields, Tier: in.ServiceTier,
			Performance: in.PerformanceConfig, Variables: in.PromptVariables, Output: in.OutputConfig,
		}
		if in.GuardrailConfig != nil {
			p.Guardrail = cmp.Or(aws.ToString(in.GuardrailConfig.GuardrailIdentifier), unnamedGuardrail)
		}
	default:
		return false
	}
	return true
}

// readConverse reads a typed request without looking into its text: the serialised body tells its length later, which
// costs nothing. Only media are measured here, because their bytes say little about their tokens.
func (a *demand) readConverse(p *converseParts) error {
	a.choices, a.converse = 1, true
	w := converseWalk{}
	w.all(p)
	a.prompt, a.embedded, a.writes, a.guardrail = w.prompt, w.embedded, w.writes, p.Guardrail
	a.audios = w.audios
	for i := range a.prompt.Blocks {
		if a.prompt.Blocks[i].Kind == tokens.Image {
			a.images++
		}
	}
	a.feature(w.unpriced)
	// Fields that bypass Converse's own, and tools that run at the provider, can make an answer of several inferences, which the
	// SDK's types do not tell apart.
	a.decodable = p.Additional == nil && w.unpriced == ""
	if p.Tier != nil {
		a.tiers[0] = string(p.Tier.Type)
	}
	if p.Performance != nil {
		a.latency = string(p.Performance.Latency)
	}
	if p.Inference != nil && p.Inference.MaxTokens != nil {
		if *p.Inference.MaxTokens <= 0 {
			return malformed("inferenceConfig.maxTokens", fmt.Sprintf("%d tokens, want at least 1", *p.Inference.MaxTokens))
		}
		a.maxOutput = int64(*p.Inference.MaxTokens)
	}
	if p.Additional == nil {
		return nil
	}
	return a.addAdditional(p.Additional)
}

// unnamedGuardrail stands for a guardrail whose id the request does not tell.
const unnamedGuardrail = "unnamed"

// addAdditional takes in the fields that bypass Converse's own: they can raise the output and the price of a request and
// make the service add text to it, never the opposite. Their own text is in the length of the body.
func (a *demand) addAdditional(fields document.Interface) error {
	raw, err := fields.MarshalSmithyDocument()
	if err != nil {
		return malformed("additionalModelRequestFields", "can't be marshaled")
	}
	extra, err := wire.ParseExtra(raw)
	if err != nil {
		return err
	}
	a.extraOutput = extra.MaxTokens
	a.choices = max(a.choices, extra.Choices)
	a.writes = max(a.writes, extra.CacheWrites)
	a.tiers[1] = extra.ServiceTier
	a.latency = cmp.Or(extra.Latency, a.latency)
	a.compacts = a.compacts || extra.Compacts
	a.embedded += extra.Embedded
	p := &a.prompt
	p.Messages, p.Tools, p.BuiltinTools = p.Messages+extra.Prompt.Messages, p.Tools+extra.Prompt.Tools, p.BuiltinTools+extra.Prompt.BuiltinTools
	p.Hidden.Add(extra.Prompt.Hidden)
	for _, b := range extra.Prompt.Blocks {
		if b.Kind != tokens.Text && b.Kind != tokens.JSON {
			p.Blocks = append(p.Blocks, b)
		}
	}
	if extra.Guardrail {
		a.guardrail = cmp.Or(a.guardrail, unnamedGuardrail)
	}
	a.feature(extra.Unpriced)
	return nil
}

// converseWalk collects what the length of the serialised body does not tell: media, content held elsewhere, cache points, and what
// makes the service add text of its own. Text of every kind is in the body, and passed over.
type converseWalk struct {
	prompt   tokens.Prompt
	embedded int64
	writes   price.CacheWrites
	unpriced string
	audios   int64
}

func (w *converseWalk) all(p *converseParts) {
	if p.Tools != nil {
		w.tools(p.Tools)
	}
	for _, b := range p.System {
		w.system(b)
	}
	w.prompt.Messages += len(p.Messages)
	w.output(p.Output)
	for _, v := range p.Variables {
		if _, ok := v.(*types.PromptVariableValuesMemberText); !ok {
			w.opaque()
		}
	}
	for rest := afterText(p.Messages); len(rest) > 0; rest = afterText(rest[1:]) {
		for _, b := range rest[0].Content {
			w.content(b)
		}
	}
}

// afterText returns the messages from the first on that holds more than text. Most of a long conversation is plain text, so
// this passes over it in the fewest instructions.
func afterText(messages []types.Message) []types.Message {
	for i := range messages {
		for _, b := range messages[i].Content {
			if _, plain := b.(*types.ContentBlockMemberText); !plain {
				return messages[i:]
			}
		}
	}
	return nil
}

// schema notes a schema that the service writes into the prompt as a grammar.
func (w *converseWalk) schema(structure types.OutputFormatStructure) {
	s, ok := structure.(*types.OutputFormatStructureMemberJsonSchema)
	if !ok {
		w.opaque()
		return
	}
	w.prompt.Hidden.Add(tokens.Hidden{Schemas: 1, SchemaBytes: tokens.WideText(aws.ToString(s.Value.Schema))})
}

func (w *converseWalk) output(o *types.OutputConfig) {
	if o == nil || o.TextFormat == nil {
		return
	}
	w.schema(o.TextFormat.Structure)
}

func (w *converseWalk) tools(c *types.ToolConfiguration) {
	for _, t := range c.Tools {
		switch t := t.(type) {
		case *types.ToolMemberToolSpec:
			w.prompt.Tools++
			w.toolSchema(t.Value.InputSchema, aws.ToBool(t.Value.Strict))
		case *types.ToolMemberCachePoint:
			w.point(t.Value)
		case *types.ToolMemberSystemTool:
			w.unpriced = featureSystemTool
			w.prompt.Tools++
		default:
			w.opaque()
		}
	}
}

// toolSchema notes the grammar of a tool whose input has to fit its schema.
func (w *converseWalk) toolSchema(input types.ToolInputSchema, strict bool) {
	schema, ok := input.(*types.ToolInputSchemaMemberJson)
	switch {
	case input == nil:
	case !ok:
		w.opaque()
	case strict && schema.Value != nil:
		raw, err := schema.Value.MarshalSmithyDocument()
		if err != nil {
			w.opaque() // the serializer will refuse it
		}
		w.prompt.Hidden.Add(tokens.Hidden{Schemas: 1, SchemaBytes: tokens.WideText(string(raw))})
	}
}

func (w *converseWalk) system(b types.SystemContentBlock) {
	switch b := b.(type) {
	case *types.SystemContentBlockMemberText: // in the body
	case *types.SystemContentBlockMemberCachePoint:
		w.point(b.Value)
	case *types.SystemContentBlockMemberGuardContent:
		w.guarded(b.Value)
	default:
		w.opaque()
	}
}

func (w *converseWalk) content(b types.ContentBlock) {
	switch b := b.(type) {
	case *types.ContentBlockMemberText, *types.ContentBlockMemberToolUse, *types.ContentBlockMemberToolAddition, *types.ContentBlockMemberToolRemoval:
		// In the body.
	case *types.ContentBlockMemberCachePoint:
		w.point(b.Value)
	case *types.ContentBlockMemberToolResult:
		for _, r := range b.Value.Content {
			w.toolResult(r)
		}
	case *types.ContentBlockMemberReasoningContent:
		w.reasoning(b.Value)
	case *types.ContentBlockMemberImage:
		w.image(string(b.Value.Format), b.Value.Source)
	case *types.ContentBlockMemberDocument:
		w.file(b.Value)
	case *types.ContentBlockMemberGuardContent:
		w.guarded(b.Value)
	case *types.ContentBlockMemberSearchResult:
		w.search(b.Value)
	case *types.ContentBlockMemberCitationsContent:
		w.citations(b.Value)
	case *types.ContentBlockMemberAudio:
		w.audios++
		w.opaque()
	default: // video, and whatever the SDK adds
		w.opaque()
	}
}

func (w *converseWalk) toolResult(r types.ToolResultContentBlock) {
	switch r := r.(type) {
	case *types.ToolResultContentBlockMemberText, *types.ToolResultContentBlockMemberJson: // in the body
	case *types.ToolResultContentBlockMemberImage:
		w.image(string(r.Value.Format), r.Value.Source)
	case *types.ToolResultContentBlockMemberDocument:
		w.file(r.Value)
	case *types.ToolResultContentBlockMemberSearchResult:
		w.search(r.Value)
	default:
		w.opaque()
	}
}

func (w *converseWalk) reasoning(b types.ReasoningContentBlock) {
	switch b.(type) {
	case *types.ReasoningContentBlockMemberReasoningText, *types.ReasoningContentBlockMemberRedactedContent:
		// In the body: the base64 of encrypted reasoning is longer than its text.
	default:
		w.opaque()
	}
}

func (w *converseWalk) guarded(b types.GuardrailConverseContentBlock) {
	switch b := b.(type) {
	case *types.GuardrailConverseContentBlockMemberText: // in the body
	case *types.GuardrailConverseContentBlockMemberImage:
		if data, ok := b.Value.Source.(*types.GuardrailConverseImageSourceMemberBytes); ok {
			w.embed(len(data.Value))
			w.add(tokens.ImageBlock(string(b.Value.Format), bytes.NewReader(data.Value), int64(len(data.Value))))
		} else {
			w.opaque()
		}
	default:
		w.opaque()
	}
}

func (w *converseWalk) image(format string, source types.ImageSource) {
	data, ok := source.(*types.ImageSourceMemberBytes)
	if !ok {
		// In S3: the size is unknown, the family's largest image is not.
		w.add(tokens.Block{Kind: tokens.Image, Format: format})
		return
	}
	w.embed(len(data.Value))
	w.add(tokens.ImageBlock(format, bytes.NewReader(data.Value), int64(len(data.Value))))
}

func (w *converseWalk) file(d types.DocumentBlock) {
	cited := d.Citations != nil && aws.ToBool(d.Citations.Enabled)
	text := int64(0)
	switch s := d.Source.(type) {
	case *types.DocumentSourceMemberBytes:
		w.embed(len(s.Value))
		b := tokens.DocumentBlock(string(d.Format), s.Value)
		b.Cited = cited
		w.add(b)
	case *types.DocumentSourceMemberText:
		text = tokens.WideText(s.Value)
	case *types.DocumentSourceMemberContent:
		for _, part := range s.Value {
			if t, ok := part.(*types.DocumentContentBlockMemberText); ok {
				text += tokens.WideText(t.Value)
			} else {
				w.opaque()
			}
		}
	default:
		w.opaque()
	}
	if cited {
		w.prompt.Hidden.Add(tokens.Hidden{Citations: 1, CitedBytes: text})
	}
}

func (w *converseWalk) search(s types.SearchResultBlock) {
	text := int64(0)
	for _, c := range s.Content {
		text += tokens.WideText(aws.ToString(c.Text))
	}
	if s.Citations != nil && aws.ToBool(s.Citations.Enabled) {
		w.prompt.Hidden.Add(tokens.Hidden{Citations: 1, CitedBytes: text})
	}
}

func (w *converseWalk) citations(c types.CitationsContentBlock) {
	for _, g := range c.Content {
		if _, ok := g.(*types.CitationGeneratedContentMemberText); !ok {
			w.opaque()
		}
	}
	for _, cite := range c.Citations {
		for _, s := range cite.SourceContent {
			if _, ok := s.(*types.CitationSourceContentMemberText); !ok {
				w.opaque()
			}
		}
	}
}

func (w *converseWalk) point(p types.CachePointBlock) {
	writes := price.CacheWrites5m
	if p.Ttl != "" && p.Ttl != types.CacheTTLFiveMinutes {
		writes = price.CacheWrites1h // also for a TTL that is unknown: the dearest
	}
	w.writes = max(w.writes, writes)
}

func (w *converseWalk) embed(n int) { w.embedded += int64(base64.StdEncoding.EncodedLen(n)) }
func (w *converseWalk) opaque()     { w.add(tokens.Block{Kind: tokens.Opaque}) }

func (w *converseWalk) add(b tokens.Block) { w.prompt.Blocks = append(w.prompt.Blocks, b) }
