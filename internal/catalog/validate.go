package catalog

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// maxIDBytes bounds model ids and ARNs: the service's own bound.
const maxIDBytes = 2048

// maxRate bounds a rate, in pico-USD per token, so that premiums and proportions can't overflow: 100 million USD per million tokens.
const maxRate price.PicoUSD = 1e14

// maxTokens bounds token limits, far above those of any model.
const maxTokens = 1e12

// Validate reports everything that keeps m from being used, joined; each is a *ModelError.
func (m *Model) Validate() error {
	var c checker
	c.model = m
	c.identity()
	c.prices()
	c.overrides()
	c.limits()
	c.cacheRules()
	return errors.Join(c.problems...)
}

// checker collects what is wrong with one model.
type checker struct {
	model    *Model
	problems []error
}

// require adds a problem unless ok. The format says what is wrong with the model.
func (c *checker) require(ok bool, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, modelProblem(c.model.ID, format, args...))
	}
}

// identity checks the ids, which must have no geography and no escapes, and the fields that hold one of a few words.
func (c *checker) identity() {
	m := c.model
	c.require(m.ID != "", "has no id")
	for _, id := range append([]string{m.ID}, m.Aliases...) {
		c.require(len(id) <= maxIDBytes && visible(id), "id or alias %q is longer than %d bytes or not plain ASCII", printable(id, 64), maxIDBytes)
		c.require(!strings.Contains(id, "%"), "id or alias %q is escaped for a URL: write it plainly, every escaped form resolves by itself", printable(id, 64))
		prefix, _, known := cutGeography(id)
		c.require(!known, "id or alias %q starts with a geography: leave %q out, every geography resolves by itself", printable(id, 64), prefix+".")
	}
	for _, p := range m.Profiles {
		_, known := knownGeography(p)
		c.require(known, "profile %q is not a known geography: write the id that uses it out as an alias", printable(p, 32))
	}
	c.require(slices.Contains(modes(), m.mode()), "mode %q is none of chat, embedding, rerank, image, video, video-understanding and realtime", printable(string(m.Mode), 32))
	c.require(slices.Contains([]Lifecycle{"", LifecycleActive, LifecycleGated, LifecycleLegacy, LifecycleDeprecated, LifecycleEndOfLife}, m.Lifecycle),
		"lifecycle %q is none of active, gated, legacy, deprecated and end-of-life", printable(string(m.Lifecycle), 32))
	c.require(m.Endpoint == "" || m.Endpoint == EndpointMantle, "endpoint %q is neither empty nor %s", printable(m.Endpoint, 32), EndpointMantle)
}

// prices checks everything that has a price. A model that is unpriced or free must have none.
func (c *checker) prices() {
	m := c.model
	c.factors()
	if m.Unpriced || m.Free {
		c.priceless()
		return
	}
	c.rates("price", m.Price.Rates)
	long := m.Price.LongContext
	c.require(long.Threshold >= 0 && long.Threshold <= maxTokens, "long-context threshold of %d tokens is out of range", long.Threshold)
	if long.Threshold > 0 {
		c.rates("long-context price", long.Rates)
	} else {
		c.require(long.Rates == (price.Rates{}), "long-context price has no threshold: set it in tokens")
	}
	if m.LatencyOptimized != nil {
		c.rates("latency-optimized price", *m.LatencyOptimized)
	}
	for _, rate := range m.Media.list() {
		c.require(rate >= 0 && rate <= maxRate, "media rate of %d pico-USD per token is negative or above %d", rate, maxRate)
	}
	c.fees("fee", m.Fees)
	c.require(m.Mode != ModeRerank || m.Fees.Query > 0, "a reranker needs a fee per query")
	c.require(m.Mode != ModeImage || m.Fees.OutputImage > 0, "an image model needs a fee per output image")
	c.require(m.Mode != ModeVideo || m.Fees.OutputVideoSecond > 0, "a video model needs a fee per second of output video")
}

// priceless checks that a model which is unpriced or free, and not both, has no price.
func (c *checker) priceless() {
	m := c.model
	ok := m.Price == (price.Price{}) && m.Fees == (Fees{}) && m.Media == (MediaRates{}) && m.LatencyOptimized == nil &&
		len(m.GeoOverrides)+len(m.RegionOverrides)+len(m.GlobalOverrides)+len(m.FeeOverrides) == 0
	c.require(ok || !m.Unpriced, "is marked unpriced and has a price: drop one of them")
	c.require(ok || !m.Free, "is marked free and has a price or a fee: drop one of them")
	c.require(!m.Unpriced || !m.Free, "is marked unpriced and free: drop one of them")
}

// factors checks the factors on prices.
func (c *checker) factors() {
	m := c.model
	for _, f := range [...]struct {
		name   string
		factor int64
	}{{"geo premium", m.GeoPremium}, {"GovCloud factor", m.GovFactor}, {"unlisted-region factor", m.UnlistedRegion}} {
		c.require(f.factor == 0 || f.factor >= 1000 && f.factor <= 100_000, "%s of %d thousandths is out of range: 1100 is ten percent more", f.name, f.factor)
	}
	c.tiers(m.Tiers)
	for _, region := range slices.Sorted(maps.Keys(m.TierOverrides)) {
		c.require(regionName(region), "tier override %q is not a region", printable(region, 32))
		c.tiers(m.TierOverrides[region])
	}
}

