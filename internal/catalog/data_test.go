package catalog

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	modelsInTable   = 174
	unpricedInTable = 0
)

func TestEmbeddedTable(t *testing.T) {
	t.Parallel()
	c, err := parseEmbedded()
	require.NoError(t, err)
	_, err = time.Parse(time.DateOnly, c.Date())
	require.NoError(t, err)

	info, err := os.Stat("models.json")
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(300_000))

	var last string
	count, unpriced := 0, 0
	modes := map[Mode]int{}
	for m := range c.Models() {
		assert.Less(t, last, m.ID, "ordered by id")
		last = m.ID
		count++
		modes[m.Mode]++
		assert.NotEmpty(t, m.Provider, m.ID)
		assert.NotEmpty(t, m.Lifecycle, m.ID)
		assert.NotEmpty(t, m.Source, m.ID)
		if m.metered() {
			assert.Positive(t, m.MaxInputTokens, m.ID)
		}
		if m.Unpriced {
			unpriced++
		}
	}
	assert.Equal(t, modelsInTable, count)
	assert.Equal(t, unpricedInTable, unpriced)
	assert.Equal(t, map[Mode]int{
		ModeChat: 136, ModeEmbedding: 9, ModeRerank: 2, ModeImage: 20, ModeVideo: 2, ModeVideoUnderstanding: 2, ModeRealtime: 3,
	}, modes)
}

// TestEveryIDResolves walks every form of every model's ids: bare, alias, each of its profiles, and their ARNs.
func TestEveryIDResolves(t *testing.T) {
	t.Parallel()
	c := Default()
	for m := range c.Models() {
		profiles := append([]string{""}, m.Profiles...)
		for _, id := range append([]string{m.ID}, m.Aliases...) {
			for _, profile := range profiles {
				for _, form := range forms(profile, id) {
					r, err := c.Resolve(form, "us-east-1")
					if !m.metered() {
						require.ErrorIs(t, err, ErrUnpriced, form)
						r, err = c.Lookup(form, "us-east-1")
						require.NoError(t, err, form)
						require.NotEqual(t, quote{}, quote{fees: r.Fees, media: r.Media}, "%s has a fee", form)
						continue
					}
					require.NoError(t, err, form)
					assert.Equal(t, m.ID, r.ModelID, form)
					assert.Equal(t, profile, r.Profile, form)
					assertBillable(t, form, r)
				}
			}
		}
	}
}

func forms(profile, id string) []string {
	arn := "arn:aws:bedrock:us-east-1::foundation-model/" + id
	if profile != "" {
		id = profile + "." + id
		arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/" + id
	}
	return []string{id, arn, strings.ReplaceAll(strings.ReplaceAll(arn, ":", "%3A"), "/", "%2f")}
}

// assertBillable checks that no class in which the model can be billed is free, and that none is below the base price.
func assertBillable(t *testing.T, form string, r *Resolved) {
	t.Helper()
	if r.Model.Mode == ModeRerank {
		assert.Positive(t, r.Fees.Query, form)
		return
	}
	base, final := classesOf(r.Model.Price.Rates), classesOf(r.Price.Rates)
	for class := range final {
		assert.GreaterOrEqual(t, final[class], base[class], form)
		if class != classOutput || r.Model.Mode == ModeChat {
			assert.Positive(t, final[class], "%s: %s", form, classNames()[class])
		}
	}
	if long := r.Model.Price.LongContext; long.Threshold > 0 {
		assert.Equal(t, long.Threshold, r.Price.LongContext.Threshold, form)
		for class, rate := range classesOf(r.Price.LongContext.Rates) {
			assert.Greater(t, rate, final[class], "%s: long-context %s", form, classNames()[class])
		}
	}
	assert.Equal(t, r.Model.LatencyOptimized != nil, r.LatencyOptimized != nil, form)
}
