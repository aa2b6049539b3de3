package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pkoukk/tiktoken-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shared keeps the tests from loading the vocabulary again and again.
var shared = sync.OnceValue(func() *Counter { return NewCounter(CL100K, 0) })

func textTokens(t testing.TB, s string, escaped bool) int64 {
	n, err := shared().text(context.Background(), s, escaped)
	require.NoError(t, err)
	return n
}

func TestCounter_KnownCounts(t *testing.T) {
	for text, want := range map[string]int64{
		"":                             0,
		"hello world":                  2,
		"tiktoken is great!":           6,
		"antidisestablishmentarianism": 6,
		"2 + 2 = 4":                    7,
	} {
		assert.Equal(t, want, textTokens(t, text, false), text)
	}
}

func TestCounter_VocabularyByName(t *testing.T) {
	for name, want := range map[string]int64{CL100K: 6, O200K: 4} {
		n, err := NewCounter(name, 0).text(t.Context(), "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", false)
		require.NoError(t, err)
		assert.Equal(t, want, n, name)
	}
	_, err := NewCounter("p9000_base", 0).text(t.Context(), "a", false)
	require.ErrorIs(t, err, ErrVocabulary)
}

func TestCounter_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, ok, err := shared().Count(ctx, &Prompt{Blocks: []Block{{Text: "hello"}}}, LimitsFor(""))
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, ok)
}

func TestCounter_EscapedTextCountsAsItsMeaning(t *testing.T) {
	plain := strings.Repeat("line one\n\t\"quoted\" \u4e2d\u6587\n", 900)
	quoted, err := json.Marshal(plain)
	require.NoError(t, err)
	raw := string(quoted[1 : len(quoted)-1])
	assert.InEpsilon(t, textTokens(t, plain, false), textTokens(t, raw, true), 0.02)
}

func TestCounter_EscapedTextWithoutSpaces(t *testing.T) {
	raw := strings.Repeat(`\u4e2d\u6587`, 4000)
	plain := strings.Repeat("\u4e2d\u6587", 4000)
	assert.InEpsilon(t, textTokens(t, plain, false), textTokens(t, raw, true), 0.05)
	assert.Greater(t, textTokens(t, raw, false), 2*textTokens(t, raw, true), "the escapes themselves cost more")
}

func TestCounter_LongWordsStayLinear(t *testing.T) {
	for name, s := range map[string]string{
		"letters": strings.Repeat("a", 1<<20),
		"spaces":  strings.Repeat(" ", 1<<20),
		"signs":   strings.Repeat("=", 1<<20),
		"mixed":   strings.Repeat("!\u2014", 1<<18),
		"broken":  strings.Repeat("\xff", 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			for rest := s; len(rest) > 0; {
				cut := nextChunk(rest, false)
				require.LessOrEqual(t, cut, chunkBytes)
				for run := rest[:cut]; len(run) > 0; {
					n := nextRun(run)
					require.Positive(t, n)
					require.LessOrEqual(t, n, runBytes)
					run = run[n:]
				}
				rest = rest[cut:]
			}
			n := textTokens(t, s, false)
			assert.Positive(t, n)
		})
	}
}

func TestCounter_NeverAboveTheUpperBound(t *testing.T) {
	p := Prompt{Messages: 1, Tools: 1, Blocks: []Block{
		{Text: strings.Repeat("\xff\xfe", 500)},
		{Kind: JSON, Text: `{"a":[1,2,3]}`},
		{Kind: Image, Width: 640, Height: 480},
		{Kind: Document, Format: "pdf", Pages: 3},
	}}
	bound, ok := UpperBound(&p, LimitsFor(""))
	require.True(t, ok)
	n, ok, err := shared().Count(context.Background(), &p, LimitsFor(""))
	require.NoError(t, err)
	assert.True(t, ok)
	assert.LessOrEqual(t, n, bound)
	_, ok, err = shared().Count(context.Background(), &Prompt{Blocks: []Block{{Kind: Opaque}}}, LimitsFor(""))
	require.NoError(t, err)
	assert.False(t, ok)
}

