package cost

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

func pngBase64(t testing.TB) string {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 30))))
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

var pdfBase64 = base64.StdEncoding.EncodeToString([]byte("%PDF-1.4 <</Type/Page>> <</Type/Page>>"))

// long stands for text that is long enough for a block of its own.
const long = "a text that is long enough"

func TestParseRequest_Dialects(t *testing.T) {
	for name, tc := range map[string]struct {
		body      string
		max       int64
		choices   int64
		messages  int
		textBytes int
	}{
		"anthropic":           {`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"system":"` + long + `","messages":[{"role":"user","content":[{"type":"text","text":"` + long + `"}]}]}`, 100, 1, 1, 2*len(long) + len("bedrock-2023-05-31")},
		"anthropic thinking":  {`{"max_tokens":100,"thinking":{"type":"enabled","budget_tokens":4000},"messages":[]}`, 4000, 1, 0, 0},
		"anthropic text":      {`{"prompt":"` + long + `","max_tokens_to_sample":50}`, 50, 1, 0, len(long)},
		"nova":                {`{"schemaVersion":"messages-v1","inferenceConfig":{"maxTokens":7},"system":[{"text":"` + long + `"}],"messages":[{"role":"user","content":[{"text":"` + long + `"}]}]}`, 7, 1, 1, 2 * len(long)},
		"nova old limit":      {`{"inferenceConfig":{"max_new_tokens":9},"messages":[]}`, 9, 1, 0, 0},
		"titan text":          {`{"inputText":"` + long + `","textGenerationConfig":{"maxTokenCount":512}}`, 512, 1, 0, len(long)},
		"titan embedding":     {`{"inputText":"` + long + `","dimensions":1024}`, 0, 1, 0, len(long)},
		"cohere embed":        {`{"texts":["` + long + `","` + long + `"],"input_type":"search_document"}`, 0, 1, 0, 2 * len(long)},
		"cohere embed v4":     {`{"inputs":[{"content":[{"type":"text","text":"` + long + `"}]}]}`, 0, 1, 0, len(long)},
		"cohere command":      {`{"prompt":"` + long + `","max_tokens":20,"num_generations":3}`, 20, 3, 0, len(long)},
		"cohere command r":    {`{"message":"` + long + `","chat_history":[{"role":"USER","message":"` + long + `"}],"max_tokens":20}`, 20, 1, 1, 2 * len(long)},
		"llama":               {`{"prompt":"` + long + `","max_gen_len":64}`, 64, 1, 0, len(long)},
		"mistral":             {`{"prompt":"` + long + `","max_tokens":64}`, 64, 1, 0, len(long)},
		"jamba":               {`{"messages":[{"role":"user","content":"` + long + `"}],"max_tokens":64,"n":2}`, 64, 2, 1, len(long)},
		"j2":                  {`{"prompt":"` + long + `","maxTokens":64,"numResults":4}`, 64, 4, 0, len(long)},
		"openai":              {`{"messages":[{"role":"user","content":"` + long + `"}],"max_tokens":5,"max_completion_tokens":80,"n":2}`, 80, 2, 1, len(long)},
		"responses":           {`{"input":[{"role":"user","content":[{"type":"input_text","text":"` + long + `"}]}],"max_output_tokens":80}`, 80, 1, 1, len(long)},
		"unknown":             {`{"weird":{"deep":["` + long + `"],"max_tokens":77}}`, 77, 1, 0, len(long)},
		"unknown, no integer": {`{"weird":{"max_tokens":"plenty","n":1.5}}`, 0, 1, 0, 0},
		"null limit":          {`{"max_tokens":null,"n":null}`, 0, 1, 0, 0},
		"zero choices":        {`{"max_tokens":3,"n":0}`, 3, 1, 0, 0},
		"limit in a schema":   {`{"max_tokens":3,"tools":[{"name":"x","input_schema":{"properties":{"max_tokens":{"type":"integer"}}}}]}`, 3, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest("", []byte(tc.body))
			require.NoError(t, err)
			assert.Equal(t, tc.max, r.MaxTokens)
			assert.Equal(t, tc.choices, r.Choices)
			assert.Equal(t, tc.messages, r.Prompt.Messages)
			text := 0
			for _, b := range r.Prompt.Blocks {
				if b.Kind == tokens.Text {
					text += len(b.Text)
				}
			}
			assert.Equal(t, tc.textBytes, text)
			assert.Equal(t, price.NoCacheWrites, r.CacheWrites)
			assert.Empty(t, r.Unpriced)
		})
	}
}

