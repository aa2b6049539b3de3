package catalog

import "strings"

// Answered returns the model that an answer names, in the spelling of the service or of the model's maker, and its price
// from a region: "us.amazon.nova-pro-v1:0", "claude-sonnet-4-5-20250929", "gpt-oss-120b". A provider, a version, a date
// and a geography may be left out or added. A name that several models fit has the dearest rate of them in each class. It
// returns false for a name that no model fits, and for models that Resolve refuses.
//
// It is safe for concurrent use, and does not allocate for a name and region that it found before.
func (c *Catalog) Answered(name, region string) (*Resolved, bool) {
	if r := c.told.get(name, region); r != nil {
		return r, true
	}
	profile, models := c.means(name)
	var dearest *Resolved
	for _, f := range models {
		if f.model.Unpriced || !f.model.metered() {
			continue
		}
		if f.profile == "" {
			f.profile = profile
		}
		dearest = dearerOf(dearest, c.priced(f, region))
	}
	if dearest == nil {
		return nil, false
	}
	c.told.put(name, region, dearest)
	return dearest, true
}

// SameModel reports whether a name, in any spelling that Answered knows, can mean the model that was asked for. Another
// model that the name fits more exactly rules it out. It does not allocate for a name that it found to be the same before.
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

// FoundationID returns the foundation-model id of any form that ModelId takes, for models without a price, too. For an
// unknown model it is the id without its geography, and for an ARN that hides its model the ARN itself: what globs over
// model ids are compared with. An id that cannot be one is returned as it is.
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
	if m, ok := c.byID[rest]; ok && prefix != "" {
		return m.ID
	}
	if known && rest != "" {
		return rest
	}
	return id
}

// means returns what a name can mean, and the geography that it is spelled with.
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

// spelled splits a name in no exact form into its geography and the rest. It returns false for what cannot name a model.
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

// dearerOf returns the dearer of two, with the higher rate of each in every class.
func dearerOf(a, b *Resolved) *Resolved {
	if a == nil {
		return b
	}
	cost := func(r *Resolved) int64 { return int64(r.Price.Rates.Input) + int64(r.Price.Rates.Output) }
	if cost(b) > cost(a) {
		a, b = b, a
	}
	merged := *a
	q := a.quote().dearer(b.quote())
	merged.Price, merged.LatencyOptimized, merged.Fees, merged.Media, merged.tiers = q.price, q.latency, q.fees, q.media, q.tiers
	merged.Assumed = q.assumed
	return &merged
}

func (r *Resolved) quote() quote {
	return quote{price: r.Price, latency: r.LatencyOptimized, fees: r.Fees, media: r.Media, tiers: r.tiers, assumed: r.Assumed}
}
