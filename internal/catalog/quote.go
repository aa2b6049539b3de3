package catalog

import (
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// quote is the final price of a model at one place.
type quote struct {
	price   budget.Price
	latency *budget.Rates
	fees    Fees
}

// quoteAt prices a call under a profile ("" for none) from a region ("" for unknown).
func (m *Model) quoteAt(profile, region string) quote {
	if profile == profileGlobal && (isolated(region) || !slices.Contains(m.Profiles, profileGlobal)) {
		profile = "" // billed like a regional call, which is never cheaper
	}
	base := classesOf(m.Price.Rates).complete(m.Cache.Explicit)
	factor := m.factorAt(profile, region)
	final := base.by(factor)
	move := func(c classes) classes { return c.by(factor) }
	if override, ok := m.overrideAt(profile, region, base, final); ok {
		final = override
		move = func(c classes) classes { return c.inProportion(final, base) }
	}

	q := quote{price: budget.Price{Rates: final.rates()}, fees: m.Fees.by(factor)}
	if long := m.Price.LongContext; long.Threshold > 0 {
		rates := move(classesOf(long.Rates).completeLike(base)).rates()
		q.price.LongContext = budget.LongContext{Threshold: long.Threshold, Rates: rates}
	}
	if m.LatencyOptimized != nil {
		rates := move(classesOf(*m.LatencyOptimized).completeLike(base)).rates()
		q.latency = &rates
	}
	return q
}

// factorAt returns the factor on the base price, in thousandths, where no override applies.
func (m *Model) factorAt(profile, region string) int64 {
	if profile == profileGlobal {
		return 1000
	}
	factor := max(m.GeoPremium, 1000)
	if profile == "us-gov" || isolated(region) {
		factor = max(factor, govFactor)
	}
	return factor
}

// overrideAt returns the dearest of the overrides that apply, and whether one does. A region that is missing from the
// table of a model priced by region is billed at the dearest commercial region of that table, and at product at least.
func (m *Model) overrideAt(profile, region string, base, product classes) (classes, bool) {
	var dearest classes
	found := false
	add := func(r budget.Rates) {
		dearest, found = dearest.dearer(classesOf(r).completeLike(base)), true
	}
	for geo, rates := range m.GeoOverrides {
		if geo == profile || profile != profileGlobal && geoApplies(geo, profile, region) {
			add(rates)
		}
	}
	if profile == profileGlobal {
		return dearest, found
	}
	for name, rates := range m.RegionOverrides {
		if name == region || region == "" && regionInProfile(name, profile) {
			add(rates)
		}
	}
	if found || region == "" || commercialUS(region) || isolated(region) {
		return dearest, found
	}
	for name, rates := range m.RegionOverrides {
		if !isolated(name) {
			add(rates)
		}
	}
	return dearest.dearer(product), found
}

// geoApplies reports whether a geography's override reaches a call that does not name it: one from a region of that
// geography, or one from an unknown region without a profile.
func geoApplies(geo, profile, region string) bool {
	if region == "" {
		return profile == "" && geo != profileGlobal
	}
	g, _ := knownGeography(geo)
	return g.contains(region)
}

// regionInProfile reports whether calls under a profile can come from a region.
func regionInProfile(region, profile string) bool {
	g, _ := knownGeography(profile)
	return profile == "" || g.contains(region)
}

// by multiplies every fee by a factor in thousandths, rounding up.
func (f Fees) by(thousandths int64) Fees {
	at := func(fee budget.Amount) budget.Amount {
		return budget.Amount(scale(budget.PicoUSD(fee), thousandths, 1000))
	}
	return Fees{Query: at(f.Query), Image: at(f.Image), VideoSecond: at(f.VideoSecond), AudioSecond: at(f.AudioSecond)}
}

// dearer takes the higher of each of two quotes for the same model.
func (q quote) dearer(p quote) quote {
	q.price.Rates = classesOf(q.price.Rates).dearer(classesOf(p.price.Rates)).rates()
	q.price.LongContext.Rates = classesOf(q.price.LongContext.Rates).dearer(classesOf(p.price.LongContext.Rates)).rates()
	if q.latency != nil && p.latency != nil {
		rates := classesOf(*q.latency).dearer(classesOf(*p.latency)).rates()
		q.latency = &rates
	}
	q.fees = Fees{
		Query: max(q.fees.Query, p.fees.Query), Image: max(q.fees.Image, p.fees.Image),
		VideoSecond: max(q.fees.VideoSecond, p.fees.VideoSecond), AudioSecond: max(q.fees.AudioSecond, p.fees.AudioSecond),
	}
	return q
}
