package bedrocktest

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sonnet5 = "us.anthropic.claude-sonnet-5"

// inputOf returns the input tokens of a body, one a byte.
func inputOf(t *testing.T, model, body string) int64 {
	t.Helper()
	server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
	_, err := invoke(server, model, body)
	require.NoError(t, err)
	return server.Inferences()[0].InputTokens
}

// TestHiddenTextIsBilled: each feature costs what was recorded of it beside its own text, so that no bound on the text alone passes.
func TestHiddenTextIsBilled(t *testing.T) {
	claude := func(members, content string) string {
		return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,` + members + `"messages":[{"role":"user","content":[` + content + `]}]}`
	}
	const cited, plainDocument = `{"type":"document","citations":{"enabled":true},"source":{"type":"text","media_type":"text/plain","data":"x"}}`, `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}}`
	const say, builtin = `{"type":"text","text":"q"}`, `{"type":"computer_20250124","name":"computer"}`
	const format = `{"type":"json_schema","schema":{"type":"object"}}`
	const tool, strict = `{"name":"f","input_schema":{"type":"object"}}`, `{"name":"f","strict":true,"input_schema":{"type":"object"}}`
	const novaTool = `"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},`
	nova := func(members string) string {
		return `{` + members + `"messages":[{"role":"user","content":[{"text":"q"}]}]}`
	}
	for name, tc := range map[string]struct {
		model, plain, with string
		more               int
	}{
		"one cited document":     {sonnet5, claude("", say), claude("", cited+","+say), len(cited) + 789},
		"two cited documents":    {sonnet5, claude("", say), claude("", cited+","+cited+","+say), 2*len(cited) + 789 + 689},
		"a document not cited":   {sonnet5, claude("", say), claude("", plainDocument+","+say), len(plainDocument)},
		"a schema of the output": {sonnet5, claude("", say), claude(`"output_config":{"format":`+format+`},`, say), 80 + len(format)},
		"an effort alone":        {sonnet5, claude("", say), claude(`"output_config":{"effort":"low"},`, say), 0},
		"a strict tool":          {sonnet5, claude(`"tools":[`+tool+`],`, say), claude(`"tools":[`+strict+`],`, say), len(`"strict":true,`) + len(strict)},
		"a built-in tool":        {sonnet5, claude("", say), claude(`"tools":[`+builtin+`],`, say), len(builtin) + 380 + 2146},
		"three built-in tools":   {sonnet5, claude("", say), claude(`"tools":[`+builtin+`,`+builtin+`,`+builtin+`],`, say), 3*len(builtin) + 380 + 2146 + 1400},
		"tools of Nova 2":        {"amazon.nova-2-lite-v1:0", nova(""), nova(novaTool), len(`{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}`) + 831},
		"a schema of a chat":     {gptOSS, chatBody, chatBody[:len(chatBody)-1] + `,"response_format":` + format + `}`, len(format)},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, int64(tc.more), inputOf(t, tc.model, tc.with)-inputOf(t, tc.model, tc.plain))
		})
	}
}

// TestHiddenTextOfConverseIsBilled reads the same features where Converse has them.
func TestHiddenTextOfConverseIsBilled(t *testing.T) {
	input := func(model string, change func(*bedrockruntime.ConverseInput)) int64 {
		server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
		p := ask(model).user(say("q"))
		change(&p.in)
		_, err := newClient(server).Converse(context.Background(), &p.in)
		require.NoError(t, err)
		return server.Inferences()[0].InputTokens
	}
	plain := input(sonnet5, func(*bedrockruntime.ConverseInput) {})
	tool := map[string]any{"type": "bash_20250124", "name": "bash"}
	builtin := input(sonnet5, func(in *bedrockruntime.ConverseInput) {
		in.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"tools": []any{tool}})
	})
	assert.Equal(t, int64(len(`{"name":"bash","type":"bash_20250124"}`)+380+2146), builtin-plain)
	schema := input(sonnet5, func(in *bedrockruntime.ConverseInput) {
		in.OutputConfig = &types.OutputConfig{TextFormat: &types.OutputFormat{Type: types.OutputFormatTypeJsonSchema, Structure: &types.OutputFormatStructureMemberJsonSchema{
			Value: types.JsonSchemaDefinition{Schema: aws.String(`{"type":"object"}`)},
		}}}
	})
	assert.Greater(t, schema-plain, int64(80+len(`{"type":"object"}`)))
	search := func(enabled bool) int64 {
		return input(sonnet5, func(in *bedrockruntime.ConverseInput) {
			in.Messages[0].Content = append(in.Messages[0].Content, &types.ContentBlockMemberSearchResult{Value: types.SearchResultBlock{
				Source: aws.String("s"), Title: aws.String("t"), Content: []types.SearchResultContentBlock{{Text: aws.String("x")}}, Citations: &types.CitationsConfig{Enabled: aws.Bool(enabled)},
			}})
		})
	}
	assert.Equal(t, int64(789+len("true")-len("false")), search(true)-search(false))
}

