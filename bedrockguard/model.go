package bedrockguard

import (
	"io"
	"iter"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/cachepoints"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
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

// Model is what the guard knows of one foundation model: prices, limits and cache rules. To write one by hand, ID, Price and MaxOutputTokens
// are enough for a chat model; each other field says what its zero value means. The zero Model is refused. Options.Models adds models to the
// built-in table, or replaces those with the same ID: to change a part of one, start from what Models yields. New refuses models that
// contradict themselves.
//
// Rates are pico-USD per token, which are millionths of a USD per million tokens; fees are nano-USD; factors are thousandths.
type Model struct {
	// ID is the foundation-model id, without a geography: "anthropic.claude-opus-4-6-v1". Required. It may be any id that
	// ModelId takes, so that a custom or imported model's ARN can have a price of its own.
	ID string
	// Aliases are other ids of the same model, without a geography. An alias under a geography the library does not know
	// yet is written out: "sa.anthropic.claude-opus-4-6-v1" is then billed like a bare id.
	Aliases []string
	// Provider is the company that made the model, lower case. Informational.
	Provider string
	// Mode is what the model does. Empty means ModeChat.
	Mode Mode
	// Endpoint is "bedrock-mantle" for a model that the Bedrock runtime does not serve. Empty means the runtime.
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
	// never free: it stands for the input rate, or for twice that in the case of a one-hour write on a model with cache
	// points.
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
	// GovFactor is the factor, in thousandths, on every rate and fee of Price in GovCloud, if RegionOverrides has no entry for the region.
	// In the partitions that are neither commercial nor GovCloud the factor is at least GovFactor. Zero means 1200, or GeoPremium if that is
	// more.
	GovFactor int64
	// UnlistedRegion is the factor, in thousandths, on Price times GeoPremium in a commercial region without an entry of its own, except
	// us-east-1, us-east-2 and us-west-2. 1000 says that one price applies in every region. A higher factor stands in for prices that are not
	// known: the highest commercial entry of RegionOverrides is used if that is more, and EventPriceAssumed is emitted. Zero means 1700 for
	// a model with GeoOverrides or RegionOverrides, and 1000 for one without.
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

// Fees are prices in nano-USD for what is not counted in tokens. Zero means that it is not billed.
type Fees struct {
	Query             price.Amount // a rerank query: one search unit, see RerankLimits
	Request           price.Amount // a call, whatever it contains
	Image             price.Amount // an input image
	DocumentImage     price.Amount // an input image that is read as the page of a document
	VideoSecond       price.Amount // a second of input video
	AudioSecond       price.Amount // a second of input audio
	OutputImage       price.Amount // a generated image, of the most expensive size and quality
	OutputVideoSecond price.Amount // a second of generated video
	WebSearch         price.Amount // a web search that the service makes during a call
	FileSearch        price.Amount // a file search that the service makes during a call
	Grounding         price.Amount // a request of the system tool nova_grounding
}

// MediaRates are prices in pico-USD per token for tokens that are not text. Zero is billed like text.
type MediaRates struct {
	ImageInput  price.PicoUSD
	ImageOutput price.PicoUSD
	AudioInput  price.PicoUSD // speech included
	AudioOutput price.PicoUSD // speech included
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

// Models returns the models of the built-in table, ordered by id. Each is a copy: to use a changed one, pass it in Options.Models.
func Models() iter.Seq[Model] {
	return func(yield func(Model) bool) {
		for m := range catalog.Default().Models() {
			if !yield(fromCatalog(m)) {
				return
			}
		}
	}
}

// ModelFacts returns what the built-in catalog knows of a model: its price for calls made from a region, and its rules of
// prompt caching. modelID is any form that ModelId takes. A model without a price is an *UnpricedError.
func ModelFacts(modelID, region string) (price.Price, cache.Model, error) {
	r, err := catalog.Default().Resolve(modelID, region)
	if err != nil {
		return price.Price{}, cache.Model{}, err
	}
	return r.Price, cachepoints.Model(r), nil
}

// CatalogDate is the day, in UTC, at which the facts of the built-in table were last checked.
func CatalogDate() time.Time {
	date, _ := time.Parse(time.DateOnly, catalog.Default().Date()) // a test makes sure that the date can be parsed
	return date
}

// ReadModels reads models from JSON, in the format of the built-in table, for Options.Models:
//
//	{"date": "2026-11-28", "models": [{
//	  "id": "acme.large-v1", "mode": "chat", "max_output_tokens": 8192,
//	  "usd_per_mtok": {"input": "3", "output": "15", "cache_read": "0.3", "cache_write_5m": "3.75"},
//	  "geo_premium_thousandths": 1100,
//	  "region_usd_per_mtok": {"eu-west-2": {"input": "4.5", "output": "22"}},
//	  "tier_thousandths": {"flex": 500, "priority": 1750},
//	  "usd_per_web_search": "0.01"
//	}]}
//
// Prices are decimal text in USD, those per million tokens under a name that ends in usd_per_mtok; they round up to what a
// Model can hold. Each field of Model has one in the file:
//
//   - id, aliases, provider, mode, endpoint, lifecycle, profiles; source, whose short names the file's "sources" explain;
//   - unpriced; usd_per_mtok with input, output, cache_read, cache_write_5m, cache_write_1h; long_context with
//     above_input_tokens and usd_per_mtok; latency_optimized_usd_per_mtok; media_usd_per_mtok with image_input,
//     image_output, audio_input, audio_output;
//   - usd_per_ query, request, image, document_image, video_second, audio_second, output_image, output_video_second,
//     web_search, file_search, grounding; the same ones by region under region_fees;
//   - geo_premium_thousandths, gov_thousandths, unlisted_region_thousandths; tier_thousandths by tier, and
//     region_tier_thousandths by region and tier;
//   - geo_usd_per_mtok, region_usd_per_mtok and global_usd_per_mtok: rates by geography, region and source region;
//   - max_input_tokens, max_output_tokens, tool_prompt_tokens, count_tokens; embedding with texts, tokens_per_text,
//     chars_per_text, images, image_pixels, video_seconds, audio_seconds; rerank with documents, documents_per_query,
//     tokens_per_document;
//   - cache with explicit, implicit, min_tokens, observed_min_tokens, max_points, ttls ("5m", "1h"), fields,
//     max_cacheable_tokens.
//
// A price of zero is free only when it is written out: "input": "0", and "output": "0" unless the model only embeds. A
// price that is left out is an error. So are unknown, repeated and misspelled fields, text after the end, more than 4 MiB,
// and models that New would refuse.
func ReadModels(r io.Reader) ([]Model, error) {
	read, err := catalog.ReadModels(r)
	if err != nil {
		return nil, err
	}
	models := make([]Model, len(read))
	for i := range read {
		models[i] = fromCatalog(read[i])
	}
	return models, nil
}

// toCatalog converts models for the catalog, which copies the maps and slices that they refer to.
func toCatalog(models []Model) []catalog.Model {
	translated := make([]catalog.Model, len(models))
	for i := range models {
		translated[i] = models[i].catalog()
	}
	return translated
}

// catalog returns the model in the catalog's own type, which has the same fields.
func (m *Model) catalog() catalog.Model {
	return catalog.Model{
		ID:               m.ID,
		Aliases:          m.Aliases,
		Provider:         m.Provider,
		Mode:             catalog.Mode(m.Mode),
		Endpoint:         m.Endpoint,
		Lifecycle:        catalog.Lifecycle(m.Lifecycle),
		Profiles:         m.Profiles,
		Unpriced:         m.Unpriced,
		Free:             m.Free,
		Price:            m.Price,
		Fees:             catalog.Fees(m.Fees),
		Media:            catalog.MediaRates(m.Media),
		LatencyOptimized: m.LatencyOptimized,
		Tiers:            m.Tiers,
		TierOverrides:    m.TierOverrides,
		GeoPremium:       m.GeoPremium,
		GovFactor:        m.GovFactor,
		UnlistedRegion:   m.UnlistedRegion,
		GeoOverrides:     m.GeoOverrides,
		RegionOverrides:  m.RegionOverrides,
		GlobalOverrides:  m.GlobalOverrides,
		FeeOverrides:     feesBy[catalog.Fees](m.FeeOverrides),
		MaxInputTokens:   m.MaxInputTokens,
		MaxOutputTokens:  m.MaxOutputTokens,
		ToolPromptTokens: m.ToolPromptTokens,
		CountTokens:      m.CountTokens,
		Embedding:        catalog.EmbeddingLimits(m.Embedding),
		Rerank:           catalog.RerankLimits(m.Rerank),
		Cache:            catalog.CacheRules(m.Cache),
		Source:           m.Source,
	}
}

// fromCatalog is the opposite of Model.catalog.
func fromCatalog(m catalog.Model) Model {
	return Model{
		ID:               m.ID,
		Aliases:          m.Aliases,
		Provider:         m.Provider,
		Mode:             Mode(m.Mode),
		Endpoint:         m.Endpoint,
		Lifecycle:        Lifecycle(m.Lifecycle),
		Profiles:         m.Profiles,
		Unpriced:         m.Unpriced,
		Free:             m.Free,
		Price:            m.Price,
		Fees:             Fees(m.Fees),
		Media:            MediaRates(m.Media),
		LatencyOptimized: m.LatencyOptimized,
		Tiers:            m.Tiers,
		TierOverrides:    m.TierOverrides,
		GeoPremium:       m.GeoPremium,
		GovFactor:        m.GovFactor,
		UnlistedRegion:   m.UnlistedRegion,
		GeoOverrides:     m.GeoOverrides,
		RegionOverrides:  m.RegionOverrides,
		GlobalOverrides:  m.GlobalOverrides,
		FeeOverrides:     feesBy[Fees](m.FeeOverrides),
		MaxInputTokens:   m.MaxInputTokens,
		MaxOutputTokens:  m.MaxOutputTokens,
		ToolPromptTokens: m.ToolPromptTokens,
		CountTokens:      m.CountTokens,
		Embedding:        EmbeddingLimits(m.Embedding),
		Rerank:           RerankLimits(m.Rerank),
		Cache:            CacheRules(m.Cache),
		Source:           m.Source,
	}
}

// feesBy converts a table of fees between two types with the same fields.
func feesBy[To, From interface{ Fees | catalog.Fees }](table map[string]From) map[string]To {
	if table == nil {
		return nil
	}
	translated := make(map[string]To, len(table))
	for region, fees := range table {
		translated[region] = To(fees)
	}
	return translated
}
