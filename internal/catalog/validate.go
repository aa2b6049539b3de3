package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// maxIDBytes bounds model ids and ARNs: the service's own bound.
const maxIDBytes = 2048

// maxRate bounds a rate, in pico-USD per token, so that premiums and proportions stay far from overflow: 100 million USD
// per million tokens.
const maxRate budget.PicoUSD = 1e14

// maxTokens bounds token limits. No model comes near it.
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

func (c *checker) require(ok bool, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, modelProblem(c.model.ID, format, args...))
	}
}

func (c *checker) identity() {
	m := c.model
	c.require(m.ID != "", "has no id")
	for _, id := range append([]string{m.ID}, m.Aliases...) {
		c.require(len(id) <= maxIDBytes && visible(id), "id or alias %q is longer than %d bytes or not plain ASCII", printable(id, 64), maxIDBytes)
		prefix, _, known := cutGeography(id)
		c.require(!known, "id or alias %q starts with a geography: leave %q out, every geography resolves by itself", printable(id, 64), prefix+".")
	}
	for _, p := range m.Profiles {
		_, known := knownGeography(p)
		c.require(known, "profile %q is not a known geography: write the id that uses it out as an alias", printable(p, 32))
	}
	c.require(slices.Contains([]Mode{"", ModeChat, ModeEmbedding, ModeRerank}, m.Mode), "mode %q is none of chat, embedding and rerank", printable(string(m.Mode), 32))
	c.require(slices.Contains([]Lifecycle{"", LifecycleActive, LifecycleGated, LifecycleLegacy, LifecycleDeprecated, LifecycleEndOfLife}, m.Lifecycle),
		"lifecycle %q is none of active, gated, legacy, deprecated and end-of-life", printable(string(m.Lifecycle), 32))
	c.require(m.Endpoint == "" || m.Endpoint == EndpointMantle, "endpoint %q is neither empty nor %s", printable(m.Endpoint, 32), EndpointMantle)
}

func (c *checker) prices() {
	m := c.model
	if m.Unpriced {
		bare := m.Price == (budget.Price{}) && m.Fees == (Fees{}) && m.LatencyOptimized == nil && len(m.GeoOverrides)+len(m.RegionOverrides) == 0
		c.require(bare, "is marked unpriced and has a price: drop one of them")
		return
	}
	c.rates("price", m.Price.Rates)
	long := m.Price.LongContext
	c.require(long.Threshold >= 0 && long.Threshold <= maxTokens, "long-context threshold of %d tokens is out of range", long.Threshold)
	if long.Threshold > 0 {
		c.rates("long-context price", long.Rates)
	} else {
		c.require(long.Rates == (budget.Rates{}), "long-context price has no threshold: set it in tokens")
	}
	if m.LatencyOptimized != nil {
		c.rates("latency-optimized price", *m.LatencyOptimized)
	}
	for _, fee := range [...]budget.Amount{m.Fees.Query, m.Fees.Image, m.Fees.VideoSecond, m.Fees.AudioSecond} {
		c.require(fee >= 0 && fee <= 1e15, "fee of %d nano-USD is negative or above 1000000 USD", int64(fee))
	}
	c.require(m.Mode != ModeRerank || m.Fees.Query > 0, "a reranker needs a fee per query")
	c.require(m.GeoPremium == 0 || m.GeoPremium >= 1000 && m.GeoPremium <= 100_000, "geo premium of %d thousandths is out of range: 1100 is ten percent more", m.GeoPremium)
}

// rates checks that every class is in range and that the classes which the model is always billed in have a price.
func (c *checker) rates(what string, r budget.Rates) {
	for i, rate := range classesOf(r) {
		c.require(rate >= 0 && rate <= maxRate, "%s: %s rate of %d pico-USD per token is negative or above %d", what, classNames()[i], rate, maxRate)
	}
	c.require(r.Input > 0 || c.model.Mode == ModeRerank, "%s: the input rate is missing", what)
	c.require(r.Output > 0 || c.model.Mode == ModeRerank || c.model.Mode == ModeEmbedding, "%s: the output rate is missing", what)
}

func (c *checker) overrides() {
	for _, geo := range slices.Sorted(maps.Keys(c.model.GeoOverrides)) {
		_, known := knownGeography(geo)
		c.require(known, "geo override %q is not a known geography", printable(geo, 32))
		c.rates(fmt.Sprintf("override of %q", printable(geo, 32)), c.model.GeoOverrides[geo])
	}
	for _, region := range slices.Sorted(maps.Keys(c.model.RegionOverrides)) {
		c.require(regionName(region), "region override %q is not a region", printable(region, 32))
		c.rates(fmt.Sprintf("override of %q", printable(region, 32)), c.model.RegionOverrides[region])
	}
}

func (c *checker) limits() {
	m := c.model
	for _, n := range [...]int64{m.MaxInputTokens, m.MaxOutputTokens, m.Cache.MinTokens, m.Cache.ObservedMinTokens, m.Cache.MaxCacheableTokens} {
		c.require(n >= 0 && n <= maxTokens, "limit of %d tokens is out of range", n)
	}
	chat := m.Mode == "" || m.Mode == ModeChat
	c.require(!chat || m.MaxOutputTokens > 0, "has no limit of output tokens: without one a call that names none has no upper bound")
}

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
	if c.model.Unpriced {
		return
	}
	c.require(rates.CacheRead > 0, "takes cache points but has no cache read rate")
	c.require(rates.CacheWrite5m > 0, "takes cache points but has no rate for a five-minute cache write")
	c.require(rates.CacheWrite1h > 0 || !slices.Contains(rules.TTLs, time.Hour), "takes one-hour cache points but has no rate for a one-hour cache write")
}
