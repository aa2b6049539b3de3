// Package notify tells people about thresholds that were reached, calls that were refused, kills, and warnings of a guard. Each thing is
// reported once, not once for each call of an agent that keeps trying:
//
//	hook, err := notify.NewWebhook(notify.WebhookOptions{URL: url, Format: notify.Slack, Options: notify.Options{Policy: ledger.Policy}})
//	guard, err := bedrockguard.New(ledger, bedrockguard.Options{
//		Listeners: []func(context.Context, bedrockguard.Event){hook.Listen, notify.Log(logger, notify.Options{Policy: ledger.Policy})},
//	})
//
// A threshold is reported once for its limit, account, maximum and window, and so is a refusal by a limit, whoever is refused. A kill is
// reported once. A refusal for another reason is reported once for its principal, workflow and model, and again after an hour. Each process
// reports what it sees: a threshold is reached once in a ledger, so one process reports it, while refusals are reported by each process. No
// notice has text of a prompt or an answer.
package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// Options say when two events are the same thing. The zero value is ready to use.
type Options struct {
	// Policy returns the limits, for their windows: a budget.Ledger's Policy. If it is nil, the reset time of a refusal is used, or Quiet.
	Policy func() budget.Policy

	// Quiet is how long something without a window is not reported again. Zero is an hour.
	Quiet time.Duration

	// MaxRemembered bounds how many reported things are remembered. While there are so many, nothing new is reported; the next notice then
	// has the number in Untold. Zero is 4,096.
	MaxRemembered int
}

const (
	defaultQuiet         = time.Hour // of Options.Quiet
	defaultMaxRemembered = 4096      // of Options.MaxRemembered
	// longestText is how many bytes of a text from elsewhere are reported.
	longestText = 1000
)

// Notice is one thing that somebody should know.
type Notice struct {
	Kind      bedrockguard.EventKind
	Time      time.Time
	Text      string // what happened, in one line; it may contain text that callers chose
	Scope     budget.Scope
	Limit     string          // empty if it is not about a limit
	Fraction  float64         // of a threshold
	Settled   budget.Quantity // of a threshold, or of the limit that refused
	Max       budget.Quantity
	Shadow    bool  // nothing was refused: the guard is in shadow mode, or the limit is observe-only
	Untold    int64 // how many notices were not sent since the one before this, because there were too many at once
	Forgotten int64 // how many events the guard dropped since the notice before this, because there were too many at once
}

// noticeText is a notice in JSON. Amounts are texts with their unit, such as "1.5 USD".
type noticeText struct {
	Kind      bedrockguard.EventKind `json:"kind"`
	Time      string                 `json:"time,omitempty"`
	Text      string                 `json:"text"`
	Principal string                 `json:"principal,omitempty"`
	Workflow  string                 `json:"workflow,omitempty"`
	Model     string                 `json:"model,omitempty"`
	Tags      map[string]string      `json:"tags,omitempty"`
	Limit     string                 `json:"limit,omitempty"`
	Fraction  float64                `json:"fraction,omitempty"`
	Settled   string                 `json:"settled,omitempty"`
	Max       string                 `json:"max,omitempty"`
	Shadow    bool                   `json:"shadow,omitempty"`
	Untold    int64                  `json:"untold,omitempty"`
	Forgotten int64                  `json:"dropped_events,omitempty"`
}

// MarshalJSON writes the notice for people and programs, without fields that do not apply. It can't be parsed back.
func (n Notice) MarshalJSON() ([]byte, error) {
	t := noticeText{
		Kind: n.Kind, Text: n.Text, Principal: n.Scope.Principal, Workflow: n.Scope.Workflow, Model: n.Scope.Model, Tags: n.Scope.Tags, Limit: n.Limit,
		Fraction: n.Fraction, Shadow: n.Shadow, Untold: n.Untold, Forgotten: n.Forgotten,
	}
	if !n.Time.IsZero() {
		t.Time = n.Time.UTC().Format(time.RFC3339)
	}
	if n.Max.Unit != 0 {
		t.Settled, t.Max = n.Settled.String(), n.Max.String()
	}
	return json.Marshal(t)
}

