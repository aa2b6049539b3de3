package guard

import (
	"context"
	"log/slog"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/notify"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// webhookPatience is how long the end of a command waits until notices are delivered.
const webhookPatience = 10 * time.Second

// webhookFlags are the flags of commands that can send notices to a webhook.
func webhookFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "webhook", Sources: cli.EnvVars("BEDROCKGUARD_WEBHOOK"), Usage: "a URL that is told of thresholds, refusals and kills, each once; it is a secret, so rather put it into the variable", HideDefault: true},
		&cli.StringFlag{Name: "webhook-format", Value: string(notify.JSON), Usage: "what it is sent: json or slack"},
	}
}

// webhook sends notices. A nil one sends none.
type webhook struct{ *notify.Webhook }

// openWebhook starts the webhook that the flags of webhookFlags ask for; it returns nil if they ask for none.
func openWebhook(c *cli.Command, ledger *budget.Ledger, log *slog.Logger) (*webhook, error) {
	if c.String("webhook") == "" {
		if c.IsSet("webhook-format") {
			return nil, exit.UsageError("--webhook-format is of the webhook: give --webhook, or BEDROCKGUARD_WEBHOOK, too")
		}
		return nil, nil
	}
	hook, err := notify.NewWebhook(notify.WebhookOptions{
		URL: c.String("webhook"), Format: notify.Format(c.String("webhook-format")), Log: log, Options: notify.Options{Policy: ledger.Policy},
	})
	if err != nil {
		return nil, exit.UsageError("--webhook: %s", err)
	}
	return &webhook{hook}, nil
}

// listeners returns the listeners that a guard needs for the webhook.
func (w *webhook) listeners() []func(context.Context, bedrockguard.Event) {
	if w == nil {
		return nil
	}
	return []func(context.Context, bedrockguard.Event){w.Listen}
}

// close waits until the queued notices are delivered, at most for webhookPatience.
func (w *webhook) close() error {
	if w == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), webhookPatience)
	defer cancel()
	return w.Close(ctx)
}
