package catalog

import "github.com/bedrockguard/bedrockguard-go/budget"

// tierTable are the factors of the service tiers that a request can ask for beside the standard one, in thousandths. A
// factor is that on every rate.
type tierTable struct{ flex, priority, ultrafast budget.Tier }

// leastTiers is the least that a catalog takes for a model without an entry: the dearest ratios between published prices of
// a tier and of the standard one, over all models, classes and regions. Source: the price tables listed in models.json,
// 2026-11-28: flex of Voxtral Mini in ap-northeast-1, priority of GPT-5.6 in us-gov-west-1, ultrafast of GPT-6 Astra.
func leastTiers() tierTable { return tierTable{flex: 600, priority: 2000, ultrafast: 6000} }

// dearestTiers returns the dearest factors of any model.
func dearestTiers(models []*Model) tierTable {
	t := leastTiers()
	for _, m := range models {
		t.flex = max(t.flex, m.Tiers["flex"])
		t.priority = max(t.priority, m.Tiers["priority"])
		t.ultrafast = max(t.ultrafast, m.Tiers["ultrafast"])
	}
	return t
}

// tier returns the factor of a tier by the service's name of it. Reserved capacity is paid for by the month; what overflows
// it is billed at the standard rate, and nothing in a response tells the two apart, so that all of it counts. Batch is none
// that a call can be served at.
func (r *Resolved) tier(name string) (factor budget.Tier, known bool) {
	switch name {
	case "", "default", "standard", "reserved":
		return budget.TierStandard, true
	case "flex":
		factor = r.tiers.flex
	case "priority":
		factor = r.tiers.priority
	case "ultrafast":
		factor = r.tiers.ultrafast
	default:
		return 0, false
	}
	if own, ok := r.Model.Tiers[name]; ok {
		factor = own
	}
	return factor, true
}

// WorstTier returns the dearest factor, in thousandths, that a request for a tier can be billed at: the dearest one
// published for the model, or for any model where it has none, and never below standard, because a flex request may be
// served as a default one. Empty is the default tier. An unknown tier is an *UnpricedError.
func (r *Resolved) WorstTier(requested string) (budget.Tier, error) {
	factor, known := r.tier(requested)
	if !known {
		return 0, unpriced(requested, "", "the service tier is unknown: use default, flex, priority, ultrafast or reserved")
	}
	return max(factor, budget.TierStandard), nil
}

// ServedTier returns the factor, in thousandths, of the tier that a response reports. Empty is standard: when a response
// reports none, bill what was requested, by WorstTier. A tier that is unknown is billed as the dearest of the catalog.
func (r *Resolved) ServedTier(reported string) budget.Tier {
	factor, known := r.tier(reported)
	if !known {
		return max(budget.TierStandard, r.tiers.flex, r.tiers.priority, r.tiers.ultrafast)
	}
	return factor
}

// DearestWrite returns the dearest rate, in pico-USD per token, at which input of any class that is written to a cache can
// be billed: for a write whose lifetime has no price of its own.
func DearestWrite(r budget.Rates) budget.PicoUSD {
	return max(r.Input, r.CacheWrite5m, r.CacheWrite1h)
}
