package bedrockguard_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// web is a guarded HTTP client in front of a simulated service.
type web struct {
	*rig
	client *http.Client
	host   string
}

func newWeb(t *testing.T, s settings, options ...func(*bedrockguard.TransportOptions)) *web {
	r := newRig(t, s)
	at, err := url.Parse(r.server.URL())
	require.NoError(t, err)
	o := bedrockguard.TransportOptions{Hosts: map[string]string{at.Host: "us-east-1"}}
	for _, option := range options {
		option(&o)
	}
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	return &web{rig: r, host: at.Host, client: &http.Client{Transport: r.guard.Transport(base, o)}}
}

func (w *web) request(t *testing.T, method, path, body string) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.host+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer test")
	return req
}

func (w *web) post(t *testing.T, path, body string) (*http.Response, string) {
	t.Helper()
	resp, err := w.client.Do(w.request(t, http.MethodPost, path, body))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(answer)
}

const (
	webClaude = "us.anthropic.claude-sonnet-4-6"
	webGPT    = "openai.gpt-oss-120b-1:0"
)

// routesOfModels are the ways to ask a model over HTTP, each whole and as a stream.
func routesOfModels() map[string][2]string {
	claude := `"anthropic_version":"bedrock-2023-05-31","max_tokens":64,"messages":[{"role":"user","content":"hello there"}]`
	chat := `"model":"` + webGPT + `","max_completion_tokens":64,"messages":[{"role":"user","content":"hello there"}]`
	return map[string][2]string{
		"Converse":             {"/model/" + webClaude + "/converse", `{"inferenceConfig":{"maxTokens":64},"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`},
		"ConverseStream":       {"/model/" + webClaude + "/converse-stream", `{"inferenceConfig":{"maxTokens":64},"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`},
		"InvokeModel":          {"/model/" + webClaude + "/invoke", "{" + claude + "}"},
		"InvokeModel streamed": {"/model/" + webClaude + "/invoke-with-response-stream", "{" + claude + "}"},
		"Messages":             {"/anthropic/v1/messages", `{"model":"` + webClaude + `","max_tokens":64,"messages":[{"role":"user","content":"hello there"}]}`},
		"Messages streamed":    {"/anthropic/v1/messages?beta=true", `{"model":"` + webClaude + `","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"hello there"}]}`},
		"Chat":                 {"/openai/v1/chat/completions", "{" + chat + "}"},
		"Chat streamed":        {"/openai/v1/chat/completions", "{" + chat + `,"stream":true,"stream_options":{"include_usage":true}}`},
		"Responses":            {"/openai/v1/responses", `{"model":"` + webGPT + `","max_output_tokens":64,"input":"hello there"}`},
		"Responses streamed":   {"/openai/v1/responses", `{"model":"` + webGPT + `","max_output_tokens":64,"stream":true,"input":[{"role":"user","content":[{"type":"input_text","text":"hello there"}]}]}`},
	}
}

func TestHTTPRoutesAreSettledByWhatIsBilled(t *testing.T) {
	for name, r := range routesOfModels() {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{})
			resp, body := w.post(t, r[0], r[1])
			require.Equal(t, http.StatusOK, resp.StatusCode, body)
			require.Equal(t, 1, w.server.Bill().Inferences)
			w.requireExact(t)
		})
	}
}

func TestHTTPRefusalsSpeakTheDialectOfTheirRoute(t *testing.T) {
	for name, r := range routesOfModels() {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{limits: []budget.Limit{{Name: "tiny", Max: budget.USD(1e-9), Window: budget.Monthly}}})
			resp, body := w.post(t, r[0], r[1])
			require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, body)
			require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
			require.Equal(t, "budget", resp.Header.Get("X-Bedrockguard-Refusal"))
			require.Equal(t, "tiny", resp.Header.Get("X-Bedrockguard-Limit"))
			var told struct {
				Message string
				Error   struct{ Message string }
			}
			require.NoError(t, json.Unmarshal([]byte(body), &told), body)
			require.Contains(t, told.Message+told.Error.Message, `limit "tiny"`)
			require.ErrorIs(t, bedrockguard.Refusal(resp), bedrockguard.ErrBudgetExceeded)
			require.Zero(t, w.server.Requests())
			w.requireExact(t)
		})
	}
}

