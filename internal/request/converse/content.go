package converse

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// The methods of walk tell its sink of the parts of a request: they call text, json and the like, which leave out what the sink does not want.

// content tells of a block of a message, at an index of the message's list.
func (w walk) content(i int, b types.ContentBlock) {
	switch b := b.(type) {
	case *types.ContentBlockMemberText:
		w.textBlock(i, b.Value)
	case *types.ContentBlockMemberCachePoint:
		w.point(i, b.Value)
	case *types.ContentBlockMemberToolUse:
		w.toolUse(i, &b.Value)
	case *types.ContentBlockMemberToolResult:
		w.toolResult(i, &b.Value)
	case *types.ContentBlockMemberReasoningContent:
		w.block(request.Reasoning, i)
		w.reasoning(b.Value)
	case *types.ContentBlockMemberImage:
		w.block(request.Image, i)
		w.image(&b.Value)
	case *types.ContentBlockMemberDocument:
		w.block(request.Document, i)
		w.document(&b.Value)
		if b.Value.Format != types.DocumentFormatPdf {
			w.flag(request.Closed) // users report a 400 for a point directly behind a document of any format but PDF (2026-03)
		}
	default:
		w.block(request.Other, i)
		w.rare(b)
	}
}

// rare tells what a block of one of the rarer kinds holds. The cache check knows no more of these than that the model reads them.
func (w walk) rare(b types.ContentBlock) {
	switch b := b.(type) {
	case *types.ContentBlockMemberGuardContent:
		w.guarded(b.Value)
	case *types.ContentBlockMemberSearchResult:
		w.search(&b.Value)
	case *types.ContentBlockMemberCitationsContent:
		w.citations(&b.Value)
	case *types.ContentBlockMemberToolAddition:
		w.toolReference(request.Added, b.Value.Tool)
	case *types.ContentBlockMemberToolRemoval:
		w.toolReference(request.Removed, b.Value.Tool)
	case *types.ContentBlockMemberVideo:
		w.video(&b.Value)
	case *types.ContentBlockMemberAudio:
		w.audio(&b.Value)
	default:
		w.unknown(b)
	}
}

// toolUse tells of a call of a tool by the model.
func (w walk) toolUse(i int, b *types.ToolUseBlock) {
	w.block(request.ToolUse, i)
	w.optionalTexts(b.Name, b.ToolUseId)
	w.json(b.Input)
	w.nonEmptyText(string(b.Type))
}

// toolResult tells of what a tool has answered.
func (w walk) toolResult(i int, b *types.ToolResultBlock) {
	w.block(request.ToolResult, i)
	w.optionalTexts(b.ToolUseId, b.Type)
	w.nonEmptyText(string(b.Status))
	w.results(b.Content)
}

// results tells of the pieces of a tool's answer.
func (w walk) results(content []types.ToolResultContentBlock) {
	for _, r := range content {
		switch r := r.(type) {
		case *types.ToolResultContentBlockMemberText:
			w.text(r.Value)
		case *types.ToolResultContentBlockMemberJson:
			w.json(r.Value)
		case *types.ToolResultContentBlockMemberImage:
			w.image(&r.Value)
		case *types.ToolResultContentBlockMemberDocument:
			w.document(&r.Value)
		case *types.ToolResultContentBlockMemberSearchResult:
			w.search(&r.Value)
		case *types.ToolResultContentBlockMemberVideo:
			w.video(&r.Value)
		default:
			w.unknown(r)
		}
	}
}

// reasoning tells of the model's earlier reasoning, as text with its signature, or encrypted.
func (w walk) reasoning(b types.ReasoningContentBlock) {
	switch b := b.(type) {
	case *types.ReasoningContentBlockMemberReasoningText:
		w.optionalTexts(b.Value.Text, b.Value.Signature)
	case *types.ReasoningContentBlockMemberRedactedContent:
		w.sink.Media(request.Media{Kind: request.Sealed, From: request.Inline, Data: b.Value})
	default:
		w.unknown(b)
	}
}

// guarded tells of content that the guardrail looks at apart, with what it is to be checked for.
func (w walk) guarded(b types.GuardrailConverseContentBlock) {
	switch b := b.(type) {
	case *types.GuardrailConverseContentBlockMemberText:
		for _, q := range b.Value.Qualifiers {
			w.text(string(q))
		}
		w.optionalTexts(b.Value.Text)
	case *types.GuardrailConverseContentBlockMemberImage:
		w.nonEmptyText(string(b.Value.Format))
		data, ok := b.Value.Source.(*types.GuardrailConverseImageSourceMemberBytes)
		if !ok { // the source is missing, or of a kind that this version of the SDK does not know
			w.opaque()
			return
		}
		w.sink.Media(request.Media{Kind: request.Picture, From: request.Inline, Format: string(b.Value.Format), Data: data.Value})
	default:
		w.unknown(b)
	}
}

