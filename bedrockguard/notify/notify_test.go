package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/notify"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

var (
	noon   = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	policy = budget.Policy{Limits: []budget.Limit{
		{Name: "day", Max: budget.USD(10), Window: budget.Daily}, {Name: "hours", Max: budget.USD(1), Window: budget.Rolling(2 * time.Hour)}, {Name: "ever", Max: budget.USD(99), Window: budget.Lifetime},
	}}
)

// refused is a refusal by a limit, at a time after noon.
func refused(limit string, after time.Duration, account, caller budget.Scope) bedrockguard.Event {
	return bedrockguard.Event{Kind: bedrockguard.EventDenied, Time: noon.Add(after), Scope: caller, Err: fmt.Errorf("operation error: %w", &budget.ExceededError{
		Limit: limit, Scope: account, Max: budget.USD(10), Settled: budget.USD(9.5), Requested: budget.USD(1), ResetAfter: time.Hour,
	})}
}

func crossed(limit string, after time.Duration, fraction float64) bedrockguard.Event {
	return bedrockguard.Event{Kind: bedrockguard.EventThresholdCrossed, Time: noon.Add(after), Crossed: budget.Crossed{Limit: limit, Fraction: fraction, Settled: budget.USD(8), Max: budget.USD(10)}}
}

func denied(err error, after time.Duration, caller budget.Scope) bedrockguard.Event {
	return bedrockguard.Event{Kind: bedrockguard.EventDenied, Time: noon.Add(after), Scope: caller, Err: err}
}

// logged returns what is written of events, a line each.
func logged(o notify.Options, events ...bedrockguard.Event) []string {
	var out bytes.Buffer
	tell := notify.Log(slog.New(slog.NewJSONHandler(&out, nil)), o)
	for _, e := range events {
		tell(context.Background(), e)
	}
	return strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
}

// Somebody who is told the same thing a thousand times stops reading.
func TestEachThingIsToldOnce(t *testing.T) {
	withPolicy := notify.Options{Policy: func() budget.Policy { return policy }}
	a, b := budget.Scope{Workflow: "a"}, budget.Scope{Workflow: "b"}
	raised := refused("day", 0, budget.Scope{}, a)
	raised.Err = &budget.ExceededError{Limit: "day", Max: budget.USD(20)}
	shadow := refused("day", 0, budget.Scope{}, a)
	shadow.Shadow = true
	kill := func(at time.Duration, caller budget.Scope) bedrockguard.Event {
		return bedrockguard.Event{Kind: bedrockguard.EventKilled, Time: noon, Scope: caller, Err: &budget.KilledError{Scope: budget.Scope{Principal: "ci"}, At: noon.Add(at), Reason: "loop"}}
	}
	down := &budget.StoreError{Op: "reserve", Cause: errors.New("down")}
	for name, tc := range map[string]struct {
		options notify.Options
		events  []bedrockguard.Event
		want    int
	}{
		"a refusal in the same day":                      {withPolicy, []bedrockguard.Event{refused("day", 0, a, a), refused("day", 11*time.Hour, a, a)}, 1},
		"a refusal on the next day":                      {withPolicy, []bedrockguard.Event{refused("day", 0, a, a), refused("day", 12*time.Hour, a, a)}, 2},
		"other callers of a full limit":                  {withPolicy, []bedrockguard.Event{refused("day", 0, budget.Scope{}, a), refused("day", 0, budget.Scope{}, b)}, 1},
		"other accounts":                                 {withPolicy, []bedrockguard.Event{refused("day", 0, a, a), refused("day", 0, b, b)}, 2},
		"other limits":                                   {withPolicy, []bedrockguard.Event{refused("day", 0, a, a), refused("hours", 0, a, a)}, 2},
		"a limit that was raised and is full again":      {withPolicy, []bedrockguard.Event{refused("day", 0, budget.Scope{}, a), raised}, 2},
		"a rolling window":                               {withPolicy, []bedrockguard.Event{refused("hours", 0, a, a), refused("hours", time.Hour, a, a), refused("hours", 3*time.Hour, a, a)}, 2},
		"a lifetime":                                     {withPolicy, []bedrockguard.Event{refused("ever", 0, a, a), refused("ever", 10_000*time.Hour, a, a)}, 1},
		"a limit of no known policy, before its reset":   {notify.Options{}, []bedrockguard.Event{refused("day", 0, a, a), refused("day", 59*time.Minute, a, a)}, 1},
		"a limit of no known policy, behind its reset":   {notify.Options{}, []bedrockguard.Event{refused("day", 0, a, a), refused("day", 61*time.Minute, a, a)}, 2},
		"a refusal in shadow and a real one":             {withPolicy, []bedrockguard.Event{shadow, refused("day", 0, budget.Scope{}, a)}, 2},
		"a threshold twice":                              {withPolicy, []bedrockguard.Event{crossed("day", 0, 0.8), crossed("day", time.Hour, 0.8)}, 1},
		"two thresholds":                                 {withPolicy, []bedrockguard.Event{crossed("day", 0, 0.8), crossed("day", 0, 0.9)}, 2},
		"a threshold on the next day":                    {withPolicy, []bedrockguard.Event{crossed("day", 0, 0.8), crossed("day", 12*time.Hour, 0.8)}, 2},
		"calls of a killed principal":                    {withPolicy, []bedrockguard.Event{kill(0, a), kill(0, b)}, 1},
		"a second kill":                                  {withPolicy, []bedrockguard.Event{kill(0, a), kill(time.Minute, a)}, 2},
		"a store that is down for many":                  {withPolicy, []bedrockguard.Event{denied(down, 0, a), denied(down, time.Minute, b)}, 1},
		"a store that is down for long":                  {withPolicy, []bedrockguard.Event{denied(down, 0, a), denied(down, 61*time.Minute, a)}, 2},
		"a rate, for each workflow":                      {withPolicy, []bedrockguard.Event{denied(bedrockguard.ErrRateLimited, 0, a), denied(bedrockguard.ErrRateLimited, 1, a), denied(bedrockguard.ErrRateLimited, 2, b)}, 2},
		"another tag for each call":                      {withPolicy, []bedrockguard.Event{denied(bedrockguard.ErrUnpriced, 0, budget.Scope{Tags: map[string]string{"id": "1"}}), denied(bedrockguard.ErrUnpriced, 1, budget.Scope{Tags: map[string]string{"id": "2"}})}, 1},
		"what went well":                                 {withPolicy, []bedrockguard.Event{{Kind: bedrockguard.EventReserved, Time: noon}, {Kind: bedrockguard.EventSettled, Time: noon}, {Kind: bedrockguard.EventVoided, Time: noon}}, 0},
		"a settlement that failed, and a violated bound": {withPolicy, []bedrockguard.Event{{Kind: bedrockguard.EventUnsettled, Time: noon, Err: down}, {Kind: bedrockguard.EventEstimateViolated, Time: noon}}, 2},
	} {
		require.Len(t, logged(tc.options, tc.events...), tc.want, name)
	}
}

