package wire

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// sse frames events as a server does: the name that the JSON tells in front, as two of the three dialects have it.
func sse(events ...string) string {
	var b strings.Builder
	for _, e := range events {
		if _, rest, ok := strings.Cut(e, `{"type":"`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			b.WriteString("event: " + name + "\n")
		}
		b.WriteString("data: " + e + "\n\n")
	}
	return b.String()
}

func metered(provider, stream string, step int) *SSEMeter {
	m := NewSSEMeter(provider, price.NoCacheWrites, nil)
	for rest := stream; rest != ""; {
		n, _ := m.Write([]byte(rest[:min(step, len(rest))]))
		rest = rest[n:]
	}
	return m
}

const (
	chatText  = `{"id":"c","object":"chat.completion.chunk","model":"gpt","service_tier":"flex","choices":[{"index":0,"delta":{"content":"the \"usage\":{\"completion_tokens\":1}"},"finish_reason":null}],"usage":null}`
	chatStop  = `{"id":"c","object":"chat.completion.chunk","model":"gpt","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`
	chatUsage = `{"id":"c","object":"chat.completion.chunk","model":"gpt","choices":[],"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":56,"prompt_tokens_details":{"cached_tokens":30,"cache_write_tokens":10},"completion_tokens_details":{"reasoning_tokens":3}}}`

	responseCreated   = `{"type":"response.created","response":{"id":"r","status":"in_progress","model":"gpt","metadata":{"model":"cheap","service_tier":"flex","usage":"none"},"error":null,"usage":null}}`
	responseText      = `{"type":"response.output_text.delta","delta":"usage of tokens"}`
	responseUsage     = `"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":30,"cache_write_tokens_details":{"ttl_30m_tokens":10,"ttl_12h_tokens":20}},"output_tokens":6,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":56}`
	responseCompleted = `{"type":"response.completed","response":{"id":"r","status":"completed","model":"gpt","service_tier":"priority","metadata":{"model":"cheap","service_tier":"flex","prompt_token_count":"x"},"output":[{"type":"function_call","arguments":"{}"}],` + responseUsage + `}}`
)

