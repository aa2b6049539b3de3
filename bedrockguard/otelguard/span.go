package otelguard

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Annotate sets attributes on the span of the call's context: the tokens, money and refusals of an event. It makes no span. Put it into
// bedrockguard.Options.OnEvent, for which the call waits: a span that has ended can't be changed, so that in Options.Listeners it would
// mostly be too late. Each attempt overwrites the attributes of the one before; give each call a span of its own, as the AWS SDK's and
// Anthropic's instrumentation do.
func Annotate(ctx context.Context, e bedrockguard.Event) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	switch e.Kind {
	case bedrockguard.EventReserved:
		span.SetAttributes(append(callAttributes(&e), attribute.Float64(keyWorst, dollars(&e.Worst)), attribute.String(keyReservation, e.Reservation.String()),
			attribute.Int(keyAttempt, e.Attempt))...)
	case bedrockguard.EventSettled:
		span.SetAttributes(settledAttributes(&e)...)
	case bedrockguard.EventDenied, bedrockguard.EventKilled, bedrockguard.EventObserved:
		span.SetAttributes(refusedAttributes(&e)...)
	default:
	}
}

// callAttributes returns the attributes that say which call it is and whose.
func callAttributes(e *bedrockguard.Event) []attribute.KeyValue {
	attrs := []attribute.KeyValue{attribute.String(keyOperation, operationOf(e.Model)), attribute.String(keyProvider, provider)}
	for _, a := range [...]struct{ key, value string }{
		{keyRequestModel, e.Model}, {keyRegion, e.Region}, {keyWorkflowName, e.Scope.Workflow}, {keyPrincipal, e.Scope.Principal}, {keyRequestID, e.RequestID},
	} {
		if a.value != "" {
			attrs = append(attrs, attribute.String(a.key, clean(a.value)))
		}
	}
	return attrs
}

// settledAttributes returns the attributes for what a call was charged. A worst case that was charged because the cost is not known has no tokens.
func settledAttributes(e *bedrockguard.Event) []attribute.KeyValue {
	attrs := append(callAttributes(e), attribute.Float64(keyActual, dollars(&e.Actual)), attribute.Bool(keyEstimated, e.Estimated))
	if e.Estimated {
		return attrs
	}
	u := &e.Usage
	return append(attrs,
		attribute.Int64(keyInputTokens, u.InputTokens), attribute.Int64(keyOutputTokens, u.OutputTokens),
		attribute.Int64(keyCacheReadTokens, u.CacheReadInputTokens), attribute.Int64(keyCacheWriteTokens, u.CacheWrite5mInputTokens+u.CacheWrite1hInputTokens))
}

// refusedAttributes returns the attributes for a call that was refused or stopped, or would have been: then keyEnforced is false.
func refusedAttributes(e *bedrockguard.Event) []attribute.KeyValue {
	reason := "killed"
	if e.Kind != bedrockguard.EventKilled {
		reason = reasonOf(e.Err)
	}
	enforced := e.Kind == bedrockguard.EventKilled || e.Kind == bedrockguard.EventDenied && !e.Shadow
	attrs := append(callAttributes(e), attribute.String(keyReason, reason), attribute.Bool(keyEnforced, enforced))
	// limitOf returns nothing if something other than a limit has refused the call.
	if limit := limitOf(e.Err); limit != "" {
		attrs = append(attrs, attribute.String(keyLimit, clean(limit)))
	}
	return attrs
}

// dollars returns a charge's money, which is in nano-USD, in dollars.
func dollars(c *budget.Charge) float64 { return float64(c[budget.UnitUSD]) / 1e9 }
