package proxy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/keys"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// A key lets its callers in, by its bearer key and by its AWS pair, on its own account; a revoked or made-up one does not.
func TestKeysLetTheirCallersIn(t *testing.T) {
	book, err := keys.OpenFile(filepath.Join(t.TempDir(), "keys.json"), keys.FileOptions{Create: true})
	require.NoError(t, err)
	master, err := keys.ParseMaster([]byte(keys.NewMaster()))
	require.NoError(t, err)
	bearer, hash := keys.NewBearer()
	key := keys.Key{ID: keys.NewID(), Bearer: hash, Principal: "ci", Tags: map[string]string{"team": "search"}, Created: time.Now()}
	require.NoError(t, book.Put(t.Context(), key))
	secret, ok := master.Secret(key.ID)
	require.True(t, ok)
	h := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) {
		o.Callers = proxy.Keys(&keys.Ring{Book: book, Master: master})
	})
	sign := func(secret, signed string) func(*http.Request) {
		return func(r *http.Request) {
			hash := sha256.Sum256([]byte(signed))
			require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: secret}, r, hex.EncodeToString(hash[:]), "bedrock", "us-east-1", time.Now()))
		}
	}
	shown := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, by := range map[string]func(*http.Request){
		"bearer": shown("Authorization", "Bearer "+bearer), "api key": shown("X-Api-Key", bearer), "signature": sign(secret, hello),
	} {
		resp, body := h.post(t, converse, hello, by)
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", name, body)
	}
	for e, err := range h.ledger.Entries(t.Context(), budget.Query{}) {
		require.NoError(t, err)
		require.Equal(t, "ci", e.Scope.Principal)
		require.Equal(t, "search", e.Scope.Tags["team"])
	}
	other, _ := keys.NewBearer()
	for name, by := range map[string]func(*http.Request){
		"nothing": func(*http.Request) {}, "another key": shown("X-Api-Key", other), "another secret": sign("guessed", hello), "another body": sign(secret, hello+" "),
	} {
		resp, body := h.post(t, converse, hello, by)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "%s: %s", name, body)
		require.NotContains(t, body, secret)
	}
	require.Equal(t, 3, h.service.Requests())
	_, err = book.Revoke(t.Context(), key.ID, time.Now())
	require.NoError(t, err)
	for _, by := range []func(*http.Request){shown("X-Api-Key", bearer), sign(secret, hello)} {
		resp, body := h.post(t, converse, hello, by)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, body)
	}
	require.Equal(t, 3, h.service.Requests())
}
