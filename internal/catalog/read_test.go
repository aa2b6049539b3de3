package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// file wraps the fields of one model, without its id.
func file(fields string) string {
	return `{"date": "2026-11-23", "models": [{"id": "acme.large-v1", ` + fields + `}]}`
}

const priced = `"max_output_tokens": 8192, "usd_per_mtok": {"input": "3", "output": "15"}`

func TestReadModels(t *testing.T) {
	t.Parallel()
	models, err := ReadModels(strings.NewReader(file(priced)))
	require.NoError(t, err)
	assert.Equal(t, []Model{acme()}, models)

	models, err = ReadModels(strings.NewReader(file(`"max_output_tokens": 8192, "usd_per_mtok": {"input": "0", "output": "0.0"}`)))
	require.NoError(t, err)
	assert.Equal(t, []Model{{ID: "acme.large-v1", MaxOutputTokens: 8192, Free: true}}, models, "zero is free when it is written out")
	models, err = ReadModels(strings.NewReader(file(`"mode": "embedding", "usd_per_mtok": {"input": "0"}`)))
	require.NoError(t, err)
	assert.Equal(t, []Model{{ID: "acme.large-v1", Mode: ModeEmbedding, Free: true}}, models)

	models, err = ReadModels(strings.NewReader(embedded))
	require.NoError(t, err)
	assert.Len(t, models, modelsInTable, "the embedded table is in the user's format")
	_, err = Default().With(models...)
	require.NoError(t, err)
}

func TestReadModelsRefusesFiles(t *testing.T) {
	t.Parallel()
	failed := errors.New("disk on fire")
	tests := map[string]struct {
		in   io.Reader
		says string
	}{
		"empty":                {strings.NewReader(""), "not JSON"},
		"not JSON":             {strings.NewReader("models:"), "not JSON"},
		"cut short":            {strings.NewReader(file(priced)[:60]), "not JSON"},
		"an array":             {strings.NewReader("[]"), "not a model file"},
		"trailing data":        {strings.NewReader(file(priced) + " {}"), "after its end"},
		"trailing bracket":     {strings.NewReader(file(priced) + "}"), "not JSON"},
		"no date":              {strings.NewReader(`{"models": []}`), "date"},
		"unknown field":        {strings.NewReader(file(priced + `, "discount": 1`)), "discount"},
		"capitals":             {strings.NewReader(file(priced + `, "Mode": "chat"`)), "lower case"},
		"repeated field":       {strings.NewReader(file(priced + `, "mode": "chat", "mode": "chat"`)), "repeated"},
		"repeated deep inside": {strings.NewReader(file(`"usd_per_mtok": {"input": "3", "input": "0.3", "output": "15"}`)), "repeated"},
		"repeated region":      {strings.NewReader(file(priced + `, "region_usd_per_mtok": {"eu-west-1": {}, "eu-west-1": {}}`)), "repeated"},
		"price as a number":    {strings.NewReader(file(`"usd_per_mtok": {"input": 3}`)), "not a model file"},
		"fraction of a token":  {strings.NewReader(file(`"max_output_tokens": 1.5`)), "not a model file"},
		"nested without end":   {strings.NewReader(strings.Repeat("[", 100_000)), "nested"},
		"broken reader":        {iotest.ErrReader(failed), "disk on fire"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			models, err := ReadModels(tt.in)
			assert.Nil(t, models)
			require.ErrorIs(t, err, ErrInvalidFile)
			var e *FileError
			require.ErrorAs(t, err, &e)
			assert.Contains(t, err.Error(), tt.says)
		})
	}
	_, err := ReadModels(iotest.ErrReader(failed))
	require.ErrorIs(t, err, failed)
}

func TestReadModelsRefusesLargeFiles(t *testing.T) {
	t.Parallel()
	padding := strings.Repeat(" ", MaxFileBytes-len(file(priced)))
	_, err := ReadModels(strings.NewReader(padding + file(priced)))
	require.NoError(t, err, "exactly the bound")
	_, err = ReadModels(strings.NewReader(padding + file(priced) + " "))
	require.ErrorIs(t, err, ErrFileTooLarge)
	require.ErrorIs(t, err, ErrInvalidFile)
}

