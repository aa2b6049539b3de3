package bedrockguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/brakes"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/ratelimit"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// Options configures a Guard. The zero value is the strict default.
type Options struct {
	// Cache is the prompt-cache policy. The zero value switches the check off. Findings are reported as events; a refused call returns a
	// *cache.RefusedError before anything is reserved.
	Cache cache.Policy

	// Scope fills in what a call's context leaves empty, so that code that passes context.Background() has an account too. Its Model field
	// is ignored.
	Scope budget.Scope

	// Identity names the principal of every call, asked for once and remembered; package stsidentity asks AWS STS. A call
	// whose context names another principal is refused with budget.ErrInvalidScope; one whose identity can't be found
	// out, with ErrIdentity. Nil leaves the principal to the context.
	Identity func(context.Context) (string, error)

	// Models adds models to the built-in catalog, or replaces them; ReadModels reads them from JSON.
	Models []Model

	// Discounts are negotiated discounts, in thousandths off the list price, by glob of foundation-model ids: 75 is 7.5 percent, and 1 to
	// 999 are allowed. They apply to every rate and fee of a model. If several globs match, the smallest discount counts. Nil is the list
	// price.
	Discounts map[string]int64

	// ModelFor maps ids that hide their model, such as ARNs of application inference profiles, provisioned throughput,
	// custom models and prompts, to the foundation-model or profile id whose prices apply.
	ModelFor map[string]string

	// FlatPrices are the most that one call can cost in nano-USD for things without a price in the catalog: "operation:ApplyGuardrail",
	// "operation:InvokeGuardrailChecks" and "operation:StartAsyncInvoke"; "feature:guardrail" for requests that name a guardrail,
	// "feature:web_search" and other tools that run at the provider; "model:" and a glob of foundation-model ids for models that are not
	// billed by tokens, such as image models. Each is added to what the call's tokens can cost. The answer's units are posted if it reports
	// them, else the flat price. Without an entry such a call is refused. New refuses an unknown key and a price that is not positive.
	FlatPrices map[string]price.Amount

	// EnforcedGuardrails are the guardrails that the account or the organisation enforces on calls that do not name them. If an answer shows
	// another one, that is an event, and later calls reserve for it.
	EnforcedGuardrails []Guardrail

	// Rate limits uncached input tokens per minute. The zero value does not limit.
	Rate Rate

	// Outcomes overrides what is charged for an attempt without reported usage. By default its reservation is given back if nothing was sent, if
	// another guard refused it, and after an error of Bedrock's own with the status 400, 403, 404, 429 or 503, because the service refuses
	// before inference then. All others are charged their worst case.
	Outcomes map[Outcome]Action

	// StrictBound always reserves the bound of tokens that follows from the length of the request in bytes. By default, if the budget has no
	// room for that bound, a tighter one is tried, which is computed from the kinds of text in the prompt.
	StrictBound bool

	// Shadow refuses nothing for lack of room, rate, a price or a store, and only reports what would have been refused: by EventDenied and in
	// Guard.ShadowReport. All events of such a guard have Event.Shadow set. A call that is only let through by Shadow counts against no limit,
	// so that later calls are judged as if it had been refused. A kill is always enforced.
	Shadow bool

	// Output sets the output limit of requests that have none, and lowers it to what the budget has left instead of refusing.
	Output Output

	// Substitute is asked before each Converse and ConverseStream of the SDK which model should answer the call instead; false keeps the
	// model. It is told how full the call's limits are, which are read once for this. The caller's request is not changed. The call is priced
	// and limited as one of the substitute. A substitute that can cost more in any class, such as cache reads, is not used. EventSubstituted
	// reports whether it is used or not. Substitute may be called concurrently.
	Substitute func(context.Context, Pressure) (modelID string, ok bool)

	// Brakes stop agents that repeat themselves.
	Brakes Brakes

	// ReservationTTL is how long an attempt may take before its worst case is charged; its late settlement corrects that.
	// Zero is budget.DefaultTTL.
	ReservationTTL time.Duration

	// StoreTimeout bounds the total time that a call waits for the store before it is sent; if the store does not answer by then, the call
	// is refused with budget.ErrStore. Zero is two seconds.
	StoreTimeout time.Duration

	// MaxWait is how long a call may wait for room that other calls have reserved, at most five minutes. If its limits lack room only
	// because of pending calls, it waits for its turn instead of being refused; see budget.Ledger.Wait. With Output.Clamp it is clamped
	// after that. Zero does not wait.
	MaxWait time.Duration

	// SettleTimeout bounds the time that a finished call waits for the store, independent of the caller's context: an attempt that can't be
	// settled by then is charged its worst case when it expires. Zero is two seconds. If the store does not answer, a call waits in total
	// for at most the longer of StoreTimeout and SettleTimeout, however often it is sent.
	SettleTimeout time.Duration

	// DrainTimeout is how long an answer is read on in the background if its caller cancels, times out or closes the stream, to learn its
	// usage instead of charging the worst case: Bedrock bills it in any case. The transport runs under a context of its own for that. Zero
	// is one minute; a negative value switches it off. Close waits for answers that are read on.
	DrainTimeout time.Duration

	// MaxDrains is how many answers are read on at once, at most; if more callers leave, their calls are charged with the worst case. Zero
	// is 256.
	MaxDrains int

	// KillPoll is how often running streams ask the store whether they were killed. Zero is 250 milliseconds.
	KillPoll time.Duration

	// ReservationHeader, if set, is the name of an HTTP header with each attempt's reservation id, for proxies and simulators that keep
	// their own bill. Empty sends none.
	ReservationHeader string

	// Clock is the clock by which the prompt-cache check measures pauses between calls, for tests and replays. Nil is time.Now.
	Clock func() time.Time

	// OnEvent is called with each event. The call, the stream, or the goroutine that reads an answer on waits for it up to a second, and
	// then goes on without it. It must be safe for concurrent use. While 256 calls of it run, further events are dropped and counted in
	// Event.Dropped. Its context has the caller's values and does not end with the call.
	OnEvent func(context.Context, Event)

	// Listeners get the same events, each in a goroutine of its own, one event after the other; events of one call keep their order. No call
	// waits for them. An event that finds a listener's queue full is dropped and counted in Event.Dropped. Close waits until the queues are
	// empty.
	//
	// OnEvent and Listeners may do anything: panic, which the others get as EventListenerFailed, end their goroutine, close the stream, or
	// make guarded calls. Events of calls that are made with a listener's context are not delivered to that listener.
	Listeners []func(context.Context, Event)

	// ListenerQueue is how many events may be queued for each of Listeners. Zero is 1,024.
	ListenerQueue int
}

