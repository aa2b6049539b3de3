package bedrockguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// Options configures a Guard. The zero value is the strict default.
type Options struct {
	// Cache is the prompt-cache policy. The zero value does not look. Findings arrive as events; a refused call returns a
	// *cache.RefusedError before anything is reserved.
	Cache cache.Policy

	// Scope fills in what a call's context leaves open: it is how code that passes context.Background() gets an account.
	// Its Model field is ignored.
	Scope budget.Scope

	// Identity names the principal of every call, asked for once and remembered; package stsidentity asks AWS STS. A call
	// whose context names another principal is refused with budget.ErrInvalidScope; one whose identity can't be found
	// out, with ErrIdentity. Nil leaves the principal to the context.
	Identity func(context.Context) (string, error)

	// Models adds models to the built-in catalog, or replaces them; ReadModels reads them from JSON.
	Models []Model

	// Discounts are negotiated, in thousandths off the list price, by glob of foundation-model ids: 75 is 7.5 percent, and 1 to 999
	// are allowed. They apply to every rate and fee of a model. Of several globs that match, the smallest discount counts. Nil is the
	// list price.
	Discounts map[string]int64

	// ModelFor maps ids that hide their model, such as ARNs of application inference profiles, provisioned throughput,
	// custom models and prompts, to the foundation-model or profile id whose prices apply.
	ModelFor map[string]string

	// FlatPrices are the most that one call can cost in nano-USD where nothing else is known, by what it uses:
	// "operation:ApplyGuardrail", "operation:InvokeGuardrailChecks" and "operation:StartAsyncInvoke"; "feature:guardrail" for
	// requests that name a guardrail, "feature:web_search" and other tools that run at the provider; "model:" and a glob of
	// foundation-model ids for models that are not billed by tokens, such as image models. Each is added to what the call's tokens
	// can cost. What an answer tells is posted instead; what it does not tell is posted at the flat price. Without an entry such a
	// call is refused. New refuses an unknown key and a price that is not positive.
	FlatPrices map[string]price.Amount

	// EnforcedGuardrails are the guardrails that the account or the organisation enforces on calls that do not name them. An answer
	// that shows one which is not declared is an event, and from then on it is reserved for.
	EnforcedGuardrails []Guardrail

	// Rate limits uncached input tokens per minute. The zero value does not limit.
	Rate Rate

	// Outcomes overrides rows of the table of what is charged for an attempt that told no usage.
	Outcomes map[Outcome]Action

	// StrictBound always reserves the byte-length bound. By default, when that bound is refused, a tighter one is
	// tried: a token count of the prompt times a safety factor that is learned per model.
	StrictBound bool

	// Shadow refuses nothing for want of room, rate, a price or a store, and tells what enforcing would have refused: by EventDenied, with
	// Event.Shadow set as in all of its events, and by Guard.ShadowReport. What is let through counts against no limit, so that what is
	// foretold is what enforcing does, call by call. A kill is a person's act, and is carried out.
	Shadow bool

	// Output sets the output limit of requests that have none, and lowers it into what is left instead of refusing.
	Output Output

	// Substitute is asked before each Converse and ConverseStream of the SDK which model is to answer it instead, by what is left, with one
	// look at the balances; false keeps the one that was asked for. The caller's request stays as it is. The call is priced and limited
	// as the substitute's, which is not taken where it can cost more in any class: EventSubstituted tells of both. It may be called at the same
	// time from many calls.
	Substitute func(context.Context, Pressure) (modelID string, ok bool)

	// Brakes stop agents that run in circles.
	Brakes Brakes

	// ReservationTTL is how long an attempt may take before its worst case is charged; its late settlement corrects that.
	// Zero is budget.DefaultTTL.
	ReservationTTL time.Duration

	// StoreTimeout bounds the time that a call waits for the store before it is sent, all in all; a store that does not answer by
	// then refuses it with budget.ErrStore. Zero is two seconds.
	StoreTimeout time.Duration

	// MaxWait is how long a call may wait for room that others hold, at most five minutes: where its limits have room but for what is
	// pending, it is served in its turn instead of being refused; see budget.Ledger.Wait. With Output.Clamp it is clamped after that. Zero
	// waits for nobody.
	MaxWait time.Duration

	// SettleTimeout bounds the time that a finished call waits for the store, detached from the caller's context: an attempt that
	// can't be settled by then is charged its worst case when it expires. Zero is two seconds. A call that lost time to a store that
	// did not answer loses no more than the longer of both, however often it is sent.
	SettleTimeout time.Duration

	// DrainTimeout is how long an answer is read on in the background when its caller cancels, times out or closes the stream, to
	// learn the truth instead of charging the worst case: Bedrock bills it either way. The transport runs under a context of its
	// own for that. Zero is one minute; a negative value switches it off. Close waits for answers that are read on.
	DrainTimeout time.Duration

	// MaxDrains is how many answers are read on at once, at most; a call whose caller leaves beyond that is charged its worst
	// case. Zero is 256.
	MaxDrains int

	// KillPoll is how often running streams ask the store whether they were killed. Zero is 250 milliseconds.
	KillPoll time.Duration

	// ReservationHeader, if set, is the name of an HTTP header that carries each attempt's reservation id, for proxies and
	// simulators that keep a bill of their own. Empty sends nothing.
	ReservationHeader string

	// Clock is the time by which the prompt-cache check measures pauses, for tests and replays. Nil is time.Now.
	Clock func() time.Time

	// OnEvent is told what becomes of every attempt, while the call waits for it, or the stream, or the answer that is read on, for up
	// to a second; then it is left behind. It must be safe for concurrent use. With 256 of it running, further events are dropped and
	// counted in Event.Dropped. Its context holds the values of the caller's and does not end with the call.
	OnEvent func(context.Context, Event)

	// Listeners are told the same, each in a goroutine of its own, one event after the other, in the order in which each call gives
	// them; no call waits for them. An event that finds a listener's queue full is dropped and counted in Event.Dropped. Close waits
	// for what is queued.
	//
	// OnEvent and Listeners may do anything: panic, which is told to the others as EventListenerFailed, end their goroutine, close
	// the stream, or make guarded calls. Calls that are made with the context that a listener got are not told to that listener.
	Listeners []func(context.Context, Event)

	// ListenerQueue is how many events wait for each of Listeners at most. Zero is 1,024.
	ListenerQueue int
}