// Clients that know no better read a text for the status of a failure that passes, and would send a refused call again and again.
func TestHTTPRefusalsHoldNoFigureThatLooksLikeAStatus(t *testing.T) {
	status := regexp.MustCompile(`429|500|502|503|504|524`)
	w := newWeb(t, settings{limits: []budget.Limit{{Name: "tiny", Max: budget.USD(0.000429504), Window: budget.Monthly}}})
	needs := 0
	for length := range 200 {
		resp, body := w.post(t, "/model/"+sonnet+"/converse", `{"messages":[{"role":"user","content":[{"text":"`+strings.Repeat("x ", 37*length+1)+`"}]}],"inferenceConfig":{"maxTokens":1000}}`)
		require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, body)
		require.NotRegexp(t, status, body)
		require.Contains(t, body, "0.00042 USD of 0.00042 USD left")
		require.Equal(t, "0.000429504 USD", resp.Header.Get("X-Bedrockguard-Max"))
		var err *budget.ExceededError
		require.ErrorAs(t, bedrockguard.Refusal(resp), &err)
		told := regexp.MustCompile(`need ([0-9.]+) USD`).FindStringSubmatch(body)
		require.NotNil(t, told, body)
		dollars, parsed := strconv.ParseFloat(told[1], 64)
		require.NoError(t, parsed)
		need := budget.USD(dollars)
		require.GreaterOrEqual(t, need.N, err.Requested.N)
		if need.N > err.Requested.N {
			needs++
		}
	}
	require.Positive(t, needs, "no figure had to be told in fewer digits")
}

func TestHTTPRefusalsAreErrorsWhereTheyAreAskedFor(t *testing.T) {
	w := newWeb(t, settings{limits: []budget.Limit{{Name: "tiny", Max: budget.USD(1e-9), Window: budget.Monthly}}},
		func(o *bedrockguard.TransportOptions) { o.Errors = true })
	r := routesOfModels()["Converse"]
	_, err := w.client.Do(w.request(t, http.MethodPost, r[0], r[1]))
	require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
	require.Zero(t, w.server.Requests())
}

// What is not spelled as a route is refused, whatever the service might make of it.
func TestHTTPRefusesRoutesThatItDoesNotKnow(t *testing.T) {
	converse := routesOfModels()["Converse"][1]
	paths := []struct{ method, path string }{
		{http.MethodPost, "/model/" + webClaude + "/converse/"},
		{http.MethodPost, "//model/" + webClaude + "/converse"},
		{http.MethodPost, "/model/" + webClaude + "/invoke-later"},
		{http.MethodPost, "/model//converse"},
		{http.MethodPost, "/model/a/../" + webClaude + "/converse"},
		{http.MethodPost, "/%6dodel/" + webClaude + "/converse"},
		{http.MethodPut, "/model/" + webClaude + "/converse"},
		{http.MethodPost, "/model/" + webClaude + "/invoke-with-bidirectional-stream"},
		{http.MethodPost, "/guardrail/g/version/1/apply"},
		{http.MethodPost, "/async-invoke"},
		{http.MethodPost, "/openai/v1/embeddings"},
		{http.MethodPost, "/openai/v1/responses/r_1/input"},
		{http.MethodGet, "/openai/v1/chat/completions"},
		{http.MethodPost, "/anthropic/v1/messages/batches"},
		{http.MethodPost, "/"},
	}
	for _, p := range paths {
		t.Run(p.method+" "+p.path, func(t *testing.T) {
			w := newWeb(t, settings{})
			resp, err := w.client.Do(w.request(t, p.method, p.path, converse))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusPaymentRequired, resp.StatusCode)
			require.ErrorIs(t, bedrockguard.Refusal(resp), bedrockguard.ErrUnsupportedOperation)
			require.Zero(t, w.server.Requests())
		})
	}
}

func TestHTTPPassesWhatCostsNothing(t *testing.T) {
	w := newWeb(t, settings{})
	count := `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hello there"}]}]}}}`
	resp, body := w.post(t, "/model/anthropic.claude-sonnet-4-6/count-tokens", count)
	require.NotEqual(t, http.StatusPaymentRequired, resp.StatusCode, body)
	for _, path := range []string{"/openai/v1/models", "/inference-profiles?type=SYSTEM_DEFINED", "/openai/v1/responses/resp_1"} {
		resp, err := w.client.Do(w.request(t, http.MethodGet, path, ""))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.NotEqual(t, http.StatusPaymentRequired, resp.StatusCode, path)
	}
	require.Empty(t, w.events.of(bedrockguard.EventReserved))
}

