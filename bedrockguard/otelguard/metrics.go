package otelguard

import (
	"errors"
	"slices"

	"go.opentelemetry.io/otel/metric"
)

// description describes one metric as docs/metrics.md does.
type description struct {
	name, kind, unit string
	keys             []string // of all attributes that it may have
	text             string
}

// The kinds of metrics.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// The names of the guard's own metrics. descriptions says what each of them measures.
const (
	metricSpend      = "bedrockguard.spend"
	metricTokens     = "bedrockguard.tokens"
	metricRefusals   = "bedrockguard.refusals"
	metricKills      = "bedrockguard.kills"
	metricThresholds = "bedrockguard.thresholds"
	metricFindings   = "bedrockguard.findings"
	metricWarnings   = "bedrockguard.warnings"
	metricDropped    = "bedrockguard.events.dropped"
	metricDrains     = "bedrockguard.drains"
	metricSpent      = "bedrockguard.limit.spent"
	metricPending    = "bedrockguard.limit.pending"
	metricLeft       = "bedrockguard.limit.left"
	metricMax        = "bedrockguard.limit.max"
	metricFailures   = "bedrockguard.ledger.failures"
)

var (
	// callerKeys are the keys that say who made a call. The last stands for one key for each of Options.Tags.
	callerKeys = []string{keyWorkflow, keyPrincipal, keyTag + "*"}
	// accountKeys are the keys that say which account of which limit a gauge is about.
	accountKeys = []string{keyLimit, keyAccount, keyUnit, keyEnforced, keyWorkflow, keyPrincipal}
)

// descriptions has all metrics. A test compares it with docs/metrics.md, and with what is measured.
var descriptions = []description{
	{metricTokenUsage, histogram, "{token}", []string{keyOperation, keyProvider, keyRequestModel, keyTokenType}, "tokens of each call, in and out; the input includes what was read from the cache and written to it"},
	{metricDuration, histogram, "s", []string{keyOperation, keyProvider, keyRequestModel, keyErrorType}, "from an attempt's reservation to its settlement"},
	{metricSpend, counter, "{USD}", append([]string{keyClass, keyRequestModel}, callerKeys...), "what was posted, at gross list price less the discounts that were declared, divided among the classes of tokens"},
	{metricTokens, counter, "{token}", append([]string{keyClass, keyRequestModel}, callerKeys...), "tokens that answers told, each counted once"},
	{metricRefusals, counter, "{call}", append([]string{keyReason, keyLimit, keyEnforced}, callerKeys...), "calls that were refused; where enforced is false, that would have been"},
	{metricKills, counter, "{call}", append([]string{keyStage}, callerKeys...), "calls that were refused, or streams that were ended, because their scope is killed"},
	{metricThresholds, counter, "{crossing}", []string{keyLimit, keyThreshold}, "Notify thresholds that settled spend reached"},
	{metricFindings, counter, "{finding}", append([]string{keyRule}, callerKeys...), "findings of the prompt-cache check; of a row of the same one the first, second, fourth, eighth … are told"},
	{metricWarnings, counter, "{event}", []string{keyWarning}, "other events that somebody should look at"},
	{metricDropped, counter, "{event}", nil, "events that were not counted, because they came too fast"},
	{metricDrains, gauge, "{answer}", nil, "answers that are read on now, whose callers have left"},
	{metricSpent, gauge, "{unit}", accountKeys, "settled in the current window"},
	{metricPending, gauge, "{unit}", accountKeys, "set aside by calls in flight"},
	{metricLeft, gauge, "{unit}", accountKeys, "what may still be set aside; 0 for a latched account"},
	{metricMax, gauge, "{unit}", accountKeys, "the limit in force, an override included"},
	{metricFailures, counter, "{look}", nil, "looks at the ledger that failed: the gauges of limits are missing then"},
}

// describe returns the description of a metric by its name.
func describe(name string) description {
	for _, d := range descriptions {
		if d.name == name {
			return d
		}
	}
	return description{}
}

// instruments are OpenTelemetry's objects for the metrics, one for each. Events change the counters and histograms; gauges are set by observe.
type instruments struct {
	tokenUsage                            metric.Int64Histogram
	duration                              metric.Float64Histogram
	spend                                 metric.Float64Counter
	tokens, refusals, kills, thresholds   metric.Int64Counter
	findings, warnings, dropped, failures metric.Int64Counter
	spent, pending, left, max             metric.Float64ObservableGauge
	drains                                metric.Int64ObservableGauge
}

// newInstruments makes each instrument with the unit and the text of its description. The error joins those of all instruments that could not be
// made.
func newInstruments(m metric.Meter) (*instruments, error) {
	var i instruments
	errs := slices.Concat(i.makeCounters(m), i.makeGauges(m), i.makeHistograms(m))
	// Join leaves out the errors that are nil.
	return &i, errors.Join(errs...)
}

// makeCounters makes the counters, and returns an error for each, which may be nil.
func (i *instruments) makeCounters(m metric.Meter) (errs []error) {
	for name, to := range map[string]*metric.Int64Counter{
		metricTokens: &i.tokens, metricRefusals: &i.refusals, metricKills: &i.kills, metricThresholds: &i.thresholds, metricFindings: &i.findings,
		metricWarnings: &i.warnings, metricDropped: &i.dropped, metricFailures: &i.failures,
	} {
		d := describe(name)
		made, err := m.Int64Counter(name, metric.WithUnit(d.unit), metric.WithDescription(d.text))
		*to, errs = made, append(errs, err)
	}
	d := describe(metricSpend)
	made, err := m.Float64Counter(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.text))
	i.spend = made
	return append(errs, err)
}

// makeGauges makes the gauges, and returns an error for each, which may be nil.
func (i *instruments) makeGauges(m metric.Meter) (errs []error) {
	for name, to := range map[string]*metric.Float64ObservableGauge{metricSpent: &i.spent, metricPending: &i.pending, metricLeft: &i.left, metricMax: &i.max} {
		d := describe(name)
		made, err := m.Float64ObservableGauge(name, metric.WithUnit(d.unit), metric.WithDescription(d.text))
		*to, errs = made, append(errs, err)
	}
	d := describe(metricDrains)
	made, err := m.Int64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.text))
	i.drains = made
	return append(errs, err)
}

// makeHistograms makes the histograms, and returns an error for each, which may be nil.
func (i *instruments) makeHistograms(m metric.Meter) []error {
	tokens, seconds := describe(metricTokenUsage), describe(metricDuration)
	var errTokens, errSeconds error
	i.tokenUsage, errTokens = m.Int64Histogram(tokens.name, metric.WithUnit(tokens.unit), metric.WithDescription(tokens.text), metric.WithExplicitBucketBoundaries(tokenBounds...))
	i.duration, errSeconds = m.Float64Histogram(seconds.name, metric.WithUnit(seconds.unit), metric.WithDescription(seconds.text), metric.WithExplicitBucketBoundaries(durationBounds...))
	return []error{errTokens, errSeconds}
}
