package chain

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/stepctx"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// Call is what the chain knows of one call of the client. A door, which is the SDK's middlewares or the HTTP transport, fills it in, and the chain
// fills it in again if the request turns out to have been changed since. It holds nothing of the way on which the request travels, such as a type of
// smithy, the SDK's runtime, and no copy of the prompt: only references to the caller's own values. Its attempts are made one after the other, so
// that it needs no lock; the atomic fields may be used by several goroutines at the same time.
type Call struct {
	pricing.Call // what the request asks for (Demand), and what that costs

	// What the door has found out.
	Operation   string
	Scope       budget.Scope
	Region      string      // where the client sends to
	Streams     bool        // the answer is a stream; if OverHTTP is set, this is not known before the answer's header is there
	OverHTTP    bool        // the answer goes to an HTTP client, and not to the SDK
	Form        inputs.Form // the JSON dialect of a request over HTTP; zero for a call of the SDK
	ModelInBody string      // the model of a request whose path names none; empty for all others

	// How it is treated.
	silent    bool     // it is only estimated: no event tells of it
	Unmetered bool     // in shadow mode: what it costs is not known, and it is sent all the same
	limiting  limiting // how its output limit may be lowered
	braked    bool     // Options.Brakes have counted it

	// What was read of the serialised request.
	seen      sight        // what it looked like when Demand was read from it
	looking   memoryWindow // the body that bodyOf has read last; kept here to save an allocation for each reading
	tightDone bool         // the tight bound of the input tokens, which is computed from the text, was looked for
	tight     int64        // that bound; 0 when there is none

	// What its attempts have done.
	attempts  atomic.Int32  // how many were made so far
	charged   int           // how many were charged though they brought no answer
	storeLost time.Duration // how long they have waited for a store that did not answer
	waited    time.Duration // how long they have waited for room in a limit that other calls held

	cache     cacheCall   // what the cache check keeps of it
	streaming atomic.Bool // the end of the call is told to the cache check by a stream, or by a goroutine that reads the answer on: not by the door
}

// minStoreWait is what a call still gives a store that has used up its time by not answering.
const minStoreWait = 20 * time.Millisecond

// remaining returns how long the call may still wait for the store: the timeout less what it has waited for answers that did not come.
func (c *Call) remaining(timeout time.Duration) time.Duration {
	// What is left is at least minStoreWait, so that a single lost answer does not refuse the call at once, or the timeout if that is shorter.
	return max(timeout-c.storeLost, min(timeout, minStoreWait))
}

// lost adds the time of a step to storeLost, if the store did not answer it.
func (c *Call) lost(d *stepctx.Detached, err error) {
	if errors.Is(err, budget.ErrStore) {
		c.storeLost += d.Lasted()
	}
}

// priced completes a call with what the catalog says of its model: its prices, those of other models that have answered calls of the same id
// before, and at last how much the model can read and write.
func (g *Guard) priced(c *Call, r *catalog.Resolved) error {
	if err := c.QuoteBy(r); err != nil {
		return err
	}
	g.others(c)
	c.LimitBy(r)
	return nil
}
