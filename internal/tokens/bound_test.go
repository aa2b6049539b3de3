package tokens

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens/corpus"
)

func TestUpperBound(t *testing.T) {
	l := LimitsFor("anthropic")
	base := l.MessageTokens + l.Hidden.Family // a prompt has a beginning, and each family its own text
	for name, tc := range map[string]struct {
		prompt Prompt
		want   int64
		ok     bool
	}{
		"empty":         {Prompt{}, base, true},
		"text by bytes": {Prompt{Blocks: []Block{{Text: "h\u00e9"}}}, base + 8 + 3, true},
		"json by bytes": {Prompt{Blocks: []Block{{Kind: JSON, Text: `{"a":1}`}}}, base + 8 + 7, true},
		"messages":      {Prompt{Messages: 3}, base + 48, true},
		"tools":         {Prompt{Tools: 2, BuiltinTools: 1}, base + 64 + 1500 + 2500, true},
		"citations":     {Prompt{Hidden: Hidden{Citations: 2, CitedBytes: 300}}, base + 2500 + 2*64 + 300, true},
		"schemas":       {Prompt{Hidden: Hidden{Schemas: 2, SchemaBytes: 300}}, base + 2000 + 300, true},
		"cited csv":     {Prompt{Blocks: []Block{{Kind: Document, Format: "csv", Bytes: 99, Cited: true}}}, base + 8 + 2*99, true},
		"pictures":      {Prompt{Blocks: []Block{{Kind: Document, Format: "docx", Bytes: 99, Images: 2}}}, base + 8 + 99, true},
		"search":        {Prompt{Hidden: Hidden{Unknown: true}}, 0, false},
		"other bytes":   {Prompt{OtherBytes: 40}, base + 40, true},
		"image by size": {Prompt{Blocks: []Block{{Kind: Image, Width: 1000, Height: 1000}}}, base + 8 + 1333 + 71 + 2, true},
		"huge image":    {Prompt{Blocks: []Block{{Kind: Image, Width: math.MaxInt, Height: math.MaxInt}}}, base + 8 + 5000, true},
		"unknown image": {Prompt{Blocks: []Block{{Kind: Image, Width: 5}}}, base + 8 + 5000, true},
		"pdf by pages":  {Prompt{Blocks: []Block{{Kind: Document, Format: "pdf", Pages: 2}}}, base + 8 + 22000, true},
		"pdf unknown":   {Prompt{Blocks: []Block{{Kind: Document, Format: "pdf", Bytes: 9}}}, 0, false},
		"csv by bytes":  {Prompt{Blocks: []Block{{Kind: Document, Format: "csv", Bytes: 99}}}, base + 8 + 99, true},
		"docx unread":   {Prompt{Blocks: []Block{{Kind: Document, Format: "docx"}}}, 0, false},
		"odd document":  {Prompt{Blocks: []Block{{Kind: Document, Format: "pages", Bytes: 9}}}, 0, false},
		"opaque":        {Prompt{Blocks: []Block{{Text: "x"}, {Kind: Opaque}}}, 0, false},
		"no such kind":  {Prompt{Blocks: []Block{{Kind: 77}}}, 0, false},
		"saturates":     {Prompt{Blocks: []Block{{Kind: Document, Format: "txt", Bytes: math.MaxInt64}}, Messages: math.MaxInt}, math.MaxInt64, true},
		"negative":      {Prompt{Messages: -5, Tools: -5, BuiltinTools: -5, OtherBytes: -5}, base, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := UpperBound(&tc.prompt, l)
			assert.Equal(t, tc.ok, ok)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestUpperBound_ZeroLimitsHoldForEveryFamily(t *testing.T) {
	p := Prompt{Blocks: []Block{{Kind: Image, Width: 10, Height: 10}}}
	got, ok := UpperBound(&p, LimitsFor(""))
	assert.True(t, ok)
	want, _ := UpperBound(&p, LimitsFor("meta"))
	assert.Equal(t, want, got)
	assert.Greater(t, got, int64(1600), "Llama scales a small image up to a tile of 1601 tokens")
}

func BenchmarkUpperBound_200Blocks800KB(b *testing.B) {
	p := Prompt{Messages: 200}
	for range 200 {
		p.Blocks = append(p.Blocks, Block{Text: strings.Repeat("lorem ip", 512)})
	}
	b.ReportAllocs()
	for b.Loop() {
		UpperBound(&p, LimitsFor(""))
	}
}

// The characters are those that normalisation form C spells out, and letters that a mark behind them takes apart.
func TestWideText_CountsWhatNormalisationAdds(t *testing.T) {
	for text, normalised := range map[string]string{
		"\U0001d160":       "\U0001d158\U0001d165\U0001d16e",
		"\U0001d1bb":       "\U0001d1b9\U0001d165",
		"\u0344":           "\u0308\u0301",
		"\u0958\u095f":     "\u0915\u093c\u092f\u093c",
		"\u09df":           "\u09af\u09bc",
		"\u0fb9":           "\u0f90\u0fb5",
		"\u2adc":           "\u2add\u0338",
		"\ufb2c":           "\u05e9\u05bc\u05c1",
		"\ufad7":           "\U00027ed3",
		"\u00e9\u0323":     "\u1eb9\u0301",
		"\u01d6\u0323":     "\u1ee5\u0308\u0304",
		"\u0231\u0330":     "\u006f\u0330\u0307\u0304",
		"caf\u00e9 \u4e2d": "caf\u00e9 \u4e2d",
	} {
		for _, before := range []int{0, 1, 7, 58, 61, 62, 63, 64, 130} {
			for _, times := range []int{1, 30} {
				s := strings.Repeat("x", before) + strings.Repeat(text, times) + " \u00e9\u4e2d\uff0c\u201c\U0001f600\xff\xe0\xa5"
				grown := int64(times * (len(normalised) - len(text)))
				assert.GreaterOrEqual(t, WideText(s), int64(len(s))+grown, "%+q", text)
				assert.GreaterOrEqual(t, TextBound(s, false), int64(times), "%+q", text)
				if grown == 0 {
					assert.EqualValues(t, len(s), WideText(s), "%+q", text)
				}
			}
		}
	}
	for _, kind := range []string{"english", "code go", "json", "prose russian", "prose chinese", "prose french"} {
		text := corpus.Generate(kind, 1, 4096)
		assert.EqualValues(t, len(text), WideText(text), kind)
	}
}

// What Qwen's tokenizers and Command R's make of these: more tokens than bytes.
func TestTextBound_HoldsForWhatNormalisationSpellsOut(t *testing.T) {
	for character, counted := range map[string]int64{"\U0001d160": 9, "\u0f76": 6} {
		s := strings.Repeat(character, 20)
		assert.Greater(t, 20*counted, int64(len(s)))
		assert.GreaterOrEqual(t, TextBound(s, false), 20*counted, "%+q", character)
		assert.GreaterOrEqual(t, WideText(s), 20*counted, "%+q", character)
	}
	assert.GreaterOrEqual(t, TextBound(strings.Repeat(`\ud834\udd60`, 20), true), int64(20*9), "spelled as an escape")
}

func TestDocumentBlock_CountsWhatNormalisationAdds(t *testing.T) {
	text := strings.Repeat("\U0001d160", 20)
	for _, format := range []string{"txt", "md", "csv", "html"} {
		assert.Equal(t, WideText(text), DocumentBlock(format, []byte(text)).Bytes, format)
	}
}

// Without it the bound of a text by its bytes takes a nanosecond, whatever its length.
func BenchmarkWideText_800KB(b *testing.B) {
	for _, kind := range []string{"english", "json", "prose french", "prose russian", "prose chinese", "prose hindi"} {
		text := corpus.Generate(kind, 1, 800<<10)
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				WideText(text)
			}
		})
	}
}
