package statuspage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// A page over a ledger, with what the guard tells. In a program, serve it with http.Serve on a loopback listener.
func Example() {
	ledger, err := budget.Open(context.Background(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "month", Max: budget.USD(200), Window: budget.Monthly}}})
	if err != nil {
		fmt.Println(err)
		return
	}

	page, err := statuspage.New(statuspage.Options{Ledger: ledger})
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{Listeners: []func(context.Context, bedrockguard.Event){page.Listen}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer guard.Close(context.Background())
	server := httptest.NewServer(page)
	defer server.Close()

	resp, err := http.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	fmt.Println(resp.Status, resp.Header.Get("X-Frame-Options"))
	// Output: 200 OK DENY
}