// Log returns a listener that logs notices: refusals and warnings at level Warn, thresholds at Info.
func Log(log *slog.Logger, o Options) func(context.Context, bedrockguard.Event) {
	once := newOnce(o)
	return func(ctx context.Context, e bedrockguard.Event) {
		n, ok := once.notice(&e)
		if !ok {
			return
		}
		level := slog.LevelWarn
		if n.Kind == bedrockguard.EventThresholdCrossed {
			level = slog.LevelInfo
		}
		log.LogAttrs(ctx, level, n.Text, slog.Any("event", e), slog.Int64("untold", n.Untold))
	}
}

// once makes notices of the events that report something new. What an event reports has a key: events with the same key report the same thing, such
// as one kill, or one threshold in one window. It is safe for concurrent use.
type once struct {
	opts Options

	mu     sync.Mutex
	told   map[string]time.Time // by the key of what was reported: until when it is not reported again
	untold int64                // for the next notice: see Notice.Untold
	missed int64                // for the next notice: see Notice.Forgotten
}

// newOnce fills in the defaults of the options.
func newOnce(o Options) *once {
	o.Quiet, o.MaxRemembered = cmp.Or(o.Quiet, defaultQuiet), cmp.Or(o.MaxRemembered, defaultMaxRemembered)
	return &once{opts: o, told: make(map[string]time.Time)}
}

// notice returns the notice for an event, and false if nothing is to be sent: nobody has to know, it was reported already, or too much is remembered.
func (o *once) notice(e *bedrockguard.Event) (Notice, bool) {
	n, key, until := o.about(e)
	o.mu.Lock()
	defer o.mu.Unlock()
	// Counted in any case, for the next notice.
	o.missed += e.Dropped
	// What was never reported has the zero time in told, which is before every event.
	if key == "" || e.Time.Before(o.told[key]) {
		return Notice{}, false
	}
	delete(o.told, key) // the time of an earlier report is over, so it takes no room
	// First those are dropped whose time is over; if that makes no room, nothing is reported.
	if len(o.told) >= o.opts.MaxRemembered {
		o.forget(e.Time)
	}
	if len(o.told) >= o.opts.MaxRemembered {
		o.untold++
		return Notice{}, false
	}
	o.told[key] = until
	n.Untold, n.Forgotten = o.untold, o.missed
	o.untold, o.missed = 0, 0
	return n, true
}

// forget drops the keys whose time is over, which may be reported again. Requires mu held.
func (o *once) forget(now time.Time) {
	for key, until := range o.told {
		if !now.Before(until) {
			delete(o.told, key)
		}
	}
}

// about returns the notice for an event, the key of what it reports, and until when that is not reported again. The key is empty for an event that
// nobody has to know.
func (o *once) about(e *bedrockguard.Event) (n Notice, key string, until time.Time) {
	n = Notice{Kind: e.Kind, Time: e.Time, Scope: e.Scope, Shadow: e.Shadow}
	until = e.Time.Add(o.opts.Quiet)
	switch e.Kind {
	case bedrockguard.EventThresholdCrossed:
		return o.aboutThreshold(n, e, until)
	case bedrockguard.EventDenied, bedrockguard.EventObserved, bedrockguard.EventLooping, bedrockguard.EventKilled:
		return o.aboutRefusal(n, e, until)
	case bedrockguard.EventUnsettled, bedrockguard.EventEstimateViolated:
		// The store did not take a settlement, or a call has cost more than the upper bound that was reserved for it.
		n.Text = string(e.Kind) + forScope(e.Scope) + because(e.Err)
		return n, keyOf("warning", string(e.Kind), callerOf(e)), until
	default:
		return n, "", until
	}
}

// aboutThreshold does what about does, for a threshold that was reached. n has the fields that every notice has; until is the end of Options.Quiet,
// for a limit whose window is not known.
func (o *once) aboutThreshold(n Notice, e *bedrockguard.Event, until time.Time) (Notice, string, time.Time) {
	c := &e.Crossed
	n.Limit, n.Scope, n.Fraction, n.Settled, n.Max = c.Limit, c.Scope, c.Fraction, c.Settled, c.Max
	n.Text = percent(c.Fraction) + " of limit " + strconv.Quote(clip(c.Limit)) + forScope(c.Scope) + " reached: " + c.Settled.String() + " of " + c.Max.String()
	// FullIn is 0 if the window ends before the limit is reached, or if the pace is not known.
	if full := c.Forecast.FullIn; full > 0 {
		n.Text += ", full in " + full.Round(time.Minute).String() + " at this pace"
	}
	return n, keyOf("threshold", c.Limit, c.Scope.String(), percent(c.Fraction), c.Max.String()), o.windowEnd(c.Limit, e.Time, until)
}

