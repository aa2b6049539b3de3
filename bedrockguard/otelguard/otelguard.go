// Package otelguard reports to OpenTelemetry what a guard does: metrics with [Telemetry.Listen], attributes of spans with [Annotate].
//
//	telemetry, err := otelguard.New(otelguard.Options{Ledger: ledger})
//	guard, err := bedrockguard.New(ledger, bedrockguard.Options{
//		Listeners: []func(context.Context, bedrockguard.Event){telemetry.Listen},
//		OnEvent:   otelguard.Annotate,
//	})
//
// Names are those of OpenTelemetry's conventions for generative AI where these have one, and otherwise begin with "bedrockguard.";
// docs/metrics.md has the table. No metric and no attribute has text of a prompt or an answer, and the number of series is bounded whatever
// callers put into their scopes: see Options.MaxValues and Options.MaxSeries.
package otelguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Name is the name of the meter.
const Name = "github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"

// Options configures New. The zero value is ready to use, and reports no limits.
type Options struct {
	// MeterProvider makes the instruments. Nil is the global one.
	MeterProvider metric.MeterProvider

	// Ledger is the ledger whose limits are reported. Nil reports none.
	Ledger *budget.Ledger

	// Every is how long the balances that were read from the ledger are used, at least, for further collections. If reading them took long,
	// they are used for nine times as long, so that the store spends at most a tenth of its time on this. Zero is 10 seconds.
	Every time.Duration

	// Tags are the tags of scopes that become attributes, as "bedrockguard.tag." and the name. None by default.
	Tags []string

	// MaxValues is how many values an attribute such as the workflow has at most: the first ones keep their names, all later ones become
	// "other". It is also how many accounts of each limit are reported by name, the fullest; the others are added up. Zero is 100.
	MaxValues int

	// MaxSeries is how many sets of attributes a metric has at most; in later ones the attributes of the caller become "other". Zero is
	// 1,000.
	MaxSeries int
}

// The defaults of Options.
const (
	defaultEvery     = 10 * time.Second
	defaultMaxValues = 100
	defaultMaxSeries = 1000
)

// ErrInvalidOptions says that New can't use the options.
var ErrInvalidOptions = errors.New("otelguard: invalid options")

// Telemetry turns events into metrics. It is safe for concurrent use, and for several guards of one ledger.
type Telemetry struct {
	opts        Options
	meter       metric.Meter
	instruments *instruments
	cardinality cardinality             // bounds the values of attributes
	looks       looks                   // the balances that were read last
	drainer     atomic.Pointer[drainer] // the guard of Watch; nil without one
	registered  metric.Registration     // of observe, which each collection calls
}

// drainer has a guard's method Draining, which returns how many answers are being read whose callers have left. It is a struct because an
// atomic.Pointer holds no function.
type drainer struct{ draining func() int }

// New makes the instruments, and registers what is read at each collection, until Close.
func New(o Options) (*Telemetry, error) {
	if o.Every < 0 || o.MaxValues < 0 || o.MaxSeries < 0 {
		return nil, fmt.Errorf("%w: Every %s, MaxValues %d and MaxSeries %d must not be negative", ErrInvalidOptions, o.Every, o.MaxValues, o.MaxSeries)
	}
	o.Every = cmp.Or(o.Every, defaultEvery)
	o.MaxValues, o.MaxSeries = cmp.Or(o.MaxValues, defaultMaxValues), cmp.Or(o.MaxSeries, defaultMaxSeries)
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	t := &Telemetry{opts: o, meter: o.MeterProvider.Meter(Name), cardinality: cardinality{maxValues: o.MaxValues, maxSeries: o.MaxSeries}}
	t.looks.turn = make(chan struct{}, 1) // a mutex for which a collection can stop waiting
	var err error
	if t.instruments, err = newInstruments(t.meter); err != nil {
		return nil, fmt.Errorf("otelguard: %w", err)
	}
	for _, c := range []metric.Int64Counter{t.instruments.dropped, t.instruments.failures} {
		c.Add(context.Background(), 0) // so that the series exists before the first event: these two have no attributes, and so one series each
	}
	m := t.instruments
	if t.registered, err = t.meter.RegisterCallback(t.observe, m.spent, m.pending, m.left, m.max, m.drains); err != nil {
		return nil, fmt.Errorf("otelguard: %w", err)
	}
	return t, nil
}

// Watch makes Telemetry report how many answers a guard goes on reading although their callers have left. guard is a *bedrockguard.Guard. It has a
// method of its own because a guard can only be made after its Telemetry. A later guard replaces an earlier one.
func (t *Telemetry) Watch(guard interface{ Draining() int }) {
	t.drainer.Store(&drainer{guard.Draining})
}

// Close ends the reading of the ledger. It does not close the MeterProvider.
func (t *Telemetry) Close() error {
	if err := t.registered.Unregister(); err != nil {
		return fmt.Errorf("otelguard: %w", err)
	}
	return nil
}