// Rate is a token bucket of uncached input tokens for each scope, in this process. The zero value does not limit.
type Rate struct {
	// UncachedInputTokensPerMinute is how fast the bucket refills. Zero switches the limit off.
	UncachedInputTokensPerMinute int64
	// Burst is the bucket's size in tokens. Zero is one minute's worth.
	Burst int64
	// Per splits the bucket by dimensions of the scope. Zero is one bucket for all calls.
	Per budget.Per
	// MaxWait is how long a call may wait for its tokens, at most five minutes. Zero refuses at once.
	MaxWait time.Duration
}

// validate calls add for each check, with true and the text of the error if the settings fail it.
func (r *Rate) validate(add func(bad bool, format string, args ...any)) {
	add(r.UncachedInputTokensPerMinute < 0, "Rate of %d tokens per minute is negative", r.UncachedInputTokensPerMinute)
	// The limiter takes the burst as an int, which may have 32 bits.
	add(r.Burst < 0 || r.Burst > 1<<31-1, "Rate.Burst %d is out of range", r.Burst)
	add(r.MaxWait < 0 || r.MaxWait > maxRateWait, "Rate.MaxWait %s is not in 0 to %s", r.MaxWait, maxRateWait)
	add(r.UncachedInputTokensPerMinute == 0 && *r != Rate{}, "Rate has settings but no UncachedInputTokensPerMinute")
}

// Brakes stop agents that repeat themselves before they have spent their budget. Each field is the number of consecutive repeats that are
// allowed, counted for each principal, workflow and set of tags in this process; any other request resets the count. The zero value stops
// nothing. For calls or dollars per minute use a limit of the budget with budget.Rolling(time.Minute).
type Brakes struct {
	// Identical is how many consecutive requests may be the same, byte for byte. Calls that repeat one on purpose, such as several samples
	// of one prompt, count too.
	Identical int
	// ToolErrors is how many consecutive turns may have the same error of a tool. Errors are recognised by Converse's status and by
	// Anthropic's is_error; other dialects have no such field.
	ToolErrors int
	// Stalled is how many consecutive turns may repeat one of the workflow's last 64 turns: the same use of a tool, or the same text, with the
	// same result. Turns that differ only in ids or reasoning count as repeats.
	Stalled int
	// Report lets calls beyond these numbers through and emits EventLooping. Otherwise they are refused with a *LoopError.
	Report bool
}

