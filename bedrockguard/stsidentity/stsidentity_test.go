package stsidentity

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"
)

func TestPrincipal(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:sts::111122223333:assumed-role/ci/run-7":           "arn:aws:iam::111122223333:role/ci",
		"arn:aws:sts::111122223333:assumed-role/ci/run/8":           "arn:aws:iam::111122223333:role/ci",
		"arn:aws-us-gov:sts::111122223333:assumed-role/Admin/a@b.c": "arn:aws-us-gov:iam::111122223333:role/Admin",
		"arn:aws:iam::111122223333:user/ann":                        "arn:aws:iam::111122223333:user/ann",
		"arn:aws:iam::111122223333:root":                            "arn:aws:iam::111122223333:root",
		"arn:aws:sts::111122223333:federated-user/bob":              "arn:aws:sts::111122223333:federated-user/bob",
		"": "", "arn:aws:iam::1:": "", "arn:aws:sts::1:assumed-role/": "", "arn:aws:sts::1:assumed-role/x": "", "nonsense": "",
	} {
		got, err := Principal(arn)
		if want == "" {
			require.ErrorIs(t, err, ErrNoPrincipal, arn)
			continue
		}
		require.NoError(t, err, arn)
		require.Equal(t, want, got)
	}
}

// The real STS client against a loopback server: the answer of the service becomes the role's ARN.
func TestFromConfigAsksSTS(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::111122223333:assumed-role/ci/run-7</Arn><UserId>x</UserId><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	}))
	defer server.Close()
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
	})}
	name, err := FromConfig(cfg)(t.Context())
	require.NoError(t, err)
	require.Equal(t, "arn:aws:iam::111122223333:role/ci", name)

	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no credentials")
	})
	_, err = FromConfig(cfg)(t.Context())
	require.ErrorContains(t, err, "stsidentity")
}
