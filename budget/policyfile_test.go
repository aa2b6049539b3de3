package budget_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

const teams = `
# What each team may spend.
limits:
  - name: team-month
    max: 1_000.25 USD
    window: monthly in Europe/Berlin
    per: [principal, model, "tag:team"]
    match: {model: "anthropic.*", tags: {env: prod}}
    latch: true
    notify: [0.5, 80%]
  - {"name": "calls", "max": "100 calls", "window": "rolling 24h", "per": "workflow", "observe": true}
  - name: input
    max: 2000000 uncached input tokens
    window: lifetime
    notify: 1
`

func TestReadPolicy(t *testing.T) {
	p, err := budget.ReadPolicy(strings.NewReader(teams))
	require.NoError(t, err)
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	require.Equal(t, budget.Policy{Limits: []budget.Limit{
		{
			Name: "team-month", Max: budget.Quantity{N: 1000_250_000_000, Unit: budget.UnitUSD}, Window: budget.Monthly.In(berlin),
			Per: budget.PerPrincipal | budget.PerModel, PerTags: []string{"team"},
			Match: budget.Match{Model: "anthropic.*", Tags: map[string]string{"env": "prod"}}, Latch: true, Notify: []float64{0.5, 0.8},
		},
		{Name: "calls", Max: budget.Calls(100), Window: budget.Rolling(24 * time.Hour), Per: budget.PerWorkflow, Observe: true},
		{Name: "input", Max: budget.UncachedInputTokens(2_000_000), Window: budget.Lifetime, Notify: []float64{1}},
	}}, p)
}

