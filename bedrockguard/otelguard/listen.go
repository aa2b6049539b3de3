package otelguard

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// Listen counts an event of a guard: put it into bedrockguard.Options.Listeners.
func (t *Telemetry) Listen(ctx context.Context, e bedrockguard.Event) {
	if e.Dropped > 0 {
		t.instruments.dropped.Add(ctx, e.Dropped)
	}
	switch e.Kind {
	case bedrockguard.EventReserved: // nothing is counted before the call is settled or voided
	case bedrockguard.EventSettled:
		t.settled(ctx, &e)
	case bedrockguard.EventVoided:
		// What was never sent has no duration that would say anything of the service.
		if e.Outcome != bedrockguard.OutcomeNotSent {
			t.timed(ctx, &e)
		}
	case bedrockguard.EventDenied, bedrockguard.EventObserved:
		t.refused(ctx, &e)
	case bedrockguard.EventKilled:
		stage := "call" // refused before anything was reserved
		if e.Reservation != (budget.ID{}) {
			stage = "stream" // ended while it ran
		}
		t.count(ctx, t.instruments.kills, metricKills, []attribute.KeyValue{attribute.String(keyStage, stage)}, t.caller(&e))
	case bedrockguard.EventThresholdCrossed:
		// The policy chooses limit and threshold. They are passed as if callers chose them, so that the number of their pairs is bounded too.
		threshold := strconv.FormatFloat(e.Crossed.Fraction, 'g', -1, 64)
		t.count(ctx, t.instruments.thresholds, metricThresholds, nil, []attribute.KeyValue{t.cardinality.value(keyLimit, e.Crossed.Limit), t.cardinality.value(keyThreshold, threshold)})
	case bedrockguard.EventCacheFinding:
		t.count(ctx, t.instruments.findings, metricFindings, []attribute.KeyValue{attribute.String(keyRule, string(e.Finding.Rule))}, t.caller(&e))
	default: // all other kinds are warnings
		t.count(ctx, t.instruments.warnings, metricWarnings, []attribute.KeyValue{attribute.String(keyWarning, string(e.Kind))}, nil)
	}
}

// count adds 1 to the counter of a metric, which has this name. fixed are attributes that have few values by their nature; caller are those whose
// values callers chose, so that cardinality.set replaces them by "other" once there are too many.
func (t *Telemetry) count(ctx context.Context, c metric.Int64Counter, name string, fixed, caller []attribute.KeyValue) {
	c.Add(ctx, 1, metric.WithAttributeSet(t.cardinality.set(name, fixed, caller)))
}

// caller returns the attributes for the scope of the call, without empty values.
func (t *Telemetry) caller(e *bedrockguard.Event) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, t.cardinality.value(key, value))
		}
	}
	add(keyWorkflow, e.Scope.Workflow)
	add(keyPrincipal, e.Scope.Principal)
	for _, name := range t.opts.Tags {
		add(keyTag+name, e.Scope.Tags[name])
	}
	return attrs
}

// settled adds what was charged for a call to the metrics. If that is the worst case because the actual cost is not known (Estimated), only its
// money is added: its tokens are an upper bound, and would make the counts of tokens wrong.
func (t *Telemetry) settled(ctx context.Context, e *bedrockguard.Event) {
	t.timed(ctx, e)
	// Callers choose the model as well, so it is among the attributes that may have too many values.
	caller := append(t.caller(e), t.model(e))
	// split gives all money of a worst case to one class, and all money without a list price to another.
	for class, nano := range split(e) {
		if nano != 0 {
			fixed := []attribute.KeyValue{attribute.String(keyClass, class)}
			t.instruments.spend.Add(ctx, float64(nano)/1e9, metric.WithAttributeSet(t.cardinality.set(metricSpend, fixed, caller)))
		}
	}
	if e.Estimated {
		return
	}
	for i, tokens := range classesOf(&e.Usage) {
		if tokens > 0 {
			fixed := []attribute.KeyValue{attribute.String(keyClass, classes[i])}
			t.instruments.tokens.Add(ctx, tokens, metric.WithAttributeSet(t.cardinality.set(metricTokens, fixed, caller)))
		}
	}
	call := t.operation(e)
	for kind, tokens := range map[string]int64{tokenTypeInput: e.Usage.InputTokens, tokenTypeOutput: e.Usage.OutputTokens} {
		set := t.cardinality.set(metricTokenUsage, append([]attribute.KeyValue{attribute.String(keyTokenType, kind)}, call...), nil)
		t.instruments.tokenUsage.Record(ctx, tokens, metric.WithAttributeSet(set))
	}
}

