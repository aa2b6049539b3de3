package event

import (
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// eventText is an event in the form for people and log processors: amounts as exact decimals in USD, tokens by class, without fields that do
// not apply.
type eventText struct {
	Time        string            `json:"time,omitempty"`
	Kind        Kind              `json:"kind"`
	Operation   string            `json:"operation,omitempty"`
	Model       string            `json:"model,omitempty"`
	Region      string            `json:"region,omitempty"`
	RequestID   string            `json:"request_id,omitempty"`
	Principal   string            `json:"principal,omitempty"`
	Workflow    string            `json:"workflow,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Attempt     int               `json:"attempt,omitempty"`
	Reservation string            `json:"reservation,omitempty"`
	Duration    string            `json:"duration,omitempty"`
	WorstUSD    string            `json:"worst_usd,omitempty"`
	ActualUSD   string            `json:"actual_usd,omitempty"`
	Usage       *usageText        `json:"usage,omitempty"`
	Shadow      bool              `json:"shadow,omitempty"`
	Estimated   bool              `json:"estimated,omitempty"`
	Outcome     Outcome           `json:"outcome,omitempty"`
	Asked       string            `json:"asked,omitempty"`
	Answered    string            `json:"answered,omitempty"`
	OutputFrom  int64             `json:"output_from,omitempty"`
	OutputTo    int64             `json:"output_to,omitempty"`
	Crossed     *crossedText      `json:"crossed,omitempty"`
	Rule        string            `json:"rule,omitempty"`
	Where       string            `json:"where,omitempty"`
	Finding     string            `json:"finding,omitempty"`
	Error       string            `json:"error,omitempty"`
	Dropped     int64             `json:"dropped,omitempty"`
}

// usageText is Event.Usage: tokens by class, each token counted once.
type usageText struct {
	UncachedInputTokens     int64 `json:"uncached_input_tokens"`
	CacheReadInputTokens    int64 `json:"cache_read_input_tokens,omitempty"`
	CacheWrite5mInputTokens int64 `json:"cache_write_5m_input_tokens,omitempty"`
	CacheWrite1hInputTokens int64 `json:"cache_write_1h_input_tokens,omitempty"`
	OutputTokens            int64 `json:"output_tokens"`
}

// crossedText is Event.Crossed: amounts as text with their unit.
type crossedText struct {
	Limit    string  `json:"limit"`
	Account  string  `json:"account,omitempty"`
	Fraction float64 `json:"fraction"` // of Max that was reached: 0.8 is 80 percent
	Settled  string  `json:"settled"`
	Max      string  `json:"max"`
	PerHour  string  `json:"per_hour,omitempty"` // how fast it is spent
	FullIn   string  `json:"full_in,omitempty"`  // the time until the limit is full at that speed
}

// text returns the event in its form for people. Fields of the event that are zero are empty there.
func (e *Event) text() eventText {
	t := eventText{
		Kind: e.Kind, Operation: e.Operation, Model: e.Model, Region: e.Region, RequestID: e.RequestID,
		Principal: e.Scope.Principal, Workflow: e.Scope.Workflow, Tags: e.Scope.Tags, Attempt: e.Attempt,
		WorstUSD: dollars(&e.Worst), ActualUSD: dollars(&e.Actual), Estimated: e.Estimated, Outcome: e.Outcome,
		Asked: e.Asked, Answered: e.Answered, Rule: string(e.Finding.Rule), Where: e.Finding.Where, Dropped: e.Dropped,
		OutputFrom: e.OutputFrom, OutputTo: e.OutputTo, Shadow: e.Shadow,
	}
	if !e.Time.IsZero() {
		t.Time = e.Time.UTC().Format(time.RFC3339Nano)
	}
	if e.Duration > 0 {
		t.Duration = e.Duration.Round(time.Microsecond).String()
	}
	if e.Reservation != (budget.ID{}) {
		t.Reservation = e.Reservation.String()
	}
	if u := e.Usage; u != (price.Usage{}) {
		t.Usage = &usageText{u.UncachedInputTokens(), u.CacheReadInputTokens, u.CacheWrite5mInputTokens, u.CacheWrite1hInputTokens, u.OutputTokens}
	}
	if e.Crossed.Limit != "" { // as only the event of a threshold has
		t.Crossed = crossedTextOf(&e.Crossed)
	}
	if e.Finding.Rule != "" {
		t.Finding = e.Finding.String()
	}
	if e.Err != nil {
		t.Error = e.Err.Error()
	}
	return t
}

// crossedTextOf returns a threshold that was reached in its form for people.
func crossedTextOf(c *budget.Crossed) *crossedText {
	t := &crossedText{Limit: c.Limit, Account: c.Scope.String(), Fraction: c.Fraction, Settled: c.Settled.String(), Max: c.Max.String()}
	// A forecast that is not known is zero.
	if c.Forecast.PerHour.N > 0 {
		t.PerHour = c.Forecast.PerHour.String()
	}
	if c.Forecast.FullIn > 0 {
		t.FullIn = c.Forecast.FullIn.Round(time.Second).String()
	}
	return t
}

// dollars prints the money of a charge, and "" for a charge without any amount.
func dollars(c *budget.Charge) string {
	if *c == (budget.Charge{}) {
		return ""
	}
	// The unit is in the name of the field.
	return strings.TrimSuffix(price.Amount(c[budget.UnitUSD]).String(), " USD")
}

// MarshalJSON writes the event for people and log processors: amounts in USD as exact decimals, tokens by class, each counted once,
// durations such as "1.25s", and no fields that do not apply. It can't be parsed back.
func (e Event) MarshalJSON() ([]byte, error) { return json.Marshal(e.text()) }

// LogValue implements slog.LogValuer: a group with the fields of MarshalJSON, under the same names.
func (e Event) LogValue() slog.Value {
	t := e.text()
	var a attributes
	a.addCall(&t)
	a.addAttempt(&t)
	a.addDetails(&t)
	return slog.GroupValue(a...)
}

// attributes are the attributes of an event in a log, in the order of eventText. What is empty or zero is left out, as MarshalJSON leaves it out.
type attributes []slog.Attr

// add adds a text, unless it is empty.
func (a *attributes) add(name, value string) {
	if value != "" {
		*a = append(*a, slog.String(name, value))
	}
}

// addCall adds what happened, to which call.
func (a *attributes) addCall(t *eventText) {
	a.add("kind", string(t.Kind))
	a.add("operation", t.Operation)
	a.add("model", t.Model)
	a.add("region", t.Region)
	a.add("request_id", t.RequestID)
	a.add("principal", t.Principal)
	a.add("workflow", t.Workflow)
	if len(t.Tags) > 0 {
		*a = append(*a, slog.Any("tags", t.Tags))
	}
}

// addAttempt adds the attempt with its reservation, and how it ended.
func (a *attributes) addAttempt(t *eventText) {
	if t.Attempt > 0 {
		*a = append(*a, slog.Int("attempt", t.Attempt))
	}
	a.add("reservation", t.Reservation)
	a.add("duration", t.Duration)
	a.add("worst_usd", t.WorstUSD)
	a.add("actual_usd", t.ActualUSD)
	if t.Usage != nil {
		*a = append(*a, t.Usage.attribute())
	}
	if t.Shadow {
		*a = append(*a, slog.Bool("shadow", true))
	}
	if t.Estimated {
		*a = append(*a, slog.Bool("estimated", true))
	}
	a.add("outcome", string(t.Outcome))
}

// addDetails adds what only some kinds of event have.
func (a *attributes) addDetails(t *eventText) {
	a.add("asked", t.Asked)
	a.add("answered", t.Answered)
	if t.OutputTo > 0 { // both limits, although the one before is 0 for a request that had none
		*a = append(*a, slog.Int64("output_from", t.OutputFrom), slog.Int64("output_to", t.OutputTo))
	}
	if t.Crossed != nil {
		*a = append(*a, t.Crossed.attribute())
	}
	a.add("rule", t.Rule)
	a.add("where", t.Where)
	a.add("finding", t.Finding)
	a.add("error", t.Error)
	if t.Dropped > 0 {
		*a = append(*a, slog.Int64("dropped", t.Dropped))
	}
}

// attribute returns the usage as a group, in which classes without tokens are there, too.
func (u *usageText) attribute() slog.Attr {
	return slog.Group("usage",
		slog.Int64("uncached_input_tokens", u.UncachedInputTokens), slog.Int64("cache_read_input_tokens", u.CacheReadInputTokens),
		slog.Int64("cache_write_5m_input_tokens", u.CacheWrite5mInputTokens), slog.Int64("cache_write_1h_input_tokens", u.CacheWrite1hInputTokens),
		slog.Int64("output_tokens", u.OutputTokens))
}

// attribute returns the threshold as a group.
func (c *crossedText) attribute() slog.Attr {
	group := []any{slog.String("limit", c.Limit), slog.String("account", c.Account), slog.Float64("fraction", c.Fraction), slog.String("settled", c.Settled), slog.String("max", c.Max)}
	if c.PerHour != "" {
		group = append(group, slog.String("per_hour", c.PerHour))
	}
	if c.FullIn != "" {
		group = append(group, slog.String("full_in", c.FullIn))
	}
	return slog.Group("crossed", group...)
}
