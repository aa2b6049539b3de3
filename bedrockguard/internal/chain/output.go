package chain

import (
	"cmp"
	"context"
	"errors"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/cachepoints"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

// The output limit of a request is the most tokens that its answer may have, such as Converse's maxTokens. All of them are reserved. To clamp a
// request is to lower that limit to what the budget has left, after the reservation was refused for lack of room.

// Output is bedrockguard.Output, whose fields it has.
type Output struct {
	Default int32 // the limit of a request that sets none; zero leaves such a request as it is
	Clamp   bool
	Floor   int32 // the lowest limit that a request is clamped to; zero is defaultFloor
}

// LimitsOutput reports whether the guard may change the output limit of a request.
func (g *Guard) LimitsOutput() bool { return g.opts.Output != Output{} }

// defaultFloor is in output tokens.
const defaultFloor = 256

// limiting is the state of the output limit of one call.
type limiting struct {
	// triesAgain says that after a refusal for lack of room the call is tried again, with a lower limit or as it is. Such a refusal is not final:
	// it is not reported, closes no latch, and is not passed over in shadow mode.
	triesAgain bool
	// input is the bound of input tokens of the last reservation that was asked for.
	input int64
}

// Limited sets the default output limit, and calls run, which is the rest of the chain. If that is refused for lack of room, it calls run again with
// a smaller request, up to maxClamps times. When nothing smaller helps, it calls run once more, and that refusal is final.
func (g *Guard) Limited(ctx context.Context, c *Call, input any, run func(input any) error) error {
	if limited, n := g.defaultOutput(c, input); n > 0 {
		input = limited
		g.emitLimited(ctx, c, 0, n)
	}
	c.limiting.triesAgain = g.opts.Output.Clamp
	for clamps := 0; c.limiting.triesAgain && clamps < maxClamps; clamps++ {
		attempts := c.attempts.Load()
		err := run(input)
		if !errors.Is(err, budget.ErrExceeded) {
			return err
		}
		smaller, found := g.clamp(c, input, err)
		// A run makes several attempts if the SDK retries. Then it was a retry that was refused, and an earlier attempt may have been sent: the
		// request stays as it is.
		onlyAttempt := c.attempts.Load() == attempts+1
		if !found || !onlyAttempt {
			break
		}
		input = smaller.input
		g.emitClamped(ctx, c, &smaller)
	}
	c.limiting.triesAgain = false
	return run(input)
}

// maxClamps is how often a limit is lowered for one call: after each time another budget limit, or new reservations of others, may require a
// lower one.
const maxClamps = 4

// emitLimited emits the event for an output limit that was set or lowered, in tokens; from is 0 for a request that had none.
func (g *Guard) emitLimited(ctx context.Context, c *Call, from, to int64) {
	g.emit(ctx, c, nil, event.Event{Kind: event.OutputLimited, OutputFrom: from, OutputTo: to})
}

// emitClamped emits the events for a request that was made smaller. Without its cache points it is not the request that the cache check has seen, so
// that check ends.
func (g *Guard) emitClamped(ctx context.Context, c *Call, smaller *clamped) {
	if smaller.withoutPoints {
		g.cacheUnchecked(c)
		g.emit(ctx, c, nil, event.Event{Kind: event.PointsRemoved})
	}
	if smaller.to > 0 {
		g.emitLimited(ctx, c, smaller.from, smaller.to)
	}
}

// defaultOutput sets the default limit if a request has none, and returns it; 0 if nothing was changed.
func (g *Guard) defaultOutput(c *Call, input any) (any, int64) {
	if g.opts.Output.Default == 0 {
		return input, 0
	}
	resolved, err := g.catalog.Resolve(aws.ToString(inputs.ModelOf(input)), c.Region)
	if err != nil {
		return input, 0 // it is refused when it is read
	}
	n := int64(g.opts.Output.Default)
	// Zero says that the catalog does not know the most that the model can write.
	if most := resolved.Model.MaxOutputTokens; most > 0 {
		n = min(n, most)
	}
	if hasOutputLimit(resolved.ModelID, input) {
		return input, 0
	}
	limited, ok := inputs.WithOutputLimit(resolved.ModelID, input, n)
	if !ok {
		return input, 0
	}
	return limited, n
}

// hasOutputLimit reports whether a request sets a limit, in the field for it or among the additional fields that Converse passes on to the model.
// If that can't be found out, it reports true, so that nothing is changed.
func hasOutputLimit(modelID string, input any) bool {
	var parts converse.Request
	if parts.Of(input) { // a Converse input of the SDK; all other inputs have a body
		return hasConverseLimit(&parts)
	}
	body, ok := inputs.BodyOf(input)
	if !ok {
		return true
	}
	dialect := cost.OfModel
	if in, overHTTP := input.(*inputs.HTTP); overHTTP {
		dialect = in.Form.Dialect()
	}
	r, err := cost.ParseRequestIn(dialect, modelID, body)
	return err != nil || r.MaxTokens > 0 || r.NoOutput // NoOutput: the limit is 0
}

// hasConverseLimit is hasOutputLimit for a Converse input of the SDK.
func hasConverseLimit(r *converse.Request) bool {
	if r.Inference != nil && r.Inference.MaxTokens != nil {
		return true
	}
	if r.Additional == nil {
		return false
	}
	// AddFields reads the additional fields, of which it finds the limit as ExtraOutput. The error says that they can't be read.
	var additional pricing.Demand
	err := additional.AddFields(r.Additional)
	return err != nil || additional.ExtraOutput > 0
}

// clamped is a request that was made smaller.
type clamped struct {
	input         any
	from, to      int64 // its output limit before and now; to is 0 if that stays as it was
	withoutPoints bool  // its cache points are left out
}

// clamp returns a request that has room in the account that refused: with a lower output limit, or else without cache points. It returns false
// if there is none; a latched account has room for nothing.
func (g *Guard) clamp(c *Call, input any, refused error) (smaller clamped, found bool) {
	var e *budget.ExceededError
	// An operation that has a flat price (FlatOperation) has no output limit.
	if !errors.As(refused, &e) || e.Latched || c.FlatOperation {
		return clamped{}, false
	}
	// The limit has to become lower than the one that was refused.
	if to, ok := c.fitting(e, g.floor(c), c.Demand.MaxOutput-1); ok {
		return c.lowered(input, to)
	}
	return g.withoutWrites(c, input, e)
}

// lowered returns a request with a lower output limit, and false if the request can't have one, as with Nova 2's thinking at high effort.
func (c *Call) lowered(input any, to int64) (smaller clamped, ok bool) {
	smaller = clamped{from: c.Demand.MaxOutput, to: to}
	smaller.input, ok = inputs.WithOutputLimit(c.Scope.Model, input, to)
	return smaller, ok
}

// withoutWrites returns a request whose cache points are left out, so that no input of it is billed as written to the cache, with a lower output
// limit if it needs one. Its worst case is worked out from Demand.Writes, which is changed for that and put back: the demand is read again from
// the request that is sent.
func (g *Guard) withoutWrites(c *Call, input any, e *budget.ExceededError) (smaller clamped, found bool) {
	asked := c.Demand.Writes
	if asked == price.NoCacheWrites {
		return clamped{}, false
	}
	c.Demand.Writes = price.NoCacheWrites
	defer func() { c.Demand.Writes = asked }()
	// Here the limit may stay as it is, and may be below the floor if the request itself asks for less.
	to, ok := c.fitting(e, min(g.floor(c), c.Demand.MaxOutput), c.Demand.MaxOutput)
	if !ok {
		return clamped{}, false
	}
	// This fails if a point can't be removed, or if there is none, because the model caches by itself.
	if input, ok = cachepoints.WithoutPoints(c.Provider, input); !ok {
		return clamped{}, false
	}
	if to == c.Demand.MaxOutput { // the limit stays as it was
		return clamped{input: input, withoutPoints: true}, true
	}
	smaller, ok = c.lowered(input, to)
	smaller.withoutPoints = true
	return smaller, ok
}

// floor is the lowest output limit that the call may get. The limit has to stay above what other fields of the request ask for, such as a thinking
// budget.
func (g *Guard) floor(c *Call) int64 {
	lowest := cmp.Or(int64(g.opts.Output.Floor), defaultFloor)
	return max(lowest, 1, c.thinking()+1)
}

// thinking returns the largest output limit among the request's fields other than the one that is lowered.
func (c *Call) thinking() int64 { return max(c.Demand.ExtraOutput, c.Demand.Thinking) }

// fitting returns the highest output limit from floor to most with which the call's worst case has room in the account that refused, and false if
// there is none. The worst case includes the input tokens with which the reservation was refused. It is worked out from the limit in the call's
// demand, which is therefore changed for each limit that is tried, and put back at the end.
func (c *Call) fitting(e *budget.ExceededError, floor, most int64) (n int64, ok bool) {
	asked := c.Demand.MaxOutput
	defer func() { c.Demand.MaxOutput = asked }()
	// This is negative for an account in which more was settled than its maximum.
	left := e.Max.N - e.Settled.N - e.Pending.N
	if left <= 0 {
		return 0, false
	}
	fits := func(output int64) bool {
		var worst budget.Charge
		c.Demand.MaxOutput = output
		return c.Worst(&worst, c.limiting.input) == nil && worst[e.Requested.Unit] <= left
	}
	// The search halves the distance between low, a limit that fits, and high, one that does not fit or may not be tried.
	low, high := floor, min(most, math.MaxInt32)+1 // Converse has the limit as an int32
	if low >= high || !fits(low) {
		return 0, false
	}
	for high-low > 1 {
		if middle := low + (high-low)/2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, true
}
