package prompt

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseBody_Anthropic(f *testing.F) {
	for _, s := range []string{
		`{"anthropic_version":"x","messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"new"}]}]}`,
		`{"tools":[{"cache_control":{"ttl":"1h"},"cachePoint":{},"name":"f","defer_loading":true}],"system":"s","messages":[{"content":"x"}],"cache_control":{}}`,
		`{"messages":[{"content":[{"type":"tool_result","content":[{"type":"image","source":{"data":"iVBORw0KGgo=","media_type":"image/png"},"cache_control":{}}]}]}],"system":[{}]}`,
		`{"messages":[{"content":[{"type":"document","source":{"type":"text","data":"x"},"citations":{"enabled":true},"cache_control":null}]}],"thinking":{}}`,
		`{"tools":[{"cache_control":{"ttl":`, `{"tools":[{"cache_control":{"ttl":"`,
	} {
		f.Add([]byte(s), uint64(len(s)))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) { fuzzBody(t, "anthropic", body, seed) })
}

func FuzzParseBody_Nova(f *testing.F) {
	for _, s := range []string{
		`{"schemaVersion":"messages-v1","system":[{"text":"a","cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"cachePoint":{},"text":"b"},{"new":1}]}]}`,
		`{"messages":[{"content":[{"image":{"source":{"bytes":"AAAA"},"format":"png"},"cachePoint":{}},{"cachePoint":{}}]}],"toolConfig":{"tools":[{"toolSpec":{"cachePoint":{}}}]}}`,
		`{"inferenceConfig":{"reasoningConfig":{}},"messages":[{"content":[{"toolResult":{"content":[{"text":"x","cachePoint":{}},{"cachePoint":{}}]}}]}]}`,
	} {
		f.Add([]byte(s), uint64(len(s)))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) { fuzzBody(t, "amazon", body, seed) })
}

func FuzzParseBody_Converse(f *testing.F) {
	for _, s := range []string{
		`{"toolConfig":{"tools":[{"toolSpec":{"name":"f"}},{"cachePoint":{"type":"default","ttl":"1h"}}]},"system":[{"text":"a"},{"cachePoint":{}}],"messages":[{"role":"user","content":[{"text":"b"}]}]}`,
		`{"messages":[{"content":[{"cachePoint":{}},{"reasoningContent":{"redactedContent":"AAAA"}},{"searchResult":{"content":[{"text":"x"}]}},{"audio":{}}]}],"additionalModelRequestFields":{"cacheControl":{}}}`,
	} {
		f.Add([]byte(s), uint64(len(s)))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) { fuzzBody(t, "meta", body, seed) })
}

// fuzzBody checks what holds for any body: a read is repeatable and its result in order; edits change points alone.
func fuzzBody(t *testing.T, provider string, body []byte, seed uint64) {
	var p, again Prompt
	before := bytes.Clone(body)
	if err := ParseBody(&p, provider, body); err != nil {
		require.Empty(t, outline(&p))
		return
	}
	require.Equal(t, before, body)
	require.NoError(t, ParseBody(&again, provider, body))
	require.Equal(t, outline(&p), outline(&again))
	unknown, leafEnd := 0, 0
	for i, b := range p.Blocks {
		require.True(t, i == 0 || p.Blocks[i-1].Section <= b.Section)
		require.True(t, b.leafEnd >= leafEnd && b.Bytes >= 0 && b.MediaTokens >= 0)
		require.True(t, !b.User || b.Section == Messages)
		leafEnd = b.leafEnd
		if b.Kind == Other {
			unknown++
		}
	}
	require.Equal(t, len(p.leaves), leafEnd)
	require.Equal(t, unknown, p.Unknown)
	for i, pt := range p.Points {
		require.True(t, i == 0 || p.Points[i-1].Section <= pt.Section)
		require.True(t, pt.TTL >= 0 && pt.Block < len(p.Blocks))
		if pt.Block >= 0 {
			require.Equal(t, pt.Section, p.Blocks[pt.Block].Section)
		}
	}
	editSome(t, provider, body, rand.New(rand.NewPCG(seed, 2)))
}

// longBody returns a body of about 800 KB: an agent's conversation of 200 messages with a few tools.
func longBody(text string) []byte {
	text = strings.Repeat(text, 4000/len(text))
	user := `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_01","content":"` + text + `"}]}`
	assistant := `{"role":"assistant","content":[{"type":"text","text":"` + text + `"},{"type":"tool_use","id":"toolu_01","name":"read","input":{"path":"main.go"}}]}`
	tool := `{"name":"read","description":"Reads a file.","input_schema":{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}}`
	return []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[` + strings.Repeat(user+","+assistant+",", 99) + user +
		`,{"role":"user","content":[{"type":"text","text":"go on","cache_control":{"type":"ephemeral"}}]}],` +
		`"system":[{"type":"text","text":"` + text + `","cache_control":{"type":"ephemeral"}}],"tools":[` + strings.Repeat(tool+",", 19) + tool + `]}`)
}

func BenchmarkParseBody_800KB(b *testing.B) {
	for _, bc := range []struct{ name, text string }{
		{"Prose", `The quick brown fox jumps over the lazy dog, and then it rests for a while. `},
		{"Code", `\tif err != nil {\n\t\treturn fmt.Errorf(\"open the file: %w\", err)\n\t}\n`},
	} {
		body := longBody(bc.text)
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			var p Prompt
			for b.Loop() {
				if err := ParseBody(&p, "anthropic", body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEditBody_800KB(b *testing.B) {
	body := longBody(`The quick brown fox jumps over the lazy dog, and then it rests for a while. `)
	var p Prompt
	require.NoError(b, ParseBody(&p, "anthropic", body))
	edits := []Edit{{Remove: 1, After: len(p.Blocks) - 3, TTL: FiveMinutes}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := EditBody(body, &p, edits); err != nil {
			b.Fatal(err)
		}
	}
}