func TestParseRequest_Malformed(t *testing.T) {
	for name, body := range map[string]string{
		"empty":               ``,
		"array":               `[]`,
		"trailing data":       `{} {}`,
		"cut":                 `{"a":"b`,
		"negative limit":      `{"max_tokens":-1}`,
		"fraction":            `{"max_tokens":1.5}`,
		"fraction, exponent":  `{"max_tokens":12.345e2}`,
		"huge exponent":       `{"max_tokens":1e99}`,
		"long":                `{"max_tokens":1000.0000000000000000000000000}`,
		"string":              `{"max_tokens":"100"}`,
		"overflow":            `{"max_tokens":9223372036854775808}`,
		"nested negative":     `{"inferenceConfig":{"maxTokens":-1}}`,
		"thinking string":     `{"thinking":{"budget_tokens":"x"}}`,
		"choices fraction":    `{"n":1.5}`,
		"choices object":      `{"n":{}}`,
		"duplicate":           `{"max_tokens":1,"max_tokens":2}`,
		"duplicate, escaped":  `{"max_tokens":1,"max\u005ftokens":2}`,
		"duplicate deep":      `{"messages":[{"content":[{"text":"a","text":"b"}]}]}`,
		"duplicate in a tool": `{"tools":[{"name":"a","name":"b"}]}`,
		"invalid UTF-8":       "{\"a\":\"\xff\"}",
		"control character":   "{\"a\":\"\x01\"}",
		"bad escape":          `{"a":"\x"}`,
		"bad unicode escape":  `{"a":"\u00g0"}`,
		"leading zero":        `{"a":01}`,
		"bare minus":          `{"a":-}`,
		"cut fraction":        `{"a":1.}`,
		"cut exponent":        `{"a":1e}`,
		"trailing comma":      `{"a":1,}`,
		"missing comma":       `{"a":1 "b":2}`,
		"missing colon":       `{"a" 1}`,
		"nan":                 `{"a":NaN}`,
		"byte order mark":     "\ufeff{}",
		"deep":                `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseRequest("", []byte(body))
			require.ErrorIs(t, err, request.ErrMalformed)
			var m *request.MalformedError
			require.ErrorAs(t, err, &m)
		})
	}
}

func TestParseRequest_ManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		b.WriteString(`,"` + strings.Repeat("k", i/100) + string(rune('a'+i%26)) + string(rune('A'+i%100)) + `":1`)
	}
	keys := b.String()[1:]
	_, err := ParseRequest("", []byte(`{"x":{`+keys+`}}`))
	var want map[string]any
	_ = json.Unmarshal([]byte(`{`+keys+`}`), &want)
	assert.Equal(t, len(want) == 5000, err == nil)
	_, err = ParseRequest("", []byte(`{"x":{`+keys+`,"a":1,"a":2}}`))
	assert.ErrorIs(t, err, request.ErrMalformed)
}

func TestParseRequest_ErrorsHoldNoContent(t *testing.T) {
	for _, body := range []string{`{"max_tokens":"canary"}`, `{"canary":1,"canary":2}`, `{"a":canary}`} {
		_, err := ParseRequest("", []byte(body))
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "canary")
	}
	_, err := ParseRequest("", []byte(`{"max_tokens":-5}`))
	assert.EqualError(t, err, "bedrockguard: malformed request: max_tokens at byte 14: not a non-negative integer: what it can cost could not be told, so nothing was sent: mend the request")
}

func TestParseRequest_CacheWrites(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want price.CacheWrites
	}{
		"anthropic system":   {`{"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}`, price.CacheWrites5m},
		"anthropic hour":     {`{"messages":[{"content":[{"text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}`, price.CacheWrites1h},
		"anthropic tool":     {`{"tools":[{"name":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}]}`, price.CacheWrites1h},
		"in a tool result":   {`{"messages":[{"content":[{"type":"tool_result","content":[{"text":"x","cache_control":{"ttl":"5m"}}]}]}]}`, price.CacheWrites5m},
		"top level":          {`{"cache_control":{"type":"ephemeral"}}`, price.CacheWrites5m},
		"nova":               {`{"system":[{"text":"x","cachePoint":{"type":"default"}}]}`, price.CacheWrites5m},
		"converse tools":     {`{"toolConfig":{"tools":[{"cachePoint":{"type":"default","ttl":"1h"}}]}}`, price.CacheWrites1h},
		"unknown ttl":        {`{"system":[{"cachePoint":{"ttl":"24h"}}]}`, price.CacheWrites1h},
		"escaped key":        {`{"system":[{"cache\u0050oint":{"ttl":"1h"}}]}`, price.CacheWrites1h},
		"null":               {`{"system":[{"text":"x","cache_control":null}]}`, price.NoCacheWrites},
		"dearest wins":       {`{"system":[{"cachePoint":{"ttl":"1h"}},{"cachePoint":{"ttl":"5m"}}]}`, price.CacheWrites1h},
		"data, not a marker": {`{"messages":[{"content":[{"type":"tool_use","input":{"cache_control":{"ttl":"1h"}}}]}]}`, price.NoCacheWrites},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest("", []byte(tc.body))
			require.NoError(t, err)
			assert.Equal(t, tc.want, r.CacheWrites)
		})
	}
}

