package prompt

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustParse reads a body that is in a known dialect.
func mustParse(t testing.TB, provider, body string) *Prompt {
	p := new(Prompt)
	require.NoError(t, ParseBody(p, provider, []byte(body)))
	return p
}

// outline prints what a prompt holds, a line each: blocks, points, flaws.
func outline(p *Prompt) []string {
	var out []string
	for i := range p.Blocks {
		b := &p.Blocks[i]
		line := fmt.Sprintf("%s %s %d", b.Where, b.Kind, b.Bytes)
		if b.User {
			line += " user"
		}
		if p.Empty(i) {
			line += " empty"
		}
		if b.NoPoint {
			line += " nopoint"
		}
		if b.MediaTokens > 0 {
			line += fmt.Sprintf(" +%d", b.MediaTokens)
		}
		out = append(out, line)
	}
	for _, pt := range p.Points {
		line := fmt.Sprintf("point %s closes %d for %s", pt.Where, pt.Block, pt.TTL)
		if pt.Nested {
			line += " nested"
		}
		if pt.Open {
			line += " open"
		}
		out = append(out, line)
	}
	for _, f := range p.Flaws {
		out = append(out, strings.TrimSpace(fmt.Sprintf("flaw %s %s", f.Rule, f.Where)))
	}
	if p.Unknown > 0 {
		out = append(out, fmt.Sprintf("unknown %d", p.Unknown))
	}
	return out
}

