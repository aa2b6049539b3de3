package bedrocktest

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
)

// retrying returns a client that sends up to three times, as the SDK does by default, without its pauses.
func retrying(server *Server, opts ...func(*bedrockruntime.Options)) *bedrockruntime.Client {
	return bedrockruntime.NewFromConfig(server.Config(), append(opts, func(o *bedrockruntime.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Nanosecond })
	})...)
}

func always(kind FaultKind) Faults { return func(int) FaultKind { return kind } }

// For each fault: how often the SDK sends, how often that is billed, and the error that its caller sees.
var faultTests = map[FaultKind]struct {
	sent, billed int
	status       int // 0 when there is no answer
	target       any
}{
	Throttle:     {3, 0, 429, new(*types.ThrottlingException)},
	Unavailable:  {3, 0, 503, new(*types.ServiceUnavailableException)},
	Internal:     {3, 3, 500, new(*types.InternalServerException)},
	ModelTimeout: {1, 1, 408, new(*types.ModelTimeoutException)},
	ModelError:   {1, 1, 424, new(*types.ModelErrorException)},
	Reset:        {3, 3, 0, nil},
	Stall:        {3, 3, 0, nil},
}

func TestFaultsAreBilledPerAttempt(t *testing.T) {
	for kind, test := range faultTests {
		t.Run(string(kind), func(t *testing.T) {
			server := New(t, Options{Faults: always(kind), StallLimit: time.Millisecond})
			_, err := retrying(server).Converse(context.Background(), &ask(opus46).user(say("q")).in)
			require.Error(t, err)
			if test.status != 0 {
				require.ErrorAs(t, err, test.target)
			}
			require.Equal(t, test.sent, server.Requests())
			require.Equal(t, test.billed, server.Bill().Inferences)
			require.Equal(t, test.billed > 0, server.Bill().NanoUSD > 0)
			invocations := make(map[string]bool)
			for _, i := range server.Inferences() {
				require.Equal(t, kind, i.Fault)
				invocations[i.InvocationID] = true
			}
			require.LessOrEqual(t, len(invocations), 1, "attempts of one call share an id")
			require.NotContains(t, invocations, "")
		})
	}
}

func TestFaultsThatEndInSuccess(t *testing.T) {
	tests := map[string]struct {
		script []FaultKind
		billed int
	}{
		"refused twice": {[]FaultKind{Throttle, Unavailable}, 1},
		"failed twice":  {[]FaultKind{Internal, Reset}, 3},
		"no fault":      {[]FaultKind{"", Internal}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := New(t, Options{Faults: Script(test.script...)})
			_, err := retrying(server).Converse(context.Background(), &ask(opus46).user(say("q")).in)
			require.NoError(t, err)
			require.Equal(t, test.billed, server.Bill().Inferences)
		})
	}
}

func TestInvalidRequestsUseUpNoFault(t *testing.T) {
	server := New(t, Options{Faults: Script(Internal)})
	_, err := newClient(server).Converse(context.Background(), &ask("no.such-model").user(say("q")).in)
	requireRefused(t, err, 400, "ValidationException")
	_, err = newClient(server).Converse(context.Background(), &ask(opus46).user(say("q")).in)
	requireRefused(t, err, 500, "InternalServerException")
}

func TestTruncatedAnswers(t *testing.T) {
	server := New(t, Options{Faults: always(Truncate)})
	_, err := retrying(server).Converse(context.Background(), &ask(opus46).user(say("q")).in)
	require.Error(t, err)
	require.Equal(t, 1, server.Bill().Inferences, "what was cut is not sent again")

	in := ask(opus46).user(say("q")).in
	out, err := retrying(server).ConverseStream(context.Background(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages})
	require.NoError(t, err)
	defer out.GetStream().Close()
	events := 0
	for e := range out.GetStream().Events() {
		_, told := e.(*types.ConverseStreamOutputMemberMetadata)
		require.False(t, told)
		events++
	}
	require.Positive(t, events)
	require.Equal(t, 2, server.Bill().Inferences)

	// The SDK may end such a stream without an error; its transport sees one.
	response, err := post(t, server, opus46, "converse-stream", `{"messages":[{"role":"user","content":[{"text":"q"}]}]}`)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotContains(t, response.body, "metadata")
}