func TestParseRequest_Media(t *testing.T) {
	img := pngBase64(t)
	picture := tokens.Block{Kind: tokens.Image, Width: 40, Height: 30}
	pages := tokens.Block{Kind: tokens.Document, Format: "pdf", Pages: 2}
	opaque := tokens.Block{Kind: tokens.Opaque}
	for name, tc := range map[string]struct {
		block string
		want  tokens.Block
	}{
		"anthropic image":     {`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + img + `"}}`, picture},
		"type last":           {`{"source":{"data":"` + img + `","type":"base64"},"type":"image"}`, picture},
		"escaped slashes":     {`{"type":"image","source":{"type":"base64","data":"` + strings.ReplaceAll(img, "/", `\/`) + `"}}`, picture},
		"anthropic url":       {`{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`, opaque},
		"anthropic file":      {`{"type":"document","source":{"type":"file","file_id":"file_1"}}`, opaque},
		"anthropic pdf":       {`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + pdfBase64 + `"}}`, pages},
		"nova image":          {`{"image":{"format":"png","source":{"bytes":"` + img + `"}}}`, picture},
		"nova pdf":            {`{"document":{"format":"pdf","name":"x","source":{"bytes":"` + pdfBase64 + `"}}}`, pages},
		"nova s3":             {`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}}`, opaque},
		"nova video":          {`{"video":{"format":"mp4","source":{"bytes":"AAAA"}}}`, opaque},
		"openai image":        {`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + img + `"}}`, picture},
		"openai image string": {`{"type":"input_image","image_url":"data:image/png;base64,` + img + `"}`, picture},
		"openai url":          {`{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}`, opaque},
		"openai file":         {`{"type":"file","file":{"file_data":"data:application/pdf;base64,` + pdfBase64 + `"}}`, pages},
		"openai audio":        {`{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`, opaque},
		"plain text document": {`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"hello there"}}`, tokens.Block{Text: "hello there"}},
		"not base64":          {`{"type":"image","source":{"type":"base64","data":"words, not a picture"}}`, tokens.Block{Text: "words, not a picture"}},
		"tool input as is":    {`{"type":"tool_use","input":{"source":{"bytes":"AAAA"}}}`, tokens.Block{Kind: tokens.JSON, Text: `{"source":{"bytes":"AAAA"}}`}},
		"escaped text":        {`{"type":"text","text":"one \"quoted\" word"}`, tokens.Block{Text: `one \"quoted\" word`, Escaped: true}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest("", []byte(`{"messages":[{"role":"user","content":[`+tc.block+`]}]}`))
			require.NoError(t, err)
			require.Len(t, r.Prompt.Blocks, 1)
			got := r.Prompt.Blocks[0]
			got.Bytes = 0
			if got.Kind == tokens.Image {
				got.Format = ""
				assert.EqualValues(t, 1, r.Images)
			}
			assert.Equal(t, tc.want, got)
		})
	}
	for name, body := range map[string]string{
		"titan multimodal": `{"inputImage":"` + img + `"}`,
		"cohere images":    `{"images":["data:image/png;base64,` + img + `"]}`,
		"llama images":     `{"prompt":"hi","images":["` + img + `"]}`,
		"nova embeddings":  `{"singleEmbeddingParams":{"image":{"format":"png","source":{"bytes":"` + img + `"}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest("", []byte(body))
			require.NoError(t, err)
			require.Len(t, r.Prompt.Blocks, 1)
			assert.Equal(t, 40, r.Prompt.Blocks[0].Width)
		})
	}
}

func TestParseRequest_Tools(t *testing.T) {
	r, err := ParseRequest("", []byte(`{"tools":[{"name":"a","input_schema":{"type":"object"}},{"type":"bash_20250124","name":"bash"}],"toolConfig":{"tools":[{"toolSpec":{"name":"b"}}],"toolChoice":{"auto":{}}}}`))
	require.NoError(t, err)
	assert.Equal(t, 3, r.Prompt.Tools)
	assert.Equal(t, 1, r.Prompt.BuiltinTools)
	assert.Empty(t, r.Unpriced)
	assert.Equal(t, `{"name":"a","input_schema":{"type":"object"}}`, r.Prompt.Blocks[0].Text)
}

func TestParseRequest_Unpriced(t *testing.T) {
	for body, want := range map[string]string{
		`{"tools":[{"type":"web_search_20250305","name":"web_search"}]}`: "web_search",
		`{"tools":[{"type":"web_fetch_20250910"}]}`:                      "web_fetch",
		`{"tools":[{"type":"code_execution_20250825"},{"name":"last"}]}`: "code_execution",
		`{"tools":[{"type":"canary_tool"}]}`:                             "unknown tool type",
		`{"toolConfig":{"tools":[{"systemTool":{"name":"grounding"}}]}}`: "system_tool",
		`{"mcp_servers":[{"url":"https://example.com"}]}`:                "mcp_servers",
		`{"mcp_servers":[]}`:           "",
		`{"web_search_options":{}}`:    "web_search_options",
		`{"speed":"fast"}`:             "speed",
		`{"speed":"standard"}`:         "",
		`{"service_tier":"ultrafast"}`: "",
		`{"service_tier":"auto"}`:      "",
		`{"tools":[{"type":"function","function":{"name":"f"}}],"n":1}`: "",
	} {
		r, err := ParseRequest("", []byte(body))
		require.NoError(t, err, body)
		assert.Equal(t, want, r.Unpriced, body)
	}
	r, err := ParseRequest("", []byte(`{"serviceTier":{"type":"Priority"}}`))
	require.NoError(t, err)
	assert.Equal(t, "priority", r.ServiceTier)
}

func TestParseRequest_Rerank(t *testing.T) {
	body := `{"query":"q","documents":[` + strings.Repeat(`"short",`, 99) + `"short"]}`
	r, err := ParseRequest("cohere.rerank-v3-5:0", []byte(body))
	require.NoError(t, err)
	assert.EqualValues(t, 1, r.Queries)
	r, err = ParseRequest("cohere.rerank-v3-5:0", []byte(`{"documents":["`+strings.Repeat("x", 30_000)+`"]}`))
	require.NoError(t, err)
	assert.EqualValues(t, 2, r.Queries)
	r, err = ParseRequest("cohere.command-r-v1:0", []byte(body))
	require.NoError(t, err)
	assert.Zero(t, r.Queries)
}

func TestParseExtra(t *testing.T) {
	r, err := ParseExtra(nil)
	require.NoError(t, err)
	assert.Equal(t, Request{Choices: 1}, r)
	r, err = ParseExtra([]byte(`{"max_tokens":9000,"thinking":{"budget_tokens":10},"tools":[{"type":"web_search_1","cache_control":{"ttl":"1h"}}]}`))
	require.NoError(t, err)
	assert.EqualValues(t, 9000, r.MaxTokens)
	assert.Equal(t, price.CacheWrites1h, r.CacheWrites)
	assert.Equal(t, "web_search", r.Unpriced)
	_, err = ParseExtra([]byte(`7`))
	assert.ErrorIs(t, err, request.ErrMalformed)
}

func TestParseRequest_DoesNotShareTheBody(t *testing.T) {
	body := []byte(`{"prompt":"` + long + `"}`)
	r, err := ParseRequest("", body)
	require.NoError(t, err)
	clear(body)
	assert.Equal(t, long, r.Prompt.Blocks[0].Text)
}

// stringBytes counts what encoding/json finds: every string value, decoded.
func stringBytes(v any) int64 {
	switch v := v.(type) {
	case string:
		return int64(len(v))
	case []any:
		var n int64
		for _, e := range v {
			n += stringBytes(e)
		}
		return n
	case map[string]any:
		var n int64
		for _, e := range v {
			n += stringBytes(e)
		}
		return n
	default:
		return 0
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"messages":[{"role":"user","content":[{"type":"text","text":"hello \u4e2d\n world, how are you","cache_control":{"type":"ephemeral","ttl":"1h"}}]}],"max_tokens":5}`,
		`{"a":{"b":[1,2.5e3,true,null,{"c":"d"}]},"source":{"data":"AAAA","bytes":"BBBBCCCC"}}`,
		`{"messages":[{"type":"image","source":{"type":"base64","data":"iVBORw0KGgo="}}],"tools":[{"type":"x"}],"documents":["d"]}`,
		`{"toolConfig":{"tools":[{"toolSpec":{}}]},"service_tier":{"type":"flex"},"inferenceConfig":{"maxTokens":3}}`,
		`{"image_url":{"url":"data:image/png;base64,AAAA"},"images":["AAAA"],"n":3,"speed":"fast"}`,
		`{"model":"m","stream":true,"input":[{"id":"i"},{"type":"reasoning","id":"r","content":[{"text":"x"}]},{"content":[{"type":"input_file","file_url":"u"}]}],"text":{"format":{"schema":{}}},"prompt":{"id":"p"},"background":true,"previous_response_id":"r"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest("x.rerank", body)
		if err != nil {
			require.ErrorIs(t, err, request.ErrMalformed)
			return
		}
		var v map[string]any
		require.NoError(t, json.Unmarshal(body, &v), "accepted what encoding/json refuses")
		require.GreaterOrEqual(t, r.Choices, int64(1))
		require.GreaterOrEqual(t, r.MaxTokens, int64(0))
		if n, ok := v["max_tokens"].(float64); ok && n < 1<<53 {
			require.GreaterOrEqual(t, float64(r.MaxTokens), n)
		}
		for _, b := range r.Prompt.Blocks {
			if b.Kind != tokens.Text && b.Kind != tokens.JSON {
				return
			}
		}
		bound, ok := tokens.UpperBound(&r.Prompt, tokens.LimitsFor(""))
		require.True(t, ok)
		require.GreaterOrEqual(t, bound, stringBytes(v))
	})
}

func BenchmarkParseRequest_800KB(b *testing.B) {
	msg := `{"role":"user","content":[{"type":"text","text":"` + strings.Repeat(`The quick brown fox said \"hello\" again.\n`, 95) + `"}]}`
	body := []byte(`{"max_tokens":100,"messages":[` + strings.Repeat(msg+",", 199) + msg + `]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest("", body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRequest_Tools(b *testing.B) {
	tool := `{"name":"get_weather","description":"Gets it","input_schema":{"type":"object","properties":{"city":{"type":"string"},"unit":{"type":"string","enum":["c","f"]}},"required":["city"]}}`
	body := []byte(`{"max_tokens":100,"tools":[` + strings.Repeat(tool+",", 499) + tool + `]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest("", body); err != nil {
			b.Fatal(err)
		}
	}
}

// TestParseRequest_RetentionIsTheDearestWrite: a lifetime of twelve hours or a day has no published price.
func TestParseRequest_RetentionIsTheDearestWrite(t *testing.T) {
	for body, want := range map[string]price.CacheWrites{
		`{"prompt_cache_retention":"24h"}`:                                                  price.CacheWrites1h,
		`{"prompt_cache_retention":"12h"}`:                                                  price.CacheWrites1h,
		`{"prompt_cache_options":{"ttl":"12h"}}`:                                            price.CacheWrites1h,
		`{"prompt_cache_retention":"in_memory"}`:                                            price.CacheWrites5m,
		`{"prompt_cache_retention":null}`:                                                   price.CacheWrites5m,
		`{"messages":[{"content":[{"text":"x","prompt_cache_breakpoint":{"ttl":"12h"}}]}]}`: price.CacheWrites1h,
	} {
		r, err := ParseRequest("", []byte(body))
		require.NoError(t, err)
		assert.Equal(t, want, r.CacheWrites, body)
	}
}

// A completion can be asked for of several prompts at once, each of which gets all answers.
func TestParseRequest_EveryPromptIsAnswered(t *testing.T) {
	for prompt, want := range map[string]int64{
		`"one"`: 2, `["one"]`: 2, `["one","two","three"]`: 6, `[[1,2],[3],"x"]`: 6, `[1,2,3]`: 2, `[]`: 2, `null`: 2, `[{"role":"user","content":"one"},{"role":"user","content":"two"}]`: 2,
	} {
		r, err := ParseRequest("mistral.mistral-7b-instruct-v0:2", []byte(`{"prompt":`+prompt+`,"max_tokens":100,"n":2}`))
		require.NoError(t, err, prompt)
		require.Equal(t, want, r.Choices, prompt)
	}
	r, err := ParseRequest("", []byte(`{"n":9223372036854775807,"prompt":["one","two","three"]}`))
	require.NoError(t, err)
	require.Equal(t, int64(1<<63-1), r.Choices)
}

// Spellings of a limit that a service takes are no reason to refuse a call.
func TestParseRequest_LimitsInEverySpellingOfAnInteger(t *testing.T) {
	for spelled, want := range map[string]int64{
		"4096": 4096, "4096.0": 4096, "4096.000": 4096, "4.096e3": 4096, "40960E-1": 4096, "4096e0": 4096, "4e+3": 4000, "0": 0, "0.0": 0, "9223372036854775807": 1<<63 - 1,
	} {
		r, err := ParseRequest("", []byte(`{"max_tokens":`+spelled+`}`))
		require.NoError(t, err, spelled)
		require.Equal(t, want, r.MaxTokens, spelled)
		require.Equal(t, want == 0, r.NoOutput, spelled)
	}
	r, err := ParseRequest("", []byte(`{"max_tokens":null}`))
	require.NoError(t, err)
	require.False(t, r.NoOutput)
}

// What a model wrote as the input of a tool, and what a schema holds, is text: a key that comes twice in it misleads nobody.
func TestParseRequest_KeysMayComeTwiceInWhatIsText(t *testing.T) {
	for name, body := range map[string]string{
		"tool input":        `{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":{"path":"x","path":"y"}}]}]}`,
		"nested tool input": `{"messages":[{"role":"assistant","content":[{"toolUse":{"input":{"a":[{"b":1,"b":2}]}}}]}]}`,
		"tool result":       `{"messages":[{"role":"user","content":[{"toolResult":{"content":[{"json":{"a":1,"a":2}}]}}]}]}`,
		"input schema":      `{"tools":[{"name":"a","input_schema":{"a":1,"a":2}}]}`,
		"tool spec":         `{"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{"a":1,"a":2}}}}]}}`,
		"function":          `{"tools":[{"type":"function","function":{"name":"a","parameters":{"a":1,"a":2}}}]}`,
	} {
		_, err := ParseRequest("", []byte(body))
		require.NoError(t, err, name)
	}
}

// One feature without a price per token must not hide another: each may have a flat price.
func TestParseRequest_AllUnpricedFeatures(t *testing.T) {
	r, err := ParseRequest("anthropic.claude-sonnet-5", []byte(`{"speed":"fast","tools":[{"type":"web_search_20250305"},{"type":"web_search_20250305"},{"type":"code_execution_20250522"}],"mcp_servers":[{}],"messages":[]}`))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"speed", "web_search", "code_execution", "mcp_servers"}, append(r.AlsoUnpriced, r.Unpriced))
}

// An image or a document without data is not nothing, and what a tool list holds besides tools is told.
func TestParseRequest_WhatConverseJudgesForItself(t *testing.T) {
	r, err := ParseRequest("m", []byte(`{"toolConfig":{"tools":[{"cachePoint":{"type":"default","ttl":"30m"}},{"toolSpec":{"name":"f"}},{"toolSpec":{"name":"g"},"cachePoint":{"type":"default"}}]},
		"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":""}}},{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}},
		{"document":{"format":"pdf","source":{"s3Location":{"uri":"s3://b/k"}}}},{"document":{"source":{"bytes":"JVBERi0xLjQK"}}}]}]}`))
	require.NoError(t, err)
	require.Equal(t, 3, r.Prompt.Tools)
	require.Equal(t, 1, r.ToolPoints)
	require.Equal(t, price.CacheWrites1h, r.CacheWrites, "30 minutes are no lifetime of Bedrock's own")
	require.Equal(t, StoredElsewhere, r.Unseen)
	var media []tokens.Block
	for i, b := range r.Prompt.Blocks {
		if slices.Contains(r.StoredPictures, i) {
			require.Equal(t, tokens.Opaque, b.Kind)
		}
		if b.Kind != tokens.Text && b.Kind != tokens.JSON {
			media = append(media, b)
		}
	}
	require.Len(t, r.StoredPictures, 1)
	require.Equal(t, []tokens.Block{{Kind: tokens.Image, Format: "png"}, {Kind: tokens.Opaque}, {Kind: tokens.Opaque}, {Kind: tokens.Document, Bytes: 9}}, media)
}
