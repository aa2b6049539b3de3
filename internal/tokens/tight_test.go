package tokens

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens/corpus"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens/textcost"
)

func tightBound(t testing.TB, p *Prompt, l *Limits) int64 {
	n, ok, err := TightBound(t.Context(), p, l)
	require.NoError(t, err)
	require.True(t, ok)
	return n
}

func TestTightBound_DiffersFromTheUpperBoundByItsTextAlone(t *testing.T) {
	l := LimitsFor("mistral")
	text := corpus.Generate("english", 1, 4096)
	p := Prompt{Messages: 3, Tools: 2, BuiltinTools: 1, OtherBytes: 40, Blocks: []Block{
		{Text: text},
		{Kind: JSON, Text: `{"a":[1,2,3]}`},
		{Kind: Image, Width: 640, Height: 480},
		{Kind: Document, Format: "pdf", Pages: 3},
		{Kind: Document, Format: "csv", Bytes: 99},
	}}
	wide, ok := UpperBound(&p, l)
	require.True(t, ok)
	want := wide - int64(len(text)+len(p.Blocks[1].Text)) + TextBound(text, false) + TextBound(p.Blocks[1].Text, false)
	assert.Equal(t, want, tightBound(t, &p, l))
	assert.Less(t, want, wide)
}

func TestTightBound_UnknownSizes(t *testing.T) {
	for _, b := range []Block{{Kind: Opaque}, {Kind: 77}, {Kind: Document, Format: "pdf"}} {
		_, ok, err := TightBound(t.Context(), &Prompt{Blocks: []Block{{Text: "a"}, b}}, LimitsFor(""))
		require.NoError(t, err)
		assert.False(t, ok)
	}
}

func TestTightBound_FactorNeverGoesBeyondTheBytes(t *testing.T) {
	text := corpus.Generate("english", 2, 2000)
	p := Prompt{Blocks: []Block{{Text: text}}}
	measured, unknown := *LimitsFor("mistral"), *LimitsFor("no such provider")
	frame := measured.MessageTokens + measured.BlockTokens + measured.Hidden.Family
	bound := TextBound(text, false)
	assert.Equal(t, bound, tightBound(t, &p, &measured)-frame)
	assert.Equal(t, (bound*1500+999)/1000, tightBound(t, &p, &unknown)-frame)
	measured.TextThousandths = 0
	assert.Equal(t, bound, tightBound(t, &p, &measured)-frame, "zero stands for 1000")
	measured.TextThousandths = math.MaxInt64
	assert.EqualValues(t, len(text), tightBound(t, &p, &measured)-frame)
}

func TestTightBound_SaturatesInsteadOfWrapping(t *testing.T) {
	p := Prompt{Messages: math.MaxInt, Blocks: []Block{{Kind: Document, Format: "txt", Bytes: math.MaxInt64}, {Text: "hello"}}}
	assert.EqualValues(t, math.MaxInt64, tightBound(t, &p, LimitsFor("")))
}

// countdown is a context that is cancelled after a number of looks at it.
type countdown struct {
	context.Context
	looks atomic.Int64 // the goroutines that scan parts of a text look at it together
}

func (c *countdown) Err() error {
	if c.looks.Add(-1) < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func TestTightBound_LooksAtTheContextEvery256KB(t *testing.T) {
	for name, b := range map[string]Block{
		"plain":   {Text: strings.Repeat("some words ", 400_000)},
		"escaped": {Text: strings.Repeat(`some\nwords\u00e9 `, 300_000), Escaped: true},
		"beyond":  {Text: strings.Repeat("\u4e2d", 1_500_000)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := &countdown{Context: t.Context()}
			ctx.looks.Store(math.MaxInt32)
			_, _, err := TightBound(ctx, &Prompt{Blocks: []Block{b}}, LimitsFor(""))
			require.NoError(t, err)
			looks := math.MaxInt32 - ctx.looks.Load()
			assert.GreaterOrEqual(t, looks, int64(len(b.Text)/(256<<10)))
			ctx.looks.Store(looks - 1)
			_, ok, err := TightBound(ctx, &Prompt{Blocks: []Block{b}}, LimitsFor(""))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.False(t, ok)
		})
	}
}