// Everything that is wrong is told at once, each with its place, what is wrong and what would be right.
func TestBrokenPolicyFiles(t *testing.T) {
	limit := func(fields string) string { return "limits:\n- {name: a, max: 1 USD, window: daily" + fields + "}\n" }
	bomb := "limits:\n- &a {name: a, max: 1 USD, window: daily}\n"
	for range 70 {
		bomb += "- *a\n"
	}
	deep := "limits:\n- match: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\n"
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"nothing", "", []string{"empty: want limits"}},
		{"space", " \n\t\n", []string{"empty: want limits"}},
		{"a comment", "# nothing\n", nil},
		{"a text", "limits", []string{"line 1, column 1: the file is no mapping"}},
		{"a list", "- limits", []string{"line 1, column 1: the file is no mapping"}},
		{"another key", "limit: []", []string{`line 1, column 1: the file has no "limit": want limits`}},
		{"no limits", "limits: []", []string{"line 1, column 9: 0 limits, want 1 to 64"}},
		{"limits of nothing", "limits:", []string{"line 1, column 8: limits is a list"}},
		{"limits as a mapping", "limits: {a: b}", []string{"line 1, column 9: limits is a list"}},
		{"a limit that is a text", "limits: [a]", []string{"line 1, column 10: a limit is no mapping"}},
		{"two documents", "limits: []\n---\nlimits: []\n", nil},
		{"no YAML", "limits: [", nil},
		{"a tab", "limits:\n\t- name: a\n", nil},
		{"a key twice", limit(", name: b"), []string{`line 2, column 40: "name" stands twice in a limit`}},
		{"an unknown key", limit(", budget: 5"), []string{`line 2, column 40: a limit has no "budget": want name, max, max_for, window, per, match, latch, notify, observe, paced, max_depth, max_children`}},
		{"a merged key", limit(", <<: {latch: true}"), []string{`line 2, column 40: a limit has no "<<": want name, max, max_for, window, per, match, latch, notify, observe, paced, max_depth, max_children`}},
		{"a key that is no text", limit(", [a]: 5"), []string{"line 2, column 40: a limit has a key that is no text"}},
		{"no name", "limits: [{max: 1 USD, window: daily}]", []string{`line 1, column 10: limit "": a name of 1 to 512 bytes is needed`}},
		{"a name of nothing", "limits: [{name: , max: 1 USD, window: daily}]", []string{"line 1, column 17: name is no text"}},
		{"a name that is a list", "limits: [{name: [a], max: 1 USD, window: daily}]", []string{"line 1, column 17: name is no text"}},
		{"no max", "limits: [{name: a, window: daily}]", []string{`line 1, column 10: limit "a": Max has no unit`}},
		{"a number without a unit", limit(", max2: 5") + "- {name: b, max: 50, window: daily}", []string{
			`line 2, column 40: a limit has no "max2": want name, max, max_for, window, per, match, latch, notify, observe, paced, max_depth, max_children`,
			`line 3, column 18: max: "50" names no unit: want a number and one of USD, uncached input tokens, input tokens, cache read input tokens, cache write input tokens, output tokens, calls`,
		}},
		{"dollars by their sign", "limits: [{name: a, max: $50, window: daily}]", []string{`line 1, column 25: max: "$50" names no unit: want a number and one of USD, uncached input tokens, input tokens, cache read input tokens, cache write input tokens, output tokens, calls`}},
		{"less than nothing", "limits: [{name: a, max: -5 USD, window: daily}]", []string{`line 1, column 25: max: "-5 USD": not a number from 0 on`}},
		{"half a call", "limits: [{name: a, max: 0.5 calls, window: daily}]", []string{`line 1, column 25: max: "0.5 calls": not a whole number`}},
		{"too fine", "limits: [{name: a, max: 0.0000000001 USD, window: daily}]", []string{`line 1, column 25: max: "0.0000000001 USD": want 1 to 9 decimals`}},
		{"too much", "limits: [{name: a, max: 9999999999999 USD, window: daily}]", []string{`line 1, column 25: max: "9999999999999 USD": beyond the largest amount`}},
		{"an exponent", "limits: [{name: a, max: 1e3 USD, window: daily}]", []string{`line 1, column 25: max: "1e3 USD": not a number from 0 on`}},
		{"no window", "limits: [{name: a, max: 1 USD}]", []string{`line 1, column 10: limit "a": a limit needs a window`}},
		{"a week that begins on no day", "limits: [{name: a, max: 1 USD, window: weekly from sundown}]", []string{`line 1, column 40: window: "weekly from sundown": weeks begin on a day from Monday to Sunday`}},
		{"a month that begins on a day", "limits: [{name: a, max: 1 USD, window: monthly from Sunday}]", []string{`line 1, column 40: window: "monthly from Sunday" is no window: want hourly, daily, weekly, monthly, quarterly or yearly, each with or without "in" a time zone, rolling with a length, or lifetime`}},
		{"a rate that never has room again", "limits: [{name: a, max: 1 USD, window: lifetime, paced: true}]", []string{
			`line 1, column 10: limit "a": Paced needs a window that moves on: a lifetime limit never has room again`,
		}},
		{"a tree of no depth", "limits: [{name: a, max: 1 USD, window: daily, max_depth: none, max_children: 0}]", []string{
			`line 1, column 58: max_depth: "none" is no whole number from 1 on: leave it out to set no bound`,
			`line 1, column 78: max_children: "0" is no whole number from 1 on: leave it out to set no bound`,
		}},
		{"an unknown window", "limits: [{name: a, max: 1 USD, window: fortnightly}]", []string{`line 1, column 40: window: "fortnightly" is no window: want hourly, daily, weekly, monthly, quarterly or yearly, each with or without "in" a time zone, rolling with a length, or lifetime`}},
		{"an unknown zone", "limits: [{name: a, max: 1 USD, window: daily in Mars/Base}]", []string{`line 1, column 40: window: "daily in Mars/Base": no such time zone: want one as in Europe/Berlin`}},
		{"a host's own zone", "limits: [{name: a, max: 1 USD, window: daily in Local}]", nil},
		{"rolling without a length", "limits: [{name: a, max: 1 USD, window: rolling}]", nil},
		{"rolling by the month", "limits: [{name: a, max: 1 USD, window: rolling month}]", []string{`line 1, column 40: window: "rolling month": a rolling window needs a length, as in "rolling 24h"`}},
		{"rolling for too long", "limits: [{name: a, max: 1 USD, window: rolling 9000h}]", []string{"line 1, column 40: window: a rolling window of 9000h0m0s, want 1s to 8784h"}},
		{"a lifetime in a zone", "limits: [{name: a, max: 1 USD, window: lifetime in UTC}]", nil},
		{"an unknown dimension", limit(", per: [team]"), []string{`line 2, column 46: per: "team" is no dimension: want principal, workflow, model, region, profile, project, or tag: and the name of a tag`}},
		{"a tag without a name", limit(`, per: "tag:"`), []string{`line 2, column 45: per: "tag:" is no dimension: want principal, workflow, model, region, profile, project, or tag: and the name of a tag`}},
		{"latch by another word", limit(", latch: yes"), []string{"line 2, column 47: latch is true or false"}},
		{"a part of 150 %", limit(", notify: [50%, 150%]"), []string{`line 2, column 54: notify: "150%" is no part of the limit: want more than 0 and at most 1, or a percentage`}},
		{"an unknown match", limit(", match: {team: a}"), []string{`line 2, column 48: match has no "team": want principal, workflow, model, region, profile, project, tags, not`}},
		{"a not inside of a not", limit(", match: {not: [{not: [{model: a}]}]}"), []string{`line 2, column 55: match has no "not": want principal, workflow, model, region, profile, project, tags`}},
		{"a not of everything", limit(", match: {not: {model: '*'}}"), []string{"line 2, column 53: not: it selects everything, so that the limit can never match"}},
		{"a not without a match", limit(", match: {not: [model]}"), []string{"line 2, column 54: match is no mapping"}},
		{"more nots than may be", limit(", match: {not: [" + strings.Repeat("{model: a},", 17) + "]}"), []string{"line 2, column 48: 17 not, at most 16"}},
		{"half a brace", limit(`, match: {model: "a{b,c"}`), []string{"line 2, column 55: model: a brace without its other half: {a,b} stands for one of these texts, and ? for a brace itself"}},
		{"braces in braces", limit(`, match: {tags: {team: "{a,{b}}"}}`), []string{"line 2, column 61: tag team: braces inside of braces"}},
		{"alternatives that never match", limit(`, match: {model: "{` + strings.Repeat("x", 600) + "," + strings.Repeat("y", 513) + `}"}`), []string{"line 2, column 55: model: the pattern needs 513 bytes at least, and no value has more than 512, so that the limit can never match"}},
		{"an empty pattern", limit(`, match: {model: ""}`), []string{`line 2, column 55: model: an empty pattern selects everything: leave it out, or write "*"`}},
		{"a limit that never matches", limit(", match: {workflow: " + strings.Repeat("x", 600) + "}"), []string{"line 2, column 58: workflow: the pattern needs 600 bytes at least, and no value has more than 512, so that the limit can never match"}},
		{"two of a name", limit("") + "- {name: a, max: 2 USD, window: daily}", []string{`line 3, column 3: two limits are named "a"`}},
		{"more than it looks", bomb, nil},
		{"deeper than it looks", deep, []string{"line 2, column 10: match is no mapping"}},
		{"itself", "limits: &a [*a]", nil},
		{"larger than a store keeps", strings.Repeat("#", driver.MaxPolicyDocument+1), []string{"more than 131072 bytes"}},
	} {
		_, err := budget.ReadPolicy(strings.NewReader(tt.file))
		require.ErrorIs(t, err, budget.ErrInvalidPolicy, tt.name)
		var first *budget.PolicyFileError
		require.ErrorAs(t, err, &first, tt.name)
		if tt.want == nil {
			require.NotEmpty(t, first.Problem, tt.name)
			continue
		}
		for i := range tt.want {
			tt.want[i] = "budget: policy file: " + tt.want[i]
		}
		assert.Equal(t, strings.Join(tt.want, "\n"), err.Error(), tt.name)
	}
	_, err := budget.ReadPolicy(failingReader{})
	require.ErrorContains(t, err, "disk")
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("disk") }