// Rate is a token bucket of uncached input tokens for each scope, in this process. The zero value does not limit.
type Rate struct {
	// UncachedInputTokensPerMinute is what flows into the bucket. Zero switches the limit off.
	UncachedInputTokensPerMinute int64
	// Burst is the bucket's size in tokens. Zero is one minute's worth.
	Burst int64
	// Per splits the bucket by dimensions of the scope. Zero is one bucket for all calls.
	Per budget.Per
	// MaxWait is how long a call may wait for its tokens, at most five minutes. Zero refuses at once.
	MaxWait time.Duration
}

const (
	defaultStoreTimeout  = 2 * time.Second
	defaultSettleTimeout = 2 * time.Second
	defaultKillPoll      = 250 * time.Millisecond
	defaultDrainTimeout  = time.Minute
	defaultMaxDrains     = 256
	maxRateWait          = 5 * time.Minute // of the age at which a signed request expires
)

// fillDefaults puts the defaults in the place of zeros.
func (o *Options) fillDefaults() {
	o.StoreTimeout = cmp.Or(o.StoreTimeout, defaultStoreTimeout)
	o.SettleTimeout = cmp.Or(o.SettleTimeout, defaultSettleTimeout)
	o.KillPoll = cmp.Or(o.KillPoll, defaultKillPoll)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, defaultDrainTimeout)
	o.MaxDrains = cmp.Or(o.MaxDrains, defaultMaxDrains)
	o.ListenerQueue = cmp.Or(o.ListenerQueue, defaultListenerQueue)
}

// validate returns every reason why the options can't be used, joined.
func (o Options) validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrInvalidOptions}, args...)...))
		}
	}
	if err := o.Cache.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrInvalidOptions, err))
	}
	if err := o.Scope.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrInvalidOptions, err))
	}
	o.Output.validate(add)
	o.Brakes.validate(add)
	add(o.ReservationTTL < 0, "ReservationTTL %s is negative", o.ReservationTTL)
	add(o.SettleTimeout < 0, "SettleTimeout %s is negative", o.SettleTimeout)
	add(o.StoreTimeout < 0, "StoreTimeout %s is negative", o.StoreTimeout)
	add(o.MaxWait < 0 || o.MaxWait > maxRateWait, "MaxWait %s is not in 0 to %s", o.MaxWait, maxRateWait)
	add(o.ListenerQueue < 0, "ListenerQueue %d is negative", o.ListenerQueue)
	add(slices.ContainsFunc(o.Listeners, func(l func(context.Context, Event)) bool { return l == nil }), "Listeners holds a nil function")
	add(o.MaxDrains < 0, "MaxDrains %d is negative", o.MaxDrains)
	add(o.KillPoll < 0, "KillPoll %s is negative", o.KillPoll)
	add(o.Rate.UncachedInputTokensPerMinute < 0, "Rate of %d tokens per minute is negative", o.Rate.UncachedInputTokensPerMinute)
	add(o.Rate.Burst < 0 || o.Rate.Burst > 1<<31-1, "Rate.Burst %d is out of range", o.Rate.Burst)
	add(o.Rate.MaxWait < 0 || o.Rate.MaxWait > maxRateWait, "Rate.MaxWait %s is not in 0 to %s", o.Rate.MaxWait, maxRateWait)
	add(o.Rate.UncachedInputTokensPerMinute == 0 && o.Rate != Rate{}, "Rate has settings but no UncachedInputTokensPerMinute")
	if _, err := newFlatPrices(o.FlatPrices); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrInvalidOptions, err))
	}
	for _, g := range o.EnforcedGuardrails {
		if err := g.validate(); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrInvalidOptions, err))
		}
	}
	for outcome, action := range o.Outcomes {
		add(!outcome.overridable(), "Outcomes names %q, which is no outcome without usage", outcome)
		add(action != Void && action != ChargeReserved, "Outcomes gives %q the unknown action %d", outcome, action)
	}
	return errors.Join(errs...)
}