func TestNoticesSayWhatHappened(t *testing.T) {
	lines := logged(notify.Options{}, crossed("day", 0, 0.8), refused("day", 0, budget.Scope{Workflow: "a"}, budget.Scope{Workflow: "a"}), bedrockguard.Event{
		Kind: bedrockguard.EventObserved, Time: noon, Err: &budget.ExceededError{Limit: "watched"},
	})
	for i, want := range []string{`80 % of limit \"day\" reached: 8 USD of 10 USD`, "refused for workflow=a: operation error: budget: limit", "would have been refused: budget: limit"} {
		require.Contains(t, lines[i], want)
	}
	require.Contains(t, lines[0], `"level":"INFO"`)
	require.Contains(t, lines[1], `"level":"WARN"`)
}

// Whatever comes, memory is bounded, nothing is told twice, and what was not told is counted.
func TestMemoryIsBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most := rapid.IntRange(1, 8).Draw(rt, "remembered")
		var events []bedrockguard.Event
		for i := range rapid.IntRange(1, 60).Draw(rt, "events") {
			who := budget.Scope{Workflow: fmt.Sprint(rapid.IntRange(0, 20).Draw(rt, "workflow"))}
			events = append(events, refused("day", time.Duration(i)*time.Second, who, who))
		}
		events = append(events, refused("day", 13*time.Hour, budget.Scope{Workflow: "last"}, budget.Scope{}))
		seen, untold := make(map[string]bool), int64(0)
		lines := logged(notify.Options{Policy: func() budget.Policy { return policy }, MaxRemembered: most}, events...)
		require.LessOrEqual(rt, len(lines), most+1)
		for _, line := range lines {
			var n struct {
				Msg    string
				Untold int64
			}
			require.NoError(rt, json.Unmarshal([]byte(line), &n))
			key := fmt.Sprint(n.Msg)
			require.False(rt, seen[key], "told twice: %s", key)
			seen[key] = true
			untold += n.Untold
		}
		skipped := int64(0)
		told := make(map[string]bool)
		for _, e := range events[:len(events)-1] {
			if !told[e.Scope.Workflow] && len(told) < most {
				told[e.Scope.Workflow] = true
			} else if !told[e.Scope.Workflow] {
				skipped++
			}
		}
		require.Equal(rt, skipped, untold)
	})
}
