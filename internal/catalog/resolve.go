package catalog

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// Resolved is a model id with its model and its final price. It is shared by all callers: do not change it, or anything that it points to.
type Resolved struct {
	// ModelID is the foundation-model id, with which limits are matched and by which reports group.
	ModelID string
	// Profile is the geography of the inference profile: "us", "global". Empty for a call in its own region.
	Profile string
	// Price is final, in pico-USD per token: it includes premium, overrides and discounts, for long contexts too, but not the service tier.
	// If a chat model makes images, which an answer does not count separately, Output is the rate of image tokens.
	Price price.Price
	// LatencyOptimized are the final rates under latency-optimized inference. Nil if the model does not offer it.
	LatencyOptimized *price.Rates
	// Fees are final, in nano-USD: what is billed besides tokens. Rerankers are billed by Fees.Query alone.
	Fees Fees
	// Media are the final rates of tokens that are not text, in pico-USD per token. Zero is billed like text.
	Media MediaRates
	// Assumed says that no price of the model is known for the region, and that the highest known factor, or the highest entry of the
	// model's own table, is used instead.
	Assumed bool
	// HidesText says that the id is that of a managed prompt, whose text the service adds to the request.
	HidesText bool
	// Model has the limits and the cache rules. Its own prices are the base, not what a call costs.
	Model *Model

	tiers       tierTable  // the factors of the service tiers for this model and region; where it has none, the highest of any model
	highestTier price.Tier // the highest factor of any tier and model in the catalog, for tiers that are not known
}

// Advice for the texts of an UnpricedError.
const (
	adviceAdd = "add the model with its price, or map the id to a model that has one"
	adviceMap = "map it by Options.ModelFor to the foundation model or inference profile behind it"
)

// Resolve returns the model and the price of a call to modelID, in any form that ModelId takes, made from region. For an unknown region, "",
// the rates of the most expensive region apply. An id without a price is an *UnpricedError, and so is a model whose calls are not priced by
// text tokens or queries, but by images, speech or video: Lookup returns those.
//
// It is safe for concurrent use, and does not allocate for an id and region that it resolved before.
func (c *Catalog) Resolve(modelID, region string) (*Resolved, error) {
	if r := c.recent.get(modelID, region); r != nil {
		return r, nil
	}
	r, err := c.resolve(modelID, region)
	if err != nil {
		return nil, err
	}
	c.recent.put(modelID, region, r)
	return r, nil
}

// resolve is Resolve without its memory of earlier results.
func (c *Catalog) resolve(modelID, region string) (*Resolved, error) {
	r, err := c.Lookup(modelID, region)
	if err != nil {
		return nil, err
	}
	if !r.Model.metered() {
		return nil, unpriced(modelID, region, "the model is not priced by tokens: give Options.FlatPrices the most that one call can cost: it is billed by text, "+
			"images, speech or video that it reads or makes")
	}
	return r, nil
}

// Lookup is Resolve for models of every mode. If the rates are zero, Fees and Media have the price: do not price such a call by tokens
// alone. It remembers nothing.
func (c *Catalog) Lookup(modelID, region string) (*Resolved, error) {
	f, reason := c.find(modelID, true)
	if reason != "" {
		return nil, unpriced(modelID, region, reason)
	}
	if f.model.Unpriced {
		return nil, unpriced(modelID, region, "the model is known but its price is not published: add the model with a price by Options.Models")
	}
	r := c.priced(f, region)
	r.HidesText = hidesText(modelID)
	return r, nil
}

// priced returns the final price of a found model for calls from a region: the rules of the package comment give a quote for model, profile and
// region, and the discount is taken off at last.
func (c *Catalog) priced(f found, region string) *Resolved {
	q := f.quoteFrom(region)
	if f.model.mode() == ModeChat { // an answer does not count its image tokens separately, so all output has the higher rate
		q.price.Rates.Output = max(q.price.Rates.Output, q.media.ImageOutput)
		if q.price.LongContext.Threshold > 0 {
			q.price.LongContext.Rates.Output = max(q.price.LongContext.Rates.Output, q.media.ImageOutput)
		}
	}
	if off := c.discountOf(f.model.ID); off > 0 {
		q = q.by(1000 - off) // what the discount leaves, in thousandths
	}
	return &Resolved{
		ModelID: f.model.ID, Profile: f.profile, Price: q.price, LatencyOptimized: q.latency, Fees: q.fees, Media: q.media,
		Assumed: q.assumed, Model: f.model, tiers: q.tiers.or(c.tiers),
		highestTier: max(price.TierStandard, c.tiers.flex, c.tiers.priority, c.tiers.ultrafast),
	}
}

