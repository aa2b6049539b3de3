package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/notify"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// webhookPatience is how long the end of a command waits for notices that are still to be delivered.
const webhookPatience = 10 * time.Second

// webhookFlags are the flags of those that tell a webhook.
func webhookFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "webhook", Sources: cli.EnvVars("BEDROCKGUARD_WEBHOOK"), Usage: "a URL that is told of thresholds, refusals and kills, each once; it is a secret, so rather put it into the variable", HideDefault: true},
		&cli.StringFlag{Name: "webhook-format", Value: string(notify.JSON), Usage: "what it is sent: json or slack"},
	}
}

// webhook is what tells a webhook. A nil one tells nobody.
type webhook struct{ *notify.Webhook }

// openWebhook starts what the flags of webhookFlags ask for; nil if they ask for nothing.
func openWebhook(c *cli.Command, ledger *budget.Ledger, log *slog.Logger) (*webhook, error) {
	if c.String("webhook") == "" {
		if c.IsSet("webhook-format") {
			return nil, usageError("--webhook-format is of the webhook: give --webhook, or BEDROCKGUARD_WEBHOOK, too")
		}
		return nil, nil
	}
	hook, err := notify.NewWebhook(notify.WebhookOptions{
		URL: c.String("webhook"), Format: notify.Format(c.String("webhook-format")), Log: log, Options: notify.Options{Policy: ledger.Policy},
	})
	if err != nil {
		return nil, usageError("--webhook: %s", err)
	}
	return &webhook{hook}, nil
}

// listeners are the webhook's, for a guard.
func (w *webhook) listeners() []func(context.Context, bedrockguard.Event) {
	if w == nil {
		return nil
	}
	return []func(context.Context, bedrockguard.Event){w.Listen}
}

// close delivers what is queued, for a while.
func (w *webhook) close() error {
	if w == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), webhookPatience)
	defer cancel()
	return w.Close(ctx)
}