func TestSSEMeter_Dialects(t *testing.T) {
	partial := `{"choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`
	other := `{"choices":[{"index":1,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":9}}`
	chat := Reported{Usage: used(10, 30, 10, 0, 6), ServiceTier: "flex", Model: "gpt"}
	response := Reported{Usage: used(10, 10, 10, 20, 6), ServiceTier: "priority", Model: "gpt"}
	claude := Reported{Usage: used(10, 5, 10, 20, 70)}
	for name, tc := range map[string]struct {
		provider, stream string
		want             Reported
		ok               bool
		exception        string
	}{
		"chat":                       {"openai", sse(chatText, chatStop, chatUsage, "[DONE]"), chat, true, ""},
		"chat, mark lost":            {"openai", sse(chatText, chatStop, chatUsage), chat, true, ""},
		"chat without usage":         {"openai", sse(chatText, chatStop, "[DONE]"), Reported{}, false, ""},
		"chat cut":                   {"openai", sse(chatText, chatStop), Reported{}, false, ""},
		"chat, running sums":         {"openai", sse(partial), Reported{}, false, ""},
		"chat, sum with the last":    {"openai", sse(partial, "[DONE]"), Reported{Usage: used(5, 0, 0, 0, 1)}, true, ""},
		"chat, two choices":          {"openai", sse(partial, other, "[DONE]"), Reported{Usage: used(5, 0, 0, 0, 9)}, true, ""},
		"chat, error and a mark":     {"openai", sse(partial, `{"error":{"message":"m","type":"server_error","code":null}}`, "[DONE]"), Reported{}, false, "server_error"},
		"chat, error first":          {"openai", sse(`{"error":{"message":"m","type":"t","code":"BudgetExceededException"}}`), Reported{}, false, "budgetexceededexception"},
		"chat, error in words":       {"openai", sse(`{"error":"went wrong"}`), Reported{}, false, "unknown"},
		"chat, no error":             {"openai", sse(strings.Replace(chatStop, `"usage":null`, `"error":null`, 1), chatUsage), Reported{Usage: used(10, 30, 10, 0, 6), Model: "gpt"}, true, ""},
		"responses":                  {"openai", sse(responseCreated, responseText, responseCompleted), response, true, ""},
		"responses incomplete":       {"openai", sse(responseCreated, strings.Replace(responseCompleted, "response.completed", "response.incomplete", 1)), response, true, ""},
		"responses failed":           {"openai", sse(responseCreated, `{"type":"response.failed","response":{"error":{"code":"server_error","message":"m"},"usage":null}}`), Reported{}, false, "server_error"},
		"responses failed, billed":   {"openai", sse(`{"type":"response.failed","response":{"error":{"code":"server_error"},` + responseUsage + `}}`), Reported{Usage: used(10, 10, 10, 20, 6)}, true, "server_error"},
		"responses in progress":      {"openai", sse(`{"type":"response.in_progress","response":{` + responseUsage + `}}`), Reported{}, false, ""},
		"responses error":            {"openai", sse(responseCreated, `{"type":"error","code":"rate_limit","message":"m"}`), Reported{}, false, "rate_limit"},
		"responses error, nested":    {"openai", sse(`{"type":"error","error":{"type":"billing_error","code":"c","message":"m"}}`), Reported{}, false, "c"},
		"messages":                   {"anthropic", sse(claudeStart, claudeText, claudeDelta, claudeStop), claude, true, ""},
		"messages cut":               {"anthropic", sse(claudeStart, claudeText), Reported{}, false, ""},
		"messages, delta lost":       {"anthropic", sse(claudeStart, claudeText, claudeStop), Reported{}, false, ""},
		"messages error":             {"anthropic", sse(claudeStart, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`), Reported{}, false, "overloaded_error"},
		"error after the usage":      {"anthropic", sse(claudeStart, claudeDelta, `{"type":"error","error":{"type":"overloaded_error"}}`), claude, true, "overloaded_error"},
		"error that is no JSON":      {"anthropic", "event: error\ndata: Internal Server Error\n\n", Reported{}, false, "unknown"},
		"error without data":         {"anthropic", "event: error\n\n", Reported{}, false, "unknown"},
		"first error counts":         {"anthropic", "event: error\ndata: {\"error\":{\"type\":\"a\"}}\n\nevent: error\n\n", Reported{}, false, "a"},
		"negative":                   {"openai", sse(chatStop, `{"choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":6}}`, "[DONE]"), Reported{}, false, ""},
		"duplicate keys":             {"openai", sse(chatStop, `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6,"completion_tokens":1}}`), Reported{}, false, ""},
		"damage is for good":         {"openai", sse(chatStop, `{"usage":[}`, chatUsage, "[DONE]"), Reported{}, false, ""},
		"an event that has no end":   {"openai", sse(chatStop) + "data: " + chatUsage + "\n", Reported{}, false, ""},
		"data without a colon":       {"openai", "data\n\n" + sse(chatText, chatStop, chatUsage), chat, true, ""},
		"fields that mean nothing":   {"openai", "id: 7\nretry: 10\n usage: x\n\n" + sse(chatText, chatStop, chatUsage), chat, true, ""},
		"a comment":                  {"openai", ": {\"error\":1}\n\n" + sse(chatText, chatStop, chatUsage), chat, true, ""},
		"a byte order mark":          {"openai", "\uFEFF" + sse(chatText, chatStop, chatUsage), chat, true, ""},
		"no space behind the colons": {"openai", strings.ReplaceAll(sse(chatText, chatStop, chatUsage), "data: ", "data:"), chat, true, ""},
		"nothing":                    {"openai", "", Reported{}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, end := range []string{"\n", "\r", "\r\n"} {
				stream := strings.ReplaceAll(tc.stream, "\n", end)
				for _, step := range []int{1, 7, 13, len(stream) + 1} {
					m := metered(tc.provider, stream, step)
					got, ok := m.Usage()
					assert.Equal(t, tc.ok, ok, "%q %d", end, step)
					assert.Equal(t, tc.want, got, "%q %d", end, step)
					assert.Equal(t, tc.exception, m.Exception())
					assert.Zero(t, m.Refused())
				}
			}
		})
	}
}

func TestSSEMeter_DataOfMoreThanOneLine(t *testing.T) {
	split := strings.ReplaceAll(chatUsage, `,"`, ",\ndata: \"")
	m := metered("openai", sse(chatText, chatStop)+"data: "+split+"\n\n", 5)
	r, ok := m.Usage()
	require.True(t, ok)
	assert.Equal(t, used(10, 30, 10, 0, 6), r.Usage)
}