// quoteFrom returns the list price of a call from a region. A text that is no region's name stands for an unknown region; then that of the id counts.
// If the id has another region than the caller, either may bill the call, so the higher of both prices counts.
func (f found) quoteFrom(region string) quote {
	if !regionName(region) {
		region = f.region
	}
	q := f.model.quoteAt(f.profile, region)
	if f.region != "" && f.region != region {
		q = q.higher(f.model.quoteAt(f.profile, f.region))
	}
	return q
}

// hidesText reports whether an id is that of a managed prompt, with or without escapes.
func hidesText(modelID string) bool {
	id, _ := normalID(modelID)
	return strings.HasPrefix(id, "arn:") && strings.Contains(id, "prompt/")
}

// found is what an id says about a call.
type found struct {
	model   *Model
	profile string
	region  string // from an ARN; empty otherwise
}

// find parses an id in any form. The second result says why there is no model; it is empty if there is one. With follow, an id that Catalog.Map has
// mapped has the model of its target: once, not through chains of mappings, so that it stays clear where a price comes from.
func (c *Catalog) find(id string, follow bool) (found, string) {
	id, problem := normalID(id)
	if problem != "" {
		return found{}, problem
	}
	if m, ok := c.byID[id]; ok {
		return found{model: m}, ""
	}
	if follow {
		if f, ok := c.findMapped(id); ok {
			return f, ""
		}
	}
	if strings.HasPrefix(id, "arn:") {
		return c.findARN(id)
	}
	return c.findProfile(id)
}

// findMapped returns what the target of a mapped id says. The region of an ARN is kept, unless the target has one. A prompt that is not mapped with
// its version may be mapped without it.
func (c *Catalog) findMapped(id string) (found, bool) {
	a, _ := parseARN(id) // empty for an id that is no ARN
	target, ok := c.mapped[id]
	if !ok {
		target, ok = c.mapped[withoutVersion(id, a)] // which is the id itself unless it is a prompt's
	}
	if !ok {
		return found{}, false
	}
	f, reason := c.find(target, false) // false: a target is not looked up among the mappings
	if f.region == "" {
		f.region = a.region
	}
	return f, reason == ""
}

// findARN parses an ARN: those of foundation models and of inference profiles name their model, all others do not.
func (c *Catalog) findARN(id string) (found, string) {
	a, ok := parseARN(id)
	if !ok {
		return found{}, "the ARN is not one of a Bedrock model: pass it as the AWS console prints it"
	}
	var f found
	var reason string
	switch a.kind {
	case "foundation-model":
		if f.model, ok = c.byID[a.resource]; !ok {
			reason = "the model is unknown: " + adviceAdd
		}
	case "inference-profile":
		f, reason = c.findProfile(a.resource)
	default:
		reason = "the ARN does not say which model it runs: " + adviceMap
	}
	f.region = a.region
	return f, reason
}

// findProfile parses an id that is no ARN, with or without a geography.
func (c *Catalog) findProfile(id string) (found, string) {
	// find has looked for the id itself already, but findARN has not for the resource of an ARN.
	if m, ok := c.byID[id]; ok {
		return found{model: m}, ""
	}
	prefix, rest, known := cutGeography(id) // known: the prefix is that of a geography
	m, ok := c.byID[rest]
	switch {
	case ok && known:
		return found{model: m, profile: prefix}, ""
	case ok && prefix != "": // something else stands before the id of a model
		return found{}, "the model is known but its geography is not: add the id as an alias of the model, or map it"
	}
	return found{}, "the model is unknown: " + adviceAdd
}
