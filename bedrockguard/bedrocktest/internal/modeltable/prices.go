// Package modeltable has what the simulator knows of each model: its prices, its limits, and the tokens that texts and images have for it.
package modeltable

import (
	_ "embed"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
)

//go:embed prices.json
var pricesJSON []byte

// The classes in which tokens are billed, as indexes of rates.
const (
	ClassInput = iota
	ClassOutput
	ClassRead
	ClassWrite5m
	ClassWrite1h
	classes // how many there are
)

// Rates are prices in pico-USD per token.
type Rates [classes]uint64

// Model is one row of the price table. Factors are in thousandths. Rates by region are final, for calls that are made from that region.
type Model struct {
	ID       string   `json:"id"`
	Aliases  []string `json:"aliases"` // other ids of the same model
	Provider string   `json:"provider"`
	Mode     string   `json:"mode"` // empty for a chat model; embedding, rerank

	// The rates of the usual calls. Global says that there is a global profile.
	Global   bool             `json:"global"`
	Rates    Rates            `json:"rates"`    // of the global profile, or of us-east-1 if there is none
	Globals  map[string]Rates `json:"globals"`  // by the region of the call, for the global profile
	Regions  map[string]Rates `json:"regions"`  // by the region of the call, for every other id
	Premium  uint64           `json:"premium"`  // factor of Rates for every id that is not global; 0 means 1000
	Gov      uint64           `json:"gov"`      // factor outside of the commercial partition; 0 means 1000
	Unlisted uint64           `json:"unlisted"` // further factor in a region without a price of its own; 0 means 1000

	// What has other rates, or other prices than by token.
	Long        longContext                  `json:"long"`        // for prompts above a number of tokens
	Optimized   Rates                        `json:"optimized"`   // in the latency-optimised mode; zero without one
	Tiers       map[string]uint64            `json:"tiers"`       // the factor of each service tier on all rates
	RegionTiers map[string]map[string]uint64 `json:"regionTiers"` // by region and tier, where published prices give a higher factor than Tiers
	Fees        Fees                         `json:"fees"`
	RegionFees  map[string]Fees              `json:"regionFees"` // instead of Fees, by the region of the call

	// The limits.
	Window int        `json:"window"` // input tokens; for an embedding model: of each text
	Output int        `json:"output"` // the most output tokens; 0 means unknown
	Cache  *cacheRule `json:"cache"`  // nil if the model caches nothing

	frame  sync.Once // guards framed
	framed Framing   // what FramingOf returns, looked up once
}

// longContext is the base price of a request with more input tokens than Above; there is none if Above is 0.
type longContext struct {
	Above int   `json:"above"`
	Rates Rates `json:"rates"`
}

// Fees are prices, in nano-USD for images, seconds and queries, and in pico-USD for tokens that are not text.
type Fees struct {
	Query         int64  `json:"query"`         // a search unit of a rerank request
	Image         int64  `json:"image"`         // an image to embed
	DocumentImage int64  `json:"documentImage"` // an image to embed as a page of a document
	VideoSecond   int64  `json:"videoSecond"`
	AudioSecond   int64  `json:"audioSecond"`
	ImageToken    uint64 `json:"imageToken"` // 0 if the tokens of an image cost as much as text
}

// Embeds reports whether the model makes embeddings.
func (m *Model) Embeds() bool { return m.Mode == "embedding" }

// cacheRule says what the model's prompt cache accepts.
type cacheRule struct {
	Min    int      `json:"min"`    // tokens of the shortest prefix that is cached
	Points int      `json:"points"` // the most cache points of a request
	TTLs   []string `json:"ttls"`   // "5m", "1h"
	Fields []string `json:"fields"` // where cache points may be: "tools", "system", "messages"
	Max    int      `json:"max"`    // tokens of the longest prefix that is cached; 0 means no limit
}

// PriceTable has the models by id and alias, and the defaults for models without a figure of their own.
type PriceTable struct {
	ByID  map[string]*Model
	tiers map[string]uint64 // the highest factor of any model
}

// Table returns what is known of all models. It is read once.
var Table = sync.OnceValue(func() PriceTable {
	var file struct {
		Tiers  map[string]uint64 `json:"tiers"`
		Models []*Model          `json:"models"`
	}
	t := PriceTable{ByID: make(map[string]*Model)}
	if err := json.Unmarshal(pricesJSON, &file); err != nil {
		return t // then every model is unknown, which tests notice at once
	}
	t.tiers = file.Tiers
	for _, m := range file.Models {
		for _, id := range append(m.Aliases, m.ID) {
			t.ByID[id] = m
		}
	}
	return t
})

// profiles are the prefixes of the ids of inference profiles.
var profiles = []string{"us", "eu", "apac", "jp", "au", "ca", "in", "us-gov", "global"}

// Lookup resolves the modelId of a path: a model id, a profile, an ARN of either, or one of the user's own names. profile is empty for an id
// without one; region is that of an ARN, else empty.
func Lookup(id string, names map[string]string) (m *Model, profile, region string, ok bool) {
	id, err := url.PathUnescape(id)
	if err != nil {
		return nil, "", "", false
	}
	if known, mapped := names[id]; mapped {
		id = known
	}
	if strings.HasPrefix(id, "arn:") {
		if id, region, ok = splitARN(id); !ok {
			return nil, "", "", false
		}
	}
	if m, ok := Table().ByID[id]; ok {
		return m, "", region, true
	}
	profile, rest, _ := strings.Cut(id, ".")
	if m, ok := Table().ByID[rest]; ok && slices.Contains(profiles, profile) {
		return m, profile, region, true
	}
	return nil, "", "", false
}