func TestCounter_VocabularyMissing(t *testing.T) {
	loads := 0
	c := newCounter(0, func() (*tiktoken.Tiktoken, error) {
		loads++
		return nil, fmt.Errorf("%w: no file", ErrVocabulary)
	})
	for range 3 {
		_, _, err := c.Count(t.Context(), &Prompt{Blocks: []Block{{Text: "secret words"}}}, LimitsFor(""))
		require.ErrorIs(t, err, ErrVocabulary)
		assert.NotContains(t, err.Error(), "secret")
	}
	assert.Equal(t, 1, loads)
}

func TestCounter_GrowingConversationCountsOnlyWhatIsNew(t *testing.T) {
	encoded := 0
	load := func() (*tiktoken.Tiktoken, error) { encoded++; return loadVocabulary(CL100K) }
	c := newCounter(0, load)
	p := Prompt{}
	for i := range 50 {
		p.Blocks = append(p.Blocks, Block{Text: fmt.Sprintf("turn %d of the conversation", i)})
		_, _, err := c.Count(t.Context(), &p, LimitsFor(""))
		require.NoError(t, err)
		assert.Len(t, c.counts.entries, i+1)
	}
	assert.Equal(t, 1, encoded)
	c.encoding = func() (*tiktoken.Tiktoken, error) { return nil, errors.New("must not be needed") }
	_, _, err := c.Count(t.Context(), &p, LimitsFor(""))
	assert.NoError(t, err)
}

func TestCounter_ForgetsBeyondItsEntries(t *testing.T) {
	c := NewCounter(CL100K, 4)
	for i := range 100 {
		_, err := c.text(t.Context(), fmt.Sprint("block ", i), i%2 == 0)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(c.counts.entries), 4)
		assert.Equal(t, len(c.counts.entries), c.counts.order.Len())
	}
}

func TestCounter_EscapedAndPlainAreRememberedApart(t *testing.T) {
	c := NewCounter(CL100K, 0)
	s := `a\n\n\n\nb`
	plain, err := c.text(t.Context(), s, false)
	require.NoError(t, err)
	escaped, err := c.text(t.Context(), s, true)
	require.NoError(t, err)
	assert.NotEqual(t, plain, escaped)
}

func TestCounter_Concurrent(t *testing.T) {
	c := NewCounter(CL100K, 8)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				n, err := c.text(t.Context(), fmt.Sprintf("hello world %d", (g+i)%20), false)
				assert.NoError(t, err)
				assert.Positive(t, n)
			}
		})
	}
	wg.Wait()
}

func FuzzCounter(f *testing.F) {
	f.Add("hello", false)
	f.Add(`\u00`, true)
	f.Add(strings.Repeat(`\\u12`, 3000), true)
	f.Add(strings.Repeat("\xf0\x9f", 5000), false)
	f.Fuzz(func(t *testing.T, s string, escaped bool) {
		p := Prompt{Blocks: []Block{{Text: s, Escaped: escaped}}}
		bound, _ := UpperBound(&p, LimitsFor(""))
		n, ok, err := shared().Count(context.Background(), &p, LimitsFor(""))
		require.NoError(t, err)
		require.True(t, ok)
		require.LessOrEqual(t, n, bound)
	})
}

func BenchmarkCounter_GrowingConversation(b *testing.B) {
	var p Prompt
	for i := range 200 {
		p.Blocks = append(p.Blocks, Block{Text: strings.Repeat(fmt.Sprintf("turn %d says more. ", i), 240)})
	}
	_, _, err := shared().Count(context.Background(), &p, LimitsFor(""))
	require.NoError(b, err)
	last := &p.Blocks[len(p.Blocks)-1]
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		last.Text = fmt.Sprintf("a new last turn, number %d", i)
		_, _, _ = shared().Count(context.Background(), &p, LimitsFor(""))
	}
}

func BenchmarkCounter_Cold800KB(b *testing.B) {
	var text strings.Builder
	for i := range 13000 {
		fmt.Fprintf(&text, "The quick brown fox number %d jumps over the lazy dog again. ", i)
	}
	s := text.String()
	_ = textTokens(b, "warm", false)
	enc, err := shared().encoding()
	require.NoError(b, err)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		c := newCounter(0, func() (*tiktoken.Tiktoken, error) { return enc, nil })
		_, _ = c.text(b.Context(), s, false)
	}
}
