package modeltable

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
	"github.com/stretchr/testify/require"
)

const cl100kPattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

func loadCL100K(tb testing.TB) *tiktoken.Tiktoken {
	tb.Helper()
	ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe("cl100k_base.tiktoken")
	require.NoError(tb, err)
	bpe, err := tiktoken.NewCoreBPE(ranks, map[string]int{}, cl100kPattern)
	require.NoError(tb, err)
	return tiktoken.NewTiktoken(bpe, &tiktoken.Encoding{Name: tiktoken.MODEL_CL100K_BASE}, map[string]any{})
}

const prose = `Spending on a model is easy to start and hard to stop. A program that asks a question, reads the
answer and asks again can run for nine days before anybody looks at an invoice, and by then the money is gone. This
library puts the limit where the money leaves: inside the process, in front of the request. Nothing is sent once a budget
would be crossed, and whatever was promised is counted until the real figure is known.

Install it, open a ledger over a store that suits you, and describe what each team, each model and each workflow may use.
The client that you already have keeps its type and its methods. When a limit is reached, the call returns an error that
names the limit, says how much is left and tells when the window begins again. If the store cannot be reached, the call is
refused as well, because not knowing is no permission. Prompt caching deserves the same care: a prefix that changes with
every request is written every time and never read, which costs more than no caching at all.
`

func TestCountTokensIsNearARealTokenizer(t *testing.T) {
	texts := map[string]string{"English prose": prose}
	for _, pattern := range []string{"../../../../budget/*.go", "../../*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			texts[file] = string(raw)
		}
	}
	prices, err := os.ReadFile("prices.json")
	require.NoError(t, err)
	texts["a table in JSON"] = string(prices)
	var records []map[string]any
	for i := range 50 {
		records = append(records, map[string]any{"id": i, "name": fmt.Sprintf("customer-%d", i), "active": i%2 == 0, "tags": []string{"north", "retail"}, "balance": 12.5 * float64(i), "note": nil})
	}
	compact, err := json.Marshal(records)
	require.NoError(t, err)
	indented, err := json.MarshalIndent(records, "", "  ")
	require.NoError(t, err)
	texts["compact JSON"], texts["indented JSON"] = string(compact), string(indented)

	encoding := loadCL100K(t)
	for name, text := range texts {
		if len(text) < 500 { // a few lines say nothing about a ratio
			continue
		}
		got, want := CountTokens(text), len(encoding.EncodeOrdinary(text))
		ratio := float64(got) / float64(want)
		t.Logf("%-40s %7d bytes %7d of cl100k_base %6d: %.2f", name, len(text), got, want, ratio)
		require.GreaterOrEqual(t, ratio, 0.95, name)
		require.LessOrEqual(t, ratio, 1.5, name)
		require.LessOrEqual(t, got, len(text), name)
	}
}

func TestCountTokensAtItsEdges(t *testing.T) {
	tests := map[string]int{"": 0, " ": 0, "\n": 1, "a": 1, "hello": 1, "a b": 2, "  ": 1, "1234": 2, "{}": 1, "\u00e9": 1}
	for text, want := range tests {
		require.Equal(t, want, CountTokens(text), "%q", text)
	}
	require.LessOrEqual(t, CountTokens(strings.Repeat("\u4e2d", 100)), 300)
}

func FuzzCountTokens(f *testing.F) {
	for _, seed := range []string{"", prose, "a1 \n\t{}\u00e9\u4e2d\xff", strings.Repeat("\u4e2d", 9)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n := CountTokens(text)
		require.GreaterOrEqual(t, n, 0)
		require.LessOrEqual(t, n, len(text))
	})
}
