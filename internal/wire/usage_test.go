package wire

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

func header(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Add(kv[i], kv[i+1])
	}
	return h
}

const (
	inHeader    = "X-Amzn-Bedrock-Input-Token-Count"
	outHeader   = "X-Amzn-Bedrock-Output-Token-Count"
	readHeader  = "X-Amzn-Bedrock-Cache-Read-Input-Token-Count"
	writeHeader = "X-Amzn-Bedrock-Cache-Write-Input-Token-Count"
)

// used is short for a usage: uncached, read, written for 5m, written for 1h, output.
func used(uncached, read, w5m, w1h, out int64) price.Usage {
	return price.Usage{
		InputTokens: uncached + read + w5m + w1h, CacheReadInputTokens: read,
		CacheWrite5mInputTokens: w5m, CacheWrite1hInputTokens: w1h, OutputTokens: out,
	}
}

func TestParseUsage_Dialects(t *testing.T) {
	none, hour := price.NoCacheWrites, price.CacheWrites1h
	for name, tc := range map[string]struct {
		provider  string
		writes    price.CacheWrites
		header    http.Header
		body      string
		want      price.Usage
		disagrees bool
	}{
		"anthropic": {
			"anthropic", none, nil,
			`{"content":[{"text":"x"}],"usage":{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":7}}`,
			used(10, 5, 10, 20, 7), false,
		},
		"anthropic, headers lack the split": {
			"anthropic", hour, header(inHeader, "10", outHeader, "7", readHeader, "5", writeHeader, "30"),
			`{"usage":{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":7}}`,
			used(10, 5, 10, 20, 7), false,
		},
		"split unknown, one-hour points": {
			"anthropic", hour, nil, `{"usage":{"input_tokens":1,"cache_creation_input_tokens":30,"output_tokens":7}}`,
			used(1, 0, 0, 30, 7), false,
		},
		"split unknown, five-minute points": {
			"anthropic", price.CacheWrites5m, nil, `{"usage":{"input_tokens":1,"cache_creation_input_tokens":30,"output_tokens":7}}`,
			used(1, 0, 30, 0, 7), false,
		},
		"split exceeds the sum": {
			"anthropic", none, nil, `{"usage":{"input_tokens":1,"cache_creation_input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":20},"output_tokens":7}}`,
			used(1, 0, 0, 20, 7), true,
		},
		"a lifetime without a price": {
			"anthropic", none, nil, `{"usage":{"input_tokens":1,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_12h_input_tokens":20},"output_tokens":7}}`,
			used(1, 0, 10, 20, 7), false,
		},
		"openai writes of any lifetime": {
			"openai", hour, nil, `{"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":56,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":40}}}`,
			used(10, 0, 0, 40, 6), false,
		},
		"responses": {
			"openai", none, nil, `{"object":"response","status":"completed","model":"gpt","metadata":{"model":"cheap","service_tier":"flex","prompt_token_count":"x","usage":"y"},"output":[],"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":30,"cache_write_tokens_details":{"ttl_30m_tokens":10,"ttl_12h_tokens":20}},"output_tokens":6,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":56}}`,
			used(10, 10, 10, 20, 6), false,
		},
		"responses, writes of the usual lifetime": {
			"openai", hour, nil, `{"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":40,"cache_write_tokens_details":{"ttl_30m_tokens":40}},"output_tokens":6,"total_tokens":56}}`,
			used(10, 0, 40, 0, 6), false,
		},
		"chat, writes by lifetime": {
			"openai", none, nil, `{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":56,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":40,"cache_write_tokens_details":{"ttl_12h_tokens":40}}}}`,
			used(10, 0, 0, 40, 6), false,
		},
		"anthropic iterations": {
			"anthropic", none, nil, `{"usage":{"input_tokens":10,"output_tokens":7,"iterations":[{"type":"compaction","input_tokens":90,"output_tokens":5},{"input_tokens":10,"output_tokens":7}]}}`,
			used(100, 0, 0, 0, 12), false,
		},
		"nova": {
			"amazon", none, nil, `{"usage":{"inputTokens":4,"outputTokens":832,"totalTokens":2326,"cacheReadInputTokenCount":1490,"cacheWriteInputTokenCount":0}}`,
			used(4, 1490, 0, 0, 832), false,
		},
		"converse with twins": {
			"anthropic", none, nil, `{"output":{},"usage":{"inputTokens":4,"outputTokens":8,"totalTokens":42,"cacheReadInputTokens":0,"cacheWriteInputTokens":30,"cacheWriteInputTokenCount":30,"cacheDetails":[{"ttl":"1h","inputTokens":20},{"ttl":"5m","inputTokens":10}]}}`,
			used(4, 0, 10, 20, 8), false,
		},
		"titan text":                           {"amazon", none, nil, `{"inputTextTokenCount":5,"results":[{"tokenCount":3,"outputText":"x"},{"tokenCount":4}]}`, used(5, 0, 0, 0, 7), false},
		"titan embedding":                      {"amazon", none, nil, `{"embedding":[0.1,-2e-5],"inputTextTokenCount":5}`, used(5, 0, 0, 0, 0), false},
		"llama":                                {"meta", none, nil, `{"generation":"x","prompt_token_count":5,"generation_token_count":6,"stop_reason":"stop"}`, used(5, 0, 0, 0, 6), false},
		"openai":                               {"openai", none, nil, `{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":56,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":3}}}`, used(10, 40, 0, 0, 6), false},
		"reasoning beside":                     {"xai", none, nil, `{"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":66,"completion_tokens_details":{"reasoning_tokens":10}}}`, used(50, 0, 0, 0, 16), false},
		"reasoning beside, no total":           {"xai", none, nil, `{"usage":{"prompt_tokens":50,"completion_tokens":6,"completion_tokens_details":{"reasoning_tokens":500}}}`, used(50, 0, 0, 0, 506), true},
		"reasoning beside, total is short":     {"xai", none, nil, `{"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":56,"completion_tokens_details":{"reasoning_tokens":500}}}`, used(50, 0, 0, 0, 506), true},
		"reasoning beside, Converse":           {"xai", none, nil, `{"usage":{"inputTokens":50,"outputTokens":6,"totalTokens":556}}`, used(50, 0, 0, 0, 506), true},
		"more in the total than the reasoning": {"xai", none, nil, `{"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":566,"completion_tokens_details":{"reasoning_tokens":500}}}`, used(50, 0, 0, 0, 516), true},
		"an embedding's total":                 {"amazon", none, nil, `{"embedding":[1],"usage":{"prompt_tokens":50,"total_tokens":50}}`, used(50, 0, 0, 0, 0), false},
		"openai nulls":                         {"openai", none, nil, `{"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":56,"prompt_tokens_details":null}}`, used(50, 0, 0, 0, 6), false},
		"openai, header":                       {"openai", none, header(inHeader, "50", outHeader, "6"), `{"usage":{"prompt_tokens":50,"completion_tokens":6,"prompt_tokens_details":{"cached_tokens":40}}}`, used(10, 40, 0, 0, 6), false},
		"cached > prompt":                      {"openai", none, nil, `{"usage":{"prompt_tokens":5,"completion_tokens":6,"prompt_tokens_details":{"cached_tokens":40}}}`, used(5, 40, 0, 0, 6), true},
		"cohere":                               {"cohere", none, nil, `{"text":"x","meta":{"billed_units":{"input_tokens":4,"output_tokens":2},"tokens":{"input_tokens":70,"output_tokens":2}}}`, used(70, 0, 0, 0, 2), false},
		"embed by header":                      {"cohere", none, header(inHeader, "9"), `{"embeddings":[[1]]}`, used(9, 0, 0, 0, 0), false},
		"header only":                          {"ai21", none, header(inHeader, "9", outHeader, "3"), `{"completions":[]}`, used(9, 0, 0, 0, 3), false},
		"header dearer":                        {"meta", none, header(inHeader, "9", outHeader, "3"), `{"prompt_token_count":5,"generation_token_count":6}`, used(9, 0, 0, 0, 6), true},
		"header tells the cache alone": {
			"amazon", none, header(inHeader, "9", outHeader, "3", readHeader, "100"), `{"usage":{"inputTokens":9,"outputTokens":3}}`,
			used(9, 100, 0, 0, 3), false,
		},
		"converse openai, total proves inside": {
			"openai", none, nil, `{"usage":{"inputTokens":4995,"outputTokens":19,"totalTokens":5014,"cacheReadInputTokens":4993}}`,
			used(2, 4993, 0, 0, 19), false,
		},
		"converse openai, total counts twice": {
			"openai", none, nil, `{"usage":{"inputTokens":4995,"outputTokens":19,"totalTokens":10007,"cacheReadInputTokens":4993}}`,
			used(2, 4993, 0, 0, 19), true,
		},
		"total fits nothing": {
			"openai", none, nil, `{"usage":{"inputTokens":100,"outputTokens":19,"totalTokens":150,"cacheReadInputTokens":50}}`,
			used(50, 50, 0, 0, 19), true,
		},
		"claude total without the cache": {
			"anthropic", none, nil, `{"usage":{"inputTokens":100,"outputTokens":20,"totalTokens":120,"cacheReadInputTokens":50}}`,
			used(100, 50, 0, 0, 20), true,
		},
		"guardrail stopped it": {"anthropic", none, nil, `{"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0}}`, price.Usage{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok, err := ParseUsage(tc.provider, tc.writes, tc.header, []byte(tc.body))
			require.NoError(t, err)
			require.True(t, ok)
			assert.Equal(t, tc.want, got.Usage)
			assert.Equal(t, tc.disagrees, got.Disagrees)
			assert.NoError(t, got.Usage.Validate())
		})
	}
}