// image tells of an image. Of one whose source is missing or not known, the Origin stays Nowhere.
func (w walk) image(b *types.ImageBlock) {
	w.nonEmptyText(string(b.Format))
	w.failed(b.Error)
	m := request.Media{Kind: request.Picture, Format: string(b.Format)}
	switch s := b.Source.(type) {
	case *types.ImageSourceMemberBytes:
		m.From, m.Data = request.Inline, s.Value
	case *types.ImageSourceMemberS3Location:
		m.From = request.Stored
		w.stored(&s.Value)
	}
	w.sink.Media(m)
}

// video tells of a video, as image does.
func (w walk) video(b *types.VideoBlock) {
	w.nonEmptyText(string(b.Format))
	m := request.Media{Kind: request.Video, Format: string(b.Format)}
	switch s := b.Source.(type) {
	case *types.VideoSourceMemberBytes:
		m.From, m.Data = request.Inline, s.Value
	case *types.VideoSourceMemberS3Location:
		m.From = request.Stored
		w.stored(&s.Value)
	}
	w.sink.Media(m)
}

// audio tells of a sound, as image does.
func (w walk) audio(b *types.AudioBlock) {
	w.nonEmptyText(string(b.Format))
	w.failed(b.Error)
	m := request.Media{Kind: request.Audio, Format: string(b.Format)}
	switch s := b.Source.(type) {
	case *types.AudioSourceMemberBytes:
		m.From, m.Data = request.Inline, s.Value
	case *types.AudioSourceMemberS3Location:
		m.From = request.Stored
		w.stored(&s.Value)
	}
	w.sink.Media(m)
}

// stored tells of the texts of a place in S3 from which the service fetches content.
func (w walk) stored(at *types.S3Location) { w.optionalTexts(at.BucketOwner, at.Uri) }

// failed tells of the service's message about media that it could not read, if there is one.
func (w walk) failed(e *types.ErrorBlock) {
	if e != nil {
		w.optionalTexts(e.Message)
	}
}

// document tells of a document: as media if it comes as bytes or from S3, else as the texts that it consists of.
func (w walk) document(d *types.DocumentBlock) {
	w.optionalTexts(d.Name, d.Context)
	w.nonEmptyText(string(d.Format))
	m := request.Media{Kind: request.File, Format: string(d.Format), Cited: w.cites(d.Citations)}
	switch s := d.Source.(type) {
	case *types.DocumentSourceMemberBytes:
		m.From, m.Data = request.Inline, s.Value
	case *types.DocumentSourceMemberText:
		w.citable(m.Cited, s.Value)
		return // without media
	case *types.DocumentSourceMemberContent:
		for _, part := range s.Value {
			if t, ok := part.(*types.DocumentContentBlockMemberText); ok {
				w.citable(m.Cited, t.Value)
			} else {
				w.opaque() // a part of a kind that is not known
			}
		}
		return
	case *types.DocumentSourceMemberS3Location:
		m.From = request.Stored
		w.stored(&s.Value)
	}
	w.sink.Media(m)
}

// cites tells that citations are asked for, of the block that began last, and reports whether they are. It is told even if texts are left out, unlike
// what w.flag tells: the service adds instructions and marks for citations to the prompt, and the meter counts those.
func (w walk) cites(c *types.CitationsConfig) bool {
	on := c != nil && aws.ToBool(c.Enabled)
	if on {
		w.sink.Flag(request.Cited)
	}
	return on
}

// citable tells of text that may be cited if citations are asked for.
func (w walk) citable(cited bool, s string) {
	if cited {
		w.sink.CitedText(s)
	} else {
		w.text(s)
	}
}

// search tells of a search result.
func (w walk) search(s *types.SearchResultBlock) {
	w.optionalTexts(s.Source, s.Title)
	cited := w.cites(s.Citations)
	for _, c := range s.Content {
		if c.Text != nil {
			w.citable(cited, *c.Text)
		}
	}
}

// citations tells of an earlier answer with its citations: its texts, and for each citation where it comes from and what it cites.
func (w walk) citations(c *types.CitationsContentBlock) {
	for _, g := range c.Content {
		if t, ok := g.(*types.CitationGeneratedContentMemberText); ok {
			w.text(t.Value)
		} else {
			w.opaque()
		}
	}
	for _, cite := range c.Citations {
		w.optionalTexts(cite.Source, cite.Title)
		if at, ok := cite.Location.(*types.CitationLocationMemberWeb); ok {
			w.optionalTexts(at.Value.Domain, at.Value.Url)
		}
		for _, s := range cite.SourceContent {
			if t, ok := s.(*types.CitationSourceContentMemberText); ok {
				w.text(t.Value)
			} else {
				w.opaque()
			}
		}
	}
}

// toolReference tells of a tool that is added or removed in the middle of a conversation.
func (w walk) toolReference(change request.Flag, t *types.ToolReference) {
	w.flag(change)
	if t != nil {
		w.optionalTexts(t.Name, t.ServerName, t.Type)
	}
}