// validate calls add for each check, with true and the text of the error if the settings fail it.
func (b *Brakes) validate(add func(bad bool, format string, args ...any)) {
	add(b.Identical < 0 || b.ToolErrors < 0 || b.Stalled < 0, "Brakes are negative: %d, %d, %d", b.Identical, b.ToolErrors, b.Stalled)
	add(b.Report && *b == Brakes{Report: true}, "Brakes.Report has nothing to report: set one of the others")
}

// Guardrail is an Amazon Bedrock guardrail that evaluates calls although they do not name it, because the account or the organisation
// enforces it. A request does not show that, so Options.EnforcedGuardrails has to declare it.
type Guardrail struct {
	// ID is the guardrail's id or ARN, as answers name it. Required.
	ID string
	// TextUnit is the price of one text unit of up to 1,000 characters under all policies of the guardrail together. Zero is the list price
	// of all existing policies.
	TextUnit price.Amount
	// Image is what one image costs. Zero is the list price.
	Image price.Amount
}

// validate returns the first reason why the guardrail can't be used.
func (g Guardrail) validate() error {
	if g.ID == "" {
		return errors.New("EnforcedGuardrails has one without an ID")
	}
	if g.TextUnit < 0 || g.Image < 0 {
		return fmt.Errorf("EnforcedGuardrails has a negative price for %q", g.ID)
	}
	return nil
}

// Output says what happens to the output limit of a request: the most tokens that its answer may have, which are reserved in full. The
// caller's own values are not changed; EventOutputLimited says what is sent instead. The zero value changes nothing.
type Output struct {
	// Default is the limit, in tokens, for a request that sets none; a model with a lower limit keeps that. Zero sets none: then all that
	// the model can write is reserved.
	Default int32
	// Clamp lowers the limit of a request to what the budget has left, if the request would be refused for lack of room. If even Floor does not
	// fit, Clamp also leaves the cache points out where that makes room: what is written to the cache costs more than other input.
	// EventPointsRemoved tells of that.
	Clamp bool
	// Floor is the lowest limit that Clamp sets, in tokens; a request that does not fit even so is refused. The limit always stays above a
	// thinking budget. Zero is 256.
	Floor int32
}

// validate calls add for each check, with true and the text of the error if the settings fail it.
func (o *Output) validate(add func(bad bool, format string, args ...any)) {
	add(o.Default < 0, "Output.Default %d is negative", o.Default)
	add(o.Floor < 0, "Output.Floor %d is negative", o.Floor)
	add(o.Floor > 0 && !o.Clamp, "Output.Floor %d is of no use without Output.Clamp", o.Floor)
}

// The defaults of the options with these names, and the most that a call may wait.
const (
	defaultStoreTimeout  = 2 * time.Second
	defaultSettleTimeout = 2 * time.Second
	defaultKillPoll      = 250 * time.Millisecond
	defaultDrainTimeout  = time.Minute
	defaultMaxDrains     = 256
	defaultListenerQueue = 1024
	maxRateWait          = 5 * time.Minute // bounds Options.MaxWait and Rate.MaxWait: a signed request expires at this age
)

// fillDefaults replaces zeros with the defaults.
func (o *Options) fillDefaults() {
	// ReservationTTL, Output.Floor and Rate.Burst keep their zeros here: budget, chain and ratelimit fill these in.
	o.StoreTimeout = cmp.Or(o.StoreTimeout, defaultStoreTimeout)
	o.SettleTimeout = cmp.Or(o.SettleTimeout, defaultSettleTimeout)
	o.KillPoll = cmp.Or(o.KillPoll, defaultKillPoll)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, defaultDrainTimeout)
	o.MaxDrains = cmp.Or(o.MaxDrains, defaultMaxDrains)
	o.ListenerQueue = cmp.Or(o.ListenerQueue, defaultListenerQueue)
}

