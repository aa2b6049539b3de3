package output

import (
	"encoding/json"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// chargeUnits are the units of a charge, with their names in JSON.
var chargeUnits = [...]struct {
	unit budget.Unit
	name string
}{
	{budget.UnitUSD, "nano_usd"},
	{budget.UnitCalls, "calls"},
	{budget.UnitInputTokens, "input_tokens"},
	{budget.UnitUncachedInputTokens, "uncached_input_tokens"},
	{budget.UnitCacheReadInputTokens, "cache_read_input_tokens"},
	{budget.UnitCacheWriteInputTokens, "cache_write_input_tokens"},
	{budget.UnitOutputTokens, "output_tokens"},
}

// JSONCharge returns the amounts of a charge for JSON, by the name of their unit. Zero amounts are left out.
func JSONCharge(c budget.Charge) map[string]int64 {
	byUnit := make(map[string]int64)
	for _, u := range chargeUnits {
		if c[u.unit] != 0 {
			byUnit[u.name] = c[u.unit]
		}
	}
	return byUnit
}

// KillJSON is a kill flag for JSON.
type KillJSON struct {
	Scope       ScopeJSON  `json:"scope"`
	Everything  bool       `json:"everything,omitempty"` // the flag stops every call
	Patterns    bool       `json:"patterns,omitempty"`   // the values may hold * and ?
	Reason      string     `json:"reason,omitempty"`
	At          *time.Time `json:"at,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
	EffectiveBy *time.Time `json:"effective_by,omitempty"` // when every process refuses the calls at the latest
}

// JSONKill returns a kill flag for JSON. A flag without values (Dims) stops every call.
func JSONKill(k *budget.Kill) KillJSON {
	return KillJSON{
		Scope: JSONScope(k.Scope), Everything: len(k.Scope.Dims()) == 0, Patterns: k.Patterns, Reason: k.Reason,
		At: Moment(k.At), Until: Moment(k.Until), EffectiveBy: Moment(k.EffectiveBy),
	}
}

// JSONKills returns kill flags for JSON; never nil, so that the JSON of none is an empty list.
func JSONKills(kills []budget.Kill) []KillJSON {
	all := make([]KillJSON, len(kills))
	for i := range kills {
		all[i] = JSONKill(&kills[i])
	}
	return all
}

// PrintJSON prints a value as JSON, indented.
func PrintJSON(c *cli.Command, v any) error {
	e := json.NewEncoder(c.Root().Writer)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Moment returns a moment for JSON: nil for the zero one.
func Moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// ScopeJSON is a scope for JSON, without empty fields.
type ScopeJSON struct {
	Principal string            `json:"principal,omitempty"`
	Workflow  string            `json:"workflow,omitempty"`
	Model     string            `json:"model,omitempty"`
	Region    string            `json:"region,omitempty"`
	Profile   string            `json:"profile,omitempty"`
	Project   string            `json:"project,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
}

// QuantityJSON is an exact quantity for JSON: USD are in nano-USD.
type QuantityJSON struct {
	N    int64  `json:"n"`
	Unit string `json:"unit"`
	Text string `json:"text"`
}

// JSONQuantity returns a quantity for JSON.
func JSONQuantity(q budget.Quantity) QuantityJSON {
	unit := q.Unit.String()
	if q.Unit == budget.UnitUSD {
		unit = "nano-USD"
	}
	return QuantityJSON{q.N, unit, q.String()}
}

// JSONScope returns a scope for JSON.
func JSONScope(s budget.Scope) ScopeJSON {
	return ScopeJSON{s.Principal, s.Workflow, s.Model, s.Region, s.Profile, s.Project, s.Tags}
}

// Scope returns the scope that s was made of.
func (s ScopeJSON) Scope() budget.Scope {
	return budget.Scope{Principal: s.Principal, Workflow: s.Workflow, Model: s.Model, Region: s.Region, Profile: s.Profile, Project: s.Project, Tags: s.Tags}
}