func TestParseUsage_Unknown(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":        `{"completion":"x"}`,
		"no output":      `{"usage":{"input_tokens":5}}`,
		"no input":       `{"usage":{"output_tokens":5}}`,
		"null":           `{"usage":null}`,
		"in background":  `{"object":"response","status":"queued","background":true,"output":[],"usage":null}`,
		"quoted in text": `{"content":"{\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}"}`,
		"rerank":         `{"results":[{"index":0,"relevance_score":0.5}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, ok, err := ParseUsage("anthropic", price.NoCacheWrites, nil, []byte(body))
			require.NoError(t, err)
			assert.False(t, ok)
		})
	}
}

func TestParseUsage_Malformed(t *testing.T) {
	for name, tc := range map[string]struct {
		header http.Header
		body   string
	}{
		"negative":        {nil, `{"usage":{"input_tokens":-5,"output_tokens":5}}`},
		"fraction":        {nil, `{"usage":{"input_tokens":5.5,"output_tokens":5}}`},
		"string":          {nil, `{"usage":{"input_tokens":"5","output_tokens":5}}`},
		"absurd":          {nil, `{"usage":{"input_tokens":9007199254740993,"output_tokens":5}}`},
		"overflow":        {nil, `{"usage":{"input_tokens":99999999999999999999,"output_tokens":5}}`},
		"duplicate":       {nil, `{"usage":{"input_tokens":5,"output_tokens":5},"usage":{"input_tokens":0,"output_tokens":0}}`},
		"cut":             {nil, `{"usage":{"input_tokens":5,"output_tokens":5}`},
		"empty":           {nil, ``},
		"header negative": {header(inHeader, "-1"), `{}`},
		"header sign":     {header(inHeader, "+1"), `{}`},
		"header hex":      {header(outHeader, "0x10"), `{}`},
		"header float":    {header(readHeader, "1e3"), `{}`},
		"header empty":    {header(writeHeader, ""), `{}`},
		"header absurd":   {header(inHeader, "9223372036854775807"), `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			_, ok, err := ParseUsage("anthropic", price.NoCacheWrites, tc.header, []byte(tc.body))
			assert.ErrorIs(t, err, request.ErrMalformed)
			assert.False(t, ok)
		})
	}
}