func TestTightBound_PiecesCountAsTheWhole(t *testing.T) {
	for _, kind := range []string{"prose chinese", "splices", "prose russian", "code go"} {
		text := corpus.Generate(kind, 3, 600<<10)
		for _, escaped := range []bool{false, true} {
			got, err := textBound(t.Context(), text, escaped, 1000)
			require.NoError(t, err)
			assert.Equal(t, TextBound(text, escaped), got, kind)
		}
	}
}

func TestTextBound_EscapesCountAsWhatTheyStandFor(t *testing.T) {
	for _, kind := range corpus.Kinds() {
		plain := corpus.Generate(kind, 6, 4096)
		quoted, err := json.Marshal(plain)
		require.NoError(t, err)
		inside := string(quoted[1 : len(quoted)-1])
		want := TextBound(plain, false)
		if want == WideText(plain) {
			assert.GreaterOrEqual(t, TextBound(inside, true), want, kind)
			continue
		}
		assert.Equal(t, want, TextBound(inside, true), kind)
	}
	assert.Equal(t, TextBound(strings.Repeat("plain words \U0001f600e ", 50), false), TextBound(strings.Repeat(`plain words \ud83D\uDe00\u0065 `, 50), true), "a surrogate pair is one character")
	for _, broken := range []string{`\`, `\u`, `\u12`, `\uzzzz`, `\ud800`, `\ud800\u0041`, `\q`, `\ud83d\`, "\\\xff"} {
		n := TextBound(broken, true)
		assert.Positive(t, n)
		assert.LessOrEqual(t, n, int64(len(broken)), broken)
	}
}

func TestTextBound_AllocatesNothing(t *testing.T) {
	for kind, escaped := range map[string]bool{"english": false, "splices": false, "json": true} {
		text := corpus.Generate(kind, 7, 64<<10)
		TextBound(text, escaped)
		assert.Zero(t, testing.AllocsPerRun(5, func() { TextBound(text, escaped) }), kind)
	}
}

func FuzzTextBound(f *testing.F) {
	f.Add("hello World", " again", false)
	f.Add(`a\u00`, `e9 \ud83d\ude00`, true)
	f.Add("\xf0\x9f", "\x98\x80\xff", false)
	f.Add("111 111 ", "1 1 1", false)
	f.Fuzz(func(t *testing.T, a, b string, escaped bool) {
		first, second, whole := TextBound(a, escaped), TextBound(b, escaped), TextBound(a+b, escaped)
		for _, n := range []struct {
			bound int64
			text  string
		}{{first, a}, {second, b}, {whole, a + b}} {
			require.GreaterOrEqual(t, n.bound, int64(0))
			require.LessOrEqual(t, n.bound, int64(len(n.text)))
		}
		// What stands at the seam can cost more than on both sides: two listed words that become an unlisted one, an escape
		// that was cut. The bytes cut off a bound, so the other side is taken by its bytes.
		const seam = 48
		require.LessOrEqual(t, whole, first+int64(len(b))+seam)
		require.LessOrEqual(t, whole, int64(len(a))+second+seam)
		pieces, err := textBound(t.Context(), a+b, escaped, 1000)
		require.NoError(t, err)
		require.Equal(t, whole, pieces)
	})
}

func benchmarkTextBound(b *testing.B, kind string, escaped bool) {
	text := corpus.Generate(kind, 8, 1<<20)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		TextBound(text, escaped)
	}
}

func BenchmarkTextBound_Prose(b *testing.B)   { benchmarkTextBound(b, "english", false) }
func BenchmarkTextBound_Code(b *testing.B)    { benchmarkTextBound(b, "code go", false) }
func BenchmarkTextBound_JSON(b *testing.B)    { benchmarkTextBound(b, "json lines", false) }
func BenchmarkTextBound_Escaped(b *testing.B) { benchmarkTextBound(b, "json", true) }
func BenchmarkTextBound_Quoted(b *testing.B) {
	body, err := json.Marshal(corpus.Generate("code go", 8, 1<<20))
	require.NoError(b, err)
	quoted := string(body)
	b.SetBytes(int64(len(quoted)))
	b.ReportAllocs()
	for b.Loop() {
		TextBound(quoted, true)
	}
}
func BenchmarkTextBound_Base64(b *testing.B)  { benchmarkTextBound(b, "base64", false) }
func BenchmarkTextBound_Numbers(b *testing.B) { benchmarkTextBound(b, "csv", false) }
func BenchmarkTextBound_Russian(b *testing.B) { benchmarkTextBound(b, "prose russian", false) }
func BenchmarkTextBound_Chinese(b *testing.B) { benchmarkTextBound(b, "prose chinese", false) }
func BenchmarkTextBound_Splices(b *testing.B) { benchmarkTextBound(b, "splices", false) }

// BenchmarkTextBound_Kinds has a line for every kind of text, as it is and as the inside of a JSON string: best-MB/s is the best round, on
// all cores, and best-of-one-core-MB/s counts each 32 KB at their best of all rounds of a single goroutine, so that it depends little on what else the
// machine does. Run it with -benchtime=20x.
func BenchmarkTextBound_Kinds(b *testing.B) {
	for _, kind := range corpus.Kinds() {
		text := corpus.Generate(kind, 8, 1<<20)
		quoted, err := json.Marshal(text)
		require.NoError(b, err)
		b.Run(kind, func(b *testing.B) { benchmarkPieces(b, text, false) })
		b.Run(kind+", quoted", func(b *testing.B) { benchmarkPieces(b, string(quoted[1:len(quoted)-1]), true) })
	}
}

func benchmarkPieces(b *testing.B, text string, escaped bool) {
	TextBound(text, escaped) // makes the table
	best, whole := make(map[int]time.Duration), time.Hour
	b.SetBytes(2 * int64(len(text)))
	for b.Loop() {
		began := time.Now()
		TextBound(text, escaped)
		whole = min(whole, time.Since(began))
		scanner := textcost.NewScanner()
		for at := 0; at < len(text); {
			from, start := at, time.Now()
			at = scanner.Scan(text, from, min(from+(32<<10), len(text)), escaped)
			if took := time.Since(start); best[from] == 0 || took < best[from] {
				best[from] = took
			}
		}
	}
	sum := time.Duration(0)
	for _, took := range best {
		sum += took
	}
	b.ReportMetric(float64(len(text))/1e6/sum.Seconds(), "best-of-one-core-MB/s")
	b.ReportMetric(float64(len(text))/1e6/whole.Seconds(), "best-MB/s")
}

// BenchmarkTextBound_Slowest is every kind of text, as it is and as the inside of a JSON string, each at its best of all rounds.
// Run it with -benchtime=100x.
func BenchmarkTextBound_Slowest(b *testing.B) {
	texts := make(map[string]string)
	best := make(map[string]time.Duration)
	for _, kind := range corpus.Kinds() {
		text := corpus.Generate(kind, 8, 1<<18)
		quoted, err := json.Marshal(text)
		require.NoError(b, err)
		texts[kind], texts[kind+", quoted"] = text, string(quoted[1:len(quoted)-1])
	}
	for b.Loop() {
		for name, text := range texts {
			for range 4 { // the first one brings the tables back into the caches
				start := time.Now()
				TextBound(text, strings.HasSuffix(name, ", quoted"))
				if took := time.Since(start); best[name] == 0 || took < best[name] {
					best[name] = took
				}
			}
		}
	}
	speed := func(name string) float64 { return float64(len(texts[name])) / 1e6 / best[name].Seconds() }
	names := slices.SortedFunc(maps.Keys(texts), func(x, y string) int { return cmp.Compare(speed(x), speed(y)) })
	for _, name := range names[:8] {
		b.Logf("%.0f MB/s: %s", speed(name), name)
	}
	b.ReportMetric(speed(names[0]), "slowest-MB/s")
	b.ReportMetric(speed(names[len(names)/2]), "median-MB/s")
}

func BenchmarkTightBound_4MB(b *testing.B) {
	p := Prompt{Blocks: []Block{{Text: corpus.Generate("english", 9, 4<<20)}}}
	b.SetBytes(4 << 20)
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = TightBound(b.Context(), &p, LimitsFor(""))
	}
}
