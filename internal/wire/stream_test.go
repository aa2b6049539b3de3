package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

func frame(t testing.TB, messageType, name, payload string) []byte {
	var b bytes.Buffer
	kind := map[string]string{"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}[messageType]
	require.NoError(t, eventstream.NewEncoder().Encode(&b, eventstream.Message{
		Headers: eventstream.Headers{
			{Name: ":message-type", Value: eventstream.StringValue(messageType)},
			{Name: kind, Value: eventstream.StringValue(name)},
		},
		Payload: []byte(payload),
	}))
	return b.Bytes()
}

func event(t testing.TB, name, payload string) []byte { return frame(t, "event", name, payload) }

func chunks(t testing.TB, events ...string) []byte {
	var b []byte
	for _, e := range events {
		b = append(b, event(t, "chunk", fmt.Sprintf(`{"bytes":%q,"p":"abcdef"}`, base64.StdEncoding.EncodeToString([]byte(e))))...)
	}
	return b
}

const (
	claudeStart   = `{"type":"message_start","message":{"content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":1}}}`
	claudeText    = `{"type":"content_block_delta","delta":{"type":"text_delta","text":"the \"usage\" of stop words"}}`
	claudeDelta   = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":70}}`
	claudeStop    = `{"type":"message_stop"}`
	claudeMetrics = `{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":70,"cacheReadInputTokenCount":5,"cacheWriteInputTokenCount":30,"invocationLatency":9}}`
)

func TestStreamMeter_Dialects(t *testing.T) {
	metadata := `{"metrics":{"latencyMs":9},"usage":{"inputTokens":4,"outputTokens":8,"totalTokens":42,"cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"1h","inputTokens":30}]},"serviceTier":{"type":"priority"},"performanceConfig":{"latency":"optimized"}}`
	converse := append(event(t, "messageStart", `{"role":"assistant"}`), event(t, "contentBlockDelta", `{"delta":{"text":"x"}}`)...)
	converse = append(converse, event(t, "messageStop", `{"stopReason":"end_turn"}`)...)
	for name, tc := range map[string]struct {
		provider string
		stream   []byte
		want     Reported
		ok       bool
	}{
		"converse":                 {"anthropic", append(bytes.Clone(converse), event(t, "metadata", metadata)...), Reported{Usage: used(4, 0, 0, 30, 8), ServiceTier: "priority", Latency: "optimized"}, true},
		"converse cut":             {"anthropic", converse, Reported{}, false},
		"claude":                   {"anthropic", chunks(t, claudeStart, claudeText, claudeDelta, claudeMetrics), Reported{Usage: used(10, 5, 10, 20, 70)}, true},
		"claude, no metrics":       {"anthropic", chunks(t, claudeStart, claudeText, claudeDelta, claudeStop), Reported{Usage: used(10, 5, 10, 20, 70)}, true},
		"claude cut":               {"anthropic", chunks(t, claudeStart, claudeText), Reported{}, false},
		"claude, delta lost":       {"anthropic", chunks(t, claudeStart, claudeText, claudeStop), Reported{}, false},
		"cumulative deltas":        {"anthropic", chunks(t, claudeStart, `{"type":"message_delta","delta":{},"usage":{"output_tokens":40}}`, claudeDelta), Reported{Usage: used(10, 5, 10, 20, 70)}, true},
		"first delta only":         {"anthropic", chunks(t, claudeStart, `{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":40}}`), Reported{}, false},
		"metrics disagree":         {"anthropic", chunks(t, claudeStart, claudeDelta, strings.Replace(claudeMetrics, ":70", ":90", 1)), Reported{Usage: used(10, 5, 10, 20, 90), Disagrees: true}, true},
		"metrics seen twice":       {"anthropic", chunks(t, claudeStart, claudeDelta, claudeMetrics, claudeMetrics), Reported{Usage: used(10, 5, 10, 20, 70)}, true},
		"nova":                     {"amazon", chunks(t, `{"messageStop":{"stopReason":"end_turn"}}`, `{"metadata":{"usage":{"inputTokens":4,"outputTokens":8,"cacheReadInputTokenCount":9}}}`), Reported{Usage: used(4, 9, 0, 0, 8)}, true},
		"openai":                   {"openai", chunks(t, `{"choices":[{"delta":{},"finish_reason":"stop"}]}`, `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11}}`), Reported{Usage: used(5, 0, 0, 0, 6)}, true},
		"openai running sum":       {"openai", chunks(t, `{"choices":[{"finish_reason":null}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`), Reported{}, false},
		"openai, a choice goes on": {"openai", chunks(t, `{"choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`), Reported{}, false},
		"openai, all choices":      {"openai", chunks(t, `{"choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`, `{"choices":[{"index":1,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":9},"amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":9}}`), Reported{Usage: used(5, 0, 0, 0, 9)}, true},
		"llama":                    {"meta", chunks(t, `{"generation":"x","prompt_token_count":5,"generation_token_count":1,"stop_reason":null}`, `{"generation":"","prompt_token_count":null,"generation_token_count":6,"stop_reason":"stop"}`), Reported{Usage: used(5, 0, 0, 0, 6)}, true},
		"titan":                    {"amazon", chunks(t, `{"outputText":"x","inputTextTokenCount":5,"totalOutputTextTokenCount":6,"completionReason":"FINISH"}`), Reported{Usage: used(5, 0, 0, 0, 6)}, true},
		"negative":                 {"anthropic", event(t, "metadata", `{"usage":{"inputTokens":-4,"outputTokens":8}}`), Reported{}, false},
		"duplicate keys":           {"anthropic", event(t, "metadata", `{"usage":{"inputTokens":4,"inputTokens":1,"outputTokens":8}}`), Reported{}, false},
		"chunk without base64":     {"anthropic", event(t, "chunk", `{"bytes":"%%%"}`), Reported{}, false},
		"nothing":                  {"anthropic", nil, Reported{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 7, 13, len(tc.stream) + 1} {
				m := NewStreamMeter(tc.provider, price.NoCacheWrites, nil)
				for rest := tc.stream; len(rest) > 0; {
					n, err := m.Write(rest[:min(step, len(rest))])
					require.NoError(t, err)
					rest = rest[n:]
				}
				got, ok := m.Usage()
				assert.Equal(t, tc.ok, ok, step)
				assert.Equal(t, tc.want, got, step)
				assert.Empty(t, m.Exception())
			}
		})
	}
}

