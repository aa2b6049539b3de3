package bedrockguard

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// fillPrompt describes a typed request to the prompt-cache check, in the order in which the cache reads it. It takes the
// texts by reference and serialises no document but the additional fields. The prompt has to be empty.
func fillPrompt(p *cache.Prompt, c *converseParts) {
	w := promptWalk{p}
	w.settings(c)
	if c.Tools != nil {
		p.Enter(cache.Tools)
		for i, t := range c.Tools.Tools {
			w.tool(i, t)
		}
	}
	p.Enter(cache.System)
	for i, b := range c.System {
		w.system(i, b)
	}
	for m := range c.Messages {
		msg := &c.Messages[m]
		p.Message(m, msg.Role == types.ConversationRoleUser)
		for i, b := range msg.Content {
			w.content(i, b)
		}
	}
}

// promptWalk puts the parts of a request into a prompt. The first text of a tool has to be its name, because the check compares tools by it.
type promptWalk struct{ *cache.Prompt }

// settings adds the fields outside of tools, system prompt and messages that change what the model reads or what is cached.
func (w promptWalk) settings(c *converseParts) {
	if c.Tools != nil {
		switch choice := c.Tools.ToolChoice.(type) {
		case nil:
		case *types.ToolChoiceMemberAuto:
			w.Setting("toolChoice", `{"auto":{}}`)
		case *types.ToolChoiceMemberAny:
			w.Setting("toolChoice", `{"any":{}}`)
		case *types.ToolChoiceMemberTool:
			w.Setting("toolChoice", `{"tool":{}}`)
			w.optionalSetting("toolChoice.name", choice.Value.Name)
		default:
			w.Setting("toolChoice", "other")
		}
	}
	w.output(c.Output)
	w.additional(c.Additional)
}

// output adds the form of the answer, which becomes part of what the model reads.
func (w promptWalk) output(o *types.OutputConfig) {
	if o == nil {
		return
	}
	w.Setting("outputConfig", "")
	if o.TextFormat == nil {
		return
	}
	w.Setting("outputConfig.type", string(o.TextFormat.Type))
	if s, ok := o.TextFormat.Structure.(*types.OutputFormatStructureMemberJsonSchema); ok {
		w.optionalSetting("outputConfig.schema", s.Value.Schema)
		w.optionalSetting("outputConfig.name", s.Value.Name)
		w.optionalSetting("outputConfig.description", s.Value.Description)
	}
}

func (w promptWalk) optionalSetting(name string, value *string) {
	if value != nil {
		w.Setting(name, *value)
	}
}

func (w promptWalk) additional(d document.Interface) {
	if d == nil {
		return
	}
	raw, err := d.MarshalSmithyDocument()
	if err != nil {
		return // the SDK reports the error when it serialises the request
	}
	fields := jsonscan.New(string(raw))
	_ = fields.Object(func(key string) error { // what can't be read is for others to judge
		value, err := fields.Value()
		if request.IsMarker(key) {
			w.Flaw(cache.Rule("wrong-dialect"), "additionalModelRequestFields."+key)
		}
		if request.SettingOf(key) >= 0 && value != "null" {
			w.Setting(key, value)
		}
		return err
	})
}

func (w promptWalk) tool(i int, t types.Tool) {
	switch t := t.(type) {
	case *types.ToolMemberToolSpec:
		w.Block(cache.ToolDefinition, i)
		w.optionalTexts(t.Value.Name, t.Value.Description)
		if schema, ok := t.Value.InputSchema.(*types.ToolInputSchemaMemberJson); ok {
			w.Document(schema.Value)
		}
		if aws.ToBool(t.Value.Strict) {
			w.Flag("strict")
		}
	case *types.ToolMemberCachePoint:
		w.point(i, t.Value)
	case *types.ToolMemberSystemTool:
		w.Block(cache.Other, i)
		w.optionalTexts(t.Value.Name)
	default:
		w.Block(cache.Other, i)
	}
}

func (w promptWalk) system(i int, b types.SystemContentBlock) {
	switch b := b.(type) {
	case *types.SystemContentBlockMemberText:
		w.textBlock(i, b.Value)
	case *types.SystemContentBlockMemberCachePoint:
		w.point(i, b.Value)
	case *types.SystemContentBlockMemberGuardContent:
		w.Block(cache.Other, i)
		w.guarded(b.Value)
	default:
		w.Block(cache.Other, i)
	}
}

