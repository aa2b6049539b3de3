package bedrocktest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// answered is a response as it came.
type answered struct {
	status        int
	errType, body string
}

// post sends a body as it is; the SDK could not write most of those that are to be refused.
func post(t *testing.T, server *Server, model, operation, body string) (answered, error) {
	t.Helper()
	return postTo(t, server, "/model/"+model+"/"+operation, "Bearer token", body)
}

func postTo(t *testing.T, server *Server, path, auth, body string) (answered, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", auth)
	response, err := server.transport.RoundTrip(r)
	require.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	kind, namespace, _ := strings.Cut(response.Header.Get("X-Amzn-Errortype"), ":")
	if response.StatusCode >= 400 {
		require.Equal(t, refusal.ErrorNamespace, ":"+namespace)
	}
	return answered{response.StatusCode, kind, string(raw)}, err
}

func TestConverseBodiesThatAreRefused(t *testing.T) {
	const message = `{"role":"user","content":[{"text":"q"}]}`
	in := func(blocks string) string { return `{"messages":[{"role":"user","content":[` + blocks + `]}]}` }
	tests := map[string]string{
		"unknown member":              `{"messages":[` + message + `],"extra":1}`,
		"unknown member of a block":   in(`{"txt":"q"}`),
		"a block of two members":      in(`{"text":"q","cachePoint":{"type":"default"}}`),
		"Anthropic's marker":          in(`{"text":"q","cache_control":{"type":"ephemeral"}}`),
		"a point inside toolResult":   in(`{"toolResult":{"toolUseId":"1","content":[{"text":"r"},{"cachePoint":{"type":"default"}}]}}`),
		"duplicate key":               `{"messages":[` + message + `],"messages":[` + message + `]}`,
		"duplicate key, escaped":      `{"messages":[` + message + `],"\u006dessages":[` + message + `]}`,
		"duplicate key inside":        in(`{"text":"q","text":"r"}`),
		"empty text":                  in(`{"text":""}`),
		"empty system text":           `{"messages":[` + message + `],"system":[{"text":""}]}`,
		"system is a string":          `{"messages":[` + message + `],"system":"s"}`,
		"empty content":               in(``),
		"no messages":                 `{"messages":[]}`,
		"messages is a string":        `{"messages":"q"}`,
		"messages is null":            `{"messages":null}`,
		"assistant first":             `{"messages":[{"role":"assistant","content":[{"text":"q"}]}]}`,
		"two of a role":               `{"messages":[` + message + `,` + message + `]}`,
		"unknown role":                `{"messages":[{"role":"system","content":[{"text":"q"}]}]}`,
		"tools without any":           `{"messages":[` + message + `],"toolConfig":{"tools":[]}}`,
		"a tool without a name":       `{"messages":[` + message + `],"toolConfig":{"tools":[{"toolSpec":{"inputSchema":{"json":{}}}}]}}`,
		"a result without its use":    in(`{"toolResult":{"toolUseId":"1","content":[{"text":"r"}]}}`),
		"a use without its result":    `{"messages":[` + message + `,{"role":"assistant","content":[{"toolUse":{"toolUseId":"1"}}]},` + message + `]}`,
		"the result of another use":   `{"messages":[` + message + `,{"role":"assistant","content":[{"toolUse":{"toolUseId":"1"}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"2"}}]}]}`,
		"maxTokens of zero":           `{"messages":[` + message + `],"inferenceConfig":{"maxTokens":0}}`,
		"maxTokens is a string":       `{"messages":[` + message + `],"inferenceConfig":{"maxTokens":"9"}}`,
		"maxTokens above the model's": `{"messages":[` + message + `],"inferenceConfig":{"maxTokens":128001}}`,
		"unknown tier":                `{"messages":[` + message + `],"serviceTier":{"type":"gold"}}`,
		"a tier that Claude lacks":    `{"messages":[` + message + `],"serviceTier":{"type":"flex"}}`,
		"too deep":                    in(`{"toolUse":{"toolUseId":"1","input":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}}`),
		"an array":                    `[1]`,
	}
	server := New(t, Options{})
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			for _, operation := range []string{"converse", "converse-stream"} {
				got, err := post(t, server, opus46, operation, body)
				require.NoError(t, err)
				require.Equal(t, 400, got.status, got.body)
				want := "ValidationException"
				if strings.HasSuffix(name, "is a string") {
					want = "SerializationException"
				}
				require.Equal(t, want, got.errType)
			}
		})
	}
	got, err := post(t, server, opus46, "converse", `{"messages":`)
	require.NoError(t, err)
	require.Equal(t, answered{400, "SerializationException", `{"message":"the request body is not valid JSON"}` + "\n"}, got)
	require.Zero(t, server.Bill())
}