func TestSSEMeter_CutAnywhereIsNeverPartial(t *testing.T) {
	for provider, stream := range map[string]string{
		"openai":    sse(chatText, chatStop, chatUsage, "[DONE]"),
		"xai":       sse(responseCreated, responseText, responseCompleted),
		"anthropic": sse(claudeStart, claudeText, claudeDelta, claudeStop),
	} {
		whole, ok := metered(provider, stream, 64).Usage()
		require.True(t, ok)
		for cut := range stream {
			if r, ok := metered(provider, stream[:cut], 64).Usage(); ok {
				assert.Equal(t, whole.Usage, r.Usage)
			}
		}
	}
}

// An event without an end must not take the memory of who reads the stream.
func TestSSEMeter_HoldsOneEventAtMost(t *testing.T) {
	megabyte := strings.Repeat("x", 1<<20)
	for name, part := range map[string]string{"one line": megabyte, "many lines": "\ndata: " + megabyte, "a comment": "\n: " + megabyte} {
		m := NewSSEMeter("anthropic", price.NoCacheWrites, nil)
		_, _ = m.Write([]byte(sse(claudeStart, claudeDelta) + "data: "))
		for range 20 {
			_, _ = m.Write([]byte(part))
			require.LessOrEqual(t, len(m.line)+len(m.data), maxEventBytes)
		}
		_, ok := m.Usage()
		if name == "a comment" {
			assert.True(t, ok)
			continue
		}
		assert.False(t, ok, name)
		assert.Empty(t, m.line)
		assert.Empty(t, m.data)
	}
	m := NewSSEMeter("anthropic", price.NoCacheWrites, nil)
	_, _ = m.Write([]byte("data: " + megabyte + "\n\n"))
	assert.LessOrEqual(t, cap(m.line)+cap(m.data), 2*keepEventBytes, "a large buffer is not kept")
}

func TestSSEMeter_TierFromTheHeader(t *testing.T) {
	m := NewSSEMeter("anthropic", price.NoCacheWrites, http.Header{"X-Amzn-Bedrock-Service-Tier": {"flex"}})
	_, _ = m.Write([]byte(sse(claudeStart, claudeDelta)))
	r, ok := m.Usage()
	require.True(t, ok)
	assert.Equal(t, "flex", r.ServiceTier)
}

func TestSSEMeter_ManyMayAsk(t *testing.T) {
	m := NewSSEMeter("openai", price.NoCacheWrites, nil)
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 100 {
				_, _ = m.Usage()
				_ = m.Exception()
			}
		})
	}
	for _, b := range []byte(sse(chatText, chatStop, chatUsage)) {
		_, _ = m.Write([]byte{b})
	}
	asking.Wait()
	_, ok := m.Usage()
	assert.True(t, ok)
}

func FuzzSSEMeter(f *testing.F) {
	f.Add(sse(chatText, chatStop, chatUsage, "[DONE]"), 5)
	f.Add(strings.ReplaceAll(sse(responseCreated, responseText, responseCompleted), "\n", "\r\n"), 1)
	f.Add(sse(claudeStart, claudeText, claudeDelta, claudeStop), 20)
	f.Add("\uFEFFevent: error\rdata\r\r: comment\n\n"+sse(`{"error":{"code":7}}`), 2)
	f.Fuzz(func(t *testing.T, stream string, step int) {
		whole := NewSSEMeter("openai", price.CacheWrites1h, nil)
		n, err := whole.Write([]byte(stream))
		require.NoError(t, err)
		require.Equal(t, len(stream), n)
		split := NewSSEMeter("openai", price.CacheWrites1h, nil)
		for rest := stream; rest != ""; {
			n, _ := split.Write([]byte(rest[:min(max(1, step), len(rest))]))
			rest = rest[n:]
			require.LessOrEqual(t, len(split.line)+len(split.data), len(stream))
		}
		a, aok := whole.Usage()
		b, bok := split.Usage()
		require.Equal(t, aok, bok)
		require.Equal(t, a, b)
		require.Equal(t, whole.Exception(), split.Exception())
		require.NoError(t, a.Usage.Validate())
	})
}

func BenchmarkSSEMeter_1000Chunks(b *testing.B) {
	stream := []byte(strings.Repeat(sse(chatText), 1000) + sse(chatStop, chatUsage, "[DONE]"))
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		m := NewSSEMeter("openai", price.NoCacheWrites, nil)
		for rest := stream; len(rest) > 0; {
			n, _ := m.Write(rest[:min(4096, len(rest))])
			rest = rest[n:]
		}
	}
}
