package pricing

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// A flat price is the most that one call can cost with something that has no price by tokens: a feature of a request, such as a search of the web,
// an operation, or a model. The caller sets it in Options.FlatPrices, by a key such as "feature:web_search".

// The features that FlatPrices can price. All but the guardrail run at the provider and put what they find into the prompt, so that only the
// context window bounds it.
const (
	featureGuardrail  = "guardrail"
	featureSystemTool = "system_tool"
)

// flatFeatures are the names that may follow "feature:" in FlatPrices.
func flatFeatures() []string {
	return []string{
		featureGuardrail, "web_search", "web_fetch", "code_execution", "code_interpreter", "file_search", "image_generation", "mcp", "advisor",
		"plugins", featureSystemTool,
	}
}

// flatFeature returns the feature's name in FlatPrices for the name that the body of a request has for it.
func flatFeature(name string) string {
	switch name {
	case "web_search_options", "search_parameters":
		return "web_search"
	case "mcp_servers":
		return "mcp"
	case "container":
		return "code_execution"
	default:
		return name
	}
}

// flatOperations are the operations that FlatPrices can price.
func flatOperations() []string {
	return []string{"ApplyGuardrail", "InvokeGuardrailChecks", "StartAsyncInvoke"}
}

// FlatPrices are Options.FlatPrices, separated by what they price.
type FlatPrices struct {
	Operations map[string]price.Amount // by the names of operations
	features   map[string]price.Amount // by the names of flatFeatures
	models     []flatModel
}

// flatModel is the flat price of the models whose foundation-model id matches a glob.
type flatModel struct {
	glob  string
	price price.Amount
}

// NewFlatPrices parses Options.FlatPrices, or returns all errors, joined.
func NewFlatPrices(prices map[string]price.Amount) (f FlatPrices, err error) {
	var problems []error
	f.Operations, f.features = map[string]price.Amount{}, map[string]price.Amount{}
	for key, amount := range prices {
		// Without a colon the name is empty, and the key fits none of the cases.
		kind, name, _ := strings.Cut(key, ":")
		switch {
		case amount <= 0:
			problems = append(problems, fmt.Errorf("FlatPrices gives %q a price of %s, want the most that one call can cost", key, amount))
		case kind == "operation" && slices.Contains(flatOperations(), name):
			f.Operations[name] = amount
		case kind == "feature" && slices.Contains(flatFeatures(), name):
			f.features[name] = amount
		case kind == "model" && name != "":
			f.models = append(f.models, flatModel{name, amount})
		default:
			problems = append(problems, fmt.Errorf("FlatPrices names %q, want operation: and one of %s, feature: and one of %s, or model: and a glob of model ids",
				key, strings.Join(flatOperations(), ", "), strings.Join(flatFeatures(), ", ")))
		}
	}
	return f, errors.Join(problems...)
}

// Model returns the highest price of the globs that match a foundation-model id.
func (f *FlatPrices) Model(id string) (amount price.Amount, ok bool) {
	for _, m := range f.models {
		// Selects compares the glob with the model, the only value that the scope has.
		if (budget.Match{Model: m.glob}).Selects(budget.Scope{Model: id}) {
			amount, ok = max(amount, m.price), true
		}
	}
	return amount, ok
}

// priceFeatures adds the flat prices of those features of a call that have no token price, and returns the first one that has no flat price
// either. All but a guardrail add text of unknown length to the prompt.
func (c *Call) priceFeatures(f *FlatPrices) (unpriced string, err error) {
	for _, name := range c.Demand.unpriced {
		key := flatFeature(name)
		amount, ok := f.features[key]
		if !ok {
			return name, nil
		}
		// A guardrail is counted apart, by GuardrailsWorst: if the answer reports its units, these count instead of the flat price.
		if key == featureGuardrail {
			c.FlatGuardrail = amount
			continue
		}
		// This is the text that the feature adds, such as search results.
		c.Demand.prompt.Hidden.Unknown = true
		if c.Flat, err = c.Flat.Add(amount); err != nil {
			return "", err
		}
	}
	return "", nil
}

// FlatBy makes the call one of an operation that is charged by its flat price alone: its quote is of an empty model, which charges nothing.
func (c *Call) FlatBy(amount price.Amount) {
	c.FlatOperation, c.Flat = true, amount
	c.Quote = Quote{Resolved: &catalog.Resolved{Model: new(catalog.Model)}, Tier: price.TierStandard}
	c.Demand.choices = 1 // it is never less, also where there is no completion
}

// FlatWorst bounds the cost of the request that is sent: its flat price, or the price of its body's text units if that is more. A unit is up to
// TextUnitCharacters characters of one text, and a body has at most as many characters as bytes. The division rounds down: one unit for each
// text, and one more, make up for that.
func (c *Call) FlatWorst(operation string, body []byte) error {
	// It stays zero for StartAsyncInvoke, which is not billed by text units: then the flat price alone counts.
	var unit price.Amount
	// Each is the price of a unit that every policy or check evaluates.
	switch operation {
	case "ApplyGuardrail":
		unit = catalog.DearestGuardrailUnit()
	case "InvokeGuardrailChecks":
		unit = catalog.DearestCheckUnit()
	}
	// Each text stands under this key. The word may also be a value, such as that of a type, which only makes the bound higher.
	texts := int64(bytes.Count(body, []byte(`"text"`)))
	cost, ok := mul(int64(len(body))/catalog.TextUnitCharacters+texts+1, int64(unit))
	if !ok {
		return budget.ErrOverflow
	}
	// If the request is read again because it was changed, Flat may still be the bound of a longer body, which does no harm.
	c.Flat = max(c.Flat, price.Amount(cost))
	return nil
}