func (w promptWalk) content(i int, b types.ContentBlock) {
	switch b := b.(type) {
	case *types.ContentBlockMemberText:
		w.textBlock(i, b.Value)
	case *types.ContentBlockMemberCachePoint:
		w.point(i, b.Value)
	case *types.ContentBlockMemberToolUse:
		w.Block(cache.ToolUse, i)
		w.optionalTexts(b.Value.Name, b.Value.ToolUseId)
		w.Document(b.Value.Input)
		w.nonEmptyText(string(b.Value.Type))
	case *types.ContentBlockMemberToolResult:
		w.Block(cache.ToolResult, i)
		w.optionalTexts(b.Value.ToolUseId, b.Value.Type)
		w.nonEmptyText(string(b.Value.Status))
		for _, r := range b.Value.Content {
			w.toolResult(r)
		}
	case *types.ContentBlockMemberReasoningContent:
		w.Block(cache.Reasoning, i)
		w.reasoning(b.Value)
	case *types.ContentBlockMemberImage:
		w.Block(cache.Image, i)
		w.image(b.Value)
	case *types.ContentBlockMemberDocument:
		w.Block(cache.Document, i)
		w.file(b.Value)
		if b.Value.Format != types.DocumentFormatPdf {
			// Users report a 400 for a point directly behind a document of any format but PDF (2026-03).
			w.Blocks[len(w.Blocks)-1].NoPoint = true
		}
	default:
		w.Block(cache.Other, i)
		w.rare(b)
	}
}

// rare fills a block of a kind of which only is known that the model reads it.
func (w promptWalk) rare(b types.ContentBlock) {
	switch b := b.(type) {
	case *types.ContentBlockMemberGuardContent:
		w.guarded(b.Value)
	case *types.ContentBlockMemberSearchResult:
		w.search(b.Value)
	case *types.ContentBlockMemberCitationsContent:
		w.citations(b.Value)
	case *types.ContentBlockMemberToolAddition:
		w.toolReference("added", b.Value.Tool)
	case *types.ContentBlockMemberToolRemoval:
		w.toolReference("removed", b.Value.Tool)
	case *types.ContentBlockMemberVideo:
		w.video(b.Value)
	case *types.ContentBlockMemberAudio:
		w.nonEmptyText(string(b.Value.Format))
		w.failed(b.Value.Error)
		switch s := b.Value.Source.(type) {
		case *types.AudioSourceMemberBytes:
			w.Binary(s.Value)
		case *types.AudioSourceMemberS3Location:
			w.stored(s.Value)
		}
	case *types.UnknownUnionMember:
		w.Text(b.Tag)
		w.Binary(b.Value)
	}
}

func (w promptWalk) toolResult(r types.ToolResultContentBlock) {
	switch r := r.(type) {
	case *types.ToolResultContentBlockMemberText:
		w.Text(r.Value)
	case *types.ToolResultContentBlockMemberJson:
		w.Document(r.Value)
	case *types.ToolResultContentBlockMemberImage:
		w.image(r.Value)
	case *types.ToolResultContentBlockMemberDocument:
		w.file(r.Value)
	case *types.ToolResultContentBlockMemberSearchResult:
		w.search(r.Value)
	case *types.ToolResultContentBlockMemberVideo:
		w.video(r.Value)
	case *types.UnknownUnionMember:
		w.Text(r.Tag)
		w.Binary(r.Value)
	}
}

func (w promptWalk) reasoning(b types.ReasoningContentBlock) {
	switch b := b.(type) {
	case *types.ReasoningContentBlockMemberReasoningText:
		w.optionalTexts(b.Value.Text, b.Value.Signature)
	case *types.ReasoningContentBlockMemberRedactedContent:
		w.Binary(b.Value)
		w.Media(cache.Reasoning, request.RedactedTokens(int64(len(b.Value))))
	case *types.UnknownUnionMember:
		w.Binary(b.Value)
	}
}

func (w promptWalk) guarded(b types.GuardrailConverseContentBlock) {
	switch b := b.(type) {
	case *types.GuardrailConverseContentBlockMemberText:
		for _, q := range b.Value.Qualifiers {
			w.Text(string(q))
		}
		w.optionalTexts(b.Value.Text)
	case *types.GuardrailConverseContentBlockMemberImage:
		w.nonEmptyText(string(b.Value.Format))
		if data, ok := b.Value.Source.(*types.GuardrailConverseImageSourceMemberBytes); ok {
			w.picture(data.Value)
		}
	}
}

