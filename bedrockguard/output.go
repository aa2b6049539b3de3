package bedrockguard

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

// Output says what happens to the output limit of a request: the most tokens that its answer may have, which are reserved in full. The
// caller's own values are not changed; EventOutputLimited says what is sent instead. The zero value changes nothing.
type Output struct {
	// Default is the limit, in tokens, for a request that sets none; a model with a lower limit keeps that. Zero sets none: then all that
	// the model can write is reserved.
	Default int32
	// Clamp lowers the limit of a request to what the budget has left, if it would be refused for lack of room. If even Floor does not fit, but
	// would without cache points, because what is written to the cache costs more than other input, it also leaves those out:
	// EventPointsRemoved.
	Clamp bool
	// Floor is the lowest limit that Clamp sets, in tokens; a request that does not fit even so is refused. The limit always stays above a
	// thinking budget. Zero is 256.
	Floor int32
}

const defaultFloor = 256

func (o *Output) validate(add func(bad bool, format string, args ...any)) {
	add(o.Default < 0, "Output.Default %d is negative", o.Default)
	add(o.Floor < 0, "Output.Floor %d is negative", o.Floor)
	add(o.Floor > 0 && !o.Clamp, "Output.Floor %d is of no use without Output.Clamp", o.Floor)
}

// limiting is the state of the output limit of one call.
type limiting struct {
	// may says that after a refusal for lack of room the call is tried again: with a lower limit, or as it is.
	may bool
	// input is the bound of input tokens with which the last reservation was refused.
	input int64
}

// next runs the rest of the chain on a request whose output limit is set, and lowered if need be.
func (m *identifyMiddleware) next(ctx context.Context, c *call, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
	if m.guard.opts.Output == (Output{}) {
		return next.HandleInitialize(withCall(ctx, c), in)
	}
	err = m.guard.limited(ctx, c, in.Parameters, func(input any) error {
		in.Parameters = input
		out, md, err = next.HandleInitialize(withCall(ctx, c), in)
		return err
	})
	return out, md, err
}

// limited runs the rest of the chain on a request with an output limit, and lowers the limit as long as that may help.
func (g *Guard) limited(ctx context.Context, c *call, input any, run func(input any) error) error {
	if limited, n := g.defaultOutput(c, input); n > 0 {
		input = limited
		g.emitLimited(ctx, c, 0, n)
	}
	c.limiting.may = g.opts.Output.Clamp
	for range maxClamps {
		if !c.limiting.may {
			break
		}
		attempts := c.attempts.Load()
		err := run(input)
		if !errors.Is(err, budget.ErrExceeded) {
			return err
		}
		smaller, found := g.clamp(c, input, err)
		if c.limiting.may = found && c.attempts.Load() == attempts+1; c.limiting.may { // otherwise something was sent, or nothing helps
			input = smaller.input
			g.emitClamped(ctx, c, &smaller)
		}
	}
	c.limiting.may = false
	return run(input)
}

// maxClamps is how often a limit is lowered for one call: after each time another budget limit, or new reservations of others, may require a
// lower one.
const maxClamps = 4

func (g *Guard) emitLimited(ctx context.Context, c *call, from, to int64) {
	g.emit(ctx, c, nil, event.Event{Kind: event.OutputLimited, OutputFrom: from, OutputTo: to})
}

func (g *Guard) emitClamped(ctx context.Context, c *call, smaller *clamped) {
	if smaller.withoutPoints {
		g.cacheUnchecked(c)
		g.emit(ctx, c, nil, event.Event{Kind: event.PointsRemoved})
	}
	if smaller.to > 0 {
		g.emitLimited(ctx, c, smaller.from, smaller.to)
	}
}

