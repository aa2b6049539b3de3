package guard

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// followAgain is how long follow waits after a policy that can't be enforced, before it looks whether there is a better one.
const followAgain = 5 * time.Second

// follow enforces changes of the policy in the store until stop is called, which waits for the end of it. If a policy can't be enforced, the one
// before stays in force; the reason is logged once, and follow looks again until there is a policy that can be.
func follow(ctx context.Context, ledger *budget.Ledger, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() {
		for logged := ""; ; {
			err := ledger.FollowPolicy(ctx)
			if err == nil {
				return // ctx has ended
			}
			if text := err.Error(); text != logged {
				logged = text
				log.Error("the policy in the store can't be enforced: the one before stays in force", "err", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(followAgain):
			}
		}
	})
	return func() {
		cancel()
		following.Wait()
	}
}