// tiers checks the factors of service tiers, by the service's names of them.
func (c *checker) tiers(tiers map[string]price.Tier) {
	for _, name := range slices.Sorted(maps.Keys(tiers)) {
		factor := tiers[name]
		c.require(slices.Contains([]string{"flex", "priority", "ultrafast", "batch"}, name), "service tier %q is none of flex, priority, ultrafast and batch", printable(name, 32))
		c.require(factor >= 1 && factor <= 100_000, "service tier %q: factor of %d thousandths is out of range: 500 is half the price", printable(name, 32), factor)
	}
}

// fees checks that each fee is in range. what names them in the text of a problem.
func (c *checker) fees(what string, fees Fees) {
	for _, fee := range fees.list() {
		c.require(fee >= 0 && fee <= 1e15, "%s of %d nano-USD is negative or above 1000000 USD", what, int64(fee))
	}
}

// rates checks that every rate is in range, and that there is one for the kinds of tokens that the model always bills. what names the rates in the
// text of a problem.
func (c *checker) rates(what string, r price.Rates) {
	for i, rate := range classesOf(r) {
		if rate < 0 || rate > maxRate { // checked first, because formatting the names of valid rates took most of the time of reading a table
			c.require(false, "%s: %s rate of %d pico-USD per token is negative or above %d", what, classNames()[i], rate, maxRate)
		}
	}
	needsInput, needsOutput := false, false
	switch c.model.mode() {
	case ModeChat, ModeRealtime:
		needsInput, needsOutput = true, true
	case ModeEmbedding:
		needsInput = c.model.Fees == (Fees{}) // some are only billed by the request, the image or the second
	case ModeVideoUnderstanding:
		needsOutput = true
	}
	c.require(r.Input > 0 || !needsInput, "%s: the input rate is missing", what)
	c.require(r.Output > 0 || !needsOutput, "%s: the output rate is missing", what)
}

// overrides checks the tables of final rates and fees by geography and by region.
func (c *checker) overrides() {
	for _, geo := range slices.Sorted(maps.Keys(c.model.GeoOverrides)) {
		_, known := knownGeography(geo)
		c.require(known, "geo override %q is not a known geography", printable(geo, 32))
		c.rates("override of "+printable(geo, 32), c.model.GeoOverrides[geo])
	}
	for _, table := range [...]map[string]price.Rates{c.model.RegionOverrides, c.model.GlobalOverrides} {
		for _, region := range slices.Sorted(maps.Keys(table)) {
			c.require(regionName(region), "region override %q is not a region", printable(region, 32))
			c.rates("override of "+printable(region, 32), table[region])
		}
	}
	for region := range c.model.GlobalOverrides {
		c.require(!isolated(region), "global override %q is outside the commercial partition, which has no global profile", printable(region, 32))
	}
	for _, region := range slices.Sorted(maps.Keys(c.model.FeeOverrides)) {
		c.require(regionName(region), "fee override %q is not a region", printable(region, 32))
		c.fees("fee of "+printable(region, 32), c.model.FeeOverrides[region])
	}
}

// limits checks that every limit is in range, and that a chat model's output has one.
func (c *checker) limits() {
	m := c.model
	for _, n := range [...]int64{
		m.MaxInputTokens, m.MaxOutputTokens, m.ToolPromptTokens, m.Cache.MinTokens, m.Cache.ObservedMinTokens, m.Cache.MaxCacheableTokens,
		m.Embedding.Texts, m.Embedding.TokensPerText, m.Embedding.CharsPerText, m.Embedding.Images, m.Embedding.ImagePixels,
		m.Embedding.VideoSeconds, m.Embedding.AudioSeconds, m.Rerank.Documents, m.Rerank.DocumentsPerQuery, m.Rerank.TokensPerDocument,
	} {
		c.require(n >= 0 && n <= maxTokens, "limit of %d is out of range", n)
	}
	c.require(m.mode() != ModeChat || m.MaxOutputTokens > 0, "has no limit of output tokens: without one a call that names none has no upper bound")
}

// cacheRules checks the rules of caching. A model that takes cache points, and is not unpriced or free, needs the rates that these are billed at.
func (c *checker) cacheRules() {
	rules, rates := c.model.Cache, c.model.Price.Rates
	c.require(rules.MaxPoints >= 0, "%d cache points are out of range", rules.MaxPoints)
	for _, ttl := range rules.TTLs {
		c.require(ttl > 0, "cache lifetime %s is not positive", ttl)
	}
	for _, f := range rules.Fields {
		c.require(slices.Contains([]string{"system", "messages", "tools"}, f), "cache field %q is none of system, messages and tools", printable(f, 32))
	}
	if !rules.Explicit {
		return
	}
	c.require(rules.MaxPoints > 0, "takes cache points but allows none: set how many")
	if c.model.Unpriced || c.model.Free {
		return
	}
	c.require(rates.CacheRead > 0, "takes cache points but has no cache read rate")
	c.require(rates.CacheWrite5m > 0, "takes cache points but has no rate for a five-minute cache write")
	c.require(rates.CacheWrite1h > 0 || !slices.Contains(rules.TTLs, time.Hour), "takes one-hour cache points but has no rate for a one-hour cache write")
}
