package catalog

import (
	"errors"
	"maps"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Discounted returns a catalog with discounts off the list price. The key is a glob over foundation-model ids, as in budget.Match.Model; the
// value is the discount on every rate and fee, in thousandths: 150 is fifteen percent. If several globs match a model, the smallest discount
// counts. Discounted prices are rounded up. The discounts are added to earlier ones, and replace those for the same glob.
//
// It refuses values outside of 1 to 999, an empty glob, and a glob that matches no model; the errors are joined, and each is a *ModelError.
// The receiver is unchanged.
func (c *Catalog) Discounted(thousandthsOff map[string]int64) (*Catalog, error) {
	var problems []error
	for _, glob := range slices.Sorted(maps.Keys(thousandthsOff)) {
		switch off := thousandthsOff[glob]; {
		case glob == "":
			problems = append(problems, modelProblem(glob, "discount without a model: write * for every model"))
		case off < 1 || off > 999:
			problems = append(problems, modelProblem(glob, "discount of %d thousandths is not within 1 and 999: 150 is fifteen percent off", off))
		case !slices.ContainsFunc(c.models, func(m *Model) bool { return globMatches(glob, m.ID) }):
			problems = append(problems, modelProblem(glob, "discount for no known model: the glob is compared with foundation-model ids such as anthropic.claude-opus-4-6-v1"))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	off := maps.Clone(c.off)
	if off == nil {
		off = make(map[string]int64, len(thousandthsOff))
	}
	maps.Copy(off, thousandthsOff)
	return build(parts{date: c.date, models: c.models, mapped: c.mapped, off: off}, nil)
}

// discountOf returns the discount on a model, in thousandths: the smallest one whose glob matches, and zero if none does.
func (c *Catalog) discountOf(id string) int64 {
	least := int64(0)
	for glob, off := range c.off {
		if globMatches(glob, id) && (least == 0 || off < least) {
			least = off
		}
	}
	return least
}

// globMatches reports whether a glob matches a model id, by the rules of limits.
func globMatches(glob, id string) bool {
	return (budget.Match{Model: glob}).Selects(budget.Scope{Model: id})
}
