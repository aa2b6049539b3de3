package bedrockguard

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// ModelFacts returns what the built-in catalog knows of a model: its price for calls made from a region, and its rules of
// prompt caching. modelID is any form that ModelId takes. A model without a price is an *UnpricedError.
func ModelFacts(modelID, region string) (price.Price, cache.Model, error) {
	r, err := catalog.Default().Resolve(modelID, region)
	if err != nil {
		return price.Price{}, cache.Model{}, err
	}
	return r.Price, cacheModel(r), nil
}

// cacheModel converts what the catalog knows. If observation has shown that a longer prefix is needed than documented, the observed length
// is used.
func cacheModel(r *catalog.Resolved) cache.Model {
	rules := r.Model.Cache
	m := cache.Model{
		ID: r.ModelID, Provider: r.Model.Provider, Explicit: rules.Explicit, Implicit: rules.Implicit,
		MinTokens: max(rules.MinTokens, rules.ObservedMinTokens), MaxTokens: rules.MaxCacheableTokens,
		MaxPoints: rules.MaxPoints, TTLs: rules.TTLs,
		InputPrice: int64(r.Price.Rates.Input), CacheReadPrice: int64(r.Price.Rates.CacheRead),
		CacheWrite5mPrice: int64(r.Price.Rates.CacheWrite5m), CacheWrite1hPrice: int64(r.Price.Rates.CacheWrite1h),
	}
	for _, field := range rules.Fields {
		switch field {
		case "tools":
			m.Tools = true
		case "system":
			m.System = true
		case "messages":
			m.Messages = true
		}
	}
	return m
}
