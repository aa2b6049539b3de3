package catalog

import "github.com/bedrockguard/bedrockguard-go/budget"

// tierFactor returns the factor of a service tier on every rate. Source: the ratios between the tiers' entries in the AWS
// price list, 2026-09. Reserved capacity is paid for by the month; what overflows it is billed at the standard rate, and
// nothing in a response tells the two apart, so that all of it counts.
func tierFactor(name string) (budget.Tier, bool) {
	switch name {
	case "", "default", "standard", "reserved":
		return budget.TierStandard, true
	case "flex":
		return 500, true
	case "priority":
		return 1750, true
	}
	return 0, false
}

// dearestTier is the highest factor that tierFactor returns.
const dearestTier budget.Tier = 1750

// WorstTier returns the dearest factor that a request for a tier can be billed at: never below standard, because a flex
// request may be served as a default one. Empty is the default tier. An unknown tier is an *UnpricedError.
func WorstTier(requested string) (budget.Tier, error) {
	factor, known := tierFactor(requested)
	if !known {
		return 0, unpriced(requested, "", "the service tier is unknown: use default, flex, priority or reserved")
	}
	return max(factor, budget.TierStandard), nil
}

// ServedTier returns the factor of the tier that a response reports. Empty is standard: when a response reports none, bill
// what was requested, by WorstTier. A tier that is unknown is billed as the dearest that is known.
func ServedTier(reported string) budget.Tier {
	factor, known := tierFactor(reported)
	if !known {
		return dearestTier
	}
	return factor
}
