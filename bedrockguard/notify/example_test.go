package notify_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/notify"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// A channel is told of a limit that is full, once, however often its agent asks.
func ExampleNewWebhook() {
	slack := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(len(body) > 0)
	}))
	defer slack.Close()
	ctx := context.Background()
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "none", Max: budget.Calls(0), Window: budget.Daily}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	hook, err := notify.NewWebhook(notify.WebhookOptions{URL: slack.URL, Format: notify.Slack, Options: notify.Options{Policy: ledger.Policy}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = bedrockguard.New(ledger, bedrockguard.Options{Listeners: []func(context.Context, bedrockguard.Event){hook.Listen}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 100 { // as the guard does at each refused call
		hook.Listen(ctx, bedrockguard.Event{Kind: bedrockguard.EventDenied, Err: &budget.ExceededError{Limit: "none", Max: budget.Calls(0)}})
	}
	fmt.Println(hook.Close(ctx)) // after guard.Close
	// Output:
	// true
	// <nil>
}

// A log gets one line for each thing.
func ExampleLog() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.MessageKey || a.Key == slog.LevelKey {
			return a
		}
		return slog.Attr{}
	}}))
	tell := notify.Log(log, notify.Options{})
	for range 100 {
		tell(context.Background(), bedrockguard.Event{Kind: bedrockguard.EventThresholdCrossed, Crossed: budget.Crossed{
			Limit: "month", Fraction: 0.8, Settled: budget.USD(160), Max: budget.USD(200),
		}})
	}
	// Output:
	// level=INFO msg="80 % of limit \"month\" reached: 160 USD of 200 USD"
}
