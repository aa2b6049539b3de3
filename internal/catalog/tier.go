package catalog

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// tierTable has the factors, in thousandths, of the service tiers that a request can ask for besides the standard one. A factor applies to
// every rate.
type tierTable struct{ flex, priority, ultrafast price.Tier }

// leastTiers are the factors for a model that has none of its own, unless a model of the catalog has a higher one: the highest ratios between
// published prices of a tier and of the standard one, over all models, kinds of tokens and regions. Source: the price tables listed in
// models.json, 2026-11-28: flex of Voxtral Mini in ap-northeast-1, priority of GPT-5.6 in us-gov-west-1, ultrafast of GPT-6 Astra.
func leastTiers() tierTable { return tierTable{flex: 600, priority: 2000, ultrafast: 6000} }

// higher returns, for each tier, the higher factor of those in t and in a map by the service's names of the tiers. A tier that the map lacks has 0
// there.
func (t tierTable) higher(named map[string]price.Tier) tierTable {
	return tierTable{
		flex: max(t.flex, named["flex"]), priority: max(t.priority, named["priority"]), ultrafast: max(t.ultrafast, named["ultrafast"]),
	}
}

// highestTiers returns the highest factors of any model.
func highestTiers(models []*Model) tierTable {
	t := leastTiers()
	for _, m := range models {
		t = t.higher(m.Tiers)
		for _, tiers := range m.TierOverrides {
			t = t.higher(tiers)
		}
	}
	return t
}

// tiersAt returns the model's own factors in a region; zero if it has none. assumed says that no price is published for that region: then the factors
// are the highest of any region.
func (m *Model) tiersAt(region string, assumed bool) tierTable {
	t := tierTable{}.higher(m.Tiers).higher(m.TierOverrides[region])
	if assumed {
		for _, tiers := range m.TierOverrides {
			t = t.higher(tiers)
		}
	}
	return t
}

// or returns t with the factors of u where t has none.
func (t tierTable) or(u tierTable) tierTable {
	if t.flex == 0 {
		t.flex = u.flex
	}
	if t.priority == 0 {
		t.priority = u.priority
	}
	if t.ultrafast == 0 {
		t.ultrafast = u.ultrafast
	}
	return t
}

// tier returns the factor of a tier by the service's name of it. Reserved capacity is paid by the month; what exceeds it is billed at the
// standard rate, and a response does not show which was used, so all of it counts at that rate. No call is served in the batch tier.
func (r *Resolved) tier(name string) (factor price.Tier, known bool) {
	switch name {
	case "", "default", "standard", "reserved":
		return price.TierStandard, true
	case "flex":
		return r.tiers.flex, true
	case "priority":
		return r.tiers.priority, true
	case "ultrafast":
		return r.tiers.ultrafast, true
	}
	return 0, false
}

// WorstTier returns the highest factor, in thousandths, at which a request for a tier can be billed: the highest one published for the model
// in its region, or for any model if it has none. It is never below standard, because a flex request may be served as a default one. Empty
// is the default tier. An unknown tier is an *UnpricedError.
func (r *Resolved) WorstTier(requested string) (price.Tier, error) {
	factor, known := r.tier(requested)
	if !known {
		return 0, unpriced(requested, "", "the service tier is unknown: use default, flex, priority, ultrafast or reserved")
	}
	return max(factor, price.TierStandard), nil
}

// ServedTier returns the factor, in thousandths, of the tier that a response reports. Empty is standard: if a response reports no tier, use
// WorstTier of the one that was requested. An unknown tier is billed at the highest factor in the catalog.
func (r *Resolved) ServedTier(reported string) price.Tier {
	factor, known := r.tier(reported)
	if !known {
		return r.highestTier
	}
	return factor
}