func drawLimit(t *rapid.T, i int) budget.Limit {
	word := rapid.StringN(1, 20, 60)
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"}
	loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	windows := []budget.Window{budget.Hourly, budget.Daily, budget.Weekly, budget.Weekly.From(time.Sunday), budget.Monthly, budget.Quarterly, budget.Yearly, budget.Lifetime}
	w := rapid.SampledFrom(windows).Draw(t, "window")
	if loc != time.UTC {
		w = w.In(loc)
	}
	if rapid.IntRange(0, 4).Draw(t, "rolling") == 0 {
		w = budget.Rolling(time.Duration(rapid.Int64Range(int64(time.Second), int64(300*24*time.Hour)).Draw(t, "length")))
	}
	l := budget.Limit{
		Name: fmt.Sprint(i, " ", word.Draw(t, "name")), Window: w, Per: budget.Per(rapid.IntRange(0, 63).Draw(t, "per")),
		Max:   budget.Quantity{N: rapid.Int64Min(0).Draw(t, "n"), Unit: budget.Unit(rapid.IntRange(1, int(budget.UnitCalls)).Draw(t, "unit"))},
		Latch: rapid.Bool().Draw(t, "latch"), Observe: rapid.Bool().Draw(t, "observe"),
		MaxDepth: rapid.IntRange(0, 3).Draw(t, "depth"), MaxChildren: rapid.IntRange(0, 3).Draw(t, "children"),
	}
	l.Paced = !l.Latch && l.Window != budget.Lifetime && rapid.Bool().Draw(t, "paced")
	for _, f := range []*string{&l.Match.Principal, &l.Match.Workflow, &l.Match.Model, &l.Match.Region, &l.Match.Profile, &l.Match.Project} {
		if rapid.Bool().Draw(t, "matched") {
			*f = word.Draw(t, "pattern")
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "tags") {
		if l.Match.Tags == nil {
			l.Match.Tags = make(map[string]string)
		}
		l.Match.Tags[word.Draw(t, "tag")] = word.Draw(t, "pattern")
	}
	for range rapid.IntRange(0, 2).Draw(t, "nots") {
		l.Match.Not = append(l.Match.Not, budget.Match{Workflow: word.Draw(t, "pattern") + "{a,b}", Tags: map[string]string{word.Draw(t, "tag"): "x"}})
	}
	for range rapid.IntRange(0, 2).Draw(t, "per tags") {
		l.PerTags = append(l.PerTags, word.Draw(t, "tag"))
	}
	if l.Per&budget.PerWorkflow != 0 {
		for range rapid.IntRange(0, 2).Draw(t, "exceptions") {
			l.MaxFor = append(l.MaxFor, budget.MaxFor{Match: budget.Match{Workflow: word.Draw(t, "pattern")}, Max: budget.Quantity{N: rapid.Int64Min(0).Draw(t, "n"), Unit: l.Max.Unit}})
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "marks") {
		l.Notify = append(l.Notify, rapid.Float64Range(0.0001, 1).Draw(t, "part"))
	}
	return l
}

// A policy that is written is read back as it was, whatever its names hold.
func TestPoliciesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p budget.Policy
		for i := range rapid.IntRange(1, 4).Draw(t, "limits") {
			p.Limits = append(p.Limits, drawLimit(t, i))
		}
		if p.Validate() != nil {
			t.Skip("two spellings of a zone")
		}
		var file bytes.Buffer
		require.NoError(t, budget.WritePolicy(&file, p))
		got, err := budget.ReadPolicy(&file)
		require.NoError(t, err, file.String())
		require.Equal(t, p, got)
	})
	require.ErrorIs(t, budget.WritePolicy(new(bytes.Buffer), budget.Policy{}), budget.ErrInvalidPolicy)
}

