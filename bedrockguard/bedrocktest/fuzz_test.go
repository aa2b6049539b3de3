package bedrocktest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// fuzzDialect checks that no body makes a parser panic, and that what it accepts adds up.
func fuzzDialect(f *testing.F, modelID string, parse func(*dialects.Reader, *jsonnode.Node, *dialects.Prompt) *refusal.Error) {
	m, _, _, ok := modeltable.Lookup(modelID, nil)
	require.True(f, ok)
	f.Fuzz(func(t *testing.T, body []byte) {
		n, refused := jsonnode.Parse(body)
		if refused != nil {
			return
		}
		r, in := &dialects.Reader{Plain: modeltable.CountTokens}, &inference{Prompt: dialects.Prompt{Model: m}}
		if refused := parse(r, n, &in.Prompt); refused != nil {
			require.Contains(t, []int{400, 403}, refused.Status)
			return
		}
		if in.finish() != nil {
			return
		}
		var cache promptcache.Cache
		served := cache.Serve(&in.Prompt, newFakeClock().Now())
		require.Equal(t, in.request.InputTokens, served.Input+served.Read+served.Write5m+served.Write1h)
		require.Zero(t, served.Read, "nothing was written before")
		require.GreaterOrEqual(t, served.Input, 0)
	})
}

func FuzzConverse(f *testing.F) {
	for _, seed := range []string{
		`{"messages":[{"role":"user","content":[{"text":"q"},{"cachePoint":{"type":"default","ttl":"1h"}}]}],"system":[{"text":"s"},{"cachePoint":{"type":"default"}}]}`,
		`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"eA=="}}},{"document":{"source":{"bytes":"eA=="}}}]}],"inferenceConfig":{"maxTokens":9}}`,
		`{"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{}}}},{"cachePoint":{"type":"default"}}]},"messages":[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[{"reasoningContent":{}},{"toolUse":{"toolUseId":"1"}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"1","content":[{"image":{}},{"text":"r"}]}}]}]}`,
		`{"messages":[1],"system":[2],"toolConfig":{"tools":[3]}}`, `{"messages":[{"role":"user","content":[{"text":null}]}]}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDialect(f, opus46, (*dialects.Reader).ParseConverse)
}

func FuzzAnthropic(f *testing.F) {
	for _, seed := range []string{
		claudeBody, cachingBody("a", true, true), cachingBody("b", false, false),
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"system":[1],"tools":[2],"messages":[{"role":"user","content":[3]}]}`,
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"data":"eA=="}},{"type":"thinking"}]}]}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDialect(f, opus46, (*dialects.Reader).ParseAnthropic)
}

// cachingBody is a body of Anthropic's dialect with every kind of block that may carry a marker; the markers of tools and
// messages can be left out.
func cachingBody(tag string, onTools, onMessages bool) string {
	marker := func(on bool) string {
		if on {
			return `,"cache_control":{"type":"ephemeral"}`
		}
		return ""
	}
	return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"tools":[{"name":"read","description":"` + sized(tag, 2000) + `","input_schema":{"type":"object"}` + marker(onTools) + `}],` +
		`"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"q"}]},` +
		`{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"read","input":{}` + marker(onMessages) + `}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"r"},{"type":"image","source":{"type":"base64","data":"R0lGODlhAQABAA=="}}]` + marker(onMessages) + `}]}]}`
}

// Markers are no part of the prefix: a body reads what the same body wrote with its markers elsewhere.
func TestMovedMarkersOfAnthropicFindWhatTheyWrote(t *testing.T) {
	server := New(t, Options{CountTokens: perByte})
	last := func(body string) split {
		_, err := invoke(server, sonnet45, body)
		require.NoError(t, err)
		all := server.Inferences()
		return all[len(all)-1].split()
	}
	toolsOnly := last(cachingBody("a", true, false))
	require.Positive(t, toolsOnly.write5m)
	both := last(cachingBody("a", true, true))
	require.Equal(t, toolsOnly.write5m, both.read)
	require.Equal(t, toolsOnly.input, both.write5m)
	messagesOnly := last(cachingBody("a", false, true))
	require.Equal(t, split{read: both.read + both.write5m}, messagesOnly)
	require.Equal(t, toolsOnly, last(cachingBody("b", true, false)))
}
