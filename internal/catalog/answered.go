package catalog

import "strings"

// Answered returns the model that an answer names, as the service or the model's maker writes it, and its price from a region:
// "us.amazon.nova-pro-v1:0", "claude-sonnet-4-5-20250929", "gpt-oss-120b". A provider, a version, a date and a geography may be missing or
// added. If a name fits several models, it has the highest of their rates in each class. It returns false for a name that fits no model, and
// for models that Resolve refuses.
//
// It is safe for concurrent use, and does not allocate for a name and region that it found before.
func (c *Catalog) Answered(name, region string) (*Resolved, bool) {
	if r := c.told.get(name, region); r != nil {
		return r, true
	}
	profile, models := c.means(name)
	var highest *Resolved
	for _, f := range models {
		if f.model.Unpriced || !f.model.metered() {
			continue
		}
		// Models that were found by their spelling get the geography that the name began with.
		if f.profile == "" {
			f.profile = profile
		}
		highest = higherOf(highest, c.priced(f, region))
	}
	if highest == nil {
		return nil, false
	}
	c.told.put(name, region, highest)
	return highest, true
}

// SameModel reports whether a name, in any form that Answered knows, can mean the model that was asked for. It can't if the name fits
// another model more exactly. It does not allocate for a name for which it has returned true before.
func (c *Catalog) SameModel(asked *Resolved, name string) bool {
	if name == asked.ModelID || c.same.get(name, asked.ModelID) != nil {
		return true
	}
	if !c.sameModel(asked, name) {
		return false
	}
	c.same.put(name, asked.ModelID, asked)
	return true
}

// sameModel is SameModel without its memory of earlier results. An exact id decides by itself; any other name may be spelled in several ways.
func (c *Catalog) sameModel(asked *Resolved, name string) bool {
	if f, reason := c.find(name, true); reason == "" {
		return f.model.ID == asked.ModelID
	}
	_, rest, ok := spelled(name)
	if !ok {
		return false
	}
	for _, m := range c.spellings().find(rest) {
		if m.ID == asked.ModelID {
			return true
		}
	}
	return false
}

// FoundationID returns the foundation-model id of any form that ModelId takes, also for models without a price; globs over model ids are
// compared with it. For an unknown model it is the id without its geography, and for an ARN that does not show its model the ARN itself. An
// invalid id is returned unchanged.
func (c *Catalog) FoundationID(modelID string) string {
	if f, reason := c.find(modelID, true); reason == "" {
		return f.model.ID
	}
	id, problem := normalID(modelID)
	if problem != "" {
		return modelID
	}
	if a, ok := parseARN(id); ok && (a.kind == "foundation-model" || a.kind == "inference-profile") {
		id = a.resource
	}
	prefix, rest, known := cutGeography(id)
	// This also finds a known model under a geography that is not known.
	if m, ok := c.byID[rest]; ok && prefix != "" {
		return m.ID
	}
	if known && rest != "" {
		return rest
	}
	return id
}

// means returns the models that a name can mean, and the geography in the name.
func (c *Catalog) means(name string) (profile string, models []found) {
	if f, reason := c.find(name, true); reason == "" {
		return f.profile, []found{f}
	}
	profile, rest, ok := spelled(name)
	if !ok {
		return "", nil
	}
	for _, m := range c.spellings().find(rest) {
		models = append(models, found{model: m})
	}
	return profile, models
}

// spelled splits a name that is no exact id into its geography and the rest. It returns false for a text that can't name a model.
func spelled(name string) (profile, rest string, ok bool) {
	id, problem := normalID(name)
	if problem != "" {
		return "", "", false
	}
	if strings.HasPrefix(id, "arn:") {
		a, isARN := parseARN(id)
		if !isARN || a.kind != "foundation-model" && a.kind != "inference-profile" {
			return "", "", false
		}
		id = a.resource
	}
	if prefix, bare, known := cutGeography(id); known {
		return prefix, bare, true
	}
	return "", id, true
}

// higherOf combines two models: it has each rate and fee of the model where it is higher, and all else of the one that costs more. a may be nil.
func higherOf(a, b *Resolved) *Resolved {
	if a == nil {
		return b
	}
	cost := func(r *Resolved) int64 { return int64(r.Price.Rates.Input) + int64(r.Price.Rates.Output) }
	dearer, other := a, b
	if cost(b) > cost(a) {
		dearer, other = b, a
	}
	merged := *dearer
	q := dearer.quote().higher(other.quote())
	merged.Price, merged.LatencyOptimized, merged.Fees, merged.Media, merged.tiers = q.price, q.latency, q.fees, q.media, q.tiers
	merged.Assumed = q.assumed
	return &merged
}

// quote returns the prices of r in the form in which prices are combined.
func (r *Resolved) quote() quote {
	return quote{price: r.Price, latency: r.LatencyOptimized, fees: r.Fees, media: r.Media, tiers: r.tiers, assumed: r.Assumed}
}
