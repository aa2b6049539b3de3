package catalog

// fileJSON is a model file. Every field but date and id is optional; Model has the meaning of a missing one. FormatModels writes the fields
// in the order that they have here.
type fileJSON struct {
	Date    string                `json:"date"`
	Sources map[string]sourceJSON `json:"sources,omitempty"`
	Models  []modelJSON           `json:"models"`
}

// sourceJSON is a source that models refer to by its key. Informational.
type sourceJSON struct {
	Name string `json:"name"`
	Date string `json:"date"`
}

// modelJSON is a Model in a file. The names of its fields tell the units; longContextJSON and the types below hold what Model has in structs.
type modelJSON struct {
	ID        string    `json:"id"`
	Aliases   []string  `json:"aliases,omitempty"`
	Provider  string    `json:"provider,omitempty"`
	Mode      Mode      `json:"mode,omitempty"`
	Endpoint  string    `json:"endpoint,omitempty"`
	Lifecycle Lifecycle `json:"lifecycle,omitempty"`
	Profiles  []string  `json:"profiles,omitempty"`

	Unpriced         bool             `json:"unpriced,omitempty"`
	Price            *ratesJSON       `json:"usd_per_mtok,omitempty"`
	LongContext      *longContextJSON `json:"long_context,omitempty"`
	LatencyOptimized *ratesJSON       `json:"latency_optimized_usd_per_mtok,omitempty"`
	Media            *mediaJSON       `json:"media_usd_per_mtok,omitempty"`
	feesJSON
	Tiers           map[string]int64            `json:"tier_thousandths,omitempty"`
	TierOverrides   map[string]map[string]int64 `json:"region_tier_thousandths,omitempty"`
	GeoPremium      int64                       `json:"geo_premium_thousandths,omitempty"`
	GovFactor       int64                       `json:"gov_thousandths,omitempty"`
	UnlistedRegion  int64                       `json:"unlisted_region_thousandths,omitempty"`
	GeoOverrides    map[string]ratesJSON        `json:"geo_usd_per_mtok,omitempty"`
	RegionOverrides map[string]ratesJSON        `json:"region_usd_per_mtok,omitempty"`
	GlobalOverrides map[string]ratesJSON        `json:"global_usd_per_mtok,omitempty"`
	FeeOverrides    map[string]feesJSON         `json:"region_fees,omitempty"`

	MaxInputTokens   int64          `json:"max_input_tokens,omitempty"`
	MaxOutputTokens  int64          `json:"max_output_tokens,omitempty"`
	ToolPromptTokens int64          `json:"tool_prompt_tokens,omitempty"`
	CountTokens      bool           `json:"count_tokens,omitempty"`
	Embedding        *embeddingJSON `json:"embedding,omitempty"`
	Rerank           *rerankJSON    `json:"rerank,omitempty"`
	Cache            *cacheJSON     `json:"cache,omitempty"`
	Source           string         `json:"source,omitempty"`
}

// ratesJSON has rates as decimal text in USD per million tokens.
type ratesJSON struct {
	Input        string `json:"input,omitempty"`
	Output       string `json:"output,omitempty"`
	CacheRead    string `json:"cache_read,omitempty"`
	CacheWrite5m string `json:"cache_write_5m,omitempty"`
	CacheWrite1h string `json:"cache_write_1h,omitempty"`
}

// longContextJSON is the price of requests with more input tokens than Above.
type longContextJSON struct {
	Above int64     `json:"above_input_tokens"`
	Price ratesJSON `json:"usd_per_mtok"`
}

// mediaJSON has rates as decimal text in USD per million tokens.
type mediaJSON struct {
	ImageInput  string `json:"image_input,omitempty"`
	ImageOutput string `json:"image_output,omitempty"`
	AudioInput  string `json:"audio_input,omitempty"`
	AudioOutput string `json:"audio_output,omitempty"`
}

// feesJSON has fees as decimal text in USD.
type feesJSON struct {
	PerQuery             string `json:"usd_per_query,omitempty"`
	PerRequest           string `json:"usd_per_request,omitempty"`
	PerImage             string `json:"usd_per_image,omitempty"`
	PerDocumentImage     string `json:"usd_per_document_image,omitempty"`
	PerVideoSecond       string `json:"usd_per_video_second,omitempty"`
	PerAudioSecond       string `json:"usd_per_audio_second,omitempty"`
	PerOutputImage       string `json:"usd_per_output_image,omitempty"`
	PerOutputVideoSecond string `json:"usd_per_output_video_second,omitempty"`
	PerWebSearch         string `json:"usd_per_web_search,omitempty"`
	PerFileSearch        string `json:"usd_per_file_search,omitempty"`
	PerGrounding         string `json:"usd_per_grounding,omitempty"`
}

// embeddingJSON is Model.Embedding.
type embeddingJSON struct {
	Texts         int64 `json:"texts,omitempty"`
	TokensPerText int64 `json:"tokens_per_text,omitempty"`
	CharsPerText  int64 `json:"chars_per_text,omitempty"`
	Images        int64 `json:"images,omitempty"`
	ImagePixels   int64 `json:"image_pixels,omitempty"`
	VideoSeconds  int64 `json:"video_seconds,omitempty"`
	AudioSeconds  int64 `json:"audio_seconds,omitempty"`
}

// rerankJSON is Model.Rerank.
type rerankJSON struct {
	Documents         int64 `json:"documents,omitempty"`
	DocumentsPerQuery int64 `json:"documents_per_query,omitempty"`
	TokensPerDocument int64 `json:"tokens_per_document,omitempty"`
}

// cacheJSON is Model.Cache, with lifetimes as text such as "5m".
type cacheJSON struct {
	Explicit           bool     `json:"explicit,omitempty"`
	Implicit           bool     `json:"implicit,omitempty"`
	MinTokens          int64    `json:"min_tokens,omitempty"`
	ObservedMinTokens  int64    `json:"observed_min_tokens,omitempty"`
	MaxPoints          int      `json:"max_points,omitempty"`
	TTLs               []string `json:"ttls,omitempty"`
	Fields             []string `json:"fields,omitempty"`
	MaxCacheableTokens int64    `json:"max_cacheable_tokens,omitempty"`
}