func TestMissingUsageIsMissingEverywhere(t *testing.T) {
	for name, test := range dialectTests {
		t.Run(name, func(t *testing.T) {
			server := New(t, Options{Faults: always(MissingUsage), Reply: sevenTokens})
			out, err := invoke(server, test.model, test.body)
			require.NoError(t, err)
			require.Empty(t, headers(t, out).Get("X-Amzn-Bedrock-Input-Token-Count"))
			require.NotContains(t, string(out.Body), "oken")
			require.NotContains(t, string(out.Body), "usage")
			if !test.streams {
				return
			}
			for _, chunk := range chunks(t, server, test.model, test.body) {
				require.NotContains(t, string(chunk), "usage")
				require.NotContains(t, string(chunk), "okenCount")
				require.NotContains(t, string(chunk), "token_count")
			}
			require.Equal(t, 2, server.Bill().Inferences)
		})
	}
	server := New(t, Options{Faults: always(MissingUsage)})
	out, err := newClient(server).Converse(context.Background(), &ask(opus46).user(say("q")).in)
	require.NoError(t, err)
	require.Nil(t, out.Usage)
}

// A stall ends when its client gives up, long before its limit, and when the server is closed.
func TestStallsEnd(t *testing.T) {
	server := New(t, Options{Faults: always(Stall), StallLimit: time.Hour})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := newClient(server).Converse(ctx, &ask(opus46).user(say("q")).in)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 1, server.Bill().Inferences)
	ended, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	require.NoError(t, server.http.Shutdown(ended), "the request is still held")

	server = New(t, Options{Faults: always(Stall), StallLimit: time.Hour})
	failed := make(chan error, 1)
	go func() {
		_, err := newClient(server).Converse(context.Background(), &ask(opus46).user(say("q")).in)
		failed <- err
	}()
	require.Eventually(t, func() bool { return server.Bill().Inferences == 1 }, 10*time.Second, time.Millisecond)
	server.Close()
	require.Error(t, <-failed)
}

// h2c returns a client that speaks HTTP/2 without TLS.
func h2c(t *testing.T) func(*bedrockruntime.Options) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return func(o *bedrockruntime.Options) { o.HTTPClient = &http.Client{Transport: transport} }
}

func TestHTTP2Clients(t *testing.T) {
	server := New(t, Options{Faults: Script("", Reset, Truncate), Reply: sevenTokens})
	client := retrying(server, h2c(t))
	_, err := client.Converse(context.Background(), &ask(opus46).user(say("q")).in)
	require.NoError(t, err)
	_, err = newClientOver(server, h2c(t)).Converse(context.Background(), &ask(opus46).user(say("q")).in)
	require.Error(t, err, "reset")
	_, err = newClientOver(server, h2c(t)).Converse(context.Background(), &ask(opus46).user(say("q")).in)
	require.Error(t, err, "truncated")
	in := ask(opus46).user(say("q")).in
	out, err := client.ConverseStream(context.Background(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages})
	require.NoError(t, err)
	for range out.GetStream().Events() {
	}
	require.NoError(t, out.GetStream().Close())
	require.Equal(t, 4, server.Bill().Inferences)
}

// newClientOver is newClient with options of its own.
func newClientOver(server *Server, opts ...func(*bedrockruntime.Options)) *bedrockruntime.Client {
	return bedrockruntime.NewFromConfig(server.Config(), append(opts, func(o *bedrockruntime.Options) { o.Retryer = aws.NopRetryer{} })...)
}

func TestRandomFaultsDependOnSeedAndNumberAlone(t *testing.T) {
	a, b, other := RandomFaults(1, 0.5), RandomFaults(1, 0.5), RandomFaults(2, 0.5)
	hits, differ := 0, false
	seen := make(map[FaultKind]bool)
	for seq := 1; seq <= 1000; seq++ {
		require.Equal(t, a(seq), b(seq))
		differ = differ || a(seq) != other(seq)
		if kind := a(seq); kind != "" {
			hits++
			seen[kind] = true
		}
		require.Empty(t, RandomFaults(1, 0)(seq))
		require.NotEmpty(t, RandomFaults(1, 1)(seq))
	}
	require.True(t, differ)
	require.InDelta(t, 500, hits, 60)
	require.Len(t, seen, 9)
}
