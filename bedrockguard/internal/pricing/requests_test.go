package pricing

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
)

// What requests are made of, as in the tests of package cachepoints.

// partsOf returns the parts of a Converse request, or nil for any other.
func partsOf(input any) *converse.Request {
	p := new(converse.Request)
	if !p.Of(input) {
		return nil
	}
	return p
}

func textBlock(s string) types.ContentBlock { return &types.ContentBlockMemberText{Value: s} }

func toolResult(id string, content ...types.ToolResultContentBlock) types.ContentBlock {
	return &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: &id, Content: content, Status: types.ToolResultStatusSuccess}}
}

func toolSpec(name, description string) types.Tool {
	return &types.ToolMemberToolSpec{Value: types.ToolSpecification{Name: &name, Description: &description, InputSchema: &types.ToolInputSchemaMemberJson{
		Value: document.NewLazyDocument(map[string]any{"type": "object", "properties": map[string]any{"path": map[string]any{"type": "string"}}}),
	}}}
}

func userTurn(content ...types.ContentBlock) types.Message {
	return types.Message{Role: types.ConversationRoleUser, Content: content}
}

func contentPoint(ttl types.CacheTTL) types.ContentBlock {
	return &types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: ttl}}
}

// pdfOf is a PDF with so many pages and hardly a word on them.
func pdfOf(pages int) []byte {
	pdf := []byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 1>>endobj\n")
	for i := range pages {
		pdf = fmt.Appendf(pdf, "%d 0 obj<</Type /Page /Parent 2 0 R>>endobj\n", 3+i)
	}
	return pdf
}