// splitARN returns the id and the region in the ARN of a foundation model or of a profile that AWS defines; ok is false for any other ARN. The parts
// of an ARN are arn, the partition, bedrock, the region, the account, and the resource.
func splitARN(arn string) (id, region string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "bedrock" {
		return "", "", false
	}
	kind, id, _ := strings.Cut(parts[5], "/")
	return id, parts[3], kind == "foundation-model" || kind == "inference-profile"
}

// RatesFor returns the rates for a request with this number of input tokens, with a profile that is called from a region. A long prompt and the
// latency-optimised mode have base rates of their own; a region changes these in the same proportion as the usual ones.
func (m *Model) RatesFor(profile, region string, input int, optimized bool) Rates {
	at := m.ratesAt(profile, region)
	r := at
	switch {
	case m.Long.Above > 0 && input > m.Long.Above:
		r = m.Long.Rates.inProportion(at, m.Rates)
	case optimized && m.Optimized[ClassInput] > 0:
		r = m.Optimized.inProportion(at, m.Rates)
	}
	// From ClassRead on, the classes are those of cached input.
	for class := ClassRead; class < classes; class++ {
		if r[class] == 0 { // no price is published, and cached input is never free
			r[class] = r[ClassInput]
		}
	}
	return r
}

// ratesAt returns the rates with a profile that is called from a region, without long contexts and modes. Where no price is published for the
// region, each rate is the highest that may apply, so that the bill is not below AWS's. m.Rates are the base: the global profile, or us-east-1.
func (m *Model) ratesAt(profile, region string) Rates {
	if profile == "global" && m.Global && commercial(region) {
		return m.globalRatesAt(region)
	}
	if profile == "us-gov" && commercial(region) { // such a profile does not exist: the higher of what the id and the region say
		return m.ratesAt("", region).Higher(m.ratesAt("", "us-gov-west-1")).Higher(m.ratesAt("", "us-gov-east-1"))
	}
	if r, ok := m.Regions[region]; ok {
		return r
	}
	premium := max(m.Premium, 1000)
	switch {
	case !commercial(region):
		return m.Rates.by(max(m.Gov, 1000))
	case home(region) || m.Unlisted <= 1000:
		return m.Rates.by(premium)
	default:
		return highest(m.Regions, m.Rates.by(premium*m.Unlisted/1000))
	}
}

// globalRatesAt returns the rates of the global profile in a commercial region: those published for the region; the base if there are no prices by
// region, or if the region is at home; and else the highest.
func (m *Model) globalRatesAt(region string) Rates {
	if r, ok := m.Globals[region]; ok {
		return r
	}
	if len(m.Globals) == 0 || home(region) {
		return m.Rates
	}
	return highest(m.Globals, m.Rates)
}

// home reports whether a region is one of the three whose prices are the base price times the premium.
func home(region string) bool {
	return region == "us-east-1" || region == "us-east-2" || region == "us-west-2"
}

// commercial reports whether a region is in the commercial partition: not in GovCloud, China, the isolated regions or the European sovereign
// cloud.
func commercial(region string) bool {
	return !strings.HasPrefix(region, "us-gov-") && !strings.HasPrefix(region, "cn-") && !strings.HasPrefix(region, "us-iso") && !strings.HasPrefix(region, "eusc-")
}

// highest returns the highest rate of each class among the commercial regions of a table and r.
func highest(byRegion map[string]Rates, r Rates) Rates {
	for region, other := range byRegion {
		if commercial(region) {
			r = r.Higher(other)
		}
	}
	return r
}

// Higher returns the higher rate of each class.
func (r Rates) Higher(other Rates) Rates {
	for i := range r {
		r[i] = max(r[i], other[i])
	}
	return r
}

// by multiplies by thousandths, rounded up.
func (r Rates) by(factor uint64) Rates {
	for i := range r {
		r[i] = (r[i]*factor + 999) / 1000
	}
	return r
}

// inProportion changes each rate as base was changed to final, rounded up.
func (r Rates) inProportion(final, base Rates) Rates {
	for i := range r {
		if base[i] > 0 {
			r[i] = (r[i]*final[i] + base[i] - 1) / base[i]
		}
	}
	return r
}

// TierFactor returns a service tier's factor in thousandths: the higher one of those published for the model in the region and in any region, or if
// the model has no price for the tier, the highest of any model. It is 1 at least, so that nothing is free.
func (m *Model) TierFactor(tier, region string) uint64 {
	switch tier {
	case "", "default", "reserved":
		return 1000
	}
	factor := max(m.Tiers[tier], m.RegionTiers[region][tier]) // a tier that is not in the maps gives 0
	if factor == 0 {
		factor = Table().tiers[tier]
	}
	return max(factor, 1)
}

// FeesAt returns the model's fees for a call from a region. Most models have the same fees in every region, which the factor Gov raises outside of
// the commercial partition. If a model has fees by region, a home region without an entry has those of us-east-1, and any other has m.Fees, the
// highest.
func (m *Model) FeesAt(region string) Fees {
	if listed, ok := m.RegionFees[region]; ok {
		return listed
	}
	switch {
	case len(m.RegionFees) > 0 && home(region):
		return m.RegionFees["us-east-1"]
	case len(m.RegionFees) > 0 || commercial(region):
		return m.Fees
	}
	f, gov := m.Fees, int64(max(m.Gov, 1000))
	for _, fee := range []*int64{&f.Query, &f.Image, &f.DocumentImage, &f.VideoSecond, &f.AudioSecond} {
		*fee = (*fee*gov + 999) / 1000
	}
	f.ImageToken = (f.ImageToken*uint64(gov) + 999) / 1000
	return f
}
