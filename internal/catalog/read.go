package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// MaxFileBytes is the size up to which ReadModels reads a file.
const MaxFileBytes = 4 << 20

// maxDepth bounds the nesting of a model file; its format needs six levels.
const maxDepth = 16

// ReadModels reads models from JSON in the format of the embedded table:
//
//	{"date": "2026-11-28", "models": [{
//	  "id": "acme.large-v1", "mode": "chat", "max_output_tokens": 8192,
//	  "usd_per_mtok": {"input": "3", "output": "15"}, "geo_premium_thousandths": 1100
//	}]}
//
// Prices are decimal text in USD per million tokens. It refuses unknown, repeated and misspelled fields, text after the
// end, more than MaxFileBytes, and every model that Validate refuses. Errors are a *FileError, or *ModelErrors joined.
func ReadModels(r io.Reader) ([]Model, error) {
	file, err := readFile(r)
	if err != nil {
		return nil, err
	}
	problems := []error{duplicates(file.models)}
	for i := range file.models {
		problems = append(problems, file.models[i].Validate())
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return file.models, nil
}

// modelFile is a model file, read but not validated.
type modelFile struct {
	date   string
	models []Model
}

// readFile reads a file and checks its form, but not its models.
func readFile(r io.Reader) (modelFile, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return modelFile{}, &FileError{Problem: "cannot be read", Err: err}
	}
	if len(data) > MaxFileBytes {
		return modelFile{}, &FileError{Problem: fmt.Sprintf("longer than %d bytes", MaxFileBytes), Err: ErrFileTooLarge}
	}
	if err := checkKeys(data); err != nil {
		return modelFile{}, err
	}
	return decodeFile(data)
}

// decodeFile reads a file whose keys checkKeys has accepted.
func decodeFile(data []byte) (modelFile, error) {
	var raw fileJSON
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return modelFile{}, &FileError{Problem: "is not a model file", Err: err}
	}
	if _, err := time.Parse(time.DateOnly, raw.Date); err != nil {
		return modelFile{}, &FileError{Problem: fmt.Sprintf("date %q is not of the form 2006-01-02", printable(raw.Date, 32))}
	}
	return raw.modelFile()
}

// checkKeys refuses what encoding/json accepts: a field that occurs twice, one in capitals, text after the end.
func checkKeys(data []byte) error {
	var open nesting
	dec := json.NewDecoder(bytes.NewReader(data))
	for started := false; ; started = true {
		token, err := dec.Token()
		ended := started && len(open) == 0 // before this token
		switch {
		case err == io.EOF && ended:
			return nil
		case err != nil:
			return &FileError{Problem: fmt.Sprintf("is not JSON near byte %d", dec.InputOffset()), Err: err}
		case ended:
			return &FileError{Problem: fmt.Sprintf("goes on after its end at byte %d", dec.InputOffset())}
		}
		if err := open.take(token, dec.InputOffset()); err != nil {
			return err
		}
	}
}

// nesting are the open objects and arrays at a place of a JSON text, the innermost last.
type nesting []level

// level is an open object or array.
type level struct {
	keys map[string]bool // of the object so far; nil for an array
	key  bool            // the next token is a key
}

// take goes past a token, which ends at an offset. It refuses keys as checkKeys does, and too deep nesting.
func (n *nesting) take(token json.Token, offset int64) error {
	delim, isDelim := token.(json.Delim)
	if isDelim && (delim == '}' || delim == ']') {
		*n = (*n)[:len(*n)-1]
		return nil
	}
	if len(*n) > 0 {
		inner := &(*n)[len(*n)-1]
		if inner.key {
			return inner.takeKey(token, offset)
		}
		inner.key = inner.keys != nil // the token is a value: after it an object has a key again
	}
	if isDelim && len(*n) >= maxDepth {
		return &FileError{Problem: fmt.Sprintf("is nested more than %d deep at byte %d", maxDepth, offset)}
	}
	switch token {
	case json.Delim('{'):
		*n = append(*n, level{keys: make(map[string]bool), key: true})
	case json.Delim('['):
		*n = append(*n, level{})
	}
	return nil
}