// TestCompactionIsBilledByThePass: the pass reads the prompt, and its summary does not count into the request's maximum.
func TestCompactionIsBilledByThePass(t *testing.T) {
	const edits = `"context_management":{"edits":[{"type":"compact_20260112"}]}`
	for name, members := range map[string]string{"an edit": edits, "the field": `"compaction":{"type":"enabled"}`} {
		t.Run(name, func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
			out, err := invoke(server, sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,`+members+`,"messages":[{"role":"user","content":"q"}]}`)
			require.NoError(t, err)
			i := server.Inferences()[0]
			assert.Greater(t, i.OutputTokens, int64(500), "a summary beyond max_tokens")
			assert.Greater(t, i.InputTokens, 2*int64(5), "the prompt is read twice")
			assert.Equal(t, 7, at(t, out.Body, "usage", "output_tokens"), "the top counters are those of the last iteration")
			assert.Contains(t, string(out.Body), `"type":"compaction"`)
			again, err := invoke(New(t, Options{CountTokens: perByte, Reply: sevenTokens}), sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,`+members+`,"messages":[{"role":"user","content":"q"}]}`)
			require.NoError(t, err)
			assert.JSONEq(t, string(out.Body), string(again.Body), "the same request, the same summary")
			var told string
			for _, c := range chunks(t, server, sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,`+members+`,"messages":[{"role":"user","content":"q"}]}`) {
				told += string(c)
			}
			assert.Contains(t, told, `"iterations":[{`)
		})
	}
	server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
	_, err := invoke(server, sonnet5, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,`+edits+`,"messages":[{"role":"user","content":"`+sized("x", 120_000)+`"}]}`)
	require.NoError(t, err)
	assert.Greater(t, server.Inferences()[0].InputTokens, int64(3*120_000), "two passes over a long history, and the message")
}

// TestUnitsAreBilled: what has no tokens has a price.
func TestUnitsAreBilled(t *testing.T) {
	nova := func(kind, more string) string {
		return fmt.Sprintf(`{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX",%q:{"format":"x","source":{"bytes":"AAAA"}%s}}}`, kind, more)
	}
	long := `"` + sized("x", 1000) + `"`
	for name, tc := range map[string]struct {
		model, body string
		want        int64
	}{
		"a video of 30 seconds":   {"amazon.nova-2-multimodal-embeddings-v1:0", nova("video", ""), 30 * 700_000},
		"a sound of 30 seconds":   {"amazon.nova-2-multimodal-embeddings-v1:0", nova("audio", ""), 30 * 140_000},
		"an image":                {"amazon.nova-2-multimodal-embeddings-v1:0", nova("image", ""), 60_000},
		"a page of a document":    {"amazon.nova-2-multimodal-embeddings-v1:0", nova("image", `,"detailLevel":"DOCUMENT_IMAGE"`), 600_000},
		"an image, Titan":         {"amazon.titan-embed-image-v1", `{"inputImage":"AAAA"}`, 60_000},
		"a query":                 {"cohere.rerank-v3-5:0", `{"query":"q","documents":["a","b"]}`, 2_000_000},
		"a query of many chunks":  {"amazon.rerank-v1:0", `{"query":"q","documents":[` + long + `` + repeated(","+long, 50) + `]}`, 2 * 1_000_000},
		"an image, Cohere":        {"cohere.embed-english-v3", `{"input_type":"image","images":["data:image/png;base64,AAAA"]}`, 100_000},
		"texts have no unit":      {"cohere.embed-english-v3", `{"input_type":"search_query","texts":["a"]}`, 0},
		"image tokens, Cohere v4": {"cohere.embed-v4:0", `{"input_type":"image","images":["data:image/png;base64,AAAA"]}`, 3200 * 350},
	} {
		t.Run(name, func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte})
			_, err := invoke(server, tc.model, tc.body)
			require.NoError(t, err)
			assert.Equal(t, tc.want, server.Bill().Units)
			assert.GreaterOrEqual(t, server.Bill().NanoUSD, tc.want)
		})
	}
}

func repeated(s string, n int) (out string) {
	for range n {
		out += s
	}
	return out
}

// TestEachTextHasItsOwnWindow: a batch is not bounded by the window of one text, and one text is.
func TestEachTextHasItsOwnWindow(t *testing.T) {
	text := `"` + sized("x", 500) + `"`
	assert.Equal(t, int64(96*500), inputOf(t, "cohere.embed-english-v3", `{"input_type":"search_query","texts":[`+text+repeated(","+text, 95)+`]}`))
	long := `"` + sized("x", 600) + `"`
	assert.Equal(t, int64(512), inputOf(t, "cohere.embed-english-v3", `{"input_type":"search_query","truncate":"END","texts":[`+long+`]}`))
	_, err := invoke(New(t, Options{CountTokens: perByte}), "cohere.embed-english-v3", `{"input_type":"search_query","texts":[`+long+`]}`)
	requireRefused(t, err, 400, "ValidationException")
}
