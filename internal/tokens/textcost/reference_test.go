package textcost

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens/corpus"
)

// A reference counts as the scanner does, from the same costs and words, one character after another and without its tables.
type reference struct {
	stored *stored
	words  map[string]uint64

	place  place
	word   []byte // the letters of the open run, as they stand in the text
	listed bool   // the open run is of letters alone, none of them escaped
	before place  // the open run
	costs  int64  // of the open run
	open   bool

	units  int64
	script int // of the last character, if that is beyond ASCII
	letter int
}

var referenceTables = sync.OnceValue(func() *reference {
	r := &reference{stored: newStored(), words: make(map[string]uint64)}
	for line := range strings.Lines(wordList) {
		if line = strings.TrimSpace(line); line[0] != '#' {
			r.words[line[positionDigits:]], _ = strconv.ParseUint(line[:positionDigits], 16, 8)
		}
	}
	return r
})

// referenceBound is what Bound should return.
func referenceBound(text string, escaped bool) int64 {
	tables := referenceTables()
	r := &reference{stored: tables.stored, words: tables.words, units: Unit, place: place{last: '\n'}}
	for rest := text; rest != ""; {
		c, size := utf8.DecodeRuneInString(rest)
		resolved := escaped && c == '\\'
		if resolved {
			c, size = escape([]byte(rest))
		}
		if c < beyond {
			r.ascii(byte(c), resolved)
		} else {
			r.beyond(uint32(c))
		}
		rest = rest[size:]
	}
	r.close()
	return min((r.units+Unit-1)/Unit, Bytes(text))
}

func (r *reference) ascii(c byte, escaped bool) {
	switch {
	case !isLetter(c):
		r.close()
	case !r.open:
		r.open, r.listed, r.before = true, !escaped, r.place
	case escaped:
		r.listed = false
	}
	cost := int64(r.stored.cost(r.place, c))
	if r.units += cost; r.open {
		r.costs += cost
		r.word = append(r.word, c)
	}
	r.place = r.place.then(c)
}

// close ends the open run. If it is a listed word, that may be cheaper.
func (r *reference) close() {
	word := string(r.word)
	position := 0
	if r.before != (place{last: ' '}) {
		position += afterOther
	}
	if r.listed && r.open && word[0] <= 'Z' {
		position += capital
		word = strings.ToLower(word[:1]) + word[1:]
	}
	if tokens := r.words[word] >> position & 3; r.open && r.listed && tokens > 0 {
		r.units -= max(r.costs-int64(tokens)*wordCost, 0)
	}
	r.open, r.word, r.costs = false, r.word[:0], 0
}

func (r *reference) beyond(c uint32) {
	first, begins := int64(r.stored.pairs[int(r.place.last)<<7|beyond]), r.place.last != beyond
	if begins {
		r.letter = 0
		if r.place == (place{last: ' '}) {
			r.letter = cyrillicSpace
		}
	} else {
		first = 0
	}
	script := referenceScript(c)
	cyrillic := script == scriptRussian && r.script == scriptCyrillic
	if !begins && script != r.script && !cyrillic {
		r.units += scriptChange
	}
	switch {
	case script == scriptRussian:
		r.units += int64(r.stored.cyrillic[r.letter<<6|int(c-cyrillicFirst+1)])
		r.letter = int(c - cyrillicFirst + 1)
	case c > 0xffff:
		r.units += first + (utf8.UTFMax+addedTo(c))*Unit
		r.letter = 0
	default:
		r.units += first + int64(r.stored.plane[c>>2]>>(c&3*2)&3)*Unit
		if c >= 0x344 {
			r.units += addedTo(c) * Unit
		}
		r.letter = 0
	}
	r.script, r.place, r.open, r.listed, r.word = script, place{last: beyond}, true, false, r.word[:0]
}

func referenceScript(c uint32) int {
	switch block := int(c >> 8); {
	case c >= cyrillicFirst && c < cyrillicFirst+cyrillicLetters:
		return scriptRussian
	case block > 0xff:
		return scriptBeyond
	case block <= 2:
		return scriptLatin
	case block >= 0x20 && block <= 0x2b:
		return scriptSymbols
	case block >= 0x2e && block <= 0x9f, block >= 0xac && block <= 0xd7, block == 0xff:
		return scriptEastAsia
	default:
		return block
	}
}

