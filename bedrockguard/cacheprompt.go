package bedrockguard

import (
	"encoding/json"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/cache"
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
			w.Setting("toolChoice", "auto")
		case *types.ToolChoiceMemberAny:
			w.Setting("toolChoice", "any")
		case *types.ToolChoiceMemberTool:
			w.Setting("toolChoice", "tool")
			if choice.Value.Name != nil {
				w.Setting("toolChoice.name", *choice.Value.Name)
			}
			w.Final = true
		default:
			w.Setting("toolChoice", "other")
		}
	}
	if c.Output != nil && c.Output.TextFormat != nil {
		// The schema of a structured answer becomes part of what the model reads.
		if s, ok := c.Output.TextFormat.Structure.(*types.OutputFormatStructureMemberJsonSchema); ok && s.Value.Schema != nil {
			w.Setting("outputConfig", *s.Value.Schema)
		}
	}
	w.additional(c.Additional)
}

// promptFields are the additional fields that change the prompt or what is cached of it, as far as is known (2026-11): how a
// model thinks, and how fast.
var promptFields = [...]string{
	"thinking", "reasoning", "reasoning_config", "reasoningConfig", "reasoning_effort", "reasoningEffort", "effort", "output_config", "speed",
}

func (w promptWalk) additional(d document.Interface) {
	if d == nil {
		return
	}
	raw, err := d.MarshalSmithyDocument()
	var fields map[string]json.RawMessage
	if err != nil || json.Unmarshal(raw, &fields) != nil {
		return // the SDK reports the error when it serialises the request
	}
	for _, name := range promptFields {
		if value, ok := fields[name]; ok {
			w.Setting(name, string(value))
		}
	}
	for _, marker := range [...]string{"cache_control", "cacheControl"} {
		if _, ok := fields[marker]; ok {
			w.Flaw(cache.Rule("wrong-dialect"), "additionalModelRequestFields."+marker)
		}
	}
}

func (w promptWalk) tool(i int, t types.Tool) {
	switch t := t.(type) {
	case *types.ToolMemberToolSpec:
		w.Block(cache.ToolDefinition, i)
		w.optionalTexts(t.Value.Name, t.Value.Description)
		if schema, ok := t.Value.InputSchema.(*types.ToolInputSchemaMemberJson); ok {
			w.Document(schema.Value)
		}
		if t.Value.Strict != nil && *t.Value.Strict {
			w.Text("strict")
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
		switch s := b.Value.Source.(type) {
		case *types.AudioSourceMemberBytes:
			w.Binary(s.Value)
		case *types.AudioSourceMemberS3Location:
			w.optionalTexts(s.Value.Uri)
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
		w.Media(cache.Reasoning, int64(len(b.Value)/redactedBytesPerToken))
	case *types.UnknownUnionMember:
		w.Binary(b.Value)
	}
}

func (w promptWalk) guarded(b types.GuardrailConverseContentBlock) {
	switch b := b.(type) {
	case *types.GuardrailConverseContentBlockMemberText:
		w.optionalTexts(b.Value.Text)
		for _, q := range b.Value.Qualifiers {
			w.Text(string(q))
		}
	case *types.GuardrailConverseContentBlockMemberImage:
		w.nonEmptyText(string(b.Value.Format))
		if data, ok := b.Value.Source.(*types.GuardrailConverseImageSourceMemberBytes); ok {
			w.Binary(data.Value)
			w.Media(cache.Image, imageTokens(data.Value))
		}
	}
}

func (w promptWalk) image(b types.ImageBlock) {
	w.nonEmptyText(string(b.Format))
	switch s := b.Source.(type) {
	case *types.ImageSourceMemberBytes:
		w.Binary(s.Value)
		w.Media(cache.Image, imageTokens(s.Value))
	case *types.ImageSourceMemberS3Location:
		w.optionalTexts(s.Value.Uri)
		w.Media(cache.Image, maxImageTokens)
	}
}

func (w promptWalk) video(b types.VideoBlock) {
	w.nonEmptyText(string(b.Format))
	switch s := b.Source.(type) {
	case *types.VideoSourceMemberBytes:
		w.Binary(s.Value)
	case *types.VideoSourceMemberS3Location:
		w.optionalTexts(s.Value.Uri)
	}
}

func (w promptWalk) file(d types.DocumentBlock) {
	w.optionalTexts(d.Name, d.Context)
	w.nonEmptyText(string(d.Format))
	if d.Citations != nil && d.Citations.Enabled != nil && *d.Citations.Enabled {
		w.Text("citations")
	}
	switch s := d.Source.(type) {
	case *types.DocumentSourceMemberBytes:
		w.Binary(s.Value)
		w.Media(cache.Document, documentTokens(d.Format, s.Value))
	case *types.DocumentSourceMemberText:
		w.Text(s.Value)
	case *types.DocumentSourceMemberContent:
		for _, part := range s.Value {
			if t, ok := part.(*types.DocumentContentBlockMemberText); ok {
				w.Text(t.Value)
			}
		}
	case *types.DocumentSourceMemberS3Location:
		w.optionalTexts(s.Value.Uri)
		w.Media(cache.Document, pageTokens)
	}
}

func (w promptWalk) search(s types.SearchResultBlock) {
	w.optionalTexts(s.Source, s.Title)
	for _, c := range s.Content {
		w.optionalTexts(c.Text)
	}
}

func (w promptWalk) citations(c types.CitationsContentBlock) {
	for _, g := range c.Content {
		if t, ok := g.(*types.CitationGeneratedContentMemberText); ok {
			w.Text(t.Value)
		}
	}
	for _, cite := range c.Citations {
		w.optionalTexts(cite.Source, cite.Title)
		for _, s := range cite.SourceContent {
			if t, ok := s.(*types.CitationSourceContentMemberText); ok {
				w.Text(t.Value)
			}
		}
	}
}

// toolReference fills a block that adds or removes a tool in the middle of a conversation.
func (w promptWalk) toolReference(change string, t *types.ToolReference) {
	w.Text(change)
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