func TestStreamMeter_TruncatedAnywhereIsNeverPartial(t *testing.T) {
	stream := chunks(t, claudeStart, claudeText, claudeDelta, claudeMetrics)
	for cut := range stream {
		m := NewStreamMeter("anthropic", price.NoCacheWrites, nil)
		_, _ = m.Write(stream[:cut])
		if r, ok := m.Usage(); ok {
			assert.Equal(t, used(10, 5, 10, 20, 70), r.Usage)
		}
	}
}

func TestStreamMeter_DamageIsForGood(t *testing.T) {
	good := event(t, "metadata", `{"usage":{"inputTokens":4,"outputTokens":8}}`)
	tooLong := make([]byte, preludeBytes)
	binary.BigEndian.PutUint32(tooLong, maxFrameBytes+1)
	binary.BigEndian.PutUint32(tooLong[8:], crc32.ChecksumIEEE(tooLong[:8]))
	headersTooLong := bytes.Clone(tooLong)
	binary.BigEndian.PutUint32(headersTooLong, 100)
	binary.BigEndian.PutUint32(headersTooLong[4:], 99)
	binary.BigEndian.PutUint32(headersTooLong[8:], crc32.ChecksumIEEE(headersTooLong[:8]))
	for name, bad := range map[string][]byte{
		"length":         tooLong,
		"header length":  headersTooLong,
		"prelude":        bytes.Repeat([]byte{7}, 40),
		"payload damage": append(bytes.Clone(good[:len(good)-6]), good[len(good)-6]^1, good[len(good)-5], 0, 0, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 1 << 20} {
				m := NewStreamMeter("anthropic", price.NoCacheWrites, nil)
				for rest := append(bytes.Clone(bad), good...); len(rest) > 0; {
					n, _ := m.Write(rest[:min(step, len(rest))])
					rest = rest[n:]
				}
				_, ok := m.Usage()
				assert.False(t, ok)
				assert.Empty(t, m.buf)
			}
		})
	}
	m := NewStreamMeter("anthropic", price.NoCacheWrites, nil)
	_, _ = m.Write(good)
	_, ok := m.Usage()
	assert.True(t, ok)
	_, _ = m.Write(bytes.Repeat([]byte{7}, 40))
	_, ok = m.Usage()
	assert.False(t, ok)
}

