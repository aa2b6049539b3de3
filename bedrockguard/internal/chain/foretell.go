package chain

import (
	"context"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// Estimate is bedrockguard.Estimate, whose fields it has.
type Estimate struct {
	Model   string
	Scope   budget.Scope
	Worst   budget.Charge
	Likely  budget.Charge
	Refusal error
}

// An estimate takes the same steps as a call, as far as they need no reservation and send nothing: a substitute model, a default output limit,
// the bounds of the input, and the output limit lowered to what the budget has left (clamped).

// Estimate works out what a call with an input of the SDK would cost that is sent to a region.
func (g *Guard) Estimate(ctx context.Context, input any, region string) (Estimate, error) {
	// From now on settlements learn how long answers are and how much input is billed: the method likely needs both.
	g.foretold.Store(true)
	// No event tells of a call that is silent.
	c := &Call{Region: region, silent: true}
	input, err := g.prepare(ctx, c, input)
	if err != nil {
		return Estimate{}, err
	}
	for clamps := 0; ; clamps++ {
		// Each round has a call of its own, because foretell fills it in from the input.
		asked := &Call{Region: c.Region, silent: true, Operation: c.Operation, Streams: c.Streams, Scope: c.Scope}
		e, err := g.foretell(ctx, asked, input)
		if err != nil {
			return e, err
		}
		smaller, found := g.clampForetold(asked, input, e.Refusal)
		if !found || clamps == maxClamps {
			return e, nil
		}
		input = smaller
	}
}

// prepare fills in the operation and the scope of an estimated call, and returns its input as the links before the reservation would change it: with
// a substitute model, and with the default output limit.
func (g *Guard) prepare(ctx context.Context, c *Call, input any) (any, error) {
	var modelID *string
	if c.Operation, modelID, c.Streams = inputs.OperationOf(input); c.Operation == "" {
		return input, request.MalformedField("input", "is of no operation that the guard prices")
	}
	if g.Substitutes(input) {
		input, modelID = g.Substitute(ctx, c, input, modelID)
	}
	// This replaces the scope that Substitute may have left in c.
	if err := g.Scope(ctx, &c.Scope); err != nil {
		return input, err
	}
	if g.opts.Output.Default > 0 && modelID != nil {
		input, _ = g.defaultOutput(c, input) // the second result is the limit, which is in the input, too
	}
	return input, nil
}

// clampForetold returns the input that a call with this refusal would be sent with: with a lower output limit or without cache points. It returns
// false if nothing would be changed.
func (g *Guard) clampForetold(c *Call, input any, refused error) (any, bool) {
	var e *budget.ExceededError
	if !g.opts.Output.Clamp || !errors.As(refused, &e) {
		return input, false
	}
	if e.Waiting && g.opts.MaxWait > 0 {
		return input, false // a call waits for room first, and is made smaller only if that was in vain
	}
	smaller, found := g.clamp(c, input, e)
	return smaller.input, found
}

// foretell estimates a call with exactly this input.
func (g *Guard) foretell(ctx context.Context, c *Call, input any) (Estimate, error) {
	req, err := serialised(ctx, input)
	if err != nil {
		return Estimate{}, err
	}
	if err := g.Describe(ctx, c, input, req); err != nil {
		return Estimate{}, err
	}
	// Describe has read the demand, and has put the model into the scope.
	e := Estimate{Model: c.Scope.Model, Scope: c.Scope}
	wide, err := g.wide(c)
	if err != nil {
		return Estimate{}, err
	}
	if err := c.Worst(&e.Worst, wide); err != nil {
		return Estimate{}, err
	}
	if e.Likely, err = g.likely(c, wide); err != nil {
		return Estimate{}, err
	}
	e.Refusal = g.refusal(ctx, c, &e, wide)
	return e, nil
}

// likely returns the expected cost of a call: with the input tokens that its model is usually billed for such a bound, with the mean output of its
// workflow, and without what is read from or written to the cache. The call's demand is changed for that, and put back.
func (g *Guard) likely(c *Call, wide int64) (budget.Charge, error) {
	// Guess is at least one token, even for a bound of zero.
	input := min(g.ratios.Guess(c.Scope.Model, wide), wide)
	output := c.Demand.MaxOutput
	if n, known := g.outputs.of(&c.Scope); known {
		output = min(n, output)
	}
	asked, writes := c.Demand.MaxOutput, c.Demand.Writes
	defer func() { c.Demand.MaxOutput, c.Demand.Writes = asked, writes }()
	c.Demand.MaxOutput, c.Demand.Writes = output, price.NoCacheWrites
	var likely budget.Charge
	err := c.Worst(&likely, input)
	// Worst counts all of the input as read from the cache, and as written to it. Of that nothing is expected.
	likely[budget.UnitCacheReadInputTokens], likely[budget.UnitCacheWriteInputTokens] = 0, 0
	return likely, err
}

// refusal returns the error with which a call would be refused, or nil. Like a call, it tries the tight bound if the wide one does not fit, except
// with StrictBound, and for text that the service adds (Hidden).
func (g *Guard) refusal(ctx context.Context, c *Call, e *Estimate, wide int64) error {
	asking, cancel := context.WithTimeout(ctx, g.opts.StoreTimeout)
	defer cancel()
	if err := g.killed(asking, c.Scope); err != nil {
		return err
	}
	balances, err := g.ledger.Balances(asking, c.Scope)
	if err != nil {
		return err
	}
	// This attempt is only for explain, which names the bound: it is never made.
	a := &attempt{call: c, bound: wide}
	refused := exceeded(balances, &e.Worst)
	if refused != nil && !g.opts.StrictBound && !c.Demand.Hidden {
		if err := g.tighten(ctx, a, &e.Worst); err != nil {
			return err
		}
		refused = exceeded(balances, &e.Worst)
	}
	if refused == nil {
		return nil // and not an interface that holds a nil pointer
	}
	c.limiting.input = a.bound // from which clampForetold works out a lower output limit
	c.explain(a, refused)
	return refused
}

// killed returns the error of a kill flag that holds for a scope, or of the store; nil if there is none.
func (g *Guard) killed(ctx context.Context, s budget.Scope) error {
	kills, err := g.ledger.Kills(ctx)
	if err != nil {
		return err
	}
	for _, k := range kills {
		if k.Holds(s) {
			return k.Err()
		}
	}
	return nil
}

// tighten lowers an attempt's bound to the tight bound, which is computed from the text, and worst to what the attempt can cost by that. Both stay if
// there is no tight bound, or none that is lower.
func (g *Guard) tighten(ctx context.Context, a *attempt, worst *budget.Charge) error {
	tight, err := g.tightInput(ctx, a.call) // 0 if there is no tight bound
	if err != nil || tight <= 0 || tight >= a.bound {
		return err
	}
	a.bound, a.tight = tight, true
	return a.call.Worst(worst, tight)
}

// exceeded returns a refusal for the balance that gets room last, of those without room; nil if all have room. Waiting says that no account is
// latched, and that all have room if what is pending turns out to cost nothing.
func exceeded(balances []budget.AccountBalance, worst *budget.Charge) *budget.ExceededError {
	var last *budget.ExceededError
	waiting := true
	for i := range balances {
		b := &balances[i]
		need := worst[b.Max.Unit]
		if hasRoom(b, need) {
			continue
		}
		waiting = waiting && !b.Latched && need <= b.Left().N+b.Pending.N
		if last == nil || resetsLater(b, last) {
			last = exceededBy(b, need)
		}
	}
	if last != nil {
		last.Waiting = waiting
	}
	return last
}

// hasRoom reports whether an account refuses no call that needs so much. A latched account refuses all, even a call that needs nothing of its unit.
func hasRoom(b *budget.AccountBalance, need int64) bool {
	return b.Observe || need <= b.Left().N && !b.Latched
}

// resetsLater reports whether an account gets room later than the one that refused with last. ResetAfter 0 means never, which is later than any time.
func resetsLater(b *budget.AccountBalance, last *budget.ExceededError) bool {
	if b.ResetAfter == 0 {
		return true
	}
	return last.ResetAfter != 0 && b.ResetAfter > last.ResetAfter
}

// exceededBy returns the refusal of an account that has no room for what a call needs.
func exceededBy(b *budget.AccountBalance, need int64) *budget.ExceededError {
	e := &budget.ExceededError{
		Limit: b.Limit, Scope: b.Scope, Max: b.Max, Settled: b.Settled, Pending: b.Pending,
		Requested: budget.Quantity{N: need, Unit: b.Max.Unit}, ResetAfter: b.ResetAfter, Latched: b.Latched,
	}
	if need > b.Max.N {
		e.ResetAfter = 0 // the call never fits
	}
	return e
}

// serialised returns the request that the SDK would make of an input. A client of its own makes it, and the middleware catch stops it before it is
// signed and sent. The client's region does not matter, because only the path and the body are read.
func serialised(ctx context.Context, input any) (*smithyhttp.Request, error) {
	var caught *smithyhttp.Request
	catch := middleware.FinalizeMiddlewareFunc("bedrockguard.Estimate", func(_ context.Context, in middleware.FinalizeInput, _ middleware.FinalizeHandler) (out middleware.FinalizeOutput, md middleware.Metadata, err error) {
		caught, _ = in.Request.(*smithyhttp.Request)
		return out, md, errCaught
	})
	client := bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", Credentials: aws.AnonymousCredentials{},
		APIOptions: []func(*middleware.Stack) error{func(s *middleware.Stack) error { return s.Finalize.Add(catch, middleware.Before) }},
	})
	var err error
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		_, err = client.Converse(ctx, in)
	case *bedrockruntime.ConverseStreamInput:
		_, err = client.ConverseStream(ctx, in)
	case *bedrockruntime.InvokeModelInput:
		_, err = client.InvokeModel(ctx, in)
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		_, err = client.InvokeModelWithResponseStream(ctx, in)
	}
	// The operation always ends with an error, errCaught at best, so that only the caught request shows whether it was serialised.
	if caught == nil {
		return nil, errors.Join(request.MalformedField("input", "can't be serialised"), err)
	}
	return caught, nil
}

