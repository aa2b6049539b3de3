// Package outer writes IAM documents that only let the principals that you name spend on Bedrock, and checks what a set of documents leaves
// open. The guard itself only sees the calls that go through it; these documents deny the others.
//
// It does not call AWS. The actions that cost money are in a table, actions.json, with its date and source.
package outer

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed actions.json
var actionsJSON []byte

// Table lists the actions that cost money on Bedrock. They are grouped by door, which is a way to reach Bedrock without a guard.
type Table struct {
	AsOf   string `json:"as_of"`  // the date on which the table was made
	Source string `json:"source"` // what of AWS it was made from
	Doors  []Door `json:"doors"`
}

// Door is a group of actions with which one can spend without going through a guard, such as the runtime's own.
type Door struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Actions []Action `json:"actions"`
}

// Action is an IAM action that costs money.
type Action struct {
	Name   string `json:"action"`
	Spends string `json:"spends"`
	// Keys are the condition keys that it supports besides the global ones; an asterisk stands for the name of a tag.
	Keys []string `json:"keys"`
	// Resources are the forms of its resources. Without any, the action has no particular resource.
	Resources []string `json:"resources"`
}

// Spending returns the table.
var Spending = sync.OnceValue(func() *Table {
	table := new(Table)
	decoder := json.NewDecoder(bytes.NewReader(actionsJSON))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(table); err != nil {
		panic(fmt.Sprintf("outer: actions.json: %v", err)) // it is embedded, and a test reads it
	}
	return table
})

// names returns the names of all doors.
func (t *Table) names() []string {
	names := make([]string, len(t.Doors))
	for i := range t.Doors {
		names[i] = t.Doors[i].Name
	}
	return names
}

// chosen returns the names of the actions of all doors except those that stay open (leave). It is an error if leave has an unknown door, or all.
func (t *Table) chosen(leave []string) ([]string, error) {
	for _, name := range leave {
		if !slices.Contains(t.names(), name) {
			return nil, fmt.Errorf("outer: there is no door %q: want one of %s", name, strings.Join(t.names(), ", "))
		}
	}
	var all []string
	for i := range t.Doors {
		d := &t.Doors[i]
		if slices.Contains(leave, d.Name) {
			continue
		}
		for j := range d.Actions {
			all = append(all, d.Actions[j].Name)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("outer: every door is left open")
	}
	return t.invocations(all), nil
}

// invocations replaces a service's actions that begin with Invoke by SERVICE:Invoke*, if all of them are chosen, so that new ones are denied too. It
// leaves AgentCore alone, whose actions of that form run the code of customers.
func (t *Table) invocations(chosen []string) []string {
	for _, service := range [...]string{"bedrock", "bedrock-websearch"} {
		prefix := service + ":Invoke"
		begins := func(name string) bool { return strings.HasPrefix(name, prefix) }
		first := slices.IndexFunc(chosen, begins)
		if first >= 0 && t.allWith(prefix, chosen) {
			rest := slices.DeleteFunc(slices.Clone(chosen), begins)
			chosen = slices.Insert(rest, first, prefix+"*")
		}
	}
	return chosen
}

// allWith reports whether chosen has all actions of the table whose names begin with prefix.
func (t *Table) allWith(prefix string, chosen []string) bool {
	for i := range t.Doors {
		for j := range t.Doors[i].Actions {
			name := t.Doors[i].Actions[j].Name
			if strings.HasPrefix(name, prefix) && !slices.Contains(chosen, name) {
				return false
			}
		}
	}
	return true
}
