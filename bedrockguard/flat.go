package bedrockguard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// The features that FlatPrices can price. All but the guardrail run at the provider and put what they find into the prompt, so that only the
// context window bounds it.
const (
	featureGuardrail  = "guardrail"
	featureSystemTool = "system_tool"
)

func flatFeatures() []string {
	return []string{
		featureGuardrail, "web_search", "web_fetch", "code_execution", "code_interpreter", "file_search", "image_generation", "mcp", "advisor",
		"plugins", featureSystemTool,
	}
}

// flatFeature returns the feature's name in FlatPrices for the name that a request has for it.
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

// flatPrices are Options.FlatPrices, separated by what they price.
type flatPrices struct {
	operations map[string]price.Amount
	features   map[string]price.Amount
	models     []flatModel
}

type flatModel struct {
	glob  string
	price price.Amount
}

// newFlatPrices parses Options.FlatPrices, or returns all errors, joined.
func newFlatPrices(prices map[string]price.Amount) (f flatPrices, err error) {
	var problems []error
	f.operations, f.features = map[string]price.Amount{}, map[string]price.Amount{}
	for key, amount := range prices {
		kind, name, _ := strings.Cut(key, ":")
		switch {
		case amount <= 0:
			problems = append(problems, fmt.Errorf("FlatPrices gives %q a price of %s, want the most that one call can cost", key, amount))
		case kind == "operation" && slices.Contains(flatOperations(), name):
			f.operations[name] = amount
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

// model returns the highest price of the globs that match a foundation-model id.
func (f *flatPrices) model(id string) (amount price.Amount, ok bool) {
	for _, m := range f.models {
		if (budget.Match{Model: m.glob}).Selects(budget.Scope{Model: id}) {
			amount, ok = max(amount, m.price), true
		}
	}
	return amount, ok
}

// priceFeatures applies flat prices to the features of a call that have no token price, and returns the first one that has no flat price
// either.
func (c *call) priceFeatures(f *flatPrices) (unpriced string, err error) {
	for _, name := range c.demand.unpriced {
		key := flatFeature(name)
		amount, ok := f.features[key]
		if !ok {
			return name, nil
		}
		if key == featureGuardrail {
			c.flatGuardrail = amount
			continue
		}
		c.demand.prompt.Hidden.Unknown = true
		if c.flat, err = c.flat.Add(amount); err != nil {
			return "", err
		}
	}
	return "", nil
}

// identifyFlat fills in the call of an operation that has a flat price.
func (g *Guard) identifyFlat(ctx context.Context, c *call, input any, amount price.Amount) error {
	if err := g.scope(ctx, &c.scope); err != nil {
		return err
	}
	c.flatOperation, c.flat = true, amount
	c.scope.Region = c.region
	c.quote = quote{resolved: &catalog.Resolved{Model: new(catalog.Model)}, tier: price.TierStandard}
	c.demand.choices = 1
	if in, ok := input.(*bedrockruntime.StartAsyncInvokeInput); ok {
		c.scope.Model = g.catalog.FoundationID(aws.ToString(in.ModelId))
	}
	return nil
}

// describeFlat bounds the cost of the request that is sent: its flat price, or the price of its body's text units if that is more.
func (c *call) describeFlat(req *smithyhttp.Request, body []byte) error {
	var unit price.Amount
	switch c.operation {
	case "ApplyGuardrail":
		unit = catalog.DearestGuardrailUnit()
	case "InvokeGuardrailChecks":
		unit = catalog.DearestCheckUnit()
	}
	texts := int64(bytes.Count(body, []byte(`"text"`)))
	cost, ok := mul(int64(len(body))/catalog.TextUnitCharacters+texts+1, int64(unit))
	if !ok {
		return budget.ErrOverflow
	}
	c.flat = max(c.flat, price.Amount(cost))
	c.seen.note(req, body)
	return nil
}

// settleFlat settles an operation that has a flat price: by the units that its answer reports, else at the flat price.
func (g *Guard) settleFlat(ctx context.Context, a *attempt, body []byte) {
	usage, told, err := wire.ParseGuardrailUsage(body)
	if err != nil || !told {
		g.finish(ctx, a, event.OutcomeNoUsage)
		return
	}
	cost, err := guardrailCost([]wire.GuardrailUsage{usage})
	if err != nil {
		g.finish(ctx, a, event.OutcomeNoUsage)
		return
	}
	if !a.claim() {
		return
	}
	charge := driver.ChargeOf(price.Usage{}, cost)
	g.postClaimed(ctx, a, &charge, new(price.Usage), event.OutcomeUsage)
}