// defaultOutput sets the default limit if a request has none, and returns it; 0 if nothing was changed.
func (g *Guard) defaultOutput(c *call, input any) (any, int64) {
	if g.opts.Output.Default == 0 {
		return input, 0
	}
	resolved, err := g.catalog.Resolve(aws.ToString(modelOf(input)), c.region)
	if err != nil {
		return input, 0 // it is refused when it is read
	}
	n := int64(g.opts.Output.Default)
	if most := resolved.Model.MaxOutputTokens; most > 0 {
		n = min(n, most)
	}
	if hasOutputLimit(resolved.ModelID, input) {
		return input, 0
	}
	limited, ok := withOutputLimit(resolved.ModelID, input, n)
	if !ok {
		return input, 0
	}
	return limited, n
}

// hasOutputLimit reports whether a request sets a limit. If that can't be found out, it reports true.
func hasOutputLimit(modelID string, input any) bool {
	var parts converse.Request
	if parts.Of(input) {
		var a demand
		return parts.Inference != nil && parts.Inference.MaxTokens != nil || parts.Additional != nil && (a.addFields(parts.Additional) != nil || a.extraOutput > 0)
	}
	body, ok := bodyOf(input)
	if !ok {
		return true
	}
	d := cost.OfModel
	if in, overHTTP := input.(*httpInput); overHTTP {
		d = in.form.dialect()
	}
	r, err := cost.ParseRequestIn(d, modelID, body)
	return err != nil || r.MaxTokens > 0 || r.NoOutput
}

// clamped is a request that was made smaller.
type clamped struct {
	input         any
	from, to      int64 // its output limit before and now; to is 0 if that stays as it was
	withoutPoints bool  // its cache points are left out
}

// clamp returns a request that has room in the account that refused: with a lower output limit, or else without cache points. It returns false
// if there is none.
func (g *Guard) clamp(c *call, input any, refused error) (smaller clamped, found bool) {
	var e *budget.ExceededError
	if !errors.As(refused, &e) || e.Latched || c.flatOperation {
		return clamped{}, false
	}
	if to, ok := c.fitting(e, g.floor(c), c.demand.maxOutput-1); ok {
		return c.lowered(input, to)
	}
	return g.withoutWrites(c, input, e)
}

// lowered returns a request with a lower output limit.
func (c *call) lowered(input any, to int64) (smaller clamped, ok bool) {
	smaller = clamped{from: c.demand.maxOutput, to: to}
	smaller.input, ok = withOutputLimit(c.scope.Model, input, to)
	return smaller, ok
}

// withoutWrites returns a request whose cache points are left out, so that no input of it is billed as written to the cache, with a lower output
// limit if it needs one.
func (g *Guard) withoutWrites(c *call, input any, e *budget.ExceededError) (smaller clamped, found bool) {
	asked := c.demand.writes
	if asked == price.NoCacheWrites {
		return clamped{}, false
	}
	c.demand.writes = price.NoCacheWrites
	defer func() { c.demand.writes = asked }()
	to, ok := c.fitting(e, min(g.floor(c), c.demand.maxOutput), c.demand.maxOutput)
	if !ok {
		return clamped{}, false
	}
	if input, ok = withoutPoints(c.provider, input); !ok {
		return clamped{}, false
	}
	if smaller.input = input; to < c.demand.maxOutput {
		smaller, ok = c.lowered(input, to)
	}
	smaller.withoutPoints = true
	return smaller, ok
}

// floor is the lowest output limit that the call may get.
func (g *Guard) floor(c *call) int64 {
	floor := max(int64(g.opts.Output.Floor), 1)
	if g.opts.Output.Floor == 0 {
		floor = defaultFloor
	}
	return max(floor, c.thinking()+1)
}

// thinking returns the largest output limit among the request's fields other than the one that is lowered.
func (c *call) thinking() int64 { return max(c.demand.extraOutput, c.demand.thinking) }