// The texts of quantities, windows and dimensions come back, too, in any encoding that uses them.
func TestTextsComeBackAsTheyWere(t *testing.T) {
	type config struct {
		Max    budget.Quantity
		Window budget.Window
		Per    budget.Per
	}
	want := config{budget.USD(0.25), budget.Weekly, budget.PerModel | budget.PerProject}
	raw, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, `{"Max":"0.25 USD","Window":"weekly","Per":"model|project"}`, string(raw))
	var got config
	require.NoError(t, json.Unmarshal(raw, &got))
	require.Equal(t, want, got)
	_, err = json.Marshal(config{})
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
	require.Error(t, json.Unmarshal([]byte(`{"Per":"team"}`), &got))
}

// The schema names the keys that the reader knows.
func TestTheSchemaKnowsEveryKey(t *testing.T) {
	var schema struct {
		Properties struct {
			Limits struct {
				Items struct {
					Properties map[string]struct {
						Properties map[string]any
					}
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(budget.PolicySchema), &schema))
	_, err := budget.ReadPolicy(strings.NewReader("limits: [{x: 1, name: a, max: 1 USD, window: daily}, {match: {x: a}, name: b, max: 1 USD, window: daily}]"))
	keys := func(of string) []string {
		_, rest, _ := strings.Cut(err.Error(), of+` has no "x": want `)
		line, _, _ := strings.Cut(rest, "\n")
		all := strings.Split(line, ", ")
		slices.Sort(all)
		return all
	}
	limit := schema.Properties.Limits.Items.Properties
	var inLimit, inMatch []string
	for key := range limit {
		inLimit = append(inLimit, key)
	}
	for key := range limit["match"].Properties {
		inMatch = append(inMatch, key)
	}
	slices.Sort(inLimit)
	slices.Sort(inMatch)
	require.Equal(t, [2][]string{keys("a limit"), keys("match")}, [2][]string{inLimit, inMatch})
}

func FuzzReadPolicy(f *testing.F) {
	f.Add([]byte(teams))
	f.Add([]byte("limits: &a [*a]"))
	f.Add([]byte("{\"limits\": [{\"name\": \"a\", \"max\": \"1 USD\", \"window\": \"daily\"}]}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := budget.ReadPolicy(bytes.NewReader(raw))
		if err != nil {
			return
		}
		require.NoError(t, p.Validate())
		var file bytes.Buffer
		require.NoError(t, budget.WritePolicy(&file, p))
		again, err := budget.ReadPolicy(&file)
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

func ExampleReadPolicy() {
	file := `
limits:
  - name: team-month
    max: 200 USD
    window: monthly in Europe/Berlin
    per: "tag:team"
    notify: [50%, 80%]
  - name: runaway
    max: 3 USD
    window: hourly
    per: workflow
    latch: yes please
`
	_, err := budget.ReadPolicy(strings.NewReader(file))
	fmt.Println(err)
	policy, err := budget.ReadPolicy(strings.NewReader(strings.Replace(file, "yes please", "true", 1)))
	fmt.Println(len(policy.Limits), "limits,", err)
	// Output:
	// budget: policy file: line 12, column 12: latch is true or false
	// 2 limits, <nil>
}