func TestInvokeBodiesThatAreRefused(t *testing.T) {
	claude := func(rest string) string {
		return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"q"}]` + rest + `}`
	}
	blocks := func(b string) string {
		return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":[` + b + `]}]}`
	}
	tests := map[string]struct{ model, body string }{
		"no version":                {opus46, `{"max_tokens":9,"messages":[{"role":"user","content":"q"}]}`},
		"no max_tokens":             {opus46, `{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"q"}]}`},
		"max_tokens above":          {opus46, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":128001,"messages":[{"role":"user","content":"q"}]}`},
		"top-level cache_control":   {opus46, claude(`,"cache_control":{"type":"ephemeral"}`)},
		"model in the body":         {opus46, claude(`,"model":"claude"`)},
		"stream in the body":        {opus46, claude(`,"stream":true`)},
		"thinking above max_tokens": {opus46, claude(`,"thinking":{"type":"enabled","budget_tokens":9}`)},
		"empty system":              {opus46, claude(`,"system":""`)},
		"a tool without a name":     {opus46, claude(`,"tools":[{}]`)},
		"marker on empty text":      {opus46, blocks(`{"type":"text","text":"","cache_control":{"type":"ephemeral"}}`)},
		"marker on thinking":        {opus46, blocks(`{"type":"thinking","thinking":"t","cache_control":{"type":"ephemeral"}}`)},
		"unknown ttl":               {opus46, blocks(`{"type":"text","text":"t","cache_control":{"type":"ephemeral","ttl":"30m"}}`)},
		"unknown type of marker":    {opus46, blocks(`{"type":"text","text":"t","cache_control":{"type":"default"}}`)},
		"unknown block":             {opus46, blocks(`{"type":"poem"}`)},
		"unpaired result":           {opus46, blocks(`{"type":"tool_result","tool_use_id":"1","content":"r"}`)},
		"Converse's marker":         {opus46, blocks(`{"cachePoint":{"type":"default"}}`)},
		"Nova, unknown member":      {novaPro, `{"messages":[{"role":"user","content":[{"text":"q"}]}],"max_tokens":9}`},
		"Nova, two of a role":       {novaPro, `{"messages":[{"role":"user","content":[{"text":"q"}]},{"role":"user","content":[{"text":"q"}]}]}`},
		"Nova, point outside":       {novaPro, `{"messages":[{"role":"user","content":[{"text":"q"},{"cachePoint":{"type":"default"}}]}]}`},
		"Nova, empty content":       {novaPro, `{"messages":[{"role":"user","content":[]}]}`},
		"Titan, unknown member":     {"amazon.titan-embed-text-v2:0", `{"inputText":"q","prompt":"q"}`},
		"Titan, no text":            {"amazon.titan-embed-text-v2:0", `{}`},
		"Cohere, no input_type":     {"cohere.embed-english-v3", `{"texts":["q"]}`},
		"Cohere, empty text":        {"cohere.embed-english-v3", `{"texts":[""],"input_type":"search_query"}`},
		"Llama, limit is a map":     {"meta.llama3-8b-instruct-v1:0", `{"prompt":"q","max_gen_len":{}}`},
		"Mistral, no prompt":        {"mistral.mistral-7b-instruct-v0:2", `{"messages":[]}`},
		"OpenAI, no role":           {gptOSS, `{"messages":[{"content":"q"}]}`},
		"OpenAI, limit of zero":     {gptOSS, `{"messages":[{"role":"user","content":"q"}],"max_tokens":0}`},
	}
	server := New(t, Options{})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := post(t, server, test.model, "invoke", test.body)
			require.NoError(t, err)
			require.Equal(t, 400, got.status, got.body)
			require.Equal(t, "ValidationException", got.errType)
		})
	}
	require.Zero(t, server.Bill())
}

func TestInputThatIsTooLong(t *testing.T) {
	server := New(t, Options{CountTokens: func(text string) int { return 1000 * len(text) }})
	for _, model := range []string{opus46, haiku55, opus41} {
		_, err := newClient(server).Converse(context.Background(), &ask(model).user(say(sized("u", 1001))).in)
		requireRefused(t, err, 400, "ValidationException")
	}
	_, err := newClient(server).Converse(context.Background(), &ask(sonnet45).user(say(sized("u", 300))).in)
	require.NoError(t, err, "long context")
	_, err = newClient(server).Converse(context.Background(), &ask(sonnet45).user(say(sized("u", 10_001))).in)
	requireRefused(t, err, 400, "ValidationException")
}

func TestCredentials(t *testing.T) {
	const signed = "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c"
	server := New(t, Options{})
	for _, auth := range []string{"", "Bearer ", "Basic eA==", "AWS4-HMAC-SHA256 ", signed} { // the last lacks its date
		got, err := postTo(t, server, "/model/"+opus46+"/converse", auth, `{"messages":[{"role":"user","content":[{"text":"q"}]}]}`)
		require.NoError(t, err)
		require.Equal(t, 403, got.status, auth)
		require.Equal(t, "AccessDeniedException", got.errType)
	}
	require.Zero(t, server.Bill())
}

