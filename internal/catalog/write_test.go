package catalog

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The table is in the one order that its tool writes, so that a change of a price is a change of a line.
func TestTheTableIsInOrder(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, FormatModels(&out, strings.NewReader(embedded)))
	assert.True(t, out.String() == embedded, "models.json is not as FormatModels writes it: run `make prices`")
}

// Formatting loses nothing, and orders what has no order.
func TestFormatModels(t *testing.T) {
	t.Parallel()
	raw := `{"models":[{"id":"b.b","max_output_tokens":1,"usd_per_mtok":{"output":"2","input":"1"},"region_usd_per_mtok":` +
		`{"us-west-2":{"input":"1","output":"2"},"eu-west-1":{"input":"1","output":"2"}},"source":"a \"quote\", <b>: c"},` +
		`{"aliases":["a.z","a.b"],"id":"a.a","max_output_tokens":1,"usd_per_mtok":{"input":"0","output":"0"}}],"date":"2026-11-28"}`
	var out bytes.Buffer
	require.NoError(t, FormatModels(&out, strings.NewReader(raw)))
	assert.Equal(t, `{
  "date": "2026-11-28",
  "models": [
    {
      "id": "a.a",
      "aliases": ["a.b", "a.z"],
      "usd_per_mtok": {"input": "0", "output": "0"},
      "max_output_tokens": 1
    },
    {
      "id": "b.b",
      "usd_per_mtok": {"input": "1", "output": "2"},
      "region_usd_per_mtok": {"eu-west-1": {"input": "1", "output": "2"}, "us-west-2": {"input": "1", "output": "2"}},
      "max_output_tokens": 1,
      "source": "a \"quote\", <b>: c"
    }
  ]
}
`, out.String())
	before, err := ReadModels(strings.NewReader(raw))
	require.NoError(t, err)
	after, err := ReadModels(&out)
	require.NoError(t, err)
	assert.ElementsMatch(t, []Model{before[0], {ID: "a.a", Aliases: []string{"a.b", "a.z"}, MaxOutputTokens: 1, Free: true}}, after)
}

func TestFormatModelsRefuses(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.ErrorIs(t, FormatModels(&out, strings.NewReader("{}")), ErrInvalidFile)
	require.ErrorIs(t, FormatModels(&out, strings.NewReader(file(`"max_output_tokens": 1`))), ErrInvalidModel)
	assert.Zero(t, out.Len())
	closed, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	err = FormatModels(closed, strings.NewReader(file(priced)))
	require.ErrorIs(t, err, ErrInvalidFile)
	require.True(t, errors.Is(err, os.ErrClosed))
}
