package prove

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/sigv4"
)

// bedrockControl stands where Bedrock's control plane would, and takes nothing but what AWS would: one method, one path, a signature for the
// service over what was sent. It answers with the next of answers.
func bedrockControl(t *testing.T, answers ...func(http.ResponseWriter, *http.Request)) aws.Config {
	t.Helper()
	verifier := sigv4.New(sigv4.Options{Services: []string{"bedrock"}, Secrets: func(_ context.Context, id string) ([][]byte, error) {
		if id != "AKIAEXAMPLE" {
			return nil, sigv4.ErrUnknownKey
		}
		return [][]byte{[]byte("example-secret")}, nil
	}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		_, err = verifier.Verify(r, body)
		assert.NoError(t, err)
		assert.Equal(t, http.MethodGet, r.Method)
		assert.Equal(t, "/enforcedGuardrailsConfiguration", r.URL.Path)
		assert.Empty(t, body)
		if !assert.NotEmpty(t, answers, "it was asked once more: %s", r.URL) {
			return
		}
		answer := answers[0]
		answers = answers[1:]
		answer(w, r)
	}))
	t.Cleanup(func() {
		server.Close()
		assert.Empty(t, answers, "it was asked too seldom")
	})
	return aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "example-secret", ""), HTTPClient: server.Client()}
}

func answer(status int, kind, text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if kind != "" {
			w.Header().Set("X-Amzn-Errortype", kind)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text) // a client that left reads nothing
	}
}

func looked(t *testing.T, config aws.Config) check {
	t.Helper()
	e := &examination{}
	e.guardrails(t.Context(), config)
	require.Len(t, e.checks, 1)
	require.Equal(t, "guardrails", e.checks[0].Name)
	return e.checks[0]
}

// Guardrails that the account enforces are told by name, of all pages, because they are billed with every call.
func TestDoctorTellsEnforcedGuardrails(t *testing.T) {
	config := bedrockControl(t,
		answer(200, "", `{"guardrailsConfig":[{"configId":"c1","guardrailArn":"arn:aws:bedrock:eu-west-1:111122223333:guardrail/first","guardrailVersion":"3"}],"nextToken":"more / here"}`),
		func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "more / here", r.URL.Query().Get("nextToken"))
			answer(200, "", `{"guardrailsConfig":[{"guardrailId":"second"}]}`)(w, r)
		})
	told := looked(t, config)
	require.Equal(t, verdictNote, told.Verdict)
	require.Contains(t, told.Detail, "arn:aws:bedrock:eu-west-1:111122223333:guardrail/first version 3, second in eu-west-1")
	require.Contains(t, told.Detail, "Options.EnforcedGuardrails")
}

func TestDoctorTellsThatNoGuardrailIsEnforced(t *testing.T) {
	told := looked(t, bedrockControl(t, answer(200, "", `{"guardrailsConfig":[]}`)))
	require.Equal(t, verdictOK, told.Verdict)
	require.Contains(t, told.Detail, "enforces none in eu-west-1")
}

// A look that was not to be had is no finding, and is not told as none.
func TestDoctorSaysWhyItDidNotLookAtGuardrails(t *testing.T) {
	for want, a := range map[string][]func(http.ResponseWriter, *http.Request){
		"these credentials lack bedrock:ListEnforcedGuardrailsConfiguration": {answer(403, "AccessDeniedException", `{"message":"no"}`)},
		"ValidationException: odd":               {answer(400, "ValidationException", `{"message":"odd"}`)},
		"InternalServerException: broken":        {answer(500, "InternalServerException", `{"message":"broken"}`), answer(500, "InternalServerException", `{"message":"broken"}`)},
		"not looked at: operation error Bedrock": {answer(200, "", `<html>`)},
	} {
		told := looked(t, bedrockControl(t, a...))
		require.Equal(t, verdictNote, told.Verdict)
		require.Contains(t, told.Detail, want)
	}
}