func TestParseUsage_Served(t *testing.T) {
	body := []byte(`{"usage":{"input_tokens":1,"output_tokens":1,"service_tier":"Priority"},"performanceConfig":{"latency":"optimized"}}`)
	r, ok, err := ParseUsage("amazon", price.NoCacheWrites, header("X-Amzn-Bedrock-Service-Tier", "flex"), body)
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, "priority", r.ServiceTier)
	assert.Equal(t, "optimized", r.Latency)
	r, _, err = ParseUsage("amazon", price.NoCacheWrites, header("X-Amzn-Bedrock-Service-Tier", "FLEX"), []byte(`{"usage":{"input_tokens":1,"output_tokens":1}}`))
	require.NoError(t, err)
	assert.Equal(t, "flex", r.ServiceTier)
}

func FuzzParseUsage(f *testing.F) {
	f.Add(`{"usage":{"input_tokens":10,"cache_creation":{"ephemeral_5m_input_tokens":10},"output_tokens":7,"iterations":[{"input_tokens":1}]}}`, "10", "7", true)
	f.Add(`{"usage":{"inputTokens":4,"outputTokens":8,"totalTokens":42,"cacheDetails":[{"ttl":"1h","inputTokens":20}]},"serviceTier":{"type":"flex"}}`, "", "", false)
	f.Add(`{"message":{"usage":{"prompt_tokens":5}},"results":[{"tokenCount":1}],"amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":9}}`, "1", "2", true)
	f.Fuzz(func(t *testing.T, body, in, out string, openai bool) {
		h, provider := http.Header{}, "anthropic"
		if in != "" {
			h.Set(inHeader, in)
		}
		if out != "" {
			h.Set(outHeader, out)
		}
		if openai {
			provider = "openai"
		}
		r, ok, err := ParseUsage(provider, price.CacheWrites1h, h, []byte(body))
		if err != nil {
			require.ErrorIs(t, err, request.ErrMalformed)
			require.False(t, ok)
			return
		}
		require.NoError(t, r.Usage.Validate())
		if n, e := jsonscan.Digits(out); ok && e == nil {
			require.GreaterOrEqual(t, r.Usage.OutputTokens, n)
		}
	})
}

