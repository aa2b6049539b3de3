package budget

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAPolicyThatCanNotBeEnforcedIsRefusedWithEveryReason(t *testing.T) {
	good := Limit{Name: "l", Max: USD(1), Window: Daily}
	with := func(change func(*Limit)) Limit {
		l := good
		change(&l)
		return l
	}
	require.NoError(t, Policy{Limits: []Limit{good, with(func(l *Limit) { l.Name, l.Max = "zero denies", USD(0) })}}.Validate())
	require.NoError(t, Policy{Limits: []Limit{with(func(l *Limit) { l.Observe, l.Latch = true, true })}}.Validate(), "a latch can be foretold")
	for name, p := range map[string]Policy{
		"no limits":    {},
		"same name":    {Limits: []Limit{good, good}},
		"no name":      {Limits: []Limit{with(func(l *Limit) { l.Name = "" })}},
		"long name":    {Limits: []Limit{with(func(l *Limit) { l.Name = strings.Repeat("x", 600) })}},
		"no unit":      {Limits: []Limit{with(func(l *Limit) { l.Max = Quantity{N: 1} })}},
		"unknown unit": {Limits: []Limit{with(func(l *Limit) { l.Max = Quantity{N: 1, Unit: 99} })}},
		"negative":     {Limits: []Limit{with(func(l *Limit) { l.Max = USD(-1) })}},
		"out of range": {Limits: []Limit{with(func(l *Limit) { l.Max = USD(1e12) })}},
		"no window":    {Limits: []Limit{with(func(l *Limit) { l.Window = Window{} })}},
		"short window": {Limits: []Limit{with(func(l *Limit) { l.Window = Rolling(time.Nanosecond) })}},
		"unknown per":  {Limits: []Limit{with(func(l *Limit) { l.Per = 1 << 7 })}},
		"notify":       {Limits: []Limit{with(func(l *Limit) { l.Notify = []float64{0.5, 1.5} })}},
		"too many":     {Limits: make([]Limit, MaxLimits+1)},
	} {
		require.ErrorIs(t, p.Validate(), ErrInvalidPolicy, name)
	}
	err := Policy{Limits: []Limit{{}, good, good}}.Validate()
	for _, part := range []string{"a name of", "has no unit", "a limit needs a window", `two limits are named "l"`} {
		require.ErrorContains(t, err, part)
	}
}

func TestMatchSelects(t *testing.T) {
	m := Match{Model: "anthropic.claude-opus-*", Tags: map[string]string{"team": "c*"}}
	opus := Scope{Model: "anthropic.claude-opus-4-6-v1", Tags: map[string]string{"team": "core"}}
	require.True(t, m.Selects(opus))
	require.False(t, m.Selects(Scope{Model: opus.Model}))
	require.False(t, m.Selects(Scope{Model: "amazon.nova-lite-v1:0", Tags: opus.Tags}))
	require.True(t, m.mayApply(Scope{}), "a balance may be asked for without naming every value")
	require.False(t, m.mayApply(Scope{Model: "amazon.nova-lite-v1:0"}))
}

func TestNotTakesCallsOut(t *testing.T) {
	m := Match{Workflow: "{night,day}-*", Not: []Match{{Model: "amazon.*"}, {Principal: "ci", Tags: map[string]string{"team": "core"}}}}
	for _, tc := range []struct {
		s    Scope
		want bool
	}{
		{Scope{Workflow: "night-1"}, true},
		{Scope{Workflow: "day-1", Model: "anthropic.x", Principal: "ci"}, true},
		{Scope{Workflow: "noon-1"}, false},
		{Scope{Workflow: "day-1", Model: "amazon.x"}, false},
		{Scope{Workflow: "day-1", Principal: "ci", Tags: map[string]string{"team": "core"}}, false},
		{Scope{Workflow: "day-1", Principal: "dev", Tags: map[string]string{"team": "core"}}, true},
	} {
		require.Equal(t, tc.want, m.Selects(tc.s), "%s", tc.s)
	}
	// What is not asked about may be anything, so that it is taken out only where all of it is known.
	require.True(t, m.mayApply(Scope{}))
	require.True(t, m.mayApply(Scope{Principal: "ci"}))
	require.False(t, m.mayApply(Scope{Principal: "ci", Tags: map[string]string{"team": "core"}}))
	require.False(t, m.mayApply(Scope{Model: "amazon.x"}))
}