// takeKey adds a key to an object. It refuses one that the object has already, or with capitals.
func (l *level) takeKey(token json.Token, offset int64) error {
	name, _ := token.(string)
	if l.keys[name] || name != strings.ToLower(name) {
		return &FileError{Problem: fmt.Sprintf("field %q at byte %d is repeated or not lower case", printable(name, 64), offset)}
	}
	l.keys[name], l.key = true, false
	return nil
}

// modelFile converts the file, and reports every price that can't be parsed.
func (f fileJSON) modelFile() (modelFile, error) {
	file := modelFile{date: f.Date, models: make([]Model, len(f.Models))}
	var problems []error
	for i, raw := range f.Models {
		var conv converter
		file.models[i] = conv.model(raw)
		for _, err := range conv.problems {
			problems = append(problems, modelProblem(raw.ID, "%s", err))
		}
	}
	return file, errors.Join(problems...)
}

// converter parses the numbers of a file, and collects the errors.
type converter struct{ problems []error }

// model converts one model. A price that can't be parsed is zero, and its error is kept in c.problems.
func (c *converter) model(raw modelJSON) Model {
	m := Model{
		ID: raw.ID, Aliases: raw.Aliases, Provider: raw.Provider, Mode: raw.Mode, Endpoint: raw.Endpoint,
		Lifecycle: raw.Lifecycle, Profiles: raw.Profiles, Unpriced: raw.Unpriced,
		Fees: c.fees(raw.feesJSON), GeoPremium: raw.GeoPremium, GovFactor: raw.GovFactor, UnlistedRegion: raw.UnlistedRegion,
		GeoOverrides: c.overrides(raw.GeoOverrides), RegionOverrides: c.overrides(raw.RegionOverrides),
		GlobalOverrides: c.overrides(raw.GlobalOverrides),
		MaxInputTokens:  raw.MaxInputTokens, MaxOutputTokens: raw.MaxOutputTokens, ToolPromptTokens: raw.ToolPromptTokens,
		CountTokens: raw.CountTokens, Source: raw.Source,
	}
	c.prices(&m, &raw)
	m.Tiers, m.TierOverrides = tiers(raw.Tiers), tierOverrides(raw.TierOverrides)
	m.FeeOverrides = c.feeOverrides(raw.FeeOverrides)
	if raw.Embedding != nil {
		// The two types have the same fields, so that one converts to the other; below, too.
		m.Embedding = EmbeddingLimits(*raw.Embedding)
	}
	if raw.Rerank != nil {
		m.Rerank = RerankLimits(*raw.Rerank)
	}
	if raw.Cache != nil {
		m.Cache = c.cacheRules(*raw.Cache)
	}
	return m
}

// prices converts the prices that a model may have or not have: each is nil in a file that does not tell it.
func (c *converter) prices(m *Model, raw *modelJSON) {
	if raw.Price != nil {
		m.Price.Rates = c.rates(*raw.Price)
		m.Free = spelledFree(*raw.Price, *m)
	}
	if long := raw.LongContext; long != nil {
		m.Price.LongContext = price.LongContext{Threshold: long.Above, Rates: c.rates(long.Price)}
	}
	if raw.LatencyOptimized != nil {
		rates := c.rates(*raw.LatencyOptimized)
		m.LatencyOptimized = &rates
	}
	if media := raw.Media; media != nil {
		m.Media = MediaRates{
			ImageInput: c.rate(media.ImageInput), ImageOutput: c.rate(media.ImageOutput),
			AudioInput: c.rate(media.AudioInput), AudioOutput: c.rate(media.AudioOutput),
		}
	}
}

// tierOverrides returns the factors of service tiers by region, nil for none.
func tierOverrides(raw map[string]map[string]int64) map[string]map[string]price.Tier {
	if len(raw) == 0 {
		return nil
	}
	overrides := make(map[string]map[string]price.Tier, len(raw))
	for region, factors := range raw {
		overrides[region] = tiers(factors)
	}
	return overrides
}

