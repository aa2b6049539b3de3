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

// Call is what the chain knows of one call of the client. A door fills it in, and the chain fills it in again if the request turns out to have
// been changed since. It holds no type of smithy, the SDK's runtime, and the prompt only by reference to the caller's own values. Its attempts are
// made one after the other, so that it needs no lock; the atomic fields may be used by several goroutines at the same time.
type Call struct {
	pricing.Call
	Operation   string
	Streams     bool // the answer is a stream
	silent      bool // it is only estimated: no event tells of it
	OverHTTP    bool // the answer goes to an HTTP client: its header tells whether it streams
	Scope       budget.Scope
	Region      string       // where the client sends to
	Form        inputs.Form  // the JSON dialect of a request over HTTP; zero for a call of the SDK
	ModelInBody string       // the model of a request whose path names none; empty for all others
	attempts    atomic.Int32 // made so far; the SDK makes them one after the other
	charged     int          // how many of the attempts were charged though they brought no answer
	cache       cacheCall
	streaming   atomic.Bool   // a stream, or the goroutine that reads an answer on, tells the cache check of the call's end, not the door
	storeLost   time.Duration // how long the call has waited for a store that did not answer
	waited      time.Duration // how long it has waited for room in a limit that other calls held

	limiting  limiting     // how its output limit may be lowered
	braked    bool         // Options.Brakes have counted it
	Unmetered bool         // in shadow mode: what it costs is not known, and it is sent all the same
	looking   memoryWindow // the body that bodyOf has read last; kept here to save an allocation for each reading
	seen      sight        // what the serialised request looked like when Demand was read from it
	tightDone bool         // the tight bound, which is computed from the text, was looked for
	tight     int64        // input tokens by the tight bound; 0 when there is none
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