func TestParseBody_Outline(t *testing.T) {
	for name, tc := range map[string]struct {
		provider string
		body     string
		dialect  dialect
		want     []string
	}{
		"anthropic, sections in reverse, keys in any order": {
			"anthropic",
			`{"messages":[
				{"content":[{"text":"hi","type":"text"},{"cache_control":{"type":"ephemeral"},"text":"there","type":"text"}],"role":"user"},
				{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"tool_use","id":"t1","name":"f","input":{"cache_control":{"ttl":"1h"}}}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"four"}],"cache_control":{"type":"ephemeral","ttl":"5m"}}]}],
			 "system":[{"type":"text","text":"be kind","cache_control":{"ttl":"1h","type":"ephemeral"}}],
			 "tools":[{"name":"f","input_schema":{}},{"name":"g","input_schema":{},"cache_control":{"type":"ephemeral","ttl":"1h"}}],
			 "max_tokens":9,"anthropic_version":"bedrock-2023-05-31"}`,
			anthropicBody,
			[]string{
				"tools[0] tool definition 30", "tools[1] tool definition 30",
				"system[0] text 7",
				"messages[0].content[0] text 2 user", "messages[0].content[1] text 5 user",
				"messages[1].content[0] reasoning 3", "messages[1].content[1] tool use 33",
				"messages[2].content[0] tool result 10 user",
				"point tools[1] closes 1 for 1h0m0s", "point system[0] closes 2 for 1h0m0s",
				"point messages[0].content[1] closes 4 for 5m0s open", "point messages[2].content[0] closes 7 for 5m0s",
			},
		},
		"anthropic, plain strings": {
			"anthropic", `{"system":"be kind","messages":[{"role":"user","content":"hello"},{"role":"assistant","content":" \n\u00a0"}]}`, anthropicBody,
			[]string{"system text 7 nopoint", "messages[0].content text 5 user nopoint", "messages[1].content text 4 empty nopoint"},
		},
		"anthropic, unknown and empty": {
			"anthropic", `{"messages":[{"role":"user","content":[{"type":"hologram","beam":[1,{"x":"y"}],"cache_control":null},{"type":"text","text":""},{}]}]}`, anthropicBody,
			[]string{"messages[0].content[0] other content 10 user nopoint", "messages[0].content[1] text 0 user empty", "messages[0].content[2] other content 0 user nopoint", "unknown 2"},
		},
		"anthropic, nested": {
			"anthropic",
			`{"messages":[{"role":"user","content":[{"type":"tool_result","cache_control":{},"content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}]},` +
				`{"type":"text","text":"c","citations":[{"cited_text":"d","cache_control":{"ttl":"1h"}}]}]}]}`, anthropicBody,
			[]string{
				"messages[0].content[0] tool result 10 user", "messages[0].content[1] text 2 user",
				"point messages[0].content[0] closes 0 for 5m0s nested open", "point messages[0].content[0] closes 0 for 5m0s open",
				"point messages[0].content[1] closes 1 for 1h0m0s nested",
			},
		},
		"anthropic, flaws": {
			"anthropic",
			`{"cache_control":{"type":"ephemeral"},"tools":[{"name":"f","defer_loading":true,"cache_control":{}},{"name":"g","defer_loading":false,"cache_control":{}}],` +
				`"messages":[{"role":"user","content":[{"type":"text","text":"a","cachePoint":{"type":"default"}},{"cachePoint":{"type":"default"}}]}]}`, anthropicBody,
			[]string{
				"tools[0] tool definition 33 nopoint", "tools[1] tool definition 34", "messages[0].content[0] text 1 user",
				"point tools[0] closes 0 for 5m0s open", "point tools[1] closes 1 for 5m0s open",
				"flaw top-level-marker", "flaw deferred-tool-marker tools[0]", "flaw wrong-dialect messages[0].content[0]", "flaw wrong-dialect messages[0].content[1]",
			},
		},
		"anthropic, lifetimes": {
			"anthropic",
			`{"system":[{"type":"text","text":"a","cache_control":{"ttl":null}},{"type":"text","text":"a","cache_control":{"ttl":"24h"}},` +
				`{"type":"text","text":"a","cache_control":{"ttl":"soon"}},{"type":"text","text":"a","cache_control":{"ttl":300}},{"type":"text","text":"a","cache_control":{"ttl":"-5m"}}],"messages":[]}`, anthropicBody,
			[]string{
				"system[0] text 1", "system[1] text 1", "system[2] text 1", "system[3] text 1", "system[4] text 1",
				"point system[0] closes 0 for 5m0s open", "point system[1] closes 1 for 24h0m0s", "point system[2] closes 2 for 0s",
				"point system[3] closes 3 for 0s", "point system[4] closes 4 for 0s",
			},
		},
		"nova": {
			"amazon",
			`{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"hi","cachePoint":{"type":"default"}}]}],"inferenceConfig":{"maxTokens":5},` +
				`"toolConfig":{"tools":[{"toolSpec":{"name":"f"}}]},"system":[{"cachePoint":{"type":"default"},"text":"a\nb"}]}`, novaBody,
			[]string{
				"tools[0] tool definition 1", "system[0] text 3", "messages[0].content[0] text 2 user",
				"point system[0] closes 1 for 5m0s open", "point messages[0].content[0] closes 2 for 5m0s open",
			},
		},
		"nova, flaws": {
			"amazon",
			`{"schemaVersion":"messages-v1","cache_control":{},"additionalModelRequestFields":{"cacheControl":{}},"toolConfig":{"tools":[{"toolSpec":{"name":"f","cache_control":{}}},{"cachePoint":{"type":"default"}}]},` +
				`"messages":[{"role":"user","content":[{"text":"hi"},{"cachePoint":{"type":"default"}},{"text":"hi","cache_control":{"type":"ephemeral"}}]}]}`, novaBody,
			[]string{
				"tools[0] tool definition 1", "messages[0].content[0] text 2 user", "messages[0].content[2] text 2 user",
				"flaw wrong-dialect additionalModelRequestFields.cacheControl", "flaw wrong-dialect", "flaw wrong-dialect tools[0]", "flaw wrong-dialect tools[1]",
				"flaw wrong-dialect messages[0].content[1]", "flaw wrong-dialect messages[0].content[2]",
			},
		},
		"converse": {
			"anthropic",
			`{"messages":[{"role":"user","content":[{"text":"hi"},{"cachePoint":{"type":"default"}}]},
				{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},{"toolUse":{"toolUseId":"t","name":"f","input":{"a":1}}}]},
				{"role":"user","content":[{"toolResult":{"toolUseId":"t","content":[{"text":"ok"},{"json":{"b":2}},{"cachePoint":{"type":"default"}}],"status":"success"}},{"video":{"format":"mp4"}}]}],
			 "system":[{"cachePoint":{"type":"default"}},{"text":"kind"},{"guardContent":{"text":{"text":"grounded","qualifiers":["query"]}}},{"cachePoint":{"type":"default","ttl":"1h"}}],
			 "toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}},{"cachePoint":{"type":"default","ttl":"1h"}}],"toolChoice":{"auto":{}}},
			 "inferenceConfig":{"maxTokens":7}}`, converseBody,
			[]string{
				"tools[0] tool definition 3", "system[1] text 4", "system[2] other content 13",
				"messages[0].content[0] text 2 user", "messages[1].content[0] reasoning 3", "messages[1].content[1] tool use 9",
				"messages[2].content[0] tool result 17 user", "messages[2].content[1] other content 3 user",
				"point tools[1] closes 0 for 1h0m0s", "point system[0] closes -1 for 5m0s open", "point system[3] closes 2 for 1h0m0s",
				"point messages[0].content[1] closes 3 for 5m0s open", "point messages[2].content[0] closes 6 for 5m0s nested open", "unknown 2",
			},
		},
		"converse, flaws": {
			"anthropic",
			`{"messages":[{"role":"user","content":[{"text":"hi","cache_control":{"type":"ephemeral"}}]}],"additionalModelRequestFields":{"cachePoint":{}}}`, converseBody,
			[]string{"messages[0].content[0] text 2 user", "flaw wrong-dialect additionalModelRequestFields.cachePoint", "flaw wrong-dialect messages[0].content[0]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, tc.provider, tc.body)
			assert.Equal(t, tc.dialect, p.dialect)
			assert.Equal(t, tc.want, outline(p))
			checkSpans(t, tc.body, p)
		})
	}
}

