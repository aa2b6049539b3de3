package bedrocktest

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

const (
	novaBody   = `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`
	claudeBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":"hello"}]}`
	chatBody   = `{"messages":[{"role":"system","content":"be"},{"role":"user","content":"hello"}],"max_completion_tokens":100}`
)

// dialectTests are bodies whose tokens are worked out by hand under perByte; an answer is always 7 tokens.
var dialectTests = map[string]struct {
	model, body  string
	input        int
	noOutput     bool
	inBody       []string // where the body of an answer tells its input; nil when it does not
	output       []string
	streams      bool
	streamInput  []string // in the last chunk
	streamOutput []string
}{
	"Anthropic": {
		opus46, claudeBody, 9, false,
		[]string{"usage", "input_tokens"},
		[]string{"usage", "output_tokens"},
		true, nil, nil,
	},
	"Nova": {
		novaPro, novaBody, 9, false,
		[]string{"usage", "inputTokens"},
		[]string{"usage", "outputTokens"},
		true,
		[]string{"metadata", "usage", "inputTokens"},
		[]string{"metadata", "usage", "outputTokens"},
	},
	"Titan text":       {"amazon.titan-text-express-v1", `{"inputText":"hello","textGenerationConfig":{"maxTokenCount":50}}`, 5, false, []string{"inputTextTokenCount"}, nil, true, []string{"inputTextTokenCount"}, []string{"totalOutputTextTokenCount"}},
	"Titan embeddings": {"amazon.titan-embed-text-v2:0", `{"inputText":"hello"}`, 5, true, []string{"inputTextTokenCount"}, nil, false, nil, nil},
	"Cohere embeddings": {
		"cohere.embed-english-v3", `{"texts":["hello","you"],"input_type":"search_query"}`,
		8, true, nil, nil, false, nil, nil,
	},
	"Llama": {
		"meta.llama3-8b-instruct-v1:0", `{"prompt":"hello","max_gen_len":50}`, 5, false,
		[]string{"prompt_token_count"},
		[]string{"generation_token_count"},
		true, nil,
		[]string{"generation_token_count"},
	},
	"Mistral": {"mistral.mistral-7b-instruct-v0:2", `{"prompt":"hello"}`, 5, false, nil, nil, true, nil, nil},
	"Cohere chat": {
		"cohere.command-r-v1:0", `{"message":"hello","documents":[{"t":"a"}]}`,
		5 + 4 + len(`{"t":"a"}`) + dialects.DocumentFrame, false, nil, nil, true, nil, nil,
	},
	"Cohere text": {"cohere.command-text-v14", `{"prompt":"hello"}`, 5, false, nil, nil, true, nil, nil},
	"Cohere rerank": {
		"cohere.rerank-v3-5:0", `{"query":"hello","documents":["a"],"api_version":2}`,
		0, true, nil, nil, false, nil, nil,
	},
	"Nova embeddings": {
		"amazon.nova-2-multimodal-embeddings-v1:0", `{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","text":{"truncationMode":"END","value":"hello"}}}`,
		5, true, nil, nil, false, nil, nil,
	},
	"OpenAI": {
		gptOSS, chatBody, 85, false,
		[]string{"usage", "prompt_tokens"},
		[]string{"usage", "completion_tokens"},
		true,
		[]string{"usage", "prompt_tokens"},
		[]string{"usage", "completion_tokens"},
	},
	"DeepSeek": {
		"deepseek.v3.2", chatBody, 15, false,
		[]string{"usage", "prompt_tokens"},
		[]string{"usage", "completion_tokens"},
		true,
		[]string{"usage", "prompt_tokens"},
		[]string{"usage", "completion_tokens"},
	},
}

func sevenTokens(Request) Reply { return Reply{Text: "one two three", OutputTokens: 7} }

func invoke(server *Server, model, body string) (*bedrockruntime.InvokeModelOutput, error) {
	return newClient(server).InvokeModel(context.Background(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(model), Body: []byte(body)})
}

func headers(t *testing.T, out *bedrockruntime.InvokeModelOutput) http.Header {
	t.Helper()
	response, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response)
	require.True(t, ok)
	return response.Header
}

// at returns the number at a path of JSON, or -1 when there is none.
func at(t *testing.T, raw []byte, path ...string) int {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(raw, &v))
	for _, key := range path {
		inner, ok := v.(map[string]any)
		if !ok {
			return -1
		}
		v = inner[key]
	}
	n, ok := v.(float64)
	if !ok {
		return -1
	}
	return int(n)
}

// caches reports whether a model has a prompt cache, of which answers of other models tell nothing.
func caches(id string) bool {
	m, _, _, ok := modeltable.Lookup(id, nil)
	return ok && m.Cache != nil
}

func TestDialectsTellWhatTheyAreBilled(t *testing.T) {
	for name, test := range dialectTests {
		t.Run(name, func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
			out, err := invoke(server, test.model, test.body)
			require.NoError(t, err)
			output, wantOutput := 7, "7"
			if test.noOutput {
				output, wantOutput = 0, ""
			}
			billed := server.Inferences()[0]
			require.Equal(t, split{input: int64(test.input)}, billed.split())
			require.EqualValues(t, output, billed.OutputTokens)
			require.Equal(t, "invoke", billed.Operation)

			h := headers(t, out)
			require.Equal(t, h.Get("X-Amzn-Requestid"), billed.RequestID)
			require.EqualValues(t, test.input, at(t, []byte(h.Get("X-Amzn-Bedrock-Input-Token-Count"))))
			require.Equal(t, wantOutput, h.Get("X-Amzn-Bedrock-Output-Token-Count"))
			cached := map[bool]string{true: "0", false: ""}[caches(test.model)]
			require.Equal(t, cached, h.Get("X-Amzn-Bedrock-Cache-Read-Input-Token-Count"))
			require.Equal(t, cached, h.Get("X-Amzn-Bedrock-Cache-Write-Input-Token-Count"))
			if test.inBody != nil {
				require.Equal(t, test.input, at(t, out.Body, test.inBody...))
			}
			if test.output != nil {
				require.Equal(t, 7, at(t, out.Body, test.output...))
			}
		})
	}
}