// A request to somebody else passes as it is; one that looks like Bedrock's does not until somebody says what the host is.
func TestHTTPTellsHostsApart(t *testing.T) {
	converse := routesOfModels()["Converse"]
	w := newWeb(t, settings{}, func(o *bedrockguard.TransportOptions) { o.Hosts = nil })
	resp, err := w.client.Do(w.request(t, http.MethodPost, "/v1/messages", `{}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NotEqual(t, http.StatusPaymentRequired, resp.StatusCode)

	resp, err = w.client.Do(w.request(t, http.MethodPost, converse[0], converse[1]))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusPaymentRequired, resp.StatusCode)
	require.ErrorContains(t, bedrockguard.Refusal(resp), "TransportOptions.Hosts")
	require.Zero(t, w.server.Bill().Inferences)

	other := newWeb(t, settings{}, func(o *bedrockguard.TransportOptions) {
		for host := range o.Hosts {
			o.Hosts[host] = ""
		}
	})
	resp, _ = other.post(t, converse[0], converse[1])
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Empty(t, other.events.of(bedrockguard.EventReserved))
}

// Both doors on one client count each call once.
func TestHTTPAndSDKTogetherCountOnce(t *testing.T) {
	w := newWeb(t, settings{})
	cfg := w.config
	cfg.HTTPClient = w.client
	client := w.guard.NewFromConfig(cfg)
	_, err := client.Converse(t.Context(), converseInput("hello there"))
	require.NoError(t, err)
	out, err := client.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(webClaude), Messages: converseInput("hello there").Messages})
	require.NoError(t, err)
	for range out.GetStream().Events() {
	}
	require.NoError(t, out.GetStream().Close())
	require.Len(t, w.events.of(bedrockguard.EventReserved), 2)
	require.Equal(t, 2, w.server.Bill().Inferences)
	w.requireExact(t)
}

// A stream that is killed ends by an event that clients take for a failure, behind whole events; and what follows is refused.
func TestHTTPStreamsThatAreKilledEndByAnEvent(t *testing.T) {
	for name, r := range routesOfModels() {
		if !strings.Contains(strings.ToLower(name), "stream") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{
				server: bedrocktest.Options{EventDelay: 20 * time.Millisecond, Reply: func(bedrocktest.Request) bedrocktest.Reply {
					return bedrocktest.Reply{Text: strings.Repeat("word ", 50), OutputTokens: 60}
				}},
				guard: bedrockguard.Options{KillPoll: 5 * time.Millisecond, DrainTimeout: -1},
			})
			resp, err := w.client.Do(w.request(t, http.MethodPost, r[0], r[1]))
			require.NoError(t, err)
			defer resp.Body.Close()
			first := make([]byte, 8)
			_, err = io.ReadFull(resp.Body, first)
			require.NoError(t, err)
			_, err = w.ledger.KillAll(t.Context(), "too dear")
			require.NoError(t, err)
			rest, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Contains(t, string(rest), "too dear")
			w.requireCovered(t)
			resp, body := w.post(t, r[0], r[1])
			require.Equal(t, http.StatusPaymentRequired, resp.StatusCode)
			require.Equal(t, "killed", resp.Header.Get("X-Bedrockguard-Refusal"))
			require.Contains(t, body, "too dear")
		})
	}
}

// Whoever leaves a request that was sent pays for it, and nothing hangs.
func TestHTTPCallersWhoLeavePay(t *testing.T) {
	for name, r := range routesOfModels() {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{server: bedrocktest.Options{FirstByteDelay: 50 * time.Millisecond}})
			resp, err := w.client.Do(w.request(t, http.MethodPost, r[0], r[1]))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close()) // of streams long before their end
			require.NoError(t, w.guard.Close(t.Context()))
			w.requireCovered(t)
			require.Positive(t, w.balance(t, total).Settled.N)
		})
	}
}

// Faults of the service over HTTP are charged as through the SDK: its own refusals are free, what is unknown is not.
func TestHTTPOutcomes(t *testing.T) {
	r := routesOfModels()["Converse"]
	for fault, free := range map[bedrocktest.FaultKind]bool{bedrocktest.Throttle: true, bedrocktest.Reset: false, bedrocktest.Truncate: false, bedrocktest.MissingUsage: false} {
		t.Run(string(fault), func(t *testing.T) {
			w := newWeb(t, settings{server: bedrocktest.Options{Faults: bedrocktest.Script(fault)}})
			resp, err := w.client.Do(w.request(t, http.MethodPost, r[0], r[1]))
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				require.NoError(t, resp.Body.Close())
			}
			w.requireCovered(t)
			require.Equal(t, free, w.balance(t, total).Settled.N == 0)
		})
	}
}

// A stream of chat completions tells its usage only when asked to: it is asked to, and its client sees nothing of that.
func TestHTTPChatStreamsAreSettledExactlyThoughNobodyAsksForUsage(t *testing.T) {
	w := newWeb(t, settings{})
	asking := routesOfModels()["Chat streamed"]
	resp, body := w.post(t, asking[0], strings.Replace(asking[1], `,"stream_options":{"include_usage":true}`, "", 1))
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.NotContains(t, body, "prompt_tokens")
	require.True(t, strings.HasSuffix(body, "data: [DONE]\n\n"), body)
	w.requireExact(t)
	_, body = w.post(t, asking[0], asking[1])
	require.Contains(t, body, "prompt_tokens")
	w.requireExact(t)
}

// What the service reads beside the request is bounded by the window, or refused where only what is there may be counted.
func TestHTTPHistoryOfTheService(t *testing.T) {
	fields := map[string]string{
		"a response": `"previous_response_id":"resp_1"`, "a conversation": `"conversation":"conv_1"`, "a prompt": `"prompt":{"id":"pmpt_1"}`, "in the background": `"background":true`,
	}
	for name, field := range fields {
		body := `{"model":"` + webGPT + `","max_output_tokens":64,"input":"go on",` + field + `}`
		w := newWeb(t, settings{})
		_, _ = w.post(t, "/openai/v1/responses", body)
		worst := w.events.of(bedrockguard.EventReserved)
		require.NotEmpty(t, worst, name)
		if name == "in the background" {
			require.True(t, w.balance(t, total).Settled.N > 0, "an answer that is fetched later tells no usage now")
			continue
		}
		require.GreaterOrEqual(t, worst[0].Worst[budget.UnitInputTokens], int64(128_000), name)
	}
	for name, field := range fields {
		body := `{"model":"` + webGPT + `","max_output_tokens":64,"input":"go on",` + field + `}`
		strict := newWeb(t, settings{guard: bedrockguard.Options{StrictBound: true}})
		resp, text := strict.post(t, "/openai/v1/responses", body)
		require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, name)
		require.Contains(t, text, "StrictBound", name)
		require.Zero(t, strict.server.Requests())
	}
}

// The output limit is set, and lowered, where each route has it; what is signed stays as it is.
func TestHTTPOutputLimits(t *testing.T) {
	for name, r := range routesOfModels() {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{limits: []budget.Limit{{Name: "month", Max: budget.USD(0.0012), Window: budget.Monthly}}, guard: bedrockguard.Options{Output: bedrockguard.Output{Clamp: true, Floor: 1}}})
			body := strings.NewReplacer("64", "60000").Replace(r[1])
			resp, text := w.post(t, r[0], body)
			require.Equal(t, http.StatusOK, resp.StatusCode, text)
			require.NotEmpty(t, w.events.of(bedrockguard.EventOutputLimited))
			w.requireExact(t)

			unset := newWeb(t, settings{guard: bedrockguard.Options{Output: bedrockguard.Output{Default: 77}}})
			var fields map[string]any
			require.NoError(t, json.Unmarshal([]byte(r[1]), &fields))
			for _, key := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens", "inferenceConfig"} {
				delete(fields, key)
			}
			without, err := json.Marshal(fields)
			require.NoError(t, err)
			resp, text = unset.post(t, r[0], string(without))
			require.Equal(t, http.StatusOK, resp.StatusCode, text)
			require.Equal(t, int64(77), unset.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitOutputTokens])
			unset.requireExact(t)

			req := w.request(t, http.MethodPost, r[0], body)
			req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261129/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00")
			resp, err = w.client.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusPaymentRequired, resp.StatusCode)
		})
	}
}

// Cache points are placed in bodies over HTTP as they are through the SDK, and refusals of the cache policy hold.
func TestHTTPCachePoints(t *testing.T) {
	long := strings.Repeat("a rule of the house that everybody follows. ", 400)
	for name, r := range map[string][2]string{
		"InvokeModel": {"/model/" + webClaude + "/invoke", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":64,"system":[{"type":"text","text":"` + long + `"}],"messages":[{"role":"user","content":"%s"}]}`},
		"Converse":    {"/model/" + webClaude + "/converse", `{"inferenceConfig":{"maxTokens":64},"system":[{"text":"` + long + `"}],"messages":[{"role":"user","content":[{"text":"%s"}]}]}`},
		"Nova":        {"/model/us.amazon.nova-pro-v1:0/converse", `{"system":[{"text":"` + long + `"}],"messages":[{"role":"user","content":[{"text":"%s"}]}]}`},
		"Messages":    {"/anthropic/v1/messages", `{"model":"` + webClaude + `","max_tokens":64,"system":[{"type":"text","text":"` + long + `"}],"messages":[{"role":"user","content":"%s"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{guard: bedrockguard.Options{Cache: cache.Policy{Mode: cache.Fix}}})
			for _, question := range []string{"one", "two", "three", "four", "five"} {
				resp, body := w.post(t, r[0], fmt.Sprintf(r[1], question))
				require.Equal(t, http.StatusOK, resp.StatusCode, body)
			}
			require.Positive(t, w.server.Bill().CacheRead.Tokens, "no prefix was read")
			w.requireExact(t)
		})
	}
}

// Operations with a flat price are let through at it, on the account of the model that they name.
func TestHTTPOperationsWithAFlatPrice(t *testing.T) {
	prices := map[string]price.Amount{"operation:ApplyGuardrail": 1_000_000, "operation:StartAsyncInvoke": 500_000_000}
	async := `{"clientRequestToken":"a","modelId":"amazon.nova-reel-v1:1","modelInput":{"taskType":"TEXT_VIDEO","textToVideoParams":{"text":"a cat"}},"outputDataConfig":{"s3OutputDataConfig":{"s3Uri":"s3://bucket"}}}`
	for path, body := range map[string]string{
		"/guardrail/gr1/version/1/apply": `{"source":"INPUT","content":[{"text":{"text":"hello"}}]}`,
		"/async-invoke":                  async,
	} {
		w := newWeb(t, settings{guard: bedrockguard.Options{FlatPrices: prices}})
		_, text := w.post(t, path, body)
		require.NotEmpty(t, w.events.of(bedrockguard.EventReserved), text)
		w.requireCovered(t)
	}
	w := newWeb(t, settings{guard: bedrockguard.Options{FlatPrices: prices}, limits: []budget.Limit{{Name: "reel", Max: budget.Calls(0), Window: budget.Daily, Match: budget.Match{Model: "amazon.nova-reel*"}}}})
	resp, text := w.post(t, "/async-invoke", async)
	require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, text)
	require.Zero(t, w.server.Requests())
}

func TestHTTPBodiesThatCantBeReadAreRefused(t *testing.T) {
	r := routesOfModels()["Converse"]
	w := newWeb(t, settings{})
	req := w.request(t, http.MethodPost, r[0], r[1])
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := w.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	for _, body := range []string{"", "{", `{"messages":[],"messages":[]}`, "[]", `{"model":"a","model":"b"}`} {
		for _, path := range []string{r[0], "/openai/v1/chat/completions"} {
			resp, _ := w.post(t, path, body)
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
		}
	}
	require.Zero(t, w.server.Requests())
}

// The figures of a refusal stand in headers, which clients hand on.
func TestHTTPRefusalsTellTheirFigures(t *testing.T) {
	w := newWeb(t, settings{limits: []budget.Limit{{Name: "team\n\x00ü", Max: budget.USD(5e-9), Window: budget.Monthly}}})
	r := routesOfModels()["Converse"]
	resp, _ := w.post(t, r[0], r[1])
	h := resp.Header
	require.Equal(t, "team???", h.Get("X-Bedrockguard-Limit"))
	require.Contains(t, h.Get("X-Bedrockguard-Max"), "USD")
	require.NotEmpty(t, h.Get("X-Bedrockguard-Requested"))
	require.Empty(t, h.Get("X-Bedrockguard-Reset-After"), "it never fits")
	require.Equal(t, "false", h.Get("X-Bedrockguard-Waiting"))
	require.NotContains(t, fmt.Sprint(h), "hello")
}

// A rate that has no room now is told as such, with the time at which it has: clients come back by themselves. One that never fits is not.
func TestHTTPRatesSayWhenToComeBack(t *testing.T) {
	w := newWeb(t, settings{limits: []budget.Limit{{Name: "rate", Max: budget.Calls(1), Window: budget.Rolling(time.Minute), Paced: true}}})
	r := routesOfModels()["Converse"]
	resp, body := w.post(t, r[0], r[1])
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	resp, body = w.post(t, r[0], r[1])
	require.Equal(t, http.StatusTooManyRequests, resp.StatusCode, body)
	require.Equal(t, "true", resp.Header.Get("X-Should-Retry"))
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	require.NoError(t, err)
	require.InDelta(t, 60, seconds, 2)
	require.Equal(t, "rate", resp.Header.Get("X-Bedrockguard-Limit"))
	require.ErrorIs(t, bedrockguard.Refusal(resp), bedrockguard.ErrBudgetExceeded)

	never := newWeb(t, settings{limits: []budget.Limit{{Name: "rate", Max: budget.USD(1e-9), Window: budget.Rolling(time.Minute), Paced: true}}})
	resp, body = never.post(t, r[0], r[1])
	require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, body)
	require.Empty(t, resp.Header.Get("Retry-After"))
}
