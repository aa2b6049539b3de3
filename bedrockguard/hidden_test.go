package bedrockguard_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
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

// reservedFor returns what a call sets aside, in each unit, with the bound that never counts.
func reservedFor(t *testing.T, call func(*rig) error) budget.Charge {
	t.Helper()
	r := newRig(t, settings{guard: bedrockguard.Options{StrictBound: true}, config: answers(fmt.Sprintf(converseAnswer, ""))})
	_ = call(r)
	reserved := r.events.of(bedrockguard.EventReserved)
	require.NotEmpty(t, reserved)
	return reserved[0].Worst
}

func converseWith(model string, change func(*bedrockruntime.ConverseInput)) func(*rig) error {
	return func(r *rig) error {
		in := converseInput("hello")
		in.ModelId = aws.String(model)
		change(in)
		_, err := r.client.Converse(context.Background(), in)
		return err
	}
}

func invokeWith(model, body string) func(*rig) error {
	return func(r *rig) error { return invoke(context.Background(), r.client, model, body) }
}

func attach(b types.ContentBlock) func(*bedrockruntime.ConverseInput) {
	return func(in *bedrockruntime.ConverseInput) { in.Messages[0].Content = append(in.Messages[0].Content, b) }
}

func citedText(text string) types.ContentBlock {
	return &types.ContentBlockMemberDocument{Value: types.DocumentBlock{
		Name: aws.String("facts"), Format: types.DocumentFormatTxt, Source: &types.DocumentSourceMemberText{Value: text},
		Citations: &types.CitationsConfig{Enabled: aws.Bool(true)},
	}}
}

func workbook(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string]string{
		"xl/sharedStrings.xml":     `<sst><si><t>` + strings.Repeat("word ", 400) + `</t></si></sst>`,
		"xl/worksheets/sheet1.xml": strings.Repeat(`<c r="A1" t="s"><v>0</v></c>`, 300),
	} {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// TestTextThatTheServiceAddsIsBounded holds the reservation to what was recorded or documented of requests that make the service add
// text of its own: none of it is in the request.
func TestTextThatTheServiceAddsIsBounded(t *testing.T) {
	builtin := map[string]any{"tools": []any{map[string]any{"type": "computer_20250124", "name": "computer", "display_width_px": 1024, "display_height_px": 768}}, "anthropic_beta": []any{"computer-use-2025-01-24"}}
	schema := &types.OutputConfig{TextFormat: &types.OutputFormat{Type: types.OutputFormatTypeJsonSchema, Structure: &types.OutputFormatStructureMemberJsonSchema{
		Value: types.JsonSchemaDefinition{Schema: aws.String(`{"type":"object"}`)},
	}}}
	tool := &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: aws.String("t"), Strict: aws.Bool(true), InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})},
	}}}}
	for name, tc := range map[string]struct {
		call  func(*rig) error
		least int64 // input tokens
	}{
		"citations of a document":           {converseWith(sonnet5, attach(citedText("The sky is blue."))), 887},
		"citations of two documents":        {converseWith(sonnet5, func(in *bedrockruntime.ConverseInput) { attach(citedText("a"))(in); attach(citedText("b"))(in) }), 1606},
		"citations, InvokeModel":            {invokeWith(sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":[{"type":"document","citations":{"enabled":true},"source":{"type":"text","media_type":"text/plain","data":"The sky is blue."}},{"type":"text","text":"why?"}]}]}`), 887},
		"citations of many short sentences": {converseWith(sonnet5, attach(citedText(strings.Repeat("A. ", 2000)))), 10_000},
		"citations of a search result":      {converseWith(sonnet5, attach(&types.ContentBlockMemberSearchResult{Value: types.SearchResultBlock{Source: aws.String("s"), Title: aws.String("t"), Content: []types.SearchResultContentBlock{{Text: aws.String("x")}}, Citations: &types.CitationsConfig{Enabled: aws.Bool(true)}}})), 887},
		"built-in tools beside Converse": {converseWith(sonnet5, func(in *bedrockruntime.ConverseInput) {
			in.AdditionalModelRequestFields = document.NewLazyDocument(builtin)
		}), 2146},
		"built-in tools in Converse's tools":  {invokeWith(sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"tools":[{"type":"computer_20250124","name":"computer"}],"messages":[{"role":"user","content":"hello"}]}`), 2146},
		"a schema of the output":              {converseWith(sonnet5, func(in *bedrockruntime.ConverseInput) { in.OutputConfig = schema }), 317},
		"a schema of the output, InvokeModel": {invokeWith(sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}},"messages":[{"role":"user","content":"hello"}]}`), 317},
		"a strict tool":                       {converseWith(sonnet5, func(in *bedrockruntime.ConverseInput) { in.ToolConfig = tool }), 901},
		"tools of Nova 2":                     {converseWith("us.amazon.nova-2-lite-v1:0", func(in *bedrockruntime.ConverseInput) { in.ToolConfig = tool }), 901},
		"a text of an embedding batch each":   {invokeWith("cohere.embed-english-v3", `{"input_type":"search_document","texts":["`+strings.TrimSuffix(strings.Repeat(strings.Repeat("word ", 400)+`","`, 96), `","`)+`"]}`), 38_400},
		"documents of Cohere's chat":          {invokeWith("cohere.command-r-v1:0", `{"message":"q","documents":[`+strings.TrimSuffix(strings.Repeat(`{"title":"t","snippet":"a word"},`, 2000), ",")+`]}`), 40_024},
		"shared strings of a workbook":        {converseWith(sonnet5, attach(&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Name: aws.String("d"), Format: types.DocumentFormatXlsx, Source: &types.DocumentSourceMemberBytes{Value: workbook(t)}}})), 300 * 2000},
	} {
		t.Run(name, func(t *testing.T) {
			worst := reservedFor(t, tc.call)
			assert.GreaterOrEqual(t, worst[budget.UnitInputTokens], tc.least)
		})
	}
}

