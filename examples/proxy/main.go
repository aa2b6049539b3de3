// Command proxy embeds the guarding proxy in a server of its own, and makes two requests to it: one is answered and one is refused.
//
//	go run ./examples/proxy
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

// run serves a proxy in front of the simulated Bedrock. Its limit is one call a day for each team, so the second request is refused.
func run(ctx context.Context, out io.Writer) error {
	bedrock, err := bedrocktest.Start(bedrocktest.Options{})
	if err != nil {
		return err
	}
	defer bedrock.Close()
	upstream, err := url.Parse(bedrock.URL()) // leave Upstream out for the real service
	if err != nil {
		return err
	}
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "team", Max: budget.Calls(1), Window: budget.Daily, Per: budget.PerPrincipal},
	}})
	if err != nil {
		return err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	if err != nil {
		return err
	}
	handler, err := proxy.New(proxy.Options{Guard: guard, Region: "us-east-1", Upstream: upstream, Sign: sign, Callers: proxy.Checks(identify)})
	if err != nil {
		return err
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	for range 2 {
		if err := ask(server, out); err != nil {
			return err
		}
	}
	return guard.Close(ctx)
}

// sign gives a request to Bedrock the proxy's own key. A proxy could also sign with aws/signer/v4.
func sign(r *http.Request, _ []byte) error {
	r.Header.Set("Authorization", "Bearer "+cmp.Or(os.Getenv("AWS_BEARER_TOKEN_BEDROCK"), "none"))
	return nil
}

// identify returns the scope of a caller, which is the team that has the key in the request.
func identify(r *http.Request, _ []byte) (budget.Scope, error) {
	team, ok := map[string]string{"key-of-search": "search"}[r.Header.Get("X-Api-Key")]
	if !ok {
		return budget.Scope{}, fmt.Errorf("%w: unknown key", bedrockguard.ErrUnauthenticated)
	}
	return budget.Scope{Principal: team}, nil
}

// ask is a client; it could be in any language.
func ask(server *httptest.Server, out io.Writer) error {
	req, err := http.NewRequest(http.MethodPost, server.URL+"/anthropic/v1/messages", strings.NewReader(
		`{"model":"us.anthropic.claude-haiku-4-5-20251001-v1:0","max_tokens":100,"messages":[{"role":"user","content":"What is a budget for?"}]}`))
	if err != nil {
		return err
	}
	req.Header.Set("X-Api-Key", "key-of-search")
	resp, err := server.Client().Do(req)
	if err != nil {
		return err
	}
	// The header names the limit that has refused the request; an answer has none.
	fmt.Fprintln(out, resp.Status, resp.Header.Get("X-Bedrockguard-Limit"))
	return resp.Body.Close()
}
