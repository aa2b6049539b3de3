package bedrocktest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestExceptionsOfStreams: refused at first is free, failed on the way is billed in full; without a stream the status decides.
func TestExceptionsOfStreams(t *testing.T) {
	for kind, test := range map[FaultKind]struct {
		code         string
		events       bool
		streamBilled bool
		status       int
		unaryBilled  bool
	}{
		ThrottledAtFirst:   {"ThrottlingException", false, false, 429, false},
		UnavailableAtFirst: {"ServiceUnavailableException", false, false, 503, false},
		InvalidAtFirst:     {"ValidationException", false, false, 400, false},
		StreamError:        {"ModelStreamErrorException", true, true, 424, true},
		ThrottledMidStream: {"ThrottlingException", true, true, 429, false},
	} {
		t.Run(string(kind), func(t *testing.T) {
			server := New(t, Options{Faults: always(kind)})
			in := ask(opus46).user(say("q")).in
			out, err := newClient(server).ConverseStream(context.Background(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages})
			events := 0
			if err == nil {
				for e := range out.GetStream().Events() {
					_, metadata := e.(*types.ConverseStreamOutputMemberMetadata)
					require.False(t, metadata)
					events++
				}
				err = errors.Join(out.GetStream().Err(), out.GetStream().Close())
			}
			var api smithy.APIError
			require.ErrorAs(t, err, &api)
			assert.Equal(t, test.code, api.ErrorCode())
			assert.Equal(t, test.events, events > 0)
			assert.Equal(t, test.streamBilled, server.Bill().Inferences == 1)

			server.Reset()
			_, err = newClient(server).Converse(context.Background(), &in)
			require.Error(t, err)
			require.Equal(t, test.status, statusOf(t, err))
			assert.Equal(t, test.unaryBilled, server.Bill().Inferences == 1)
		})
	}
}

func statusOf(t *testing.T, err error) int {
	t.Helper()
	var response interface{ HTTPStatusCode() int }
	require.ErrorAs(t, err, &response)
	return response.HTTPStatusCode()
}

func TestRandomStreamFaultsKnowEveryKind(t *testing.T) {
	seen := make(map[FaultKind]bool)
	faults := RandomStreamFaults(1, 1)
	for seq := range 1000 {
		seen[faults(seq)] = true
	}
	require.Len(t, seen, 14)
}

// TestAnswersAreBedrocks: each has a request id, and each refusal its type, by which a client tells the service from a proxy.
func TestAnswersAreBedrocks(t *testing.T) {
	server := New(t, Options{Faults: Script("", InvalidAtFirst, Internal)})
	for _, tc := range []struct{ path, body string }{
		{"/model/" + opus46 + "/converse", `{"messages":[{"role":"user","content":[{"text":"q"}]}]}`},
		{"/model/" + opus46 + "/converse-stream", `{"messages":[{"role":"user","content":[{"text":"q"}]}]}`},
		{"/model/" + opus46 + "/converse", `{"messages":[{"role":"user","content":[{"text":"q"}]}]}`},
		{"/model/none/converse", `{}`},
		{"/model/" + opus46 + "/converse", `{}`},
		{"/model/" + opus46 + "/converse", `not JSON`},
		{"/guardrail/g/version/1/apply", `{}`},
		{"/nowhere", `{}`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+tc.path, strings.NewReader(tc.body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer simulated")
		res, err := (&http.Client{Transport: server.transport}).Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		assert.NotEmpty(t, res.Header.Get("X-Amzn-Requestid"), tc.path)
		assert.Equal(t, res.StatusCode != http.StatusOK, res.Header.Get("X-Amzn-Errortype") != "", "%s %d", tc.path, res.StatusCode)
	}
}