// feeOverrides converts fees by region, nil for none.
func (c *converter) feeOverrides(raw map[string]feesJSON) map[string]Fees {
	if len(raw) == 0 {
		return nil
	}
	overrides := make(map[string]Fees, len(raw))
	for region, fees := range raw {
		overrides[region] = c.fees(fees)
	}
	return overrides
}

// tiers returns the factors of service tiers, nil for none.
func tiers(raw map[string]int64) map[string]price.Tier {
	if len(raw) == 0 {
		return nil
	}
	factors := make(map[string]price.Tier, len(raw))
	for name, factor := range raw {
		factors[name] = price.Tier(factor)
	}
	return factors
}

// spelledFree reports whether a price of zero is written out, as "input" and, for models that have output, "output": then the model is free. A price
// that is merely missing is an error.
func spelledFree(raw ratesJSON, m Model) bool {
	hasOutput := m.Mode != ModeEmbedding && m.Mode != ModeRerank
	outputIsSpelled := raw.Output != "" || !hasOutput
	return raw.Input != "" && outputIsSpelled && m.Price.Rates == (price.Rates{})
}

// fees converts fees in USD.
func (c *converter) fees(raw feesJSON) Fees {
	return Fees{
		Query: c.fee(raw.PerQuery), Request: c.fee(raw.PerRequest), Image: c.fee(raw.PerImage), DocumentImage: c.fee(raw.PerDocumentImage),
		VideoSecond: c.fee(raw.PerVideoSecond), AudioSecond: c.fee(raw.PerAudioSecond),
		OutputImage: c.fee(raw.PerOutputImage), OutputVideoSecond: c.fee(raw.PerOutputVideoSecond),
		WebSearch: c.fee(raw.PerWebSearch), FileSearch: c.fee(raw.PerFileSearch), Grounding: c.fee(raw.PerGrounding),
	}
}

// cacheRules converts the rules of caching.
func (c *converter) cacheRules(raw cacheJSON) CacheRules {
	rules := CacheRules{
		Explicit: raw.Explicit, Implicit: raw.Implicit, MinTokens: raw.MinTokens, ObservedMinTokens: raw.ObservedMinTokens,
		MaxPoints: raw.MaxPoints, Fields: raw.Fields, MaxCacheableTokens: raw.MaxCacheableTokens,
	}
	for _, text := range raw.TTLs {
		ttl, err := time.ParseDuration(text)
		if err != nil {
			c.problems = append(c.problems, fmt.Errorf("cache lifetime %q is not a duration such as 5m or 1h", printable(text, 32)))
			continue
		}
		rules.TTLs = append(rules.TTLs, ttl)
	}
	return rules
}

// overrides converts a table of rates by region or geography.
func (c *converter) overrides(raw map[string]ratesJSON) map[string]price.Rates {
	if len(raw) == 0 {
		return nil
	}
	overrides := make(map[string]price.Rates, len(raw))
	for place, rates := range raw {
		overrides[place] = c.rates(rates)
	}
	return overrides
}

// rates converts rates in USD per million tokens.
func (c *converter) rates(raw ratesJSON) price.Rates {
	return price.Rates{
		Input: c.rate(raw.Input), Output: c.rate(raw.Output), CacheRead: c.rate(raw.CacheRead),
		CacheWrite5m: c.rate(raw.CacheWrite5m), CacheWrite1h: c.rate(raw.CacheWrite1h),
	}
}

// rate converts one rate in USD per million tokens.
func (c *converter) rate(text string) price.PicoUSD {
	return price.PicoUSD(c.decimal(text, scalePicoPerMTok))
}

// fee converts one fee in USD.
func (c *converter) fee(text string) price.Amount {
	return price.Amount(c.decimal(text, scaleNano))
}

// decimal parses a price. A missing one is zero, about which Validate decides.
func (c *converter) decimal(text string, scale int) int64 {
	if text == "" {
		return 0
	}
	n, err := parseDecimal(text, scale)
	if err != nil {
		c.problems = append(c.problems, err)
	}
	return n
}