// config returns the options in the form in which package chain takes them. They were validated, and models holds what Models, ModelFor and
// Discounts change of the catalog.
func (o *Options) config(models *catalog.Catalog) chain.Config {
	flat, _ := pricing.NewFlatPrices(o.FlatPrices) // validated before
	declared := make([]pricing.Guardrail, len(o.EnforcedGuardrails))
	for i, one := range o.EnforcedGuardrails {
		declared[i] = pricing.Guardrail(one)
	}
	return chain.Config{
		Cache: o.Cache, Scope: o.Scope, Identity: o.Identity, Models: models, FlatPrices: flat, EnforcedGuardrails: declared,
		Rate: ratelimit.Rule(o.Rate), Outcomes: o.Outcomes, StrictBound: o.StrictBound, Shadow: o.Shadow, Output: chain.Output(o.Output),
		Substitute: o.substitute(), Brakes: brakes.Numbers(o.Brakes), ReservationTTL: o.ReservationTTL, StoreTimeout: o.StoreTimeout,
		MaxWait: o.MaxWait, SettleTimeout: o.SettleTimeout, DrainTimeout: o.DrainTimeout, MaxDrains: o.MaxDrains, KillPoll: o.KillPoll,
		ReservationHeader: o.ReservationHeader, Clock: o.Clock, OnEvent: o.OnEvent, Listeners: o.Listeners, ListenerQueue: o.ListenerQueue,
	}
}

// substitute returns Options.Substitute with the chain's own Pressure, which has the same fields; nil if there is none.
func (o *Options) substitute() func(context.Context, chain.Pressure) (string, bool) {
	ask := o.Substitute
	if ask == nil {
		return nil
	}
	return func(ctx context.Context, p chain.Pressure) (string, bool) { return ask(ctx, Pressure(p)) }
}

// validate returns every reason why the options can't be used, joined.
func (o Options) validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) { // adds an error if bad
		if bad {
			// The %w in front takes the first argument.
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrInvalidOptions}, args...)...))
		}
	}
	wrap := func(err error) { // adds an error of a part of the options, unless it is nil
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrInvalidOptions, err))
		}
	}
	wrap(o.Cache.Validate())
	wrap(o.Scope.Validate())
	o.Output.validate(add)
	o.Brakes.validate(add)
	o.validateTimes(add)
	o.Rate.validate(add)
	_, err := pricing.NewFlatPrices(o.FlatPrices)
	wrap(err)
	for _, g := range o.EnforcedGuardrails {
		wrap(g.validate())
	}
	for outcome, action := range o.Outcomes {
		add(!overridable(outcome), "Outcomes names %q, which is no outcome without usage", outcome)
		add(action != event.Void && action != event.ChargeReserved, "Outcomes gives %q the unknown action %d", outcome, action)
	}
	return errors.Join(errs...)
}

// validateTimes calls add for each check of the times that a call or an answer may take, and of what waits meanwhile.
func (o *Options) validateTimes(add func(bad bool, format string, args ...any)) {
	// DrainTimeout is not checked: a negative one says that no answer is read on.
	add(o.ReservationTTL < 0, "ReservationTTL %s is negative", o.ReservationTTL)
	add(o.SettleTimeout < 0, "SettleTimeout %s is negative", o.SettleTimeout)
	add(o.StoreTimeout < 0, "StoreTimeout %s is negative", o.StoreTimeout)
	add(o.MaxWait < 0 || o.MaxWait > maxRateWait, "MaxWait %s is not in 0 to %s", o.MaxWait, maxRateWait)
	add(o.ListenerQueue < 0, "ListenerQueue %d is negative", o.ListenerQueue)
	add(slices.ContainsFunc(o.Listeners, func(l func(context.Context, event.Event)) bool { return l == nil }), "Listeners holds a nil function")
	add(o.MaxDrains < 0, "MaxDrains %d is negative", o.MaxDrains)
	add(o.KillPoll < 0, "KillPoll %s is negative", o.KillPoll)
}

// overridable reports whether Options.Outcomes may name an outcome: one without reported usage, such as an HTTP error. The prefixes are those of
// event.OutcomeStatus and event.OutcomeProxyStatus.
func overridable(o event.Outcome) bool {
	code, ok := strings.CutPrefix(string(o), "proxy-http-")
	if !ok {
		code, ok = strings.CutPrefix(string(o), "http-")
	}
	if ok {
		n, err := strconv.Atoi(code)
		return err == nil && n >= 100 && n <= 599
	}
	switch o {
	case event.OutcomeNotSent, event.OutcomeRefused, event.OutcomeNoUsage, event.OutcomeBroken, event.OutcomeAbandoned, event.OutcomeKilled:
		return true
	default:
		return false
	}
}