func TestStreamMeter_Exception(t *testing.T) {
	for _, tc := range [][3]string{
		{"exception", "modelStreamErrorException", "modelstreamerrorexception"},
		{"error", "internal-error", "internal-error"},
		{"exception", "no name at all", "unknown"},
	} {
		m := NewStreamMeter("anthropic", price.NoCacheWrites, nil)
		_, _ = m.Write(frame(t, tc[0], tc[1], `{"message":"secret"}`))
		assert.Equal(t, tc[2], m.Exception())
		_, ok := m.Usage()
		assert.False(t, ok)
	}
}

func TestStreamMeter_TierFromTheHeader(t *testing.T) {
	m := NewStreamMeter("openai", price.NoCacheWrites, http.Header{"X-Amzn-Bedrock-Service-Tier": {"flex"}})
	_, _ = m.Write(event(t, "metadata", `{"usage":{"inputTokens":4,"outputTokens":8}}`))
	r, ok := m.Usage()
	require.True(t, ok)
	assert.Equal(t, "flex", r.ServiceTier)
}

func FuzzStreamMeter(f *testing.F) {
	f.Add(chunks(f, claudeStart, claudeText, claudeDelta, claudeMetrics), 5)
	f.Add(event(f, "metadata", `{"usage":{"inputTokens":4,"outputTokens":8}}`), 1)
	f.Add(frame(f, "exception", "throttlingException", `{}`), 20)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		whole := NewStreamMeter("anthropic", price.CacheWrites1h, nil)
		_, _ = whole.Write(stream)
		split := NewStreamMeter("anthropic", price.CacheWrites1h, nil)
		step = max(1, min(step, 4096))
		for rest := stream; len(rest) > 0; {
			n, err := split.Write(rest[:min(step, len(rest))])
			require.NoError(t, err)
			rest = rest[n:]
			require.LessOrEqual(t, len(split.buf), len(stream))
		}
		a, aok := whole.Usage()
		b, bok := split.Usage()
		require.Equal(t, aok, bok)
		require.Equal(t, a, b)
		require.NoError(t, a.Usage.Validate())
	})
}

// FuzzStreamMeterEvent fuzzes the event inside of a chunk, which random frames never reach behind their checksums.
func FuzzStreamMeterEvent(f *testing.F) {
	for _, e := range []string{claudeStart, claudeText, claudeDelta, claudeMetrics} {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, e string) {
		m := NewStreamMeter("openai", price.CacheWrites1h, nil)
		_, _ = m.Write(chunks(t, claudeStart, e, claudeDelta))
		r, _ := m.Usage()
		require.NoError(t, r.Usage.Validate())
	})
}

func BenchmarkStreamMeter_1000Deltas(b *testing.B) {
	events := []string{claudeStart}
	for range 1000 {
		events = append(events, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" a few words"}}`)
	}
	stream := chunks(b, append(events, claudeDelta, claudeMetrics)...)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		m := NewStreamMeter("anthropic", price.NoCacheWrites, nil)
		for rest := stream; len(rest) > 0; {
			n, _ := m.Write(rest[:min(4096, len(rest))])
			rest = rest[n:]
		}
	}
}