// TestCachedTokensOfOpenAIAreNoFreshOnes: a prompt that was read from the cache is not 6,000 times as much fresh input as it was; the
// money stays what the counters, and so the invoice, say.
func TestCachedTokensOfOpenAIAreNoFreshOnes(t *testing.T) {
	body := []byte(`{"usage":{"inputTokens":12401,"outputTokens":19,"totalTokens":24819,"cacheReadInputTokens":12399}}`)
	r, ok, err := ParseUsage("openai", price.NoCacheWrites, nil, body)
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, used(2, 12399, 0, 0, 19), r.Usage)
	assert.Equal(t, int64(12399), r.CountedTwice)
	assert.True(t, r.Disagrees, "the contradiction is a finding")
	for _, family := range []string{"anthropic", "amazon", "meta"} {
		r, _, err = ParseUsage(family, price.NoCacheWrites, nil, body)
		require.NoError(t, err)
		assert.Equal(t, used(12401, 12399, 0, 0, 19), r.Usage, family)
		assert.Zero(t, r.CountedTwice, family)
	}
}

// OpenAI's routes hand the caller's own metadata back. It must not choose the price.
func TestParseUsage_MetadataOfTheCallerTellsNothing(t *testing.T) {
	body := `{"model":"gpt","service_tier":"priority","usage":{"input_tokens":5,"output_tokens":6},"metadata":{"model":"cheap","service_tier":"flex","totalOutputTextTokenCount":"1"}}`
	r, ok, err := ParseUsage("openai", price.NoCacheWrites, nil, []byte(body))
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, Reported{Usage: used(5, 0, 0, 0, 6), ServiceTier: "priority", Model: "gpt"}, r)
}
