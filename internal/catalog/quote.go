package catalog

import (
	"math"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// This file has the rules of the package comment for the price of a model in a region. The base are the model's list rates. An entry is a line in one
// of the model's tables of final rates, which replace base rates in a region or geography. classes are rates as an array: input, output, cache reads,
// cache writes. classes.completeLike fills in the rates that an entry lacks, in proportion to the base.

// quote is the final price of a model for calls with one profile from one region.
type quote struct {
	price   price.Price
	latency *price.Rates // under latency-optimized inference; nil if the model does not offer it
	fees    Fees
	media   MediaRates
	tiers   tierTable // zero if the model has none
	assumed bool      // no price is known for the region, and a factor or another region's price is used instead
}

// quoteAt prices a call with a profile ("" for none) from a region ("" for unknown).
func (m *Model) quoteAt(profile, region string) quote {
	// Isolated regions, those outside of the commercial partition, have no global profile.
	if profile == profileGlobal && (isolated(region) || !slices.Contains(m.Profiles, profileGlobal)) {
		profile = "" // billed like a regional call, which never costs less
	}
	base := classesOf(m.Price.Rates).complete(m.Cache) // fills in cache rates that are not published
	at := m.rule(base, profile, region)

	q := quote{
		price: price.Price{Rates: at.rates.rates()}, fees: m.feesAt(region, at.factor), media: m.Media.by(at.factor),
		tiers: m.tiersAt(region, at.assumed), assumed: at.assumed,
	}
	// The rates for long contexts and low latency change as much as the base rates do in this place.
	if long := m.Price.LongContext; long.Threshold > 0 {
		rates := classesOf(long.Rates).completeLike(base).inProportion(at.rates, base).rates()
		q.price.LongContext = price.LongContext{Threshold: long.Threshold, Rates: rates}
	}
	if m.LatencyOptimized != nil {
		rates := classesOf(*m.LatencyOptimized).completeLike(base).inProportion(at.rates, base).rates()
		q.latency = &rates
	}
	return q
}

// regional is the result of this file's rules for a model's base rates in one region.
type regional struct {
	rates   classes
	factor  int64 // of the fees and of the media rates, in thousandths; 0 if there is no price yet
	assumed bool  // no price is known for the region
}

// higher returns the higher of each of two rates and factors. It is assumed if either is. The zero value changes nothing.
func (r regional) higher(s regional) regional {
	return regional{r.rates.higher(s.rates), max(r.factor, s.factor), r.assumed || s.assumed}
}

// rule applies the rule for a call: there is one for global profiles, one for known regions, and one for an unknown region.
func (m *Model) rule(base classes, profile, region string) regional {
	switch {
	case profile == profileGlobal:
		return m.globalAt(base, region)
	case region == "":
		return m.anywhere(base, profile)
	case profile == profileGov && partitionOf(region) != partitionGov: // a contradiction: the dearer of both applies
		return m.regionAt(base, profile, region).higher(m.anywhere(base, profile))
	}
	return m.regionAt(base, profile, region)
}

// globalAt prices the global profile by the region from which it is called: the region's own entry; without a table the base price; and if
// the table does not list the region, the highest entry.
func (m *Model) globalAt(base classes, region string) regional {
	if rates, ok := m.GlobalOverrides[region]; ok {
		return listed(classesOf(rates).completeLike(base), base)
	}
	at := regional{rates: base, factor: 1000}
	if rates, ok := m.GeoOverrides[profileGlobal]; ok {
		// An entry for the profile itself replaces the base, and one for the region replaces both.
		at = listed(classesOf(rates).completeLike(base), base)
	}
	// The home regions are us-east-1, us-east-2 and us-west-2, for which the base is the price.
	if len(m.GlobalOverrides) == 0 || homeRegion(region) {
		return at
	}
	for _, rates := range m.GlobalOverrides {
		at = at.higher(listed(classesOf(rates).completeLike(base), base))
	}
	at.assumed = true
	return at
}

// regionAt prices a call from a known region, without a profile or with any but the global one.
func (m *Model) regionAt(base classes, profile, region string) regional {
	var at regional
	if rates, ok := m.RegionOverrides[region]; ok {
		at = listed(classesOf(rates).completeLike(base), base)
	}
	for geo, rates := range m.GeoOverrides {
		g, _ := knownGeography(geo)
		applies := geo == profile || g.contains(region)
		if geo != profileGlobal && applies {
			at = at.higher(listed(classesOf(rates).completeLike(base), base))
		}
	}
	if at.factor > 0 { // there was an entry
		return at
	}
	return m.unlistedAt(base, region)
}

// unlistedAt prices a region without an entry of its own.
func (m *Model) unlistedAt(base classes, region string) regional {
	premium := max(m.GeoPremium, 1000)
	switch partitionOf(region) {
	case partitionGov:
		return by(base, m.govFactor(), true) // true: the price is assumed
	case partitionOther: // no price is known there: the highest factor that any rule has is used
		// The constant is the default factor. It counts at least, because the model's own is 1000 if it has one price in all commercial regions.
		unlisted := max(m.unlistedFactor(), unlistedFactor)
		return by(base, max(m.govFactor(), combined(premium, unlisted)), true).higher(m.highestEntry(base))
	}
	if homeRegion(region) {
		return by(base, premium, false)
	}
	unlisted := m.unlistedFactor()
	if unlisted == 1000 { // one price applies everywhere
		return by(base, premium, false)
	}
	return by(base, combined(premium, unlisted), true).higher(m.highestEntry(base))
}

// anywhere returns the highest rates that a call from an unknown region can have: of all regions in the profile's geography, and without a
// profile of all regions in the commercial partition and in GovCloud.
func (m *Model) anywhere(base classes, profile string) regional {
	// The price of the home regions in the US, or that of a region which no table lists.
	commercial := by(base, max(m.GeoPremium, 1000), false).higher(m.unlistedAt(base, unlistedRegion))
	gov := by(base, m.govFactor(), true)
	entries := m.entriesFor(base, profile)
	switch profile {
	case profileGov:
		return gov.higher(entries)
	case "":
		return commercial.higher(gov).higher(entries)
	default: // a profile of another geography is not called from GovCloud
		return commercial.higher(entries)
	}
}

// entriesFor returns the highest entry that can apply to a call with a profile, of the model's tables by region and by geography: of all entries if
// there is no profile, except that for global ones. Its factor is 0 if there is none.
func (m *Model) entriesFor(base classes, profile string) regional {
	var at regional
	g, _ := knownGeography(profile) // without a profile, and for an unknown one, it contains no region
	for region, rates := range m.RegionOverrides {
		if profile == "" || g.contains(region) {
			at = at.higher(listed(classesOf(rates).completeLike(base), base))
		}
	}
	for geo, rates := range m.GeoOverrides {
		if geo == profile || profile == "" && geo != profileGlobal {
			at = at.higher(listed(classesOf(rates).completeLike(base), base))
		}
	}
	return at
}

// highestEntry returns the highest commercial entry of the model's own tables by region and by geography. Its factor is 0 if there is none.
func (m *Model) highestEntry(base classes) regional {
	var at regional
	for region, rates := range m.RegionOverrides {
		if !isolated(region) {
			at = at.higher(listed(classesOf(rates).completeLike(base), base))
		}
	}
	for geo, rates := range m.GeoOverrides {
		if geo != profileGov && geo != profileGlobal {
			at = at.higher(listed(classesOf(rates).completeLike(base), base))
		}
	}
	return at
}

// govFactor returns GovFactor, with the default for zero.
func (m *Model) govFactor() int64 {
	if m.GovFactor == 0 {
		return max(govFactor, m.GeoPremium)
	}
	return m.GovFactor
}

// unlistedFactor returns UnlistedRegion, with the default for zero: a model with commercial entries costs more in some places, so it may in
// others.
func (m *Model) unlistedFactor() int64 {
	if m.UnlistedRegion != 0 {
		return m.UnlistedRegion
	}
	for region := range m.RegionOverrides {
		if !isolated(region) {
			return unlistedFactor
		}
	}
	for geo := range m.GeoOverrides {
		if geo != profileGov && geo != profileGlobal {
			return unlistedFactor
		}
	}
	return 1000
}

// listed returns the price of an entry, with the final rates that it has. Fees and media rates, which entries do not have, change with the larger of
// the ratios of input and output to the base, and are never below the base.
func listed(final, base classes) regional {
	factor := int64(1000)
	for _, class := range [...]int{classInput, classOutput} {
		if base[class] > 0 {
			factor = max(factor, int64(scale(final[class], 1000, int64(base[class]))))
		}
	}
	return regional{rates: final, factor: factor}
}

// by returns the price that is the base times a factor in thousandths.
func by(base classes, factor int64, assumed bool) regional {
	return regional{base.by(factor), factor, assumed}
}

// combined multiplies two factors in thousandths, rounding up.
func combined(a, b int64) int64 { return int64(scale(price.PicoUSD(a), b, 1000)) }

// higher returns the higher of each value of two quotes.
func (q quote) higher(p quote) quote {
	q.price.LongContext = higherLongContext(&q.price, &p.price) // this and the next step read the usual rates before they change
	q.latency = higherLatency(q, p)
	q.price.Rates = classesOf(q.price.Rates).higher(classesOf(p.price.Rates)).rates()
	q.fees = q.fees.list().higher(p.fees.list()).fees()
	q.media = q.media.higher(p.media)
	q.tiers = tierTable{max(q.tiers.flex, p.tiers.flex), max(q.tiers.priority, p.tiers.priority), max(q.tiers.ultrafast, p.tiers.ultrafast)}
	q.assumed = q.assumed || p.assumed
	return q
}

// higherLatency returns the latency-optimized rates of two quotes, nil if neither has any: the higher of what each charges in that mode, which is its
// usual rate if it does not offer the mode.
func higherLatency(quotes ...quote) *price.Rates {
	var highest classes
	offered := false
	for _, q := range quotes {
		rates := q.price.Rates
		if q.latency != nil {
			offered, rates = true, *q.latency
		}
		highest = highest.higher(classesOf(rates))
	}
	if !offered {
		return nil
	}
	rates := highest.rates()
	return &rates
}

// higherLongContext returns the long-context prices of two prices, of which either may have none: from the lower threshold on, the higher of what
// each charges for a long context, which is its usual rate if it has no other.
func higherLongContext(a, b *price.Price) price.LongContext {
	if a.LongContext.Threshold == 0 && b.LongContext.Threshold == 0 {
		return price.LongContext{}
	}
	var highest classes
	threshold := int64(math.MaxInt64)
	for _, p := range [...]*price.Price{a, b} {
		highest = highest.higher(classesOf(p.Rates))
		if p.LongContext.Threshold > 0 {
			highest = highest.higher(classesOf(p.LongContext.Rates))
			threshold = min(threshold, p.LongContext.Threshold)
		}
	}
	return price.LongContext{Threshold: threshold, Rates: highest.rates()}
}

// by multiplies every rate and fee by a factor in thousandths, rounding up.
func (q quote) by(thousandths int64) quote {
	q.price.Rates = classesOf(q.price.Rates).by(thousandths).rates()
	q.price.LongContext.Rates = classesOf(q.price.LongContext.Rates).by(thousandths).rates()
	if q.latency != nil {
		rates := classesOf(*q.latency).by(thousandths).rates()
		q.latency = &rates
	}
	q.fees = q.fees.list().by(thousandths).fees()
	q.media = q.media.by(thousandths)
	return q
}
