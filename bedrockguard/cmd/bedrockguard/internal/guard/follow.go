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
// before stays in force; the reason is logged, and follow looks again until there is a policy that can be.
func follow(ctx context.Context, ledger *budget.Ledger, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { keepFollowing(ctx, ledger, log) })
	return func() {
		cancel()
		following.Wait()
	}
}

// keepFollowing is what follow does until ctx ends. FollowPolicy returns nil when ctx has ended, and an error for a policy that can't be enforced.
// The same reason is logged once, however often it comes.
func keepFollowing(ctx context.Context, ledger *budget.Ledger, log *slog.Logger) {
	logged := "" // the last reason
	for {
		err := ledger.FollowPolicy(ctx)
		if err == nil {
			return
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
}
