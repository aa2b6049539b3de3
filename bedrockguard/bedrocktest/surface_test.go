package bedrocktest

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
)

// Embeddings have the dimensions and the types that are asked for, in the words of each family, and are the same for the same text.
func TestEmbeddingsByDimensionsAndType(t *testing.T) {
	server := New(t, Options{})
	ask := func(model, body string) map[string]any {
		raw, err := invoke(server, model, body)
		require.NoError(t, err, body)
		var told map[string]any
		require.NoError(t, json.Unmarshal(raw.Body, &told))
		return told
	}
	length := func(v any) int { return len(v.([]any)) }

	titan := ask("amazon.titan-embed-text-v2:0", `{"inputText":"hello","dimensions":256,"embeddingTypes":["float","binary"]}`)
	require.Equal(t, 256, length(titan["embedding"]))
	byType := titan["embeddingsByType"].(map[string]any)
	require.Equal(t, [2]int{256, 32}, [2]int{length(byType["float"]), length(byType["binary"])})
	squares := 0.0
	for _, f := range titan["embedding"].([]any) {
		squares += f.(float64) * f.(float64)
	}
	require.InDelta(t, 1, math.Sqrt(squares), 1e-6)
	require.Equal(t, titan, ask("amazon.titan-embed-text-v2:0", `{"inputText":"hello","dimensions":256,"embeddingTypes":["float","binary"]}`))
	require.NotContains(t, ask("amazon.titan-embed-text-v2:0", `{"inputText":"hello","embeddingTypes":["binary"]}`), "embedding")
	require.Equal(t, 1536, length(ask("amazon.titan-embed-text-v1", `{"inputText":"hello"}`)["embedding"]))

	nova := ask("amazon.nova-2-multimodal-embeddings-v1:0", `{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","embeddingDimension":384,"video":{"embeddingMode":"AUDIO_VIDEO_COMBINED"}}}`)
	first := nova["embeddings"].([]any)[0].(map[string]any)
	require.Equal(t, "AUDIO_VIDEO_COMBINED", first["embeddingType"])
	require.Equal(t, 384, length(first["embedding"]))

	cohere := ask("cohere.embed-english-v3", `{"texts":["a","b"],"input_type":"search_query"}`)
	require.Equal(t, []any{"a", "b"}, cohere["texts"])
	require.Equal(t, "embeddings_floats", cohere["response_type"])
	require.NotEqual(t, cohere["embeddings"].([]any)[0], cohere["embeddings"].([]any)[1])
	cohere = ask("cohere.embed-v4:0", `{"texts":["a"],"input_type":"search_query","output_dimension":512,"embedding_types":["int8","ubinary","uint8"]}`)
	require.Equal(t, "embeddings_by_type", cohere["response_type"])
	for kind, want := range map[string]int{"int8": 512, "uint8": 512, "ubinary": 64} {
		require.Equal(t, want, length(cohere["embeddings"].(map[string]any)[kind].([]any)[0]), kind)
	}
	for _, body := range []string{`{"inputText":"q","dimensions":-1}`, `{"inputText":"q","embeddingTypes":["words"]}`} {
		_, err := invoke(server, "amazon.titan-embed-text-v2:0", body)
		requireRefused(t, err, 400, "ValidationException")
	}
}

// A ranking puts the documents first that hold the words of the query.
func TestRerankRanks(t *testing.T) {
	server := New(t, Options{})
	raw, err := invoke(server, "cohere.rerank-v3-5:0", `{"query":"snow in Oslo","documents":["sun","snow in Oslo","snow"],"top_n":2,"api_version":2}`)
	require.NoError(t, err)
	requireHolds(t, `{"results":[{"index":1},{"index":2}]}`, string(raw.Body))
	_, err = invoke(server, "cohere.rerank-v3-5:0", `{"query":"q","documents":["a"],"top_n":0,"api_version":2}`)
	requireRefused(t, err, 400, "ValidationException")
}