// errCaught ends the operation that serialised has begun.
var errCaught = errors.New("bedrockguard: caught before it was sent")

// outputs remembers how many output tokens the answers of a workflow had, by model. It is safe for concurrent use; its zero value is empty.
type outputs struct {
	mu    sync.Mutex
	means map[[3]string]float64 // by outputKey; the later answers weigh more
}

// maxOutputs bounds how many means are remembered, and outputWeight is the weight of the latest answer in its mean.
const (
	maxOutputs   = 4096
	outputWeight = 0.25
)

// outputKey is the principal, the workflow and the model of a call.
func outputKey(s *budget.Scope) [3]string { return [3]string{s.Principal, s.Workflow, s.Model} }

// learn takes the output tokens of an answer into the mean.
func (o *outputs) learn(s *budget.Scope, tokens int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.means == nil {
		o.means = make(map[[3]string]float64)
	}
	key := outputKey(s)
	mean, known := o.means[key]
	if !known && len(o.means) >= maxOutputs {
		for dropped := range o.means { // some other one: it is learned again with its next answer
			delete(o.means, dropped)
			break
		}
	}
	if !known {
		// The first answer is the mean: the step below changes nothing then.
		mean = float64(tokens)
	}
	o.means[key] = mean + outputWeight*(float64(tokens)-mean)
}

// of returns the mean of output tokens, rounded, and false if no answer is known.
func (o *outputs) of(s *budget.Scope) (int64, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	mean, known := o.means[outputKey(s)]
	return int64(mean + 0.5), known
}
