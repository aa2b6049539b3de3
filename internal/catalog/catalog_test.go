package catalog

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// acme is the least that a chat model needs.
func acme() Model {
	return Model{ID: "acme.large-v1", Price: price.Price{Rates: price.Rates{Input: 3_000_000, Output: 15_000_000}}, MaxOutputTokens: 8192}
}

func TestWithAdds(t *testing.T) {
	t.Parallel()
	c, err := Default().With(acme())
	require.NoError(t, err)
	r, err := c.Resolve("eu.acme.large-v1", "eu-west-1")
	require.NoError(t, err)
	assert.Equal(t, mtok(t, "3", "15", "3", "3", "3"), r.Price.Rates, "no premium unless told, and no free cache class")
	assert.False(t, r.Assumed, "a price written by hand without a table holds everywhere")
	assert.Equal(t, Default().Date(), c.Date())

	_, err = Default().Resolve("eu.acme.large-v1", "eu-west-1")
	require.ErrorIs(t, err, ErrUnpriced, "the receiver is unchanged")
}

func TestWithOverrides(t *testing.T) {
	t.Parallel()
	m, ok := Default().Model("anthropic.claude-opus-4-6")
	require.True(t, ok)
	m.Price.Rates.Input = 7_000_000
	c, err := Default().With(m)
	require.NoError(t, err)
	r, err := c.Resolve("us.anthropic.claude-opus-4-6", "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.PicoUSD(7_700_000), r.Price.Rates.Input)
	assert.Equal(t, 4, r.Model.Cache.MaxPoints)

	count := 0
	for range c.Models() {
		count++
	}
	assert.Equal(t, modelsInTable, count)
}

// unpricedModel is a catalog with one more model, whose price is not published.
func unpricedModel(t *testing.T) *Catalog {
	t.Helper()
	c, err := Default().With(Model{ID: "acme.secret-v1", MaxOutputTokens: 8192, Unpriced: true})
	require.NoError(t, err)
	return c
}

func TestWithPricesWhatHasNone(t *testing.T) {
	t.Parallel()
	unpriced := unpricedModel(t)
	m, ok := unpriced.Model("acme.secret-v1")
	require.True(t, ok)
	m.Unpriced = false
	_, err := unpriced.With(m)
	require.ErrorIs(t, err, ErrInvalidModel, "unmarking it is not a price")
	m.Price.Rates, m.GeoPremium = mtok(t, "25", "125", "2.5", "31.25", "50"), 1100
	c, err := unpriced.With(m)
	require.NoError(t, err)
	r, err := c.Resolve(m.ID, "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.PicoUSD(27_500_000), r.Price.Rates.Input)
}

// A price of zero is free only when somebody says so, and then nothing may cost anything.
func TestFreeIsSpelledOut(t *testing.T) {
	t.Parallel()
	free := Model{ID: "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123", MaxOutputTokens: 8192, Free: true}
	free.Cache = CacheRules{Explicit: true, MaxPoints: 4}
	c, err := Default().With(free)
	require.NoError(t, err)
	for _, region := range []string{"us-east-1", "eu-west-2", "us-gov-west-1", "eusc-de-east-1", ""} {
		r, err := c.Resolve(free.ID, region)
		require.NoError(t, err)
		assert.Equal(t, price.Price{}, r.Price)
		assert.Equal(t, Fees{}, r.Fees)
	}
	for name, change := range map[string]func(*Model){
		"rate":        func(m *Model) { m.Price.Rates.CacheRead = 1 },
		"fee":         func(m *Model) { m.Fees.Request = 1 },
		"media rate":  func(m *Model) { m.Media.AudioInput = 1 },
		"override":    func(m *Model) { m.RegionOverrides = map[string]price.Rates{"eu-west-1": {Input: 1, Output: 1}} },
		"fee by area": func(m *Model) { m.FeeOverrides = map[string]Fees{"eu-west-1": {Image: 1}} },
		"unpriced":    func(m *Model) { m.Unpriced = true },
	} {
		m := free.clone()
		change(&m)
		_, err := Default().With(m)
		require.ErrorIs(t, err, ErrInvalidModel, name)
	}
	_, err = Default().With(Model{})
	require.ErrorIs(t, err, ErrInvalidModel, "the zero model is refused")
	_, err = Default().With(Model{ID: "acme.large-v1", MaxOutputTokens: 1})
	require.ErrorIs(t, err, ErrInvalidModel, "a missing price is not free")
}

// TestWithUnlistedGlobalKeepsThePremium: a global id of a model that has no global profile is not a discount.
func TestWithUnlistedGlobalKeepsThePremium(t *testing.T) {
	t.Parallel()
	m := acme()
	m.GeoPremium = 1101
	m.Price.Rates.Output = 15_000_001
	c, err := Default().With(m)
	require.NoError(t, err)
	r, err := c.Resolve("global.acme.large-v1", "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.PicoUSD(16_515_002), r.Price.Rates.Output, "rounded up")

	m.Profiles = []string{"global"}
	c, err = c.With(m)
	require.NoError(t, err)
	r, err = c.Resolve("global.acme.large-v1", "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.PicoUSD(15_000_001), r.Price.Rates.Output)
}

func TestWithCopies(t *testing.T) {
	t.Parallel()
	m := acme()
	m.Aliases = []string{"acme.large"}
	m.GeoOverrides = map[string]price.Rates{"eu": {Input: 4_000_000, Output: 20_000_000}}
	m.LatencyOptimized = &price.Rates{Input: 6_000_000, Output: 30_000_000}
	m.Tiers = map[string]price.Tier{"flex": 600}
	m.TierOverrides = map[string]map[string]price.Tier{"eu-west-1": {"flex": 700}}
	m.FeeOverrides = map[string]Fees{"eu-west-1": {Image: 1}}
	m.Cache = CacheRules{Implicit: true, TTLs: []time.Duration{time.Hour}, Fields: []string{"system"}}
	c, err := Default().With(m)
	require.NoError(t, err)
	want, ok := c.Model(m.ID)
	require.True(t, ok)

	vandalize := func(m Model) {
		m.Aliases[0], m.Cache.TTLs[0], m.Cache.Fields[0] = "x", 1, "x"
		clear(m.GeoOverrides)
		clear(m.Tiers)
		clear(m.TierOverrides["eu-west-1"])
		clear(m.FeeOverrides)
		*m.LatencyOptimized = price.Rates{}
	}
	vandalize(m)
	given, ok := c.Model(m.ID)
	require.True(t, ok)
	assert.Equal(t, want, given)
	assert.Equal(t, price.Tier(700), given.TierOverrides["eu-west-1"]["flex"], "tables of tables are copied, too")
	vandalize(given)
	for other := range c.Models() {
		if other.ID == m.ID {
			assert.Equal(t, want, other)
		}
	}
}

func TestWithRefuses(t *testing.T) {
	t.Parallel()
	rates := price.Rates{Input: 1, Output: 1}
	tests := map[string]struct {
		change func(*Model)
		says   string
	}{
		"no id":                       {func(m *Model) { m.ID = "" }, "has no id"},
		"spaces in id":                {func(m *Model) { m.ID = "a b" }, "not plain ASCII"},
		"escaped id":                  {func(m *Model) { m.ID = "acme.large%3A1" }, "escaped"},
		"geography in id":             {func(m *Model) { m.ID = "us.acme.large-v1" }, "geography"},
		"geography in alias":          {func(m *Model) { m.Aliases = []string{"global.acme.large-v1"} }, "geography"},
		"alias of another model":      {func(m *Model) { m.Aliases = []string{"amazon.nova-pro-v1:0"} }, "is taken by"},
		"alias twice":                 {func(m *Model) { m.Aliases = []string{"a.b", "a.b"} }, "is taken by"},
		"unknown profile":             {func(m *Model) { m.Profiles = []string{"mars"} }, "not a known geography"},
		"unknown mode":                {func(m *Model) { m.Mode = "hologram" }, "mode"},
		"unknown lifecycle":           {func(m *Model) { m.Lifecycle = "old" }, "lifecycle"},
		"unknown endpoint":            {func(m *Model) { m.Endpoint = "x" }, "endpoint"},
		"no input rate":               {func(m *Model) { m.Price.Rates.Input = 0 }, "input rate is missing"},
		"no output rate":              {func(m *Model) { m.Price.Rates.Output = 0 }, "output rate is missing"},
		"negative rate":               {func(m *Model) { m.Price.Rates.CacheRead = -1 }, "negative"},
		"enormous rate":               {func(m *Model) { m.Price.Rates.Output = maxRate + 1 }, "negative or above"},
		"reranker without fee":        {func(m *Model) { m.Mode = ModeRerank }, "fee per query"},
		"negative fee":                {func(m *Model) { m.Fees.Image = -1 }, "fee"},
		"premium in hundredths":       {func(m *Model) { m.GeoPremium = 110 }, "thousandths"},
		"GovCloud at a discount":      {func(m *Model) { m.GovFactor = 900 }, "thousandths"},
		"regions in percent":          {func(m *Model) { m.UnlistedRegion = 170 }, "thousandths"},
		"unknown tier":                {func(m *Model) { m.Tiers = map[string]price.Tier{"turbo": 2000} }, "service tier"},
		"tier of no region":           {func(m *Model) { m.TierOverrides = map[string]map[string]price.Tier{"eu": {"flex": 600}} }, "is not a region"},
		"unknown tier of a region":    {func(m *Model) { m.TierOverrides = map[string]map[string]price.Tier{"eu-west-1": {"turbo": 600}} }, "service tier"},
		"tier for free":               {func(m *Model) { m.Tiers = map[string]price.Tier{"flex": 0} }, "out of range"},
		"global price of GovCloud":    {func(m *Model) { m.GlobalOverrides = map[string]price.Rates{"us-gov-west-1": rates} }, "no global profile"},
		"global price of no region":   {func(m *Model) { m.GlobalOverrides = map[string]price.Rates{"eu": rates} }, "is not a region"},
		"fee of no region":            {func(m *Model) { m.FeeOverrides = map[string]Fees{"eu": {Image: 1}} }, "is not a region"},
		"negative fee of a region":    {func(m *Model) { m.FeeOverrides = map[string]Fees{"eu-west-1": {Image: -1}} }, "negative"},
		"negative media rate":         {func(m *Model) { m.Media.AudioInput = -1 }, "media rate"},
		"image model without fee":     {func(m *Model) { m.Mode = ModeImage }, "fee per output image"},
		"video model without fee":     {func(m *Model) { m.Mode = ModeVideo }, "fee per second"},
		"negative embedding limit":    {func(m *Model) { m.Embedding.Texts = -1 }, "out of range"},
		"negative premium":            {func(m *Model) { m.GeoPremium = -1100 }, "thousandths"},
		"threshold without rates":     {func(m *Model) { m.Price.LongContext.Threshold = 1 }, "long-context price: the input rate is missing"},
		"rates without threshold":     {func(m *Model) { m.Price.LongContext.Rates = rates }, "no threshold"},
		"negative threshold":          {func(m *Model) { m.Price.LongContext.Threshold = -1 }, "out of range"},
		"latency-optimized for free":  {func(m *Model) { m.LatencyOptimized = &price.Rates{} }, "latency-optimized price"},
		"override of a geo for free":  {func(m *Model) { m.GeoOverrides = map[string]price.Rates{"eu": {Input: 1}} }, "output rate is missing"},
		"override of a geo that isnt": {func(m *Model) { m.GeoOverrides = map[string]price.Rates{"mars": rates} }, "not a known geography"},
		"override of no region":       {func(m *Model) { m.RegionOverrides = map[string]price.Rates{"eu": rates} }, "is not a region"},
		"negative limit":              {func(m *Model) { m.MaxInputTokens = -1 }, "out of range"},
		"no output limit":             {func(m *Model) { m.MaxOutputTokens = 0 }, "limit of output tokens"},
		"unpriced with a price":       {func(m *Model) { m.Unpriced = true }, "marked unpriced"},
		"points without rates":        {func(m *Model) { m.Cache = CacheRules{Explicit: true, MaxPoints: 4} }, "no cache read rate"},
		"hour points without rate": {func(m *Model) {
			m.Price.Rates.CacheRead, m.Price.Rates.CacheWrite5m = 1, 1
			m.Cache = CacheRules{Explicit: true, MaxPoints: 4, TTLs: []time.Duration{time.Hour}}
		}, "one-hour"},
		"no points":         {func(m *Model) { m.Cache = CacheRules{Explicit: true} }, "allows none"},
		"negative points":   {func(m *Model) { m.Cache.MaxPoints = -1 }, "cache points"},
		"negative lifetime": {func(m *Model) { m.Cache.TTLs = []time.Duration{-1} }, "not positive"},
		"unknown field":     {func(m *Model) { m.Cache.Fields = []string{"body"} }, "cache field"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := acme()
			tt.change(&m)
			c, err := Default().With(m)
			assert.Nil(t, c)
			require.ErrorIs(t, err, ErrInvalidModel)
			var e *ModelError
			require.ErrorAs(t, err, &e)
			assert.Contains(t, err.Error(), tt.says)
		})
	}
	_, err := Default().With(acme(), acme())
	require.ErrorIs(t, err, ErrInvalidModel)
	_, err = Default().With(Model{}, Model{ID: "a b"})
	require.ErrorContains(t, err, "has no id")
	require.ErrorContains(t, err, "not plain ASCII", "every problem is told at once")
}

func TestMap(t *testing.T) {
	t.Parallel()
	const (
		account  = "arn:aws:bedrock:eu-west-1:123456789012:"
		app      = account + "application-inference-profile/abc123"
		prompt   = account + "prompt/ABCDEFGHIJ"
		endpoint = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/llm"
	)
	c, err := Default().Map(map[string]string{
		app:                              "global.anthropic.claude-opus-4-6-v1",
		prompt:                           "amazon.nova-pro-v1:0",
		prompt + ":7":                    "amazon.nova-lite-v1:0",
		endpoint:                         "meta.llama3-3-70b-instruct-v1:0",
		"mars.amazon.nova-pro":           "amazon.nova-pro-v1:0",
		account + "imported-model/i%3A1": "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0",
	})
	require.NoError(t, err)
	tests := []struct {
		id, model, profile string
		input              price.PicoUSD
	}{
		{app, "anthropic.claude-opus-4-6-v1", "global", 5_000_000},
		{"arn%3Aaws:bedrock:eu-west-1:123456789012:application-inference-profile%2Fabc123", "anthropic.claude-opus-4-6-v1", "global", 5_000_000},
		{prompt, "amazon.nova-pro-v1:0", "", 920_000}, // from the ARN's region, although the call names none
		{prompt + ":3", "amazon.nova-pro-v1:0", "", 920_000},
		{prompt + ":7", "amazon.nova-lite-v1:0", "", 69_000},
		{endpoint, "meta.llama3-3-70b-instruct-v1:0", "", 720_000},
		{"mars.amazon.nova-pro", "amazon.nova-pro-v1:0", "", 1_360_000}, // region unknown: the dearest
		{account + "imported-model/i:1", "amazon.nova-pro-v1:0", "eu", 920_000},
	}
	for _, tt := range tests {
		r, err := c.Resolve(tt.id, "")
		require.NoError(t, err, tt.id)
		assert.Equal(t, tt.model, r.ModelID, tt.id)
		assert.Equal(t, tt.profile, r.Profile, tt.id)
		assert.Equal(t, tt.input, r.Price.Rates.Input, tt.id)
	}
	_, err = Default().Resolve(app, "eu-west-1")
	require.ErrorIs(t, err, ErrUnpriced, "the receiver is unchanged")

	remapped, err := c.Map(map[string]string{app: "anthropic.claude-opus-4-6-v1"})
	require.NoError(t, err)
	r, err := remapped.Resolve(app, "eu-west-1")
	require.NoError(t, err)
	assert.Equal(t, price.PicoUSD(5_500_000), r.Price.Rates.Input, "the newer mapping wins")

	kept, err := c.With(acme())
	require.NoError(t, err)
	_, err = kept.Resolve(app, "eu-west-1")
	require.NoError(t, err, "mappings outlive With")
	_, err = c.With(Model{ID: "anthropic.claude-opus-4-6-v1", Unpriced: true})
	require.ErrorIs(t, err, ErrInvalidModel, "a mapping may not lose its price")
}

func TestMapRefuses(t *testing.T) {
	t.Parallel()
	const app = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
	for name, ids := range map[string]map[string]string{
		"unknown target":     {app: "acme.large-v1"},
		"empty target":       {app: ""},
		"unpriced target":    {app: "acme.secret-v1"},
		"chain":              {app: app + "4", app + "4": "amazon.nova-pro-v1:0"},
		"to itself":          {app: app},
		"a priced id":        {"us.anthropic.claude-opus-5": "amazon.nova-micro-v1:0"},
		"a priced id by ARN": {"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5": "amazon.nova-micro-v1:0"},
		"an unpriced model":  {"us.acme.secret-v1": "amazon.nova-micro-v1:0"},
		"empty id":           {"": "amazon.nova-pro-v1:0"},
		"control characters": {"a\n": "amazon.nova-pro-v1:0"},
	} {
		c, err := unpricedModel(t).Map(maps.Clone(ids))
		assert.True(t, c == nil, name)
		require.ErrorIs(t, err, ErrInvalidModel, name)
	}
}

func TestZeroCatalogRefuses(t *testing.T) {
	t.Parallel()
	var c Catalog
	_, err := c.Resolve("amazon.nova-pro-v1:0", "us-east-1")
	require.ErrorIs(t, err, ErrUnpriced)
	grown, err := c.With(acme())
	require.NoError(t, err)
	_, err = grown.Resolve("acme.large-v1", "us-east-1")
	require.NoError(t, err)
}