// timed records how long an attempt took.
func (t *Telemetry) timed(ctx context.Context, e *bedrockguard.Event) {
	call := t.operation(e)
	// OutcomeUsage is an answer with its usage. Any other outcome is a failure, or an answer without usage.
	if e.Outcome != bedrockguard.OutcomeUsage {
		call = append(call, t.cardinality.value(keyErrorType, string(e.Outcome)))
	}
	t.instruments.duration.Record(ctx, e.Duration.Seconds(), metric.WithAttributeSet(t.cardinality.set(metricDuration, call, nil)))
}

// operation returns the attributes for the operation, as OpenTelemetry's conventions for generative AI define them.
func (t *Telemetry) operation(e *bedrockguard.Event) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String(keyOperation, operationOf(e.Model)), attribute.String(keyProvider, provider), t.model(e)}
}

// model returns the attribute for the model of an event.
func (t *Telemetry) model(e *bedrockguard.Event) attribute.KeyValue {
	return t.cardinality.value(keyRequestModel, e.Model)
}

// modes has the operation of each model of the built-in table that is not for chat, by the model's id.
var modes = sync.OnceValue(func() map[string]string {
	known := make(map[string]string)
	for m := range bedrockguard.Models() {
		switch m.Mode {
		case "", bedrockguard.ModeChat:
		case bedrockguard.ModeEmbedding:
			known[m.ID] = operationEmbed
		default:
			known[m.ID] = operationOther
		}
	}
	return known
})

// operationOf returns the conventions' name for what a model does. A model that is not in the table counts as one for chat.
func operationOf(model string) string {
	if operation, ok := modes()[model]; ok {
		return operation
	}
	return operationChat
}

// refused counts a refusal, or a call that only an observe-only limit or shadow mode has let through.
func (t *Telemetry) refused(ctx context.Context, e *bedrockguard.Event) {
	enforced := e.Kind == bedrockguard.EventDenied && !e.Shadow
	fixed := []attribute.KeyValue{attribute.String(keyReason, reasonOf(e.Err)), attribute.Bool(keyEnforced, enforced)}
	caller := t.caller(e)
	if limit := limitOf(e.Err); limit != "" {
		fixed = append(fixed, t.cardinality.value(keyLimit, limit))
	}
	t.count(ctx, t.instruments.refusals, metricRefusals, fixed, caller)
}

// reasons are the reasons for which a call can be refused, with their values of the attribute keyReason.
var reasons = []struct {
	err  error
	name string
}{
	{bedrockguard.ErrBudgetExceeded, "limit"},
	{budget.ErrStore, "store"},
	{bedrockguard.ErrRateLimited, "rate"},
	{bedrockguard.ErrLooping, "loop"},
	{cache.ErrRefused, "cache"},
	{bedrockguard.ErrUnpriced, "unpriced"},
	{bedrockguard.ErrUnsupportedOperation, "unsupported"},
	{bedrockguard.ErrMalformedRequest, "malformed"},
	{bedrockguard.ErrIdentity, "identity"},
	{budget.ErrInvalidScope, "scope"},
}

// reasonOf returns the first reason in reasons that an error is, or other.
func reasonOf(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return other
}

// limitOf returns the name of the limit that refused a call; empty if something else did.
func limitOf(err error) string {
	var exceeded *budget.ExceededError
	if errors.As(err, &exceeded) {
		return exceeded.Limit
	}
	return ""
}