// aboutRefusal does what about does, for a call that was refused or stopped, or would have been. n has the fields that every notice has; until is
// the end of Options.Quiet, for a refusal without a window.
func (o *once) aboutRefusal(n Notice, e *bedrockguard.Event, until time.Time) (Notice, string, time.Time) {
	n.Shadow = letThrough(e)
	did := "refused"
	switch {
	case n.Shadow:
		did = "would have been refused"
	case e.Kind == bedrockguard.EventKilled:
		did = "stopped"
	}
	n.Text = did + forScope(e.Scope) + because(e.Err)
	var exceeded *budget.ExceededError
	var killed *budget.KilledError
	switch {
	case errors.As(e.Err, &exceeded):
		n.Limit, n.Settled, n.Max = exceeded.Limit, exceeded.Settled, exceeded.Max
		if exceeded.ResetAfter > 0 { // used if the policy, and so the window, is not known
			until = e.Time.Add(exceeded.ResetAfter)
		}
		// The scope here is that of the account, so that the limit is reported once for all callers of it.
		return n, keyOf("limit", strconv.FormatBool(n.Shadow), exceeded.Limit, exceeded.Scope.String(), exceeded.Max.String()), o.windowEnd(exceeded.Limit, e.Time, until)
	case errors.As(e.Err, &killed):
		// The time of the kill is in the key, so that a later kill of the same scope is reported again.
		return n, keyOf("kill", killed.Scope.String(), killed.At.String()), until
	}
	return n, keyOf("refusal", reasonOf(e.Err), strconv.FormatBool(n.Shadow), callerOf(e)), until
}

// letThrough reports whether a refusal was only told of, and its call let through. A kill stops calls in shadow mode too; an observed call, and a
// loop that is reported, were let through in any mode.
func letThrough(e *bedrockguard.Event) bool {
	switch e.Kind {
	case bedrockguard.EventKilled:
		return false
	case bedrockguard.EventObserved, bedrockguard.EventLooping:
		return true
	default:
		return e.Shadow
	}
}

// because returns an error's text as the end of a notice's; empty without an error.
func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + clip(err.Error())
}

// callerOf returns the key of the caller. Tags are not in it, because they may differ in each call; and if a store does not answer, all
// callers have the same key.
func callerOf(e *bedrockguard.Event) string {
	if errors.Is(e.Err, budget.ErrStore) {
		return ""
	}
	return budget.Scope{Principal: e.Scope.Principal, Workflow: e.Scope.Workflow, Model: e.Scope.Model}.String()
}

// reasonOf returns the key of a refusal that names no limit. The text can't be used, because it differs from call to call.
func reasonOf(err error) string {
	for _, known := range []error{
		budget.ErrStore, bedrockguard.ErrRateLimited, bedrockguard.ErrLooping, cache.ErrRefused, bedrockguard.ErrUnpriced, bedrockguard.ErrUnsupportedOperation, bedrockguard.ErrMalformedRequest,
		bedrockguard.ErrIdentity, budget.ErrInvalidScope,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "other"
}

// windowEnd returns when the present window of a limit ends, at being the time of the event; if no policy is known or it does not have the limit, it
// returns otherwise.
func (o *once) windowEnd(limit string, at, otherwise time.Time) time.Time {
	if o.opts.Policy == nil {
		return otherwise
	}
	for _, l := range o.opts.Policy().Limits {
		if l.Name == limit {
			return time.Unix(0, l.Window.At(at).End)
		}
	}
	return otherwise
}

// keyOf joins the parts of a key, so that different lists of parts have different keys.
func keyOf(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strconv.Itoa(len(p)))
		b.WriteByte(':')
		b.WriteString(p)
	}
	return b.String()
}

// forScope returns the words for whom a notice is about.
func forScope(s budget.Scope) string {
	if text := s.String(); text != "" {
		return " for " + clip(text)
	}
	return ""
}

// percent returns a fraction of 1 in percent, with six digits at most.
func percent(fraction float64) string {
	return strconv.FormatFloat(fraction*100, 'g', 6, 64) + " %"
}

// clip shortens a text to longestText bytes, and makes it UTF-8.
func clip(s string) string {
	if len(s) > longestText {
		s = s[:longestText] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
