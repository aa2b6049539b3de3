package guard

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// sides are what proxy and run serve in addition, if their flags ask for it: the page, the metrics and the webhook. What is not asked for is nil,
// and the methods of a nil one do nothing.
type sides struct {
	page    *pageServer
	metrics *metricsServer
	hook    *webhook
}

// sideFlags are the flags of all three.
func sideFlags() []cli.Flag {
	return slices.Concat(pageFlags(), metricsFlags(), webhookFlags())
}

// openSides opens all that the flags ask for, or, after an error, nothing. log gets notices that could not be delivered.
func openSides(c *cli.Command, ledger *budget.Ledger, log *slog.Logger) (s sides, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.page, err = openPage(c, ledger); err != nil {
		return s, err
	}
	if s.metrics, err = openMetrics(c, ledger); err != nil {
		return s, err
	}
	s.hook, err = openWebhook(c, ledger, log)
	return s, err
}

// listeners returns all listeners that a guard needs for them.
func (s *sides) listeners() []func(context.Context, bedrockguard.Event) {
	return slices.Concat(s.page.listeners(), s.metrics.listeners(), s.hook.listeners())
}

// close closes all that is open. The guard has to be closed first, because its last events go to the listeners.
func (s *sides) close() error {
	return errors.Join(s.hook.close(), s.metrics.close(), s.page.close())
}