// Command answers the conversation again, and its tools in a member of their own.
func TestCohereTellsHistoryAndTools(t *testing.T) {
	server := New(t, Options{Reply: Turns(Answer(Says("a")), Answer(Says("b"), Uses("look", `{"at":1}`)))})
	raw, err := invoke(server, "cohere.command-r-v1:0", `{"message":"r","chat_history":[{"role":"USER","message":"q"},{"role":"CHATBOT","message":"a"}]}`)
	require.NoError(t, err)
	requireHolds(t, `{"text":"b","tool_calls":[{"name":"look","parameters":{"at":1}}],"chat_history":[{"message":"q"},{"message":"a"},{"role":"USER","message":"r"},{"role":"CHATBOT","message":"b"}]}`, string(raw.Body))
	all := chunks(t, server, "cohere.command-r-v1:0", `{"message":"r","chat_history":[{"role":"USER","message":"q"},{"role":"CHATBOT","message":"a"}]}`)
	requireHolds(t, `{"event_type":"tool-calls-generation","tool_calls":[{"name":"look"}]}`, string(all[len(all)-2]))
	requireHolds(t, `{"event_type":"stream-end","response":{"text":"b"}}`, string(all[len(all)-1]))

	server = New(t, Options{CountTokens: perByte, Reply: sevenTokens})
	raw, err = invoke(server, "cohere.command-text-v14", `{"prompt":"hello","num_generations":2}`)
	require.NoError(t, err)
	requireHolds(t, `{"prompt":"hello","generations":[{"text":"one two three"},{"text":"one two three"}]}`, string(raw.Body))
	require.Equal(t, [2]int64{10, 14}, [2]int64{server.Inferences()[0].InputTokens, server.Inferences()[0].OutputTokens}, "a prompt is billed for each")
	_, err = invoke(server, "cohere.command-text-v14", `{"prompt":"hello","num_generations":6}`)
	requireRefused(t, err, 400, "ValidationException")
}

// An asynchronous job is billed once, runs as long as the script says, and fails where it says so.
func TestAsynchronousJobs(t *testing.T) {
	clock := newFakeClock()
	server := New(t, Options{Clock: clock.Now, Reply: func(r Request) Reply {
		reply := Answer().After(time.Minute)
		if r.AskedID == "twelvelabs.marengo-embed-2-7-v1:0" {
			reply = reply.Failing(ModelError, 0)
		}
		return reply
	}})
	client := newClient(server)
	start := func(model, token string, input map[string]any) (*bedrockruntime.StartAsyncInvokeOutput, error) {
		return client.StartAsyncInvoke(t.Context(), &bedrockruntime.StartAsyncInvokeInput{
			ModelId: aws.String(model), ModelInput: document.NewLazyDocument(input), ClientRequestToken: aws.String(token),
			OutputDataConfig: &types.AsyncInvokeOutputDataConfigMemberS3OutputDataConfig{Value: types.AsyncInvokeS3OutputDataConfig{S3Uri: aws.String("s3://bucket/out")}},
		})
	}
	out, err := start("amazon.nova-reel-v1:1", "token-1", map[string]any{"taskType": "TEXT_VIDEO", "videoGenerationConfig": map[string]any{"durationSeconds": 12}})
	require.NoError(t, err)
	again, err := start("amazon.nova-reel-v1:1", "token-1", map[string]any{"taskType": "TEXT_VIDEO"})
	require.NoError(t, err)
	require.Equal(t, *out.InvocationArn, *again.InvocationArn)
	require.EqualValues(t, 12*reelSecond, server.Bill().NanoUSD)
	failing, err := start("twelvelabs.marengo-embed-2-7-v1:0", "token-2", map[string]any{})
	require.NoError(t, err)

	status := func(arn *string) types.AsyncInvokeStatus {
		got, err := client.GetAsyncInvoke(t.Context(), &bedrockruntime.GetAsyncInvokeInput{InvocationArn: arn})
		require.NoError(t, err)
		return got.Status
	}
	require.Equal(t, types.AsyncInvokeStatusInProgress, status(out.InvocationArn))
	clock.advance(time.Minute)
	require.Equal(t, types.AsyncInvokeStatusCompleted, status(out.InvocationArn))
	require.Equal(t, types.AsyncInvokeStatusFailed, status(failing.InvocationArn))
	list, err := client.ListAsyncInvokes(t.Context(), &bedrockruntime.ListAsyncInvokesInput{StatusEquals: types.AsyncInvokeStatusFailed})
	require.NoError(t, err)
	require.Len(t, list.AsyncInvokeSummaries, 1)
	_, err = start("vendor.unknown", "token-3", map[string]any{})
	requireRefused(t, err, 400, "ValidationException")
	_, err = start("amazon.nova-2-multimodal-embeddings-v1:0", "token-4", map[string]any{"segmentedEmbeddingParams": map[string]any{"video": map[string]any{}}})
	require.NoError(t, err)
	require.Greater(t, server.Bill().NanoUSD, int64(12*reelSecond))
}