func TestMatchesThatMakeNoSenseAreNamed(t *testing.T) {
	l := Limit{Name: "a", Max: USD(1), Window: Daily, Per: PerModel}
	for want, change := range map[string]func(l *Limit){
		"Match: workflow: a brace without its other half": func(l *Limit) { l.Match.Workflow = "a{b,c" },
		"Match: tag team: a brace without its other half": func(l *Limit) { l.Match.Tags = map[string]string{"team": "a}"} },
		"Match: model: braces inside of braces":           func(l *Limit) { l.Match.Model = "{a,{b,c}}" },
		"Match: model: its braces stand for more than 256": func(l *Limit) {
			l.Match.Model = strings.Repeat("{a,b,c}", 6)
		},
		"Match: 17 Not, at most 16":                    func(l *Limit) { l.Match.Not = slices.Repeat([]Match{{Model: "a"}}, 17) },
		"Match: Not 0 has a Not of its own":            func(l *Limit) { l.Match.Not = []Match{{Model: "a", Not: []Match{{Model: "b"}}}} },
		"Match: Not 1 selects everything":              func(l *Limit) { l.Match.Not = []Match{{Model: "a"}, {Model: "**"}} },
		"Match: Not 0: model: braces inside of braces": func(l *Limit) { l.Match.Not = []Match{{Model: "{{}"}} },
		"MaxFor 0: model: a brace":                     func(l *Limit) { l.MaxFor = []MaxFor{{Match{Model: "{"}, USD(1)}} },
		"MaxFor 0 matches by workflow, which the limit is not split by": func(l *Limit) {
			l.MaxFor = []MaxFor{{Match{Model: "a", Not: []Match{{Workflow: "b"}}}, USD(1)}}
		},
	} {
		bad := l
		change(&bad)
		err := Policy{Limits: []Limit{bad}}.Validate()
		require.ErrorIs(t, err, ErrInvalidPolicy, want)
		require.ErrorContains(t, err, want)
	}
}

// plan's lines come in one order and carry no limit that does not select the scope.
func TestPlanSortsAndSelects(t *testing.T) {
	limits := []Limit{
		{Name: "a", Max: USD(1), Window: Daily},
		{Name: "b", Max: USD(1), Window: Daily, Match: Match{Workflow: "x*"}},
		{Name: "c", Max: USD(1), Window: Daily, Per: PerWorkflow},
	}
	p := newPlan(limits, Scope{Workflow: "y"}, Match.Selects)
	require.Len(t, p.lines, 2)
	require.ElementsMatch(t, []int{0, 2}, p.limits)
	require.Negative(t, strings.Compare(string(p.lines[0].Account[:]), string(p.lines[1].Account[:])))
	require.NotContains(t, p.limits, 1)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	e := &ExceededError{
		Limit: "principal-month", Scope: Scope{Principal: "ci"}, Max: USD(200), Settled: USD(199.9), Pending: USD(0.07),
		Requested: USD(0.12), ResetAfter: 3*time.Hour + 12*time.Minute,
	}
	require.Equal(t, `budget: limit "principal-month" exceeded for principal=ci: need 0.12 USD, 0.03 USD of 200 USD left (199.9 USD settled, 0.07 USD pending), resets in 3h12m0s`, e.Error())
	e.ResetAfter, e.Requested = 0, USD(300)
	require.ErrorContains(t, e, "larger than the whole limit")
	e.Requested = USD(1)
	require.ErrorContains(t, e, "does not reset")
	for _, tc := range []struct {
		e    ExceededError
		step string
	}{
		{ExceededError{Latched: true}, "revive the scope to go on"},
		{ExceededError{Latched: true, ResetAfter: time.Hour}, "revive the scope to go on, or wait 1h0m0s"},
		{ExceededError{Waiting: true}, "has room again once pending calls are settled: try again when one ends"},
		{ExceededError{Waiting: true, ResetAfter: time.Hour}, "try again when one ends, or in 1h0m0s"},
		{ExceededError{Requested: Calls(1)}, "admits nothing: raise the limit"},
		{ExceededError{Max: OutputTokens(5), Requested: OutputTokens(6)}, "larger than the whole limit: lower maxTokens or raise the limit"},
		{ExceededError{Max: UncachedInputTokens(5), Requested: UncachedInputTokens(6)}, "larger than the whole limit: shorten the prompt or raise the limit"},
		{ExceededError{Max: USD(5), Requested: USD(6), Reason: "no maxTokens is set"}, "lower maxTokens, shorten the prompt or raise the limit; no maxTokens is set"},
		{ExceededError{Max: USD(5), Requested: USD(4), Settled: USD(2)}, "does not reset: raise the limit"},
	} {
		require.ErrorContains(t, &tc.e, tc.step)
	}
	k := &KilledError{Reason: "runaway loop", At: time.Unix(0, 0)}
	require.Equal(t, "budget: killed everything at 1970-01-01T00:00:00Z: runaway loop: refused until it is revived", k.Error())
}
