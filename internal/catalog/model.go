package catalog

import (
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Mode is what a model does, and so what it is billed for.
type Mode string

// The modes of a model. The empty Mode stands for ModeChat.
const (
	ModeChat      Mode = "chat"      // text in, text out: input and output tokens
	ModeEmbedding Mode = "embedding" // input tokens, and images, audio and video where Fees say so
	ModeRerank    Mode = "rerank"    // queries: Fees.Query
)

// Lifecycle says how long a model will still answer. It never changes a price: what answers is billed.
type Lifecycle string

// The lifecycle states of a model. The empty Lifecycle stands for LifecycleActive.
const (
	LifecycleActive     Lifecycle = "active"
	LifecycleGated      Lifecycle = "gated" // open to some accounts
	LifecycleLegacy     Lifecycle = "legacy"
	LifecycleDeprecated Lifecycle = "deprecated"
	LifecycleEndOfLife  Lifecycle = "end-of-life" // the service refuses new calls
)

// EndpointMantle is the Endpoint of models that the Bedrock runtime client cannot call.
const EndpointMantle = "bedrock-mantle"

// Model is what the library knows of one foundation model. By hand, ID, Price and MaxOutputTokens are enough for a chat
// model; each other field says what its zero value means. Validate checks one, and With lays it over a catalog.
//
// A Model is a value, but it holds slices and maps: do not change those of a model that a catalog returned.
type Model struct {
	// ID is the foundation-model id, without a geography: "anthropic.claude-opus-4-6-v1". Required. It may be any id that
	// ModelId takes, so that a custom or imported model's ARN can have a price of its own.
	ID string
	// Aliases are other ids of the same model, without a geography. An alias under a geography the library does not know
	// yet is written out: "sa.anthropic.claude-opus-4-6-v1" is then billed like a bare id.
	Aliases []string
	// Provider is the company that made the model, lower case. Informational.
	Provider string
	// Mode is what the model does. Empty stands for ModeChat.
	Mode Mode
	// Endpoint is EndpointMantle for a model that the Bedrock runtime does not serve. Empty stands for the runtime.
	Endpoint string
	// Lifecycle is informational. Empty stands for LifecycleActive.
	Lifecycle Lifecycle
	// Profiles are the geographies under which the model has an inference profile. Any known geography resolves, listed
	// or not; only "global" matters: without it, a global id is billed with the geo premium.
	Profiles []string

	// Unpriced says that no price is published: the model is known, and every call to it is refused. It goes with no price.
	Unpriced bool
	// Price is the lowest list price, in pico-USD per token: that of the global profile where there is one, else that of
	// us-east-1. Input is required but for rerankers, Output is required for chat. A zero cache rate is never free: it
	// stands for the input rate, and for a one-hour write on a model with cache points, for twice the input rate.
	Price budget.Price
	// Fees are what is billed apart from tokens. Zero is not billed.
	Fees Fees
	// LatencyOptimized are the base rates under latency-optimized inference. Nil says that the model does not offer it.
	LatencyOptimized *budget.Rates
	// GeoPremium is the factor, in thousandths, on every rate and fee of an id that is not global: 1100 is ten percent
	// more. Zero stands for 1000.
	GeoPremium int64
	// GeoOverrides are final rates by geography ("eu"). They replace the product of Price and GeoPremium, for profiles of
	// that geography and for calls from its regions. Long-context and latency-optimized rates change in proportion.
	GeoOverrides map[string]budget.Rates
	// RegionOverrides are final rates by region ("eu-west-3"). Of a region's and a geography's, the dearer applies.
	RegionOverrides map[string]budget.Rates

	// MaxInputTokens is the context window. Zero is unknown.
	MaxInputTokens int64
	// MaxOutputTokens is what a response can hold when the request names no limit. Required for chat.
	MaxOutputTokens int64
	// CountTokens says that CountTokens of the Bedrock runtime takes the bare id.
	CountTokens bool
	// Cache are the rules of prompt caching. The zero value is a model that does not cache.
	Cache CacheRules

	// Source says where the facts come from, and when they were read. Informational.
	Source string
}

// Fees are prices in nano-USD for what is not counted in tokens. Zero is not billed.
type Fees struct {
	Query       budget.Amount // a rerank query of up to 100 documents
	Image       budget.Amount // an input image
	VideoSecond budget.Amount // a second of input video
	AudioSecond budget.Amount // a second of input audio
}

// CacheRules say when a model caches a prompt. The zero value is a model that does not cache.
type CacheRules struct {
	// Explicit says that requests may carry cache points. Without it the service refuses a request that has one.
	Explicit bool
	// Implicit says that the model caches unasked, so that cache reads and writes can be billed without a cache point.
	Implicit bool
	// MinTokens is the shortest prefix that is cached, as documented. Zero is unknown.
	MinTokens int64
	// ObservedMinTokens is the shortest prefix that was seen to be cached, where that is more. Zero is no such finding.
	ObservedMinTokens int64
	// MaxPoints is how many cache points a request may carry. Required with Explicit.
	MaxPoints int
	// TTLs are the lifetimes that a cache point may ask for; with Implicit alone, the lifetime of what the model caches.
	// Empty is five minutes with Explicit, and otherwise unknown.
	TTLs []time.Duration
	// Fields are the parts of a request that take cache points: "system", "messages", "tools". Empty is unknown.
	Fields []string
	// MaxCacheableTokens is the longest prefix that is cached. Zero is no such bound.
	MaxCacheableTokens int64
}

// clone copies everything that m refers to.
func (m Model) clone() Model {
	m.Aliases = slices.Clone(m.Aliases)
	m.Profiles = slices.Clone(m.Profiles)
	m.GeoOverrides = maps.Clone(m.GeoOverrides)
	m.RegionOverrides = maps.Clone(m.RegionOverrides)
	m.Cache.TTLs = slices.Clone(m.Cache.TTLs)
	m.Cache.Fields = slices.Clone(m.Cache.Fields)
	if m.LatencyOptimized != nil {
		rates := *m.LatencyOptimized
		m.LatencyOptimized = &rates
	}
	return m
}