// TestCompactionIsBounded: each pass over the history is an inference of its own, whose summary no limit of the request bounds.
func TestCompactionIsBounded(t *testing.T) {
	edits := `"context_management":{"edits":[{"type":"compact_20260112","trigger":{"type":"input_tokens","value":50000}}]}`
	for name, call := range map[string]func(*rig) error{
		"edits": invokeWith(sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1000,`+edits+`,"messages":[{"role":"user","content":"hello"}]}`),
		"field": invokeWith(sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1000,"compaction":{"enabled":true},"messages":[{"role":"user","content":"hello"}]}`),
		"beside Converse's": converseWith(sonnet5, func(in *bedrockruntime.ConverseInput) {
			in.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"context_management": map[string]any{"edits": []any{map[string]any{"type": "compact_20260112"}}}})
		}),
	} {
		t.Run(name, func(t *testing.T) {
			worst, plain := reservedFor(t, call), reservedFor(t, invokeWith(sonnet5, anthropicBody("hello")))
			assert.GreaterOrEqual(t, worst[budget.UnitOutputTokens], int64(4500))
			assert.GreaterOrEqual(t, worst[budget.UnitInputTokens], 2*plain[budget.UnitInputTokens])
		})
	}
	r := newRig(t, settings{limits: []budget.Limit{{Name: "output", Max: budget.OutputTokens(4200), Window: budget.Daily}}})
	err := invoke(context.Background(), r.client, sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":4096,`+edits+`,"messages":[{"role":"user","content":"hello"}]}`)
	require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
	other := `"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]}`
	worst := reservedFor(t, invokeWith(sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1000,`+other+`,"messages":[{"role":"user","content":"hello"}]}`))
	assert.Equal(t, int64(1000), worst[budget.UnitOutputTokens], "an edit that infers nothing")
}

// TestSecondsOfMediaAreBounded: an embedding of sound and video is billed by the second, which no answer tells.
func TestSecondsOfMediaAreBounded(t *testing.T) {
	const model = "amazon.nova-2-multimodal-embeddings-v1:0"
	body := `{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","video":{"format":"mp4","embeddingMode":"AUDIO_VIDEO_COMBINED","source":{"bytes":"AAAA"}}}}`
	assert.GreaterOrEqual(t, reservedFor(t, invokeWith(model, body))[budget.UnitUSD], int64(21_000_000), "30 seconds at 0.0007 USD")
	page := `{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","image":{"format":"png","detailLevel":"DOCUMENT_IMAGE","source":{"bytes":"iVBORw0KGgo="}}}}`
	assert.GreaterOrEqual(t, reservedFor(t, invokeWith(model, page))[budget.UnitUSD], int64(600_000), "a page at 0.0006 USD")
}

// TestHistoryThatTheServiceKeepsIsBoundedByTheWindow: it is billed again, and is not in the request.
func TestHistoryThatTheServiceKeepsIsBoundedByTheWindow(t *testing.T) {
	for name, body := range map[string]string{
		"a response":     `{"max_output_tokens":100,"previous_response_id":"resp_1","input":"go on"}`,
		"a conversation": `{"max_output_tokens":100,"conversation":{"id":"conv_1"},"input":"go on"}`,
		"an item":        `{"max_output_tokens":100,"input":[{"type":"item_reference","id":"msg_1"}]}`,
	} {
		worst := reservedFor(t, invokeWith(gptOSS, body))
		assert.GreaterOrEqual(t, worst[budget.UnitInputTokens], int64(128_000), name)
	}
}

// TestMissingAdditionalFieldsAreNone: null is how some callers spell that there are none.
func TestMissingAdditionalFieldsAreNone(t *testing.T) {
	var none map[string]any
	reservedFor(t, converseWith(sonnet5, func(in *bedrockruntime.ConverseInput) {
		in.AdditionalModelRequestFields = document.NewLazyDocument(none)
	}))
	reservedFor(t, converseWith(sonnet5, func(in *bedrockruntime.ConverseInput) {
		in.AdditionalModelRequestFields = document.NewLazyDocument(nil)
	}))
}
