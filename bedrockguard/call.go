package bedrockguard

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/stepctx"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// call is what the chain knows of one call of the client. The front door fills it in, and again when the request turns out
// to have been changed since; the links read it. It knows nothing of smithy, and holds the prompt only by reference to the
// caller's own values. Its attempts follow each other, so that only what a comment says so of is used by several goroutines.
type call struct {
	operation     string
	streams       bool
	silent        bool // it is only estimated: no event tells of it
	overHTTP      bool // the answer goes to an HTTP client: its header tells whether it streams
	provider      string
	scope         budget.Scope
	demand        demand
	region        string       // where the client sends to
	form          form         // of a request over HTTP
	modelInBody   string       // the model of a request whose path names none; empty for all others
	quote         quote        // of the model that is asked for
	others        []quote      // of what has answered in its stead before
	window        int64        // the most input tokens that the model accepts; 0 when that is unknown
	perText       int64        // the most input tokens of each text, for models that embed several
	modelOutput   int64        // the most output tokens of the model
	flat          price.Amount // flat prices, whatever is consumed
	flatGuardrail price.Amount // the flat price of the guardrail that the request names
	outputUnset   bool         // no output limit was asked for, so that the model's own is set aside
	flatOperation bool         // the operation has a flat price alone
	flatModel     bool         // the model itself has a flat price alone
	guardrails    []Guardrail  // that evaluate the call unasked
	attempts      atomic.Int32 // made so far; the SDK makes them one after the other
	charged       int          // of those, how many were charged though they brought no answer
	cache         cacheCall
	streaming     atomic.Bool   // a metered stream has taken over: it ends what the call began
	storeLost     time.Duration // waited for a store that did not answer
	waited        time.Duration // for room that others held

	limiting  limiting
	braked    bool         // Options.Brakes have counted it
	unmetered bool         // in shadow: what it costs is not known, and it is sent all the same
	looking   memoryWindow // through which the body is seen
	seen      sight        // the serialised request that demand was read from
	tightDone bool         // whether the tighter bound was looked for
	tight     int64        // input tokens by the tighter bound; 0 when there is none
}

// minStoreWait is what a call still gives a store that has used up its time by not answering.
const minStoreWait = 20 * time.Millisecond

// remaining is how long the call may yet wait for the store: what it lost to it counts.
func (c *call) remaining(timeout time.Duration) time.Duration {
	return max(timeout-c.storeLost, min(timeout, minStoreWait))
}

// lost notes the time of a step that the store did not answer.
func (c *call) lost(d *stepctx.Detached, err error) {
	if errors.Is(err, budget.ErrStore) {
		c.storeLost += d.Lasted()
	}
}

// demand is what a request asks for, in terms that both of Bedrock's request forms share.
type demand struct {
	modelID        string
	prompt         tokens.Prompt // media, counts of messages and tools, and text that the service adds; of an InvokeModel body its texts, too, which MediaBound passes over
	embedded       int64         // bytes that the media take up in the serialised body
	raw            []byte        // the serialised body, where it lies in memory
	body           int64         // bytes of the serialised body, or unknownLength
	lengthening    int64         // bytes by which normalisation can lengthen its text
	maxOutput      int64         // output tokens asked for at most; 0 when the request leaves it to the model
	extraOutput    int64         // the largest output limit among fields beside the standard one
	thinking       int64         // the largest thinking budget of a body
	choices        int64         // completions asked for; at least 1
	writes         price.CacheWrites
	tiers          [3]string // the service tiers asked for, in the places where one can be; empty for none
	latency        string
	guardrail      string   // the guardrail that the request names; empty for none
	unpriced       []string // features that have no token price
	converse       bool     // the body is Converse's
	decodable      bool     // the SDK's types hold all that the answer can tell of its cost
	compacts       bool     // the service may shorten the history, each time in an inference of its own
	videos, audios int64    // inputs that a model may bill by the second
	documentImages bool     // images may be billed as pages of documents
	texts          int64    // inputs to embed, one by one
	queries        int64    // rerank queries, billed one by one
	images         int64    // input images, where the model bills them one by one
	unseen         string   // a field by which the service reads what is not in the request; empty for none
	toolPoints     int      // of a body: tools that are none in Converse, but a cache point
	storedPictures []int    // of a body: indexes of opaque blocks of the prompt that are pictures in S3
	hidden         bool     // the service adds text that is not in the request, so that counting it bounds nothing
}

// features notes those that a body has.
func (a *demand) features(r *cost.Request) {
	a.feature(r.Unpriced)
	for _, name := range r.AlsoUnpriced {
		a.feature(name)
	}
}

// feature notes a feature that has no token price. The empty name is none.
func (a *demand) feature(name string) {
	if name != "" && !slices.Contains(a.unpriced, name) {
		a.unpriced = append(a.unpriced, name)
	}
}

// unknownLength stands for a body that does not tell its length.
const unknownLength = -1

type callKey struct{}

// withCall puts the call where the other links of its own operation find it. The SDK clears such values when another
// operation begins, so that whatever is called with this context is never taken for a part of this call.
func withCall(ctx context.Context, c *call) context.Context {
	return middleware.WithStackValue(ctx, callKey{}, c)
}

func callFrom(ctx context.Context) *call {
	c, _ := middleware.GetStackValue(ctx, callKey{}).(*call)
	return c
}

// priced completes a call with what the catalog says of its model.
func (g *Guard) priced(c *call, r *catalog.Resolved) error {
	var err error
	c.provider, c.modelOutput = r.Model.Provider, r.Model.MaxOutputTokens
	if c.quote, err = c.demand.quoteFor(r, "", false); err != nil {
		return err
	}
	c.others = c.others[:0]
	g.others(c)
	c.window = r.Model.MaxInputTokens
	if r.Price.LongContext.Threshold > 0 {
		// The catalog's window can be the one without the long-context beta.
		c.window = max(c.window, longContextWindow)
	}
	c.perText = 0
	if r.Model.Mode == catalog.ModeEmbedding {
		c.perText, c.window = c.window, 0 // each text has a window of its own
	}
	if c.outputUnset = c.demand.maxOutput == 0; c.demand.maxOutput == 0 {
		c.demand.maxOutput = r.Model.MaxOutputTokens
	}
	c.demand.maxOutput = max(c.demand.maxOutput, c.demand.extraOutput)
	return nil
}
