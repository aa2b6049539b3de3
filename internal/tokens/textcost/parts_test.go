package textcost

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens/corpus"
)

// inOnePart scans a text without goroutines.
func inOnePart(t *testing.T, text string, escaped bool) Scanner {
	t.Helper()
	s := NewScanner()
	require.NoError(t, s.scanPart(t.Context(), text, 0, len(text), escaped))
	return s
}

// assertSameCost compares what two scanners say of the same text.
func assertSameCost(t *testing.T, want, got *Scanner, text, what string) bool {
	t.Helper()
	return assert.Equal(t, want.Tokens(text, len(text)), got.Tokens(text, len(text)), what) &&
		assert.Equal(t, want.AtMostBytes(1<<62, text), got.AtMostBytes(1<<62, text), what)
}

func TestScanAll_PartsAddUpToTheWhole(t *testing.T) {
	for _, kind := range corpus.Kinds() {
		plain := corpus.Generate(kind, 5, 24<<10)
		quoted, err := json.Marshal(plain)
		require.NoError(t, err)
		for _, c := range []struct {
			text    string
			escaped bool
		}{{plain, false}, {string(quoted[1 : len(quoted)-1]), true}, {string(quoted), true}} {
			want := inOnePart(t, c.text, c.escaped)
			for count := 2; count <= mostParts; count++ {
				got, err := scanParts(t.Context(), c.text, count, c.escaped)
				require.NoError(t, err)
				assertSameCost(t, &want, &got, c.text, kind)
			}
		}
	}
}

func TestStartAt_EachPlaceCutsTheCostInTwo(t *testing.T) {
	drawn := rand.New(rand.NewPCG(1, 2))
	texts := map[string]bool{
		"a\xff \xff\xff  b \xe2\x82 c\x7f \x7f. the the" + corpus.Generate("splices", 11, 3<<10):        false,
		`The \u0074he \ud83d\ude00 \\\" \u00e9t\u00e9 \u0020 end. ` + corpus.Generate("json", 4, 3<<10): true,
		corpus.Generate("prose russian", 3, 3<<10):                                                      false,
	}
	noise := make([]byte, 3<<10)
	const letters = "aB c  1\\u0.\u00e9\"\x7f\xff"
	for i := range noise {
		noise[i] = letters[drawn.IntN(len(letters))]
	}
	texts[string(noise)] = true
	pieces := []string{`\u0001`, `\u0041`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\n`, `\\`, `\"`, `\x`, `\u12`, "a", " ", "the", "\u00e9", "1"}
	var escapes strings.Builder // of which hardly one is far from the next
	for escapes.Len() < 3<<10 {
		escapes.WriteString(pieces[drawn.IntN(len(pieces))])
	}
	texts[escapes.String()] = true
	texts[strings.Repeat(`\u0001\u0002\u0002 `, 200)] = true
	for text, escaped := range texts {
		want, places := inOnePart(t, text, escaped), map[int]bool{}
		for at := range text {
			cut, second, found := startAt(text, at, escaped)
			if !found || places[cut] {
				continue
			}
			places[cut] = true
			first := NewScanner()
			require.Equal(t, cut, first.Scan(text, 0, cut, escaped), "no character, escape or word is cut")
			require.False(t, first.run.open)
			require.Equal(t, first.row, second.row, "at %d behind %q", cut, text[:cut][max(cut-20, 0):])
			second.Scan(text, cut, len(text), escaped)
			second.units += first.units
			second.added += first.added
			second.inexact = second.inexact || first.inexact
			if !assertSameCost(t, &want, &second, text, text[max(cut-20, 0):cut]) {
				return
			}
		}
		require.Greater(t, len(places), 100)
	}
}

func TestScanAll_CountsLongTextsInParts(t *testing.T) {
	text := corpus.Generate("splices", 9, mostParts*partBytes)
	want := inOnePart(t, text, false)
	got, err := ScanAll(t.Context(), text, false)
	require.NoError(t, err)
	assertSameCost(t, &want, &got, text, "splices")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = ScanAll(ended, text, false)
	require.ErrorIs(t, err, context.Canceled)
}

// endingContext ends, with an error or a panic, when it was asked often enough.
type endingContext struct {
	context.Context
	left   atomic.Int32
	panics bool
}

func (c *endingContext) Err() error {
	switch {
	case c.left.Add(-1) >= 0:
		return nil
	case c.panics:
		panic("asked too often")
	default:
		return context.DeadlineExceeded
	}
}

// Whichever of the goroutines meets the error or the panic, the caller gets it after all of them have ended.
func TestScanAll_ErrorsAndPanicsOfAnyPartReachTheCaller(t *testing.T) {
	text := corpus.Generate("english", 9, mostParts*partBytes)
	for asked := range int32(mostParts) {
		late := &endingContext{Context: t.Context()}
		late.left.Store(asked)
		_, err := scanParts(late, text, mostParts, false)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		broken := &endingContext{Context: t.Context(), panics: true}
		broken.left.Store(asked)
		require.PanicsWithValue(t, "asked too often", func() { _, _ = scanParts(broken, text, mostParts, false) })
	}
}

func TestScanAll_AllocatesIndependentlyOfTheLength(t *testing.T) {
	allocs := func(size int) float64 {
		text := corpus.Generate("english", 9, size)
		return testing.AllocsPerRun(5, func() { _, _ = scanParts(t.Context(), text, 2, false) })
	}
	assert.InDelta(t, allocs(253<<10), allocs(4<<20), 1)
}