func TestModelIDs(t *testing.T) {
	const account = "arn:aws:bedrock:us-east-1:123456789012:"
	server := New(t, Options{Without: []Rule{RuleProfileOnly, RuleRegionOfProfile}, Names: map[string]string{account + "application-inference-profile/abc": opus46}})
	known := map[string]string{ // the profile of each
		bare(opus46): "", "anthropic.claude-opus-4-6-v1:0": "", opus46: "us", "global." + bare(opus46): "global", "us-gov." + bare(sonnet45): "us-gov",
		"arn:aws:bedrock:us-east-1::foundation-model/" + bare(opus46): "",
		account + "inference-profile/eu." + bare(sonnet45):            "eu",
		account + "application-inference-profile/abc":                 "us",
	}
	for id, profile := range known {
		t.Run(id, func(t *testing.T) {
			converse(t, server, ask(id).user(say("q")))
			all := server.Inferences()
			require.Equal(t, profile, all[len(all)-1].Profile)
			require.True(t, strings.HasPrefix(all[len(all)-1].ModelID, "anthropic."))
		})
	}
	unknown := []string{
		"anthropic.claude-opus-9", "mars." + bare(opus46), "us.us." + bare(opus46), account + "application-inference-profile/xyz",
		account + "provisioned-model/abc", "arn:aws:s3:::bucket", "arn:aws:bedrock:us-east-1::foundation-model/no.such",
	}
	for _, id := range unknown {
		t.Run(id, func(t *testing.T) {
			_, err := newClient(server).Converse(context.Background(), &ask(id).user(say("q")).in)
			requireRefused(t, err, 400, "ValidationException")
		})
	}
	for _, escaped := range []string{"amazon.nova-pro-v1%3A0", "amazon.nova-pro-v1:0", "arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Famazon.nova-pro-v1%3A0"} {
		got, err := post(t, server, escaped, "converse", `{"messages":[{"role":"user","content":[{"text":"q"}]}]}`)
		require.NoError(t, err)
		require.Equal(t, 200, got.status, escaped)
	}
}

func TestOtherOperations(t *testing.T) {
	server := New(t, Options{CountTokens: perByte})
	client := newClient(server)
	ctx := context.Background()
	p := ask(opus46).system("be").user(say("hello"))
	counted, err := client.CountTokens(ctx, &bedrockruntime.CountTokensInput{
		ModelId: aws.String(bare(opus46)), Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: p.in.Messages, System: p.in.System}},
	})
	require.NoError(t, err)
	require.EqualValues(t, 11, *counted.InputTokens)
	for _, id := range []string{opus46, novaPro} {
		_, err = client.CountTokens(ctx, &bedrockruntime.CountTokensInput{
			ModelId: aws.String(id), Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: p.in.Messages}},
		})
		requireRefused(t, err, 400, "ValidationException")
	}
	listed, err := client.ListAsyncInvokes(ctx, &bedrockruntime.ListAsyncInvokesInput{})
	require.NoError(t, err)
	require.Empty(t, listed.AsyncInvokeSummaries)
	_, err = client.GetAsyncInvoke(ctx, &bedrockruntime.GetAsyncInvokeInput{InvocationArn: aws.String("arn:aws:bedrock:us-east-1:123456789012:async-invoke/a")})
	requireRefused(t, err, 404, "ResourceNotFoundException")
	_, err = client.ApplyGuardrail(ctx, &bedrockruntime.ApplyGuardrailInput{
		GuardrailIdentifier: aws.String("g"), GuardrailVersion: aws.String("1"), Source: types.GuardrailContentSourceInput,
		Content: []types.GuardrailContentBlock{&types.GuardrailContentBlockMemberText{Value: types.GuardrailTextBlock{Text: aws.String("q")}}},
	})
	require.NoError(t, err)
	require.EqualValues(t, 670_000, server.Bill().Guardrails, "one text unit under each policy")
	server.Reset()
	_, err = client.Converse(ctx, &ask("amazon.titan-embed-text-v2:0").user(say("q")).in)
	requireRefused(t, err, 400, "ValidationException")
	for _, path := range []string{"/", "/model/" + opus46 + "/sing", "/model", fmt.Sprintf("/model/%s/converse/more", opus46), "/async-invoke"} {
		got, err := postTo(t, server, path, "Bearer token", `{}`)
		require.NoError(t, err)
		require.Contains(t, []int{400, 404}, got.status, path)
	}
	require.Zero(t, server.Bill(), "the rest is free")
}