// InvokeGuardrailChecks is billed by the check, and finds what the test says.
func TestGuardrailChecks(t *testing.T) {
	server := New(t, Options{Assess: func(source, _ string) Finding {
		if source != "CHECKS" {
			return Finding{}
		}
		return Finding{Policies: `{"promptAttack":{"results":[{"category":"JAILBREAK","severityScore":0.9}]}}`}
	}})
	out, err := newClient(server).InvokeGuardrailChecks(t.Context(), &bedrockruntime.InvokeGuardrailChecksInput{
		Messages: []types.GuardrailChecksMessage{{Role: types.GuardrailChecksRoleUser, Content: []types.GuardrailChecksContentBlock{&types.GuardrailChecksContentBlockMemberText{Value: sized("a", 1001)}}}},
		Checks: &types.GuardrailChecksConfig{
			PromptAttack:  &types.GuardrailChecksPromptAttackConfig{Categories: []types.GuardrailChecksPromptAttackCategoryConfig{{Category: types.GuardrailChecksPromptAttackCategoryJailbreak}}},
			ContentFilter: &types.GuardrailChecksContentFilterConfig{Categories: []types.GuardrailChecksContentFilterCategoryConfig{{Category: types.GuardrailChecksContentFilterCategoryHate}}},
			SensitiveInformation: &types.GuardrailChecksSensitiveInformationConfig{
				Entities: []types.GuardrailChecksSensitiveInformationEntityConfig{{Type: types.GuardrailChecksSensitiveInformationEntityTypeEmail}},
			},
		},
	})
	require.NoError(t, err)
	require.InDelta(t, 0.9, *out.Results.PromptAttack.Results[0].SeverityScore, 0)
	require.Zero(t, *out.Results.ContentFilter.Results[0].SeverityScore)
	require.Empty(t, out.Results.SensitiveInformation.Results)
	require.EqualValues(t, 2, *out.Usage.SensitiveInformation.TextUnits)
	require.EqualValues(t, 2*(70_000+80_000+100_000), server.Bill().Guardrails)
}

// The control plane tells the profiles that the runtime takes.
func TestInferenceProfiles(t *testing.T) {
	const application = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghij12"
	server := New(t, Options{Names: map[string]string{application: sonnet45}})
	get := func(path string) (int, string) { return control(t, server, path) }
	status, body := get("/inference-profiles/" + sonnet45)
	require.Equal(t, 200, status, body)
	requireHolds(t, `{"inferenceProfileId":"`+sonnet45+`","status":"ACTIVE","type":"SYSTEM_DEFINED","models":[{},{},{}]}`, body)
	status, body = get("/inference-profiles/" + url.PathEscape(application))
	require.Equal(t, 200, status, body)
	requireHolds(t, `{"inferenceProfileArn":"`+application+`","type":"APPLICATION"}`, body)
	status, _ = get("/inference-profiles/" + novaPro)
	require.Equal(t, 404, status, "a bare id is no profile")

	var list struct {
		Summaries []struct{ ID, Type string } `json:"inferenceProfileSummaries"`
	}
	count := func(query string) int {
		status, body := get("/inference-profiles" + query)
		require.Equal(t, 200, status)
		list.Summaries = nil
		require.NoError(t, json.Unmarshal([]byte(body), &list))
		return len(list.Summaries)
	}
	all, own := count(""), count("?typeEquals=APPLICATION")
	require.Equal(t, 1, own)
	require.Equal(t, all-1, count("?type=SYSTEM_DEFINED"))
	require.Greater(t, all, 20)
}

// control asks the control plane.
func control(t *testing.T, server *Server, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+path, http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer token")
	return read(t, server, r)
}

// An endpoint of the marketplace takes the body of its own server.
func TestEndpointsOfTheMarketplace(t *testing.T) {
	const arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/mine"
	server := New(t, Options{CountTokens: perByte, Reply: sevenTokens, Models: []Model{{ID: arn, Like: "meta.llama3-1-8b-instruct-v1:0"}}})
	for _, body := range []string{`{"prompt":"hello","max_tokens":100,"topP":2}`, `{"inputs":"hello","parameters":{"max_new_tokens":100}}`} {
		raw, err := invoke(server, arn, body)
		require.NoError(t, err)
		requireHolds(t, `{"object":"text_completion","model":"mine","choices":[{"text":"one two three","finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":7}}`, string(raw.Body))
	}
	require.Greater(t, len(chunks(t, server, arn, `{"prompt":"hello"}`)), 3)
	_, err := invoke(server, arn, `{"messages":[{"role":"user","content":"q"}]}`)
	require.NoError(t, err)
	_, err = invoke(server, arn, `{}`)
	requireRefused(t, err, 400, "ValidationException")
}