// checkSpans checks what holds for the spans of any body.
func checkSpans(t testing.TB, body string, p *Prompt) {
	for _, b := range p.Blocks {
		if b.Index < 0 {
			require.Zero(t, b.Span)
			continue
		}
		require.True(t, body[b.Span.Start] == '{' && body[b.Span.End-1] == '}')
	}
	for _, pt := range p.Points {
		if p.dialect == converseBody {
			if pt.Nested {
				require.Zero(t, pt.Span)
			} else {
				require.Contains(t, body[pt.Span.Start:pt.Span.End], `ache`)
			}
			continue
		}
		b := p.Blocks[pt.Block]
		require.True(t, pt.Span.Start > b.Span.Start && pt.Span.End < b.Span.End && pt.Span.Start < pt.Span.End)
		require.Contains(t, body[pt.Span.Start:pt.Span.End], `"cache`)
	}
}

// The marked member goes with exactly one comma, and what remains is as if it had never been there.
func TestParseBody_Spans(t *testing.T) {
	const mark = `"cache_control" : { "type" : "ephemeral" }`
	for name, tc := range map[string]struct{ block, cut, rest string }{
		"last":             {`{"type":"text","text":"a",` + mark + `}`, `,` + mark, `{"type":"text","text":"a"}`},
		"first":            {`{` + mark + `,"type":"text","text":"a"}`, mark + `,`, `{"type":"text","text":"a"}`},
		"between":          {`{"type":"text",` + mark + `,"text":"a"}`, `,` + mark, `{"type":"text","text":"a"}`},
		"alone":            {`{` + mark + `}`, mark, `{}`},
		"spaced, last":     {`{"type": "text", "text": "a", ` + mark + `}`, `, ` + mark, `{"type": "text", "text": "a"}`},
		"spaced, first":    {`{` + mark + `, "type": "text", "text": "a"}`, mark + `, `, `{"type": "text", "text": "a"}`},
		"indented, last":   {"{\n  \"type\": \"text\",\n  " + mark + "\n}", ",\n  " + mark, "{\n  \"type\": \"text\"\n}"},
		"indented, first":  {"{\n  " + mark + ",\n  \"type\": \"text\"\n}", mark + ",\n  ", "{\n  \"type\": \"text\"\n}"},
		"comma set apart":  {`{"type":"text" , ` + mark + ` , "text":"a"}`, `, ` + mark, `{"type":"text"  , "text":"a"}`},
		"escaped key":      {`{"type":"text","cache\u005fcontrol":{}}`, `,"cache\u005fcontrol":{}`, `{"type":"text"}`},
		"brace in strings": {`{"type":"text","text":"}\"}",` + mark + `}`, `,` + mark, `{"type":"text","text":"}\"}"}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := ` {"messages" :[{"role":"user","content":[ ` + tc.block + ` ]}],"anthropic_version":"x"}`
			p := mustParse(t, "", body)
			require.Len(t, p.Blocks, 1)
			require.Len(t, p.Points, 1)
			at, cut := p.Blocks[0].Span, p.Points[0].Span
			assert.Equal(t, tc.block, body[at.Start:at.End])
			assert.Equal(t, tc.cut, body[cut.Start:cut.End])
			assert.Equal(t, tc.rest, body[at.Start:cut.Start]+body[cut.End:at.End])
		})
	}
}

// hashes returns the hash of each block's content, and of its content whatever the order of keys.
func hashes(p *Prompt) (plain, canonical []uint64) {
	p.Record(nil)
	for i := range p.records {
		plain, canonical = append(plain, p.records[i].Hash), append(canonical, p.records[i].Canonical)
	}
	return plain, canonical
}

func TestParseBody_PointsAreNoContent(t *testing.T) {
	for name, tc := range map[string]struct{ without, with string }{
		"tool":        {`"tools":[{"name":"f","x":1}],"messages":[]`, `"tools":[{"cache_control":{},"name":"f","x":1}],"messages":[]`},
		"tool, last":  {`"tools":[{"name":"f","x":1}],"messages":[]`, `"tools":[{"name":"f","x":1,"cache_control":{"ttl":"1h"}}],"messages":[]`},
		"tool spec":   {`"tools":[{"toolSpec":{"name":"f"}}],"messages":[]`, `"tools":[{"toolSpec":{"cache_control":{},"name":"f"},"cachePoint":{}}],"messages":[]`},
		"system":      {`"system":[{"type":"text","text":"a"}],"messages":[]`, `"system":[{"type":"text","cache_control":{},"text":"a"}],"messages":[]`},
		"tool result": {`"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a"}]}]}]`, `"messages":[{"content":[{"cache_control":{},"type":"tool_result","content":[{"type":"text","text":"a","cache_control":{}}]}]}]`},
		"image":       {`"messages":[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]`, `"messages":[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"},"cache_control":{}}]}]`},
		"unknown":     {`"messages":[{"content":[{"type":"new","a":[1,{"b":2}]}]}]`, `"messages":[{"content":[{"type":"new","a":[1,{"cache_control":{},"b":2}],"cache_control":{}}]}]`},
		"element":     {`"system":[{"text":"a"}],"messages":[{"content":[{"text":"b"}]}]`, `"system":[{"cachePoint":{}},{"text":"a"},{"cachePoint":{}}],"messages":[{"content":[{"text":"b"},{"cachePoint":{}}]}]`},
		"sections":    {`"messages":[{"content":"b"}],"system":"a"`, `"system":"a","messages":[{"content":"b"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := mustParse(t, "anthropic", `{`+tc.without+`}`), mustParse(t, "anthropic", `{`+tc.with+`}`)
			plainA, canonicalA := hashes(a)
			plainB, canonicalB := hashes(b)
			assert.Equal(t, plainA, plainB)
			assert.Equal(t, canonicalA, canonicalB)
			for i := range a.Blocks {
				assert.Equal(t, a.Blocks[i].Bytes, b.Blocks[i].Bytes)
			}
		})
	}
}

func TestParseBody_ContentTellsBlocksApart(t *testing.T) {
	var all []uint64
	for _, block := range []string{
		`{"type":"text","text":"a"}`, `{"type":"text","text":"b"}`, `{"type":"tool_use","id":"1","name":"f","input":{}}`,
		`{"type":"tool_use","id":"1","name":"f","input":{"a":1}}`, `{"type":"tool_use","id":"2","name":"f","input":{}}`,
		`{"type":"tool_result","tool_use_id":"1","content":"a"}`, `{"type":"tool_result","tool_use_id":"1","content":"a","is_error":true}`,
		`{"type":"new","text":"a"}`, `{"type":"newer","text":"a"}`, `{"type":"text","text":"a","more":1}`, `{"type":"text","text":"a","more":2}`,
		`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}`, `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAB"}}`,
		`{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"AAAA"}}`,
		`{"type":"thinking","thinking":"x","signature":"1"}`, `{"type":"thinking","thinking":"x","signature":"2"}`,
	} {
		plain, _ := hashes(mustParse(t, "anthropic", `{"messages":[{"content":[`+block+`]}]}`))
		require.NotContains(t, all, plain[0], block)
		all = append(all, plain...)
	}
}

