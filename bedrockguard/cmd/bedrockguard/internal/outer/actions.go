// Package outer writes IAM documents by which only the principals that you name may spend on Bedrock, and looks what a set of documents
// leaves open: the rail around the guard, which sees nothing but what goes through it.
//
// It calls nothing at AWS. What spends is a table, actions.json, with its date and source.
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

// Table is what spends on Bedrock, by the door that it goes through.
type Table struct {
	AsOf   string `json:"as_of"`
	Source string `json:"source"`
	Doors  []Door `json:"doors"`
}

// Door is a way to spend that goes round a guard in front of another one.
type Door struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Actions []Action `json:"actions"`
}

// Action is an action of IAM that spends.
type Action struct {
	Name   string `json:"action"`
	Spends string `json:"spends"`
	// Keys are the keys of conditions that it supports beside those that every action has; an asterisk stands for the name of a tag.
	Keys []string `json:"keys"`
	// Resources are the forms of what it is authorized on. None is an action that is on no particular resource.
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

// chosen returns the actions of all doors but those that are left open.
func (t *Table) chosen(leave []string) ([]string, error) {
	for _, name := range leave {
		if !slices.Contains(t.names(), name) {
			return nil, fmt.Errorf("outer: there is no door %q: want one of %s", name, strings.Join(t.names(), ", "))
		}
	}
	var all []string
	for i := range t.Doors {
		if d := &t.Doors[i]; !slices.Contains(leave, d.Name) {
			for j := range d.Actions {
				all = append(all, d.Actions[j].Name)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("outer: every door is left open")
	}
	return t.invocations(all), nil
}

// invocations puts SERVICE:Invoke* in the place of a service's actions of that form, if all of them are chosen, so that one which is new
// tomorrow is denied, too. Not AgentCore's: it runs the code of customers by actions of that form.
func (t *Table) invocations(chosen []string) []string {
	for _, service := range [...]string{"bedrock", "bedrock-websearch"} {
		prefix := service + ":Invoke"
		whole := true
		for i := range t.Doors {
			for j := range t.Doors[i].Actions {
				name := t.Doors[i].Actions[j].Name
				whole = whole && (!strings.HasPrefix(name, prefix) || slices.Contains(chosen, name))
			}
		}
		if first := slices.IndexFunc(chosen, func(name string) bool { return strings.HasPrefix(name, prefix) }); whole && first >= 0 {
			rest := slices.DeleteFunc(slices.Clone(chosen), func(name string) bool { return strings.HasPrefix(name, prefix) })
			chosen = slices.Insert(rest, first, prefix+"*")
		}
	}
	return chosen
}
