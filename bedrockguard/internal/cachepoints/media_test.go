package cachepoints

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// pdfOf is a PDF with so many pages and hardly a word on them.
func pdfOf(pages int) []byte {
	pdf := []byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 1>>endobj\n")
	for i := range pages {
		pdf = fmt.Appendf(pdf, "%d 0 obj<</Type /Page /Parent 2 0 R>>endobj\n", 3+i)
	}
	return pdf
}

// A document must not count one figure where it arrives as an SDK value and another where it arrives as JSON.
func TestDocumentsCountAlikeAsValuesAndAsJSON(t *testing.T) {
	for _, tc := range []struct {
		format types.DocumentFormat
		data   []byte
	}{
		{types.DocumentFormatPdf, pdfOf(1)},
		{types.DocumentFormatPdf, pdfOf(3)},
		{types.DocumentFormatPdf, make([]byte, 120_000)},
		{types.DocumentFormatTxt, make([]byte, 9000)},
		{types.DocumentFormatHtml, make([]byte, 9000)},
		{types.DocumentFormatDocx, make([]byte, 90_000)},
		{types.DocumentFormatXls, make([]byte, 90_000)},
	} {
		document := types.DocumentBlock{Name: aws.String("d"), Format: tc.format, Source: &types.DocumentSourceMemberBytes{Value: tc.data}}
		typed := new(prompt.Prompt)
		fillPrompt(typed, partsOf(&bedrockruntime.ConverseInput{Messages: []types.Message{userTurn(&types.ContentBlockMemberDocument{Value: document})}}))
		body := fmt.Sprintf(`{"inferenceConfig":{},"messages":[{"role":"user","content":[{"document":{"name":"d","format":%q,"source":{"bytes":%q}}}]}]}`,
			tc.format, base64.StdEncoding.EncodeToString(tc.data))
		read := new(prompt.Prompt)
		require.NoError(t, prompt.ParseBody(read, "anthropic", []byte(body)))
		require.InDelta(t, typed.Blocks[0].MediaTokens, read.Blocks[0].MediaTokens, 1, "%s of %d bytes", tc.format, len(tc.data))
	}
}

// Two one-page documents in a history are 145 tokens to the service: no mode may refuse such a request, nor call it uncached.
func TestShortRequestsWithDocumentsAreNotRefused(t *testing.T) {
	document := func(name string) types.ContentBlock {
		return &types.ContentBlockMemberDocument{Value: types.DocumentBlock{
			Name: aws.String(name), Format: types.DocumentFormatPdf, Source: &types.DocumentSourceMemberBytes{Value: pdfOf(1)},
		}}
	}
	p := new(prompt.Prompt)
	fillPrompt(p, partsOf(&bedrockruntime.ConverseInput{Messages: []types.Message{
		userTurn(textBlock("Compare."), document("a"), document("b")), assistantTurn(textBlock("They agree.")), userTurn(textBlock("Sure?")),
	}}))
	m, err := modelFacts("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-east-1")
	require.NoError(t, err)
	require.Empty(t, cache.Lint(p, m))
}
