package chain

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/stepctx"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// Call is what the chain knows of one call of the client. The front door fills it in, and again when the request turns out
// to have been changed since; the links read it. It knows nothing of smithy, and holds the prompt only by reference to the
// caller's own values. Its attempts follow each other, so that only what a comment says so of is used by several goroutines.
type Call struct {
	pricing.Call
	Operation   string
	Streams     bool
	silent      bool // it is only estimated: no event tells of it
	OverHTTP    bool // the answer goes to an HTTP client: its header tells whether it streams
	Scope       budget.Scope
	Region      string       // where the client sends to
	Form        inputs.Form  // of a request over HTTP
	ModelInBody string       // the model of a request whose path names none; empty for all others
	attempts    atomic.Int32 // made so far; the SDK makes them one after the other
	charged     int          // of those, how many were charged though they brought no answer
	cache       cacheCall
	streaming   atomic.Bool   // a metered stream has taken over: it ends what the call began
	storeLost   time.Duration // waited for a store that did not answer
	waited      time.Duration // for room that others held

	limiting  limiting
	braked    bool         // Options.Brakes have counted it
	Unmetered bool         // in shadow: what it costs is not known, and it is sent all the same
	looking   memoryWindow // through which the body is seen
	seen      sight        // the serialised request that demand was read from
	tightDone bool         // whether the tighter bound was looked for
	tight     int64        // input tokens by the tighter bound; 0 when there is none
}

// minStoreWait is what a call still gives a store that has used up its time by not answering.
const minStoreWait = 20 * time.Millisecond

// remaining is how long the call may yet wait for the store: what it lost to it counts.
func (c *Call) remaining(timeout time.Duration) time.Duration {
	return max(timeout-c.storeLost, min(timeout, minStoreWait))
}

// lost notes the time of a step that the store did not answer.
func (c *Call) lost(d *stepctx.Detached, err error) {
	if errors.Is(err, budget.ErrStore) {
		c.storeLost += d.Lasted()
	}
}

type callKey struct{}

// WithCall puts the call where the other links of its own operation find it. The SDK clears such values when another
// operation begins, so that whatever is called with this context is never taken for a part of this call.
func WithCall(ctx context.Context, c *Call) context.Context {
	return middleware.WithStackValue(ctx, callKey{}, c)
}

// CallFrom returns the call of a context, or nil.
func CallFrom(ctx context.Context) *Call {
	c, _ := middleware.GetStackValue(ctx, callKey{}).(*Call)
	return c
}

// priced completes a call with what the catalog says of its model.
func (g *Guard) priced(c *Call, r *catalog.Resolved) error {
	if err := c.QuoteBy(r); err != nil {
		return err
	}
	g.others(c)
	c.LimitBy(r)
	return nil
}