func TestParseBody_ToolKeyOrder(t *testing.T) {
	a, canonicalA := hashes(mustParse(t, "anthropic", `{"messages":[],"tools":[{"name":"f","input_schema":{"type":"object","properties":{"a":1,"b":2}}}]}`))
	b, canonicalB := hashes(mustParse(t, "anthropic", `{"messages":[],"tools":[{"input_schema":{"properties":{"b":2,"a":1},"type":"object"},"cache_control":{},"name":"f"}]}`))
	require.NotEqual(t, a, b)
	require.Equal(t, canonicalA, canonicalB)
}

func TestParseBody_Settings(t *testing.T) {
	settings := func(fields string) uint64 { return mustParse(t, "anthropic", `{"messages":[]`+fields+`}`).Settings.All }
	none := settings("")
	seen := []uint64{none}
	for _, fields := range []string{
		`,"tool_choice":{"type":"any"}`, `,"tool_choice":{"type":"auto"}`, `,"thinking":{"type":"enabled","budget_tokens":1024}`,
		`,"thinking":{"type":"enabled","budget_tokens":2048}`, `,"output_config":{"effort":"low"}`, `,"output_config":{"effort":"high"}`, `,"speed":"fast"`,
		`,"system":[{"type":"document","source":{"type":"text","data":"x"},"citations":{"enabled":true}}]`,
		`,"toolConfig":{"toolChoice":{"any":{}}}`, `,"additionalModelRequestFields":{"thinking":{"type":"enabled"}}`,
		`,"additionalModelRequestFields":{"reasoning_config":{"type":"enabled"}}`, `,"inferenceConfig":{"reasoningConfig":{"type":"enabled"}}`,
	} {
		got := settings(fields)
		require.NotContains(t, seen, got, fields)
		seen = append(seen, got)
	}
	require.Equal(t, none, settings(`,"tool_choice":null,"max_tokens":7,"temperature":0.5,"inferenceConfig":{"maxTokens":9}`))
	require.Equal(t, none, settings(`,"system":[{"type":"document","source":{"type":"text","data":"x"},"citations":{"enabled":false}}]`))
	require.Equal(t, settings(`,"thinking":{},"tool_choice":{}`), settings(`,"tool_choice":{},"thinking":{}`), "the order of settings does not count")
}