// Where a text costs more than its bytes, what normalisation adds to it is the bound: to what it spells, not to what its escapes
// stand for.
func TestBound_TextThatCostsMoreThanItsBytes(t *testing.T) {
	costly := strings.Repeat("\U0001f600\u4e2d\u0434\U00020000\u00e9", 20)
	for _, piece := range []string{"", `\u0958`, `\ud834\udd5e`, `\u0323`, "\u0958", "\U0001d15e", "\u0323", "\ufffd", `\ufffd`, `\ud834`, "\xff", "\xe0\xa5"} {
		for _, escaped := range []bool{false, true} {
			text := costly + piece + costly
			requireReference(t, text, escaped)
			s := NewScanner()
			s.Scan(text, 0, len(text), escaped)
			require.Greater(t, s.Tokens(text, len(text)), Bytes(text), "or this text shows nothing: %q", text)
		}
	}
}

// pieces are what texts are put together of, so that every part of the scanner meets every other at every place of a block.
func pieces() []string {
	pieces := []string{
		"committee", "The", "COMMITTEE", "x", "xYzab", " ", "  ", ".", "7", "\n", "\x7f", "\x00", strings.Repeat("q", 70), strings.Repeat("word ", 20),
		`\`, `\\`, `\n`, `\"`, `\u`, `\u00e9`, `\u0063`, `\u0041`, `\u0020`, `\u007f`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\u0436`, `\u0958`, `\q`, `\u12`,
		"\u00e9", "\u0436", "\u0416", "\u0456", "\u4e2d", "\u3002", "\u0958", "\u0323", "\u0344", "\u2019", "\uffff", "\ufffd", "\U0001f600", "\U0001d15e", "\U0010ffff",
		"\xff", "\xc3", "\xe4\xb8", "\xf0\x9f\x98", "\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x80\x80\x80", "\xe0\xa5",
		strings.Repeat("\u4e2d", 30), strings.Repeat("\u0436\u0438", 20), strings.Repeat("\u00e9a", 20), strings.Repeat("\U0001f600", 9),
	}
	for _, kind := range corpus.Kinds() {
		pieces = append(pieces, corpus.Generate(kind, 11, 300))
	}
	return pieces
}

func requireReference(t require.TestingT, text string, escaped bool) {
	require.Equal(t, referenceBound(text, escaped), Bound(text, escaped), "escaped %v: %q", escaped, text)
}

func TestBound_IsWhatTheReferenceCounts(t *testing.T) {
	for _, kind := range corpus.Kinds() {
		text := corpus.Generate(kind, 12, 20_000)
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		requireReference(t, text, false)
		requireReference(t, text, true)
		requireReference(t, string(quoted), true)
		requireReference(t, strconv.QuoteToASCII(text), true)
	}
	r, parts := rand.New(rand.NewPCG(3, 4)), pieces()
	for range 5_000 {
		var text strings.Builder
		for range r.IntN(30) {
			part := parts[r.IntN(len(parts))]
			from := r.IntN(len(part))
			if r.IntN(3) == 0 {
				from = 0
			}
			text.WriteString(part[from:min(len(part), from+1+r.IntN(80))])
		}
		requireReference(t, text.String(), r.IntN(2) == 0)
	}
}

func TestBound_PiecesAreWhatTheReferenceCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces()), 1, 20).Draw(t, "pieces"), "")
		text = text[rapid.IntRange(0, len(text)).Draw(t, "from"):]
		escaped := rapid.Bool().Draw(t, "escaped")
		s := NewScanner()
		for at := 0; at < len(text); {
			at = s.Scan(text, at, min(at+rapid.IntRange(1, 200).Draw(t, "bytes"), len(text)), escaped)
		}
		require.Equal(t, referenceBound(text, escaped), s.AtMostBytes(s.Tokens(text, len(text)), text), "%q", text)
	})
}

func FuzzBound(f *testing.F) {
	for _, piece := range pieces() {
		f.Add(piece, true)
		f.Add(piece, false)
	}
	f.Fuzz(func(t *testing.T, text string, escaped bool) { requireReference(t, text, escaped) })
}