func TestReadModelsRefusesModels(t *testing.T) {
	t.Parallel()
	for fields, says := range map[string]string{
		`"max_output_tokens": 1`: "input rate is missing",
		`"max_output_tokens": 1, "usd_per_mtok": {"input": "-3", "output": "15"}`:                       "not a plain decimal",
		`"max_output_tokens": 1, "usd_per_mtok": {"input": "1e3", "output": "15"}`:                      "not a plain decimal",
		`"max_output_tokens": 1, "usd_per_mtok": {"input": "0", "output": "15"}`:                        "input rate is missing",
		`"max_output_tokens": 1, "usd_per_mtok": {"input": "0"}`:                                        "input rate is missing",
		`"max_output_tokens": 1, "usd_per_mtok": {"output": "0"}`:                                       "input rate is missing",
		`"max_output_tokens": 1, "usd_per_mtok": {}`:                                                    "input rate is missing",
		`"max_output_tokens": 1, "usd_per_request": "1", "usd_per_mtok": {"input": "0", "output": "0"}`: "marked free",
		priced + `, "tier_thousandths": {"turbo": 1000}`:                                                "service tier",
		priced + `, "usd_per_image": "free"`:                                                            "not a plain decimal",
		priced + `, "cache": {"ttls": ["soon"]}`:                                                        "not a duration",
		priced + `, "geo_premium_thousandths": 1`:                                                       "thousandths",
		priced + `}, {"id": "acme.large-v1", ` + priced:                                                 "given twice",
	} {
		models, err := ReadModels(strings.NewReader(file(fields)))
		assert.Nil(t, models, fields)
		require.ErrorIs(t, err, ErrInvalidModel, fields)
		assert.Contains(t, err.Error(), says, fields)
	}
}

func TestParseDecimal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "3": 3_000_000, "0.00875": 8750, "18.8": 18_800_000, "27.5": 27_500_000, "007": 7_000_000,
		"0.000001": 1, "0.0000001": 1, "0.0000010": 1, "1.00000000000000001": 1_000_001, "99999999": 99_999_999_000_000,
		"99999999.9999999": 100_000_000_000_000,
	} {
		got, err := parseDecimal(text, scalePicoPerMTok)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", ".", ".5", "5.", "-1", "+1", " 1", "1 ", "1e3", "0x10", "1_000", "1,5", "1.2.3", "NaN", "Inf", "100000000", "١",
		"0." + strings.Repeat("0", 33),
	} {
		_, err := parseDecimal(text, scalePicoPerMTok)
		assert.Error(t, err, text)
	}
}

func FuzzReadModels(f *testing.F) {
	f.Add([]byte(file(priced)))
	f.Add([]byte(file(priced + `, "cache": {"explicit": true, "ttls": ["5m"]}, "geo_usd_per_mtok": {"eu": {"input": "4", "output": "20"}}`)))
	f.Add([]byte(`{"date": "2026-11-23", "models": [null, {}]}`))
	f.Add([]byte(`{"a":[{"b":1}],"a":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		models, err := ReadModels(bytes.NewReader(data))
		if err != nil {
			require.True(t, errors.Is(err, ErrInvalidFile) || errors.Is(err, ErrInvalidModel), "%v", err)
			return
		}
		var none Catalog
		c, err := none.With(models...)
		if err != nil {
			require.ErrorIs(t, err, ErrInvalidModel) // an id that two models share
			return
		}
		for m := range c.Models() {
			r, err := c.Resolve(m.ID, "eu-west-1")
			if m.Unpriced {
				require.ErrorIs(t, err, ErrUnpriced)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, m.ID, r.ModelID)
			require.GreaterOrEqual(t, r.Price.Rates.Input, price.PicoUSD(0))
		}
	})
}

func FuzzParseDecimal(f *testing.F) {
	f.Add("3.75", uint32(3), uint32(75))
	f.Fuzz(func(t *testing.T, text string, whole, micros uint32) {
		if n, err := parseDecimal(text, scalePicoPerMTok); err == nil {
			require.GreaterOrEqual(t, n, int64(0))
		}
		whole, micros = whole%100_000_000, micros%1_000_000
		n, err := parseDecimal(fmt.Sprintf("%d.%06d", whole, micros), scalePicoPerMTok)
		require.NoError(t, err)
		require.Equal(t, int64(whole)*1_000_000+int64(micros), n)
	})
}