func TestParseBody_Final(t *testing.T) {
	for fields, want := range map[string]bool{
		``: false, `,"tool_choice":{"type":"tool","name":"f"}`: true, `,"tool_choice":{"type":"any"}`: false, `,"tool_choice":"auto"`: false,
		`,"toolConfig":{"toolChoice":{"tool":{"name":"f"}}}`: true, `,"toolConfig":{"toolChoice":{"auto":{}}}`: false,
	} {
		assert.Equal(t, want, mustParse(t, "anthropic", `{"messages":[]`+fields+`}`).Final, fields)
	}
}

func TestParseBody_NoPoint(t *testing.T) {
	document := func(format string) string {
		return `{"messages":[{"content":[{"document":{"source":{"bytes":"AAAA"},"name":"x","format":"` + format + `"}}]}]}`
	}
	require.True(t, mustParse(t, "meta", document("docx")).Blocks[0].NoPoint)
	require.False(t, mustParse(t, "meta", document("pdf")).Blocks[0].NoPoint)
	require.False(t, mustParse(t, "anthropic", `{"messages":[{"content":[{"type":"document","source":{"type":"text","data":"x"}}]}]}`).Blocks[0].NoPoint)
}

// A body that is serialised into the same buffer as the one before is read anew.
func TestParseBody_BuffersAreUsedAgain(t *testing.T) {
	body := []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat("a", 4000) + `"}]}`)
	var p, q Prompt
	require.NoError(t, ParseBody(&p, "anthropic", body))
	p.Record(nil)
	body[1000] = 'b'
	require.NoError(t, ParseBody(&q, "anthropic", body))
	q.Record([]Memory{remembering(&p)})
	require.NotEqual(t, p.records[0].Hash, q.records[0].Hash)
	require.Zero(t, retainedBy(remembering(&q).leaves), "no body is kept alive")
}