// fitting returns the highest output limit from floor to most with which the call's worst case has room in the account that refused, and false if
// there is none. The worst case includes the input tokens with which the reservation was refused. It is worked out from the limit in the call's
// demand, which is therefore changed for each limit that is tried, and has its own one again afterwards.
func (c *call) fitting(e *budget.ExceededError, floor, most int64) (n int64, ok bool) {
	asked := c.demand.maxOutput
	defer func() { c.demand.maxOutput = asked }()
	left := e.Max.N - e.Settled.N // neither is negative, and settled may be the larger one
	if left -= e.Pending.N; left <= 0 {
		return 0, false
	}
	fits := func(output int64) bool {
		var worst budget.Charge
		c.demand.maxOutput = output
		return c.worst(&worst, c.limiting.input) == nil && worst[e.Requested.Unit] <= left
	}
	low, high := floor, min(most, math.MaxInt32)+1 // Converse has the limit as an int32
	if low >= high || !fits(low) {
		return 0, false
	}
	for high-low > 1 { // low always fits
		if middle := low + (high-low)/2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, true
}

// withOutputLimit returns a copy of a request with another limit, and false if the request can't have one.
func withOutputLimit(modelID string, input any, n int64) (any, bool) {
	var parts converse.Request
	if parts.Of(input) && mustNotLimit(parts.Additional) {
		return input, false
	}
	limit := func(c *types.InferenceConfiguration) *types.InferenceConfiguration {
		var own types.InferenceConfiguration
		if c != nil {
			own = *c
		}
		own.MaxTokens = aws.Int32(int32(n))
		return &own
	}
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		own := *in
		own.InferenceConfig = limit(in.InferenceConfig)
		return &own, true
	case *bedrockruntime.ConverseStreamInput:
		own := *in
		own.InferenceConfig = limit(in.InferenceConfig)
		return &own, true
	case *bedrockruntime.InvokeModelInput:
		own, ok := *in, false
		if own.Body, ok = limitBody(cost.OfModel, modelID, in.Body, n); ok {
			return &own, true
		}
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		own, ok := *in, false
		if own.Body, ok = limitBody(cost.OfModel, modelID, in.Body, n); ok {
			return &own, true
		}
	case *httpInput:
		own, ok := *in, false
		if own.body, ok = limitBody(in.form.dialect(), modelID, in.body, n); ok {
			return &own, true
		}
	}
	return input, false
}

func limitBody(d cost.Dialect, modelID string, body []byte, n int64) ([]byte, bool) {
	if effortForbids(body) {
		return body, false
	}
	return cost.SetOutputLimit(d, modelID, body, n)
}

// mustNotLimit reports whether Converse's additional fields ask for something that the service refuses together with a limit.
func mustNotLimit(fields document.Interface) bool {
	if fields == nil {
		return false
	}
	raw, err := fields.MarshalSmithyDocument()
	return err != nil || effortForbids(raw)
}

// effortForbids reports whether a request asks for Nova 2's thinking at high effort: the service refuses that together with a limit (Amazon
// Nova user guide, extended thinking, 2026-11).
func effortForbids(raw []byte) bool {
	var fields struct {
		Additional json.RawMessage `json:"additionalModelRequestFields"`
		Reasoning  struct {
			Effort string `json:"maxReasoningEffort"`
		} `json:"reasoningConfig"`
		Inference struct {
			Reasoning struct {
				Effort string `json:"maxReasoningEffort"`
			} `json:"reasoningConfig"`
		} `json:"inferenceConfig"`
	}
	if json.Unmarshal(raw, &fields) != nil {
		return false // invalid JSON is refused when it is read
	}
	if len(fields.Additional) > 0 && effortForbids(fields.Additional) {
		return true
	}
	return fields.Reasoning.Effort == "high" || fields.Inference.Reasoning.Effort == "high"
}

func bodyOf(input any) ([]byte, bool) {
	switch in := input.(type) {
	case *bedrockruntime.InvokeModelInput:
		return in.Body, true
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		return in.Body, true
	case *httpInput:
		return in.body, true
	default:
		return nil, false
	}
}

func modelOf(input any) *string {
	if in, ok := input.(*httpInput); ok {
		return &in.model
	}
	_, id, _ := operationOf(input)
	return id
}
