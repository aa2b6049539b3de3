package sigv4_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/sigv4"
)

// A server serves what one of its keys has signed, once.
func ExampleVerifier_Verify() {
	verifier := sigv4.New(sigv4.Options{Secrets: func(_ context.Context, accessKeyID string) ([][]byte, error) {
		if accessKeyID != "EXAMPLE" {
			return nil, sigv4.ErrUnknownKey
		}
		return [][]byte{[]byte("secret")}, nil
	}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch id, err := verifier.Verify(r, body); {
		case errors.Is(err, sigv4.ErrReplayed):
			fmt.Println("refused: it was served before")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println("signed by", id)
		}
	}))
	defer server.Close()

	const body = `{"messages":[]}`
	hash := sha256.Sum256([]byte(body))
	request, _ := http.NewRequest(http.MethodPost, server.URL+"/model/amazon.nova-lite-v1%3A0/converse", strings.NewReader(body))
	key := aws.Credentials{AccessKeyID: "EXAMPLE", SecretAccessKey: "secret"}
	_ = v4.NewSigner().SignHTTP(context.Background(), key, request, hex.EncodeToString(hash[:]), "bedrock", "us-east-1", time.Now())
	for range 2 {
		request.Body = io.NopCloser(strings.NewReader(body))
		response, err := server.Client().Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
	}
	// Output:
	// signed by EXAMPLE
	// refused: it was served before
}