// chunks reads a stream of InvokeModel to its end.
func chunks(t *testing.T, server *Server, model, body string) [][]byte {
	t.Helper()
	out, err := newClient(server).InvokeModelWithResponseStream(context.Background(), &bedrockruntime.InvokeModelWithResponseStreamInput{
		ModelId: aws.String(model), Body: []byte(body),
	})
	require.NoError(t, err)
	defer out.GetStream().Close()
	var all [][]byte
	for e := range out.GetStream().Events() {
		chunk, ok := e.(*types.ResponseStreamMemberChunk)
		require.True(t, ok)
		all = append(all, chunk.Value.Bytes)
	}
	require.NoError(t, out.GetStream().Err())
	return all
}

func TestDialectsTellWhatTheyAreBilledInStreams(t *testing.T) {
	for name, test := range dialectTests {
		t.Run(name, func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
			if !test.streams {
				_, err := newClient(server).InvokeModelWithResponseStream(context.Background(), &bedrockruntime.InvokeModelWithResponseStreamInput{
					ModelId: aws.String(test.model), Body: []byte(test.body),
				})
				requireRefused(t, err, 400, "ValidationException")
				return
			}
			all := chunks(t, server, test.model, test.body)
			require.Greater(t, len(all), 3)
			last := all[len(all)-1]
			require.Equal(t, split{input: int64(test.input)}, server.Inferences()[0].split())
			require.EqualValues(t, 7, server.Inferences()[0].OutputTokens)
			const metrics = "amazon-bedrock-invocationMetrics"
			require.Equal(t, test.input, at(t, last, metrics, "inputTokenCount"))
			require.Equal(t, 7, at(t, last, metrics, "outputTokenCount"))
			if test.streamInput != nil {
				require.Equal(t, test.input, at(t, last, test.streamInput...))
			}
			if test.streamOutput != nil {
				require.Equal(t, 7, at(t, last, test.streamOutput...))
			}
		})
	}
}

func TestAnthropicStreamTellsInputFirstAndOutputLast(t *testing.T) {
	server := New(t, Options{CountTokens: perByte, Reply: func(Request) Reply {
		return Reply{Text: "one two", OutputTokens: 7, ToolName: "read", ToolInput: `{"path":"a"}`}
	}})
	all := chunks(t, server, opus46, claudeBody)
	require.Equal(t, 9, at(t, all[0], "message", "usage", "input_tokens"))
	require.Equal(t, 1, at(t, all[0], "message", "usage", "output_tokens"), "what message_start tells is not the total")
	require.Equal(t, 7, at(t, all[len(all)-2], "usage", "output_tokens"))
	var stream string
	for _, c := range all {
		stream += string(c)
	}
	require.Contains(t, stream, `"partial_json":"{\"path\":\"a\"}"`)
	require.Contains(t, stream, `"stop_reason":"tool_use"`)
}

func TestConverseTellsTheSameUnaryAndStreaming(t *testing.T) {
	server := New(t, Options{CountTokens: perByte, Reply: func(Request) Reply {
		return Reply{Text: "one two", OutputTokens: 7, ToolName: "read", ToolInput: `{"path":"a"}`}
	}})
	p := ask(sonnet45).system(sized("s", 2000)).systemPoint(oneHour).user(say(sized("u", 1000)), point(fiveMinutes), say("q"))
	unary, err := newClient(server).Converse(context.Background(), &p.in)
	require.NoError(t, err)
	require.Equal(t, types.StopReasonToolUse, unary.StopReason)
	require.Equal(t, []types.CacheDetail{
		{Ttl: oneHour, InputTokens: aws.Int32(2000)},
		{Ttl: fiveMinutes, InputTokens: aws.Int32(1004)},
	}, unary.Usage.CacheDetails)
	require.EqualValues(t, 1+2000+1004+7, *unary.Usage.TotalTokens)

	out, err := newClient(server).ConverseStream(context.Background(), &bedrockruntime.ConverseStreamInput{
		ModelId: p.in.ModelId, Messages: p.in.Messages, System: p.in.System,
	})
	require.NoError(t, err)
	defer out.GetStream().Close()
	var usage *types.TokenUsage
	var order []string
	for e := range out.GetStream().Events() {
		switch e := e.(type) {
		case *types.ConverseStreamOutputMemberMetadata:
			usage = e.Value.Usage
			order = append(order, "metadata")
		case *types.ConverseStreamOutputMemberMessageStop:
			order = append(order, "stop "+string(e.Value.StopReason))
		}
	}
	require.NoError(t, out.GetStream().Err())
	require.Equal(t, []string{"stop tool_use", "metadata"}, order)
	require.EqualValues(t, 1, *usage.InputTokens)
	require.EqualValues(t, 3004, *usage.CacheReadInputTokens)
	require.EqualValues(t, 7, *usage.OutputTokens)
	require.Empty(t, usage.CacheDetails, "nothing was written")
	require.Equal(t, "converse-stream", server.Inferences()[1].Operation)
}
