package catalog

import (
	"cmp"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// DearerIn returns the name of something for which a call of r can cost more than the same call of other, such as "cache reads"; empty if there is
// nothing. If a model does not cache, its input rate is used for cached tokens. A tier that a model does not have counts as the standard one. If r
// has a price for long contexts, both its prices count.
func (r *Resolved) DearerIn(other *Resolved) string {
	mine, theirs := r.quote(), other.quote()
	myTiers, theirTiers := mine.tiers.factors(), theirs.tiers.factors()
	for _, pair := range pairs(&mine.price, &theirs.price) {
		for i := range myTiers {
			if class := higherClass(effective(pair.mine), effective(pair.theirs), myTiers[i], theirTiers[i]); class != "" {
				return class
			}
		}
	}
	if mine.latency != nil && theirs.latency != nil {
		// A request for the mode is refused for a model that does not offer it. The rates are compared at the standard tier alone.
		standard := int64(price.TierStandard)
		if class := higherClass(effective(*mine.latency), effective(*theirs.latency), standard, standard); class != "" {
			return class + " at optimized latency"
		}
	}
	return higherExtra(r, other)
}

// factors returns the factors of all service tiers, the standard one first. A tier without one has that of the standard tier.
func (t tierTable) factors() [4]int64 {
	all := [4]int64{int64(price.TierStandard), int64(t.flex), int64(t.priority), int64(t.ultrafast)}
	for i, factor := range all {
		if factor == 0 {
			all[i] = int64(price.TierStandard)
		}
	}
	return all
}

// ratePair are the rates of two models for one request.
type ratePair struct{ mine, theirs price.Rates }

// pairs returns the rates of two prices that can apply to the same request: the usual ones, and, if mine has a price for long contexts, that one
// against what theirs charges for a context of that length.
func pairs(mine, theirs *price.Price) []ratePair {
	all := []ratePair{{mine.Rates, theirs.Rates}}
	if mine.LongContext.Threshold > 0 {
		against := theirs.Rates
		if theirs.LongContext.Threshold > 0 && theirs.LongContext.Threshold <= mine.LongContext.Threshold {
			against = theirs.LongContext.Rates
		}
		all = append(all, ratePair{mine.LongContext.Rates, against})
	}
	return all
}

// effective fills in the cache rates of a model without a prompt cache: it bills the tokens as input.
func effective(r price.Rates) price.Rates {
	for _, rate := range []*price.PicoUSD{&r.CacheRead, &r.CacheWrite5m, &r.CacheWrite1h} {
		if *rate == 0 {
			*rate = r.Input
		}
	}
	return r
}

// higherClass returns the name of the first rate that is higher in mine, each multiplied by its side's factor of a service tier; empty if none is.
func higherClass(mine, theirs price.Rates, myTier, theirTier int64) string {
	for _, class := range []struct {
		name         string
		mine, theirs price.PicoUSD
	}{
		{"input", mine.Input, theirs.Input},
		{"output", mine.Output, theirs.Output},
		{"cache reads", mine.CacheRead, theirs.CacheRead},
		{"five-minute cache writes", mine.CacheWrite5m, theirs.CacheWrite5m},
		{"one-hour cache writes", mine.CacheWrite1h, theirs.CacheWrite1h},
	} {
		if int64(class.mine)*myTier > int64(class.theirs)*theirTier {
			return class.name
		}
	}
	return ""
}

// higherExtra compares what is billed besides text: it returns "fees" or "media" if r has a higher one, and nothing if it has none.
func higherExtra(r, other *Resolved) string {
	mine, theirs := r.Fees.list(), other.Fees.list()
	for i := range mine {
		if mine[i] > theirs[i] {
			return "fees"
		}
	}
	myMedia, theirMedia := r.mediaRates(), other.mediaRates()
	for i := range myMedia {
		if myMedia[i] > theirMedia[i] {
			return "media"
		}
	}
	return ""
}

// mediaRates returns the rates of MediaRates in a fixed order. One that is zero is that of text.
func (r *Resolved) mediaRates() [4]price.PicoUSD {
	text := r.Price.Rates
	return [...]price.PicoUSD{
		cmp.Or(r.Media.ImageInput, text.Input), cmp.Or(r.Media.AudioInput, text.Input),
		cmp.Or(r.Media.ImageOutput, text.Output), cmp.Or(r.Media.AudioOutput, text.Output),
	}
}
