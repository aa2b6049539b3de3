package catalog

// fileJSON is a model file. Every field but date and id may be left out; Model says what that stands for.
type fileJSON struct {
	Date   string      `json:"date"`
	Models []modelJSON `json:"models"`
}

type modelJSON struct {
	ID        string    `json:"id"`
	Aliases   []string  `json:"aliases"`
	Provider  string    `json:"provider"`
	Mode      Mode      `json:"mode"`
	Endpoint  string    `json:"endpoint"`
	Lifecycle Lifecycle `json:"lifecycle"`
	Profiles  []string  `json:"profiles"`

	Unpriced         bool                 `json:"unpriced"`
	Price            ratesJSON            `json:"usd_per_mtok"`
	LongContext      *longContextJSON     `json:"long_context"`
	LatencyOptimized *ratesJSON           `json:"latency_optimized_usd_per_mtok"`
	GeoPremium       int64                `json:"geo_premium_thousandths"`
	GeoOverrides     map[string]ratesJSON `json:"geo_usd_per_mtok"`
	RegionOverrides  map[string]ratesJSON `json:"region_usd_per_mtok"`
	PerQuery         string               `json:"usd_per_query"`
	PerImage         string               `json:"usd_per_image"`
	PerVideoSecond   string               `json:"usd_per_video_second"`
	PerAudioSecond   string               `json:"usd_per_audio_second"`

	MaxInputTokens  int64      `json:"max_input_tokens"`
	MaxOutputTokens int64      `json:"max_output_tokens"`
	CountTokens     bool       `json:"count_tokens"`
	Cache           *cacheJSON `json:"cache"`
	Source          string     `json:"source"`
}

// ratesJSON holds decimal text in USD per million tokens.
type ratesJSON struct {
	Input        string `json:"input"`
	Output       string `json:"output"`
	CacheRead    string `json:"cache_read"`
	CacheWrite5m string `json:"cache_write_5m"`
	CacheWrite1h string `json:"cache_write_1h"`
}

type longContextJSON struct {
	Above int64     `json:"above_input_tokens"`
	Price ratesJSON `json:"usd_per_mtok"`
}

type cacheJSON struct {
	Explicit           bool     `json:"explicit"`
	Implicit           bool     `json:"implicit"`
	MinTokens          int64    `json:"min_tokens"`
	ObservedMinTokens  int64    `json:"observed_min_tokens"`
	MaxPoints          int      `json:"max_points"`
	TTLs               []string `json:"ttls"`
	Fields             []string `json:"fields"`
	MaxCacheableTokens int64    `json:"max_cacheable_tokens"`
}