func (w promptWalk) image(b types.ImageBlock) {
	w.nonEmptyText(string(b.Format))
	w.failed(b.Error)
	switch s := b.Source.(type) {
	case *types.ImageSourceMemberBytes:
		w.picture(s.Value)
	case *types.ImageSourceMemberS3Location:
		w.stored(s.Value)
		w.Media(cache.Image, request.MaxImageTokens)
	}
}

func (w promptWalk) picture(data []byte) {
	if len(data) > 0 {
		w.Binary(data)
		w.Media(cache.Image, request.ImageTokens(data))
	}
}

// stored adds where content is kept.
func (w promptWalk) stored(at types.S3Location) { w.optionalTexts(at.BucketOwner, at.Uri) }

// failed adds what the service has said of media that it could not read.
func (w promptWalk) failed(e *types.ErrorBlock) {
	if e != nil {
		w.optionalTexts(e.Message)
	}
}

func (w promptWalk) video(b types.VideoBlock) {
	w.nonEmptyText(string(b.Format))
	switch s := b.Source.(type) {
	case *types.VideoSourceMemberBytes:
		w.Binary(s.Value)
	case *types.VideoSourceMemberS3Location:
		w.stored(s.Value)
	}
}

func (w promptWalk) file(d types.DocumentBlock) {
	w.optionalTexts(d.Name, d.Context)
	w.nonEmptyText(string(d.Format))
	w.cited(d.Citations)
	switch s := d.Source.(type) {
	case *types.DocumentSourceMemberBytes:
		if len(s.Value) > 0 {
			w.Binary(s.Value)
			w.Media(cache.Document, request.DocumentTokens(string(d.Format), s.Value))
		}
	case *types.DocumentSourceMemberText:
		w.Text(s.Value)
	case *types.DocumentSourceMemberContent:
		for _, part := range s.Value {
			if t, ok := part.(*types.DocumentContentBlockMemberText); ok {
				w.Text(t.Value)
			}
		}
	case *types.DocumentSourceMemberS3Location:
		w.stored(s.Value)
		w.Media(cache.Document, request.PageTokens)
	}
}

// cited notes that citations are asked for, which changes what is cached of the whole request.
func (w promptWalk) cited(c *types.CitationsConfig) {
	if c != nil && aws.ToBool(c.Enabled) {
		w.Flag("citations")
		w.Cited()
	}
}

func (w promptWalk) search(s types.SearchResultBlock) {
	w.optionalTexts(s.Source, s.Title)
	for _, c := range s.Content {
		w.optionalTexts(c.Text)
	}
	w.cited(s.Citations)
}

func (w promptWalk) citations(c types.CitationsContentBlock) {
	for _, g := range c.Content {
		if t, ok := g.(*types.CitationGeneratedContentMemberText); ok {
			w.Text(t.Value)
		}
	}
	for _, cite := range c.Citations {
		w.optionalTexts(cite.Source, cite.Title)
		if at, ok := cite.Location.(*types.CitationLocationMemberWeb); ok {
			w.optionalTexts(at.Value.Domain, at.Value.Url)
		}
		for _, s := range cite.SourceContent {
			if t, ok := s.(*types.CitationSourceContentMemberText); ok {
				w.Text(t.Value)
			}
		}
	}
}

// toolReference fills a block that adds or removes a tool in the middle of a conversation.
func (w promptWalk) toolReference(change string, t *types.ToolReference) {
	w.Flag(change)
	if t != nil {
		w.optionalTexts(t.Name, t.ServerName, t.Type)
	}
}

// textBlock begins a block of text, and adds the text to it.
func (w promptWalk) textBlock(i int, s string) {
	w.Block(cache.Text, i)
	w.Text(s)
}

// optionalTexts adds those of the texts that are set to the current block.
func (w promptWalk) optionalTexts(texts ...*string) {
	for _, t := range texts {
		if t != nil {
			w.Text(*t)
		}
	}
}

// nonEmptyText adds a text to the current block, unless it is empty.
func (w promptWalk) nonEmptyText(s string) {
	if s != "" {
		w.Text(s)
	}
}

// point adds a cache point. A lifetime that can't be read is zero.
func (w promptWalk) point(i int, b types.CachePointBlock) {
	if b.Ttl == "" {
		w.OpenPoint(i)
		return
	}
	ttl, err := time.ParseDuration(string(b.Ttl))
	if err != nil {
		ttl = 0
	}
	w.Point(i, max(ttl, 0))
}