func TestParseBody_Dialects(t *testing.T) {
	for name, tc := range map[string]struct {
		provider, body string
		want           dialect
	}{
		"version":                     {"", `{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"x"}]}`, anthropicBody},
		"typed blocks":                {"", `{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`, anthropicBody},
		"system message, no provider": {"", `{"messages":[{"role":"system","content":[{"type":"text","text":"x"}]}]}`, noDialect},
		"system message, anthropic":   {"anthropic", `{"messages":[{"role":"system","content":[{"type":"text","text":"x"}]}]}`, anthropicBody},
		"strings, anthropic":          {"anthropic", `{"messages":[{"role":"user","content":"x"}]}`, anthropicBody},
		"strings, no provider":        {"", `{"messages":[{"role":"user","content":"x"}]}`, noDialect},
		"strings, other provider":     {"mistral", `{"messages":[{"role":"user","content":"x"}],"max_tokens":7}`, noDialect},
		"typed, other provider":       {"qwen", `{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`, noDialect},
		"schema version":              {"", `{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"x"}]}]}`, novaBody},
		"keyed, amazon":               {"amazon", `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, novaBody},
		"keyed, property":             {"", `{"messages":[{"role":"user","content":[{"text":"x","cachePoint":{}}]}]}`, novaBody},
		"keyed, element, amazon":      {"amazon", `{"messages":[{"role":"user","content":[{"text":"x"},{"cachePoint":{}}]}]}`, converseBody},
		"keyed, no provider":          {"", `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, converseBody},
		"keyed, other provider":       {"meta", `{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":5}}`, converseBody},
		"converse field, amazon":      {"amazon", `{"modelId":"x","messages":[{"role":"user","content":[{"text":"x"}]}]}`, converseBody},
		"nothing in it, amazon":       {"amazon", `{"messages":[]}`, novaBody},
		"cachePoint beside typed":     {"anthropic", `{"messages":[{"content":[{"type":"text","text":"x"},{"cachePoint":{}}]}]}`, anthropicBody},
		"openai":                      {"openai", `{"messages":[{"role":"system","content":"x"},{"role":"user","content":"y"}],"max_completion_tokens":7}`, noDialect},
		"openai, tool calls":          {"", `{"messages":[{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","tool_call_id":"1","content":"x"}]}`, noDialect},
		"openai, functions":           {"", `{"tools":[{"type":"function","function":{"name":"f"}}],"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`, noDialect},
		"openai, image":               {"", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com"}}]}]}`, noDialect},
		"titan":                       {"amazon", `{"inputText":"x"}`, noDialect},
		"llama":                       {"meta", `{"prompt":"x","max_gen_len":7}`, noDialect},
		"cohere":                      {"cohere", `{"message":"x","chat_history":[]}`, noDialect},
		"empty":                       {"anthropic", `{}`, noDialect},
	} {
		t.Run(name, func(t *testing.T) {
			var p Prompt
			err := ParseBody(&p, tc.provider, []byte(tc.body))
			if tc.want == noDialect {
				require.ErrorIs(t, err, ErrDialect)
				require.Empty(t, outline(&p))
				require.Equal(t, noDialect, p.dialect)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, p.dialect)
		})
	}
}

func TestParseBody_Malformed(t *testing.T) {
	for name, body := range map[string]string{
		"empty":                ``,
		"array":                `[]`,
		"cut":                  `{"messages":[{"content":"x`,
		"duplicate":            `{"messages":[],"messages":[]}`,
		"duplicate marker":     `{"messages":[{"content":[{"cache_control":{},"cache_control":{}}]}]}`,
		"duplicate in input":   `{"messages":[{"content":[{"type":"tool_use","input":{"a":1,"a":1}}]}]}`,
		"invalid UTF-8":        "{\"messages\":[{\"content\":\"\xff\"}]}",
		"messages is a string": `{"messages":"x"}`,
		"message is a string":  `{"messages":["x"]}`,
		"content is a number":  `{"messages":[{"content":1}]}`,
		"content is nul":       `{"messages":[{"content":nul}]}`,
		"block is a string":    `{"messages":[{"content":["x"]}]}`,
		"tools is an object":   `{"tools":{},"messages":[]}`,
		"tool is a string":     `{"tools":["x"],"messages":[]}`,
		"marker is a string":   `{"messages":[{"content":[{"type":"text","cache_control":"ephemeral"}]}]}`,
		"marker is true":       `{"tools":[{"cache_control":true}],"messages":[]}`,
		"trailing comma":       `{"messages":[{"content":[{"cache_control":{},}]}]}`,
		"deep":                 `{"messages":[{"content":[{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := Prompt{Unknown: 3}
			err := ParseBody(&p, "anthropic", []byte(body))
			var e *BodyError
			require.ErrorAs(t, err, &e)
			require.NotErrorIs(t, err, ErrDialect)
			require.Empty(t, outline(&p))
		})
	}
	err := ParseBody(new(Prompt), "", []byte(`{"canary":1,"canary":2}`))
	require.EqualError(t, err, "cache: malformed request body at byte 21: duplicate key")
}

func TestParseBody_Media(t *testing.T) {
	img := func(w, h int, write func(b *bytes.Buffer, m image.Image) error) string {
		var b bytes.Buffer
		require.NoError(t, write(&b, image.NewPaletted(image.Rect(0, 0, w, h), palette.Plan9)))
		return base64.StdEncoding.EncodeToString(b.Bytes())
	}
	toPNG := func(b *bytes.Buffer, m image.Image) error { return png.Encode(b, m) }
	toJPEG := func(b *bytes.Buffer, m image.Image) error { return jpeg.Encode(b, m, nil) }
	toGIF := func(b *bytes.Buffer, m image.Image) error { return gif.Encode(b, m, nil) }
	webP := func(chunk, body string) string {
		return base64.StdEncoding.EncodeToString([]byte("RIFF\x00\x00\x00\x00WEBP" + chunk + "\x0a\x00\x00\x00" + body))
	}
	claude := func(kind, mediaType, data string) string {
		return `{"type":"` + kind + `","source":{"data":"` + data + `","type":"base64","media_type":"` + mediaType + `"}}`
	}
	bytes800 := strings.Repeat("A", 1068)
	for name, tc := range map[string]struct {
		block  string
		kind   Kind
		tokens int64
		image  bool
	}{
		"png":               {claude("image", "image/png", img(750, 100, toPNG)), Image, 100, true},
		"jpeg":              {claude("image", "image/jpeg", img(750, 200, toJPEG)), Image, 200, true},
		"gif":               {claude("image", "image/gif", img(75, 100, toGIF)), Image, 10, true},
		"webp extended":     {claude("image", "image/webp", webP("VP8X", "\x00\x00\x00\x00\x95\x00\x00\x31\x00\x00")), Image, 10, true},
		"webp lossless":     {claude("image", "image/webp", webP("VP8L", "\x2f\x95\x40\x0c\x00\x00\x00\x00\x00\x00")), Image, 10, true},
		"webp lossy":        {claude("image", "image/webp", webP("VP8 ", "\x00\x00\x00\x9d\x01\x2a\x96\x00\x32\x00")), Image, 10, true},
		"large":             {claude("image", "image/png", img(3000, 3000, toPNG)), Image, 1600, true},
		"absurd":            {claude("image", "image/png", base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\xff\xff\xff\xff\xff\xff\xff\xff"))), Image, 1600, true},
		"no header":         {claude("image", "image/png", bytes800), Image, 1600, true},
		"escaped slashes":   {claude("image", "image/jpeg", strings.ReplaceAll(img(750, 200, toJPEG), "/", `\/`)), Image, 200, true},
		"url":               {`{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`, Image, 1600, true},
		"keyed image":       {`{"image":{"format":"png","source":{"bytes":"` + img(750, 100, toPNG) + `"}}}`, Image, 100, true},
		"keyed s3":          {`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}}`, Image, 1600, true},
		"in a tool result":  {`{"type":"tool_result","tool_use_id":"1","content":[` + claude("image", "image/png", img(750, 100, toPNG)) + `,` + claude("image", "image/png", img(750, 100, toPNG)) + `]}`, ToolResult, 200, true},
		"url in a result":   {`{"type":"tool_result","content":[{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}]}`, ToolResult, 1600, true},
		"pdf":               {claude("document", "application/pdf", bytes800), Document, 2000, false},
		"keyed pdf":         {`{"document":{"source":{"bytes":"` + bytes800 + `"},"format":"pdf","name":"x"}}`, Document, 2000, false},
		"keyed text":        {`{"document":{"source":{"bytes":"` + bytes800 + `"},"format":"md","name":"x"}}`, Document, 228, false},
		"document by id":    {`{"type":"document","source":{"type":"file","file_id":"f"}}`, Document, 2000, false},
		"plain text":        {`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"hello"}}`, Document, 0, false},
		"keyed plain":       {`{"document":{"format":"txt","source":{"text":"hello"}}}`, Document, 0, false},
		"content of blocks": {`{"type":"document","source":{"type":"content","content":[{"type":"text","text":"hello"}]}}`, Document, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, "anthropic", `{"messages":[{"role":"user","content":[`+tc.block+`]}]}`)
			require.Len(t, p.Blocks, 1)
			b := p.Blocks[0]
			assert.Equal(t, tc.kind, b.Kind)
			assert.Equal(t, tc.tokens, b.MediaTokens)
			assert.Equal(t, tc.image, p.Settings.Images)
			assert.Less(t, b.Bytes, 150, "data does not count as text")
			if strings.Contains(tc.block, "hello") {
				assert.GreaterOrEqual(t, b.Bytes, 5)
			}
		})
	}
}

func TestBlank(t *testing.T) {
	for raw, want := range map[string]bool{
		``: true, ` `: true, `\n\t\r\f `: true, `\u0020\u00a0\u3000`: true, "\u00a0\u3000": true,
		`a`: false, ` \n.`: false, `\\`: false, `\"`: false, `\/`: false, `\u0041`: false, `é`: false, `\b`: false, `\ud83d\ude00`: false,
	} {
		assert.Equal(t, want, blank(raw), "%q", raw)
	}
}
