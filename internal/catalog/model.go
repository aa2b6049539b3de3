package catalog

import (
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// Mode is what a model does, and so what it is billed for.
type Mode string

// The modes of a model. The empty Mode means ModeChat.
const (
	ModeChat               Mode = "chat"                // input and output tokens
	ModeEmbedding          Mode = "embedding"           // input tokens, and images, audio and video where Fees say so
	ModeRerank             Mode = "rerank"              // queries: Fees.Query
	ModeImage              Mode = "image"               // images made: Fees.OutputImage
	ModeVideo              Mode = "video"               // seconds of video made: Fees.OutputVideoSecond
	ModeVideoUnderstanding Mode = "video-understanding" // seconds of video read, Fees.VideoSecond, and output tokens
	ModeRealtime           Mode = "realtime"            // text and speech tokens over one open connection: Price and Media
)

// modes returns the modes that a model can have, in the order of their constants.
func modes() []Mode {
	return []Mode{ModeChat, ModeEmbedding, ModeRerank, ModeImage, ModeVideo, ModeVideoUnderstanding, ModeRealtime}
}

// Lifecycle says how long a model will be available. It never changes a price: every answer is billed.
type Lifecycle string

// The lifecycle states of a model. The empty Lifecycle means LifecycleActive.
const (
	LifecycleActive     Lifecycle = "active"
	LifecycleGated      Lifecycle = "gated" // open to some accounts
	LifecycleLegacy     Lifecycle = "legacy"
	LifecycleDeprecated Lifecycle = "deprecated"
	LifecycleEndOfLife  Lifecycle = "end-of-life" // the service refuses new calls
)

// EndpointMantle is the Endpoint of models that the Bedrock runtime client cannot call.
const EndpointMantle = "bedrock-mantle"

// Model is what the library knows of one foundation model. To write one by hand, ID, Price and MaxOutputTokens are enough for a chat model;
// each other field says what its zero value means. Validate checks one, and With adds it to a catalog.
//
// A Model is a value, but it has slices and maps: do not change those of a model that a catalog returned.
type Model struct {
	// ID is the foundation-model id, "anthropic.claude-opus-4-6-v1", without a geography: that is the prefix of an inference profile, such as "us." or
	// "global.". Required. It may be any id that ModelId takes, so that a custom or imported model's ARN can have a price of its own.
	ID string
	// Aliases are other ids of the same model, without a geography. An alias under a geography the library does not know
	// yet is written out: "sa.anthropic.claude-opus-4-6-v1" is then billed like a bare id.
	Aliases []string
	// Provider is the company that made the model, lower case. Informational.
	Provider string
	// Mode is what the model does. Empty means ModeChat.
	Mode Mode
	// Endpoint is EndpointMantle for a model that the Bedrock runtime does not serve. Empty means the runtime.
	Endpoint string
	// Lifecycle is informational. Empty means LifecycleActive.
	Lifecycle Lifecycle
	// Profiles are the geographies under which the model has an inference profile. Any known geography resolves, listed
	// or not; only "global" matters: without it, a global id is billed with the geo premium.
	Profiles []string

	// Unpriced says that no price is published: the model is known, and every call to it is refused. It excludes any price.
	Unpriced bool
	// Free says that calls cost nothing by themselves, as with provisioned throughput and custom models that are paid for by the hour. It
	// excludes any price. If it is false, a missing price is an error.
	Free bool
	// Price is the lowest list price, in pico-USD per token: that of the global profile where there is one, else that of
	// us-east-1. Input and Output are required for chat, Input for an embedding model without Fees. A zero cache rate is
	// never free: it stands for the input rate, and for a one-hour write on a model with cache points, for twice the input
	// rate.
	Price price.Price
	// Fees are what is billed apart from tokens. Zero is not billed.
	Fees Fees
	// Media are the rates of tokens that are not text, where they differ. Zero is billed like text.
	Media MediaRates
	// LatencyOptimized are the base rates under latency-optimized inference. Nil says that the model does not offer it.
	LatencyOptimized *price.Rates
	// Tiers are the factors of service tiers on every rate, in thousandths, by the service's name of the tier: "flex", "priority",
	// "ultrafast", "batch". Each is the highest ratio that is published for the model. A missing tier has the highest factor of any model in
	// the catalog.
	Tiers map[string]price.Tier
	// TierOverrides are factors like those of Tiers by region, where rounding of prices makes them higher. If two apply, the higher one is
	// used. In a region whose price is assumed, the highest of all applies.
	TierOverrides map[string]map[string]price.Tier

	// GeoPremium is the factor, in thousandths, on every rate and fee of an id that is not global: 1100 is ten percent
	// more. Zero means 1000.
	GeoPremium int64
	// GovFactor is the factor, in thousandths, on every rate and fee of Price in GovCloud, and the lowest possible one in other partitions
	// than the commercial one. It applies if RegionOverrides has no entry. Zero means 1200, or GeoPremium if that is more.
	GovFactor int64
	// UnlistedRegion is the factor, in thousandths, on Price times GeoPremium in a commercial region without an entry of its own, except
	// us-east-1, us-east-2 and us-west-2. 1000 says that one price applies in every region. More than that replaces prices that are not
	// known: the highest commercial entry of RegionOverrides is used if that is more, and Resolved.Assumed is set. Zero means 1700 for a
	// model with GeoOverrides or RegionOverrides, and 1000 for one without.
	UnlistedRegion int64
	// GeoOverrides are final rates by geography ("eu"). They replace the product of Price and GeoPremium, for profiles of
	// that geography and for calls from its regions. Long-context and latency-optimized rates change in proportion.
	GeoOverrides map[string]price.Rates
	// RegionOverrides are final rates by region ("eu-west-3"), for calls without a profile and for every profile but global that is called
	// from there. If there are rates for both the region and its geography, the higher ones apply. A cache rate of zero is in proportion to
	// the input rate, and at least the input rate.
	RegionOverrides map[string]price.Rates
	// GlobalOverrides are final rates of the global profile by the region from which it is called. If the table is not empty, a region that
	// it does not list is billed at its highest entry, except us-east-1, us-east-2 and us-west-2. An empty table says that Price applies
	// wherever the global profile is called from.
	GlobalOverrides map[string]price.Rates
	// FeeOverrides are final fees by region. A fee of zero follows the rule for regions without an entry.
	FeeOverrides map[string]Fees

	// MaxInputTokens is the context window. Zero is unknown.
	MaxInputTokens int64
	// MaxOutputTokens is what a response can hold when the request names no limit. Required for chat.
	MaxOutputTokens int64
	// ToolPromptTokens is how many tokens the service adds to a prompt that offers tools. Zero is unknown.
	ToolPromptTokens int64
	// CountTokens says that the operation CountTokens accepts the model's id without a profile.
	CountTokens bool
	// Embedding bounds what one call of an embedding model takes. The zero value is unknown.
	Embedding EmbeddingLimits
	// Rerank bounds what one call of a reranker takes, and what one Fees.Query pays for. The zero value is unknown.
	Rerank RerankLimits
	// Cache are the rules of prompt caching. The zero value is a model that does not cache.
	Cache CacheRules

	// Source says where the facts come from, and when they were read. Informational.
	Source string
}

// EmbeddingLimits are the most that one call of an embedding model takes. Zero is unknown.
type EmbeddingLimits struct {
	Texts         int64 // texts in one call
	TokensPerText int64 // tokens of one text that are read; the rest is cut off or refused
	CharsPerText  int64 // characters of one text
	Images        int64 // images in one call
	ImagePixels   int64 // pixels of one image that are read; larger ones are scaled down
	VideoSeconds  int64 // seconds of video in one synchronous call
	AudioSeconds  int64 // seconds of audio in one synchronous call
}

// RerankLimits are the most that one call of a reranker takes, and the size of the search unit that it is billed in. Zero is
// unknown.
type RerankLimits struct {
	Documents         int64 // documents in one call
	DocumentsPerQuery int64 // documents that one Fees.Query covers
	TokensPerDocument int64 // tokens, the query's included, above which a document counts as more than one
}

// CacheRules say when a model caches a prompt. The zero value is a model that does not cache.
type CacheRules struct {
	// Explicit says that requests may carry cache points. Without it the service refuses a request that has one.
	Explicit bool
	// Implicit says that the model caches by itself, so that cache reads and writes can be billed without a cache point.
	Implicit bool
	// MinTokens is the shortest prefix that is cached, as documented. Zero is unknown.
	MinTokens int64
	// ObservedMinTokens is the shortest prefix that was seen to be cached, if that is longer than MinTokens. Zero means that no such
	// observation was made.
	ObservedMinTokens int64
	// MaxPoints is how many cache points a request may carry. Required with Explicit.
	MaxPoints int
	// TTLs are the lifetimes that a cache point may ask for; with Implicit alone, the lifetime of what the model caches.
	// Price has two write rates: CacheWrite5m is that of every lifetime below an hour, thirty minutes included.
	// Empty is five minutes with Explicit, and otherwise unknown.
	TTLs []time.Duration
	// Fields are the parts of a request that take cache points: "system", "messages", "tools". Empty is unknown.
	Fields []string
	// MaxCacheableTokens is the longest prefix that is cached. Zero means no bound.
	MaxCacheableTokens int64
}

// clone copies everything that m refers to.
func (m Model) clone() Model {
	m.Aliases = slices.Clone(m.Aliases)
	m.Profiles = slices.Clone(m.Profiles)
	m.Tiers = maps.Clone(m.Tiers)
	m.TierOverrides = maps.Clone(m.TierOverrides)
	for region, tiers := range m.TierOverrides {
		m.TierOverrides[region] = maps.Clone(tiers)
	}
	m.GeoOverrides = maps.Clone(m.GeoOverrides)
	m.RegionOverrides = maps.Clone(m.RegionOverrides)
	m.GlobalOverrides = maps.Clone(m.GlobalOverrides)
	m.FeeOverrides = maps.Clone(m.FeeOverrides)
	m.Cache.TTLs = slices.Clone(m.Cache.TTLs)
	m.Cache.Fields = slices.Clone(m.Cache.Fields)
	if m.LatencyOptimized != nil {
		rates := *m.LatencyOptimized
		m.LatencyOptimized = &rates
	}
	return m
}

// mode returns the Mode, and ModeChat for the empty one.
func (m *Model) mode() Mode {
	if m.Mode == "" {
		return ModeChat
	}
	return m.Mode
}

// metered reports whether the price of a call follows from its text tokens, or from its queries on a reranker. Models that bill generated or input
// images, speech or video separately are only metered if they are free.
func (m *Model) metered() bool {
	switch m.mode() {
	case ModeChat, ModeEmbedding:
		return m.Free || m.Price.Rates.Input > 0
	case ModeRerank:
		// Validate has required its Fees.Query, unless it is free.
		return true
	}
	return m.Free
}
