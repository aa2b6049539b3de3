package textcost

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens/corpus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// units returns what a text costs behind a letter and a space that are not counted.
func units(text string) int64 {
	const before = "x "
	s := NewScanner()
	s.Scan(before+text, 0, len(before), false)
	counted := s.units
	s.Scan(before+text, len(before), len(before+text), false)
	return s.units - s.saved([]byte(before+text), len(before+text)) - counted
}

func TestTable_IsWhole(t *testing.T) {
	table := fitted()
	s := newStored()
	require.Len(t, costs, len(s.letters)+len(s.pairs)+len(s.repeats)+len(s.cyrillic)+len(s.plane))
	for _, row := range rowsOf(table) {
		for c := byte('0'); c <= '9'; c++ {
			next, units := table.follow(row, c)
			if behind, _ := table.follow(next, c); next != behind { // but for a third one in a row
				assert.GreaterOrEqual(t, units, uint32(Unit), "some tokenizers spell digits one by one")
			}
		}
	}
	assert.Zero(t, table.behind[table.beyond/rowUnit], "what follows the first byte or the first character beyond ASCII costs no more")
	for c := 0x80; c < 0x10000; c++ {
		tokens := s.plane[c>>2] >> (c & 3 * 2) & 3
		assert.Positive(t, tokens, "U+%04X", c)
		if c < 0x800 {
			assert.LessOrEqual(t, tokens, uint8(2), "U+%04X has two bytes", c)
		}
	}
}

// follow returns the row behind c and what it costs.
func (t *table) follow(row uint16, c byte) (next uint16, units uint32) {
	state := uint32(row) + t.states[row+uint16(min(c, columnBeyond))]
	return uint16(state), state >> unitsShift
}

// rowsOf returns the rows that a text can come to.
func rowsOf(t *table) []uint16 {
	rows := []uint16{t.begin, t.space, t.beyond}
	found := map[uint16]bool{t.begin: true, t.space: true, t.beyond: true}
	for i := 0; i < len(rows); i++ {
		for c := range byte(beyond + 1) {
			if next, _ := t.follow(rows[i], c); !found[next] {
				found[next], rows = true, append(rows, next)
			}
		}
	}
	return rows
}

// block.read begins inside of a block three characters early, and in whatever row.
func TestTable_ThreeCharactersTellTheRow(t *testing.T) {
	table := fitted()
	rows := rowsOf(table)
	require.LessOrEqual(t, len(rows)*rowWidth, 1<<16, "the sum of a row and a column fills 16 bits")
	follow := func(row uint16, text ...byte) uint16 {
		for _, c := range text {
			row, _ = table.follow(row, c)
		}
		return row
	}
	usual := []byte("abzABZ019 \n\t.,-_=\"\\/\x00\x7e\x7f\x80")
	for _, a := range usual {
		for _, b := range usual {
			for _, c := range usual {
				want := follow(table.begin, a, b, c)
				for _, row := range rows {
					require.Equal(t, want, follow(row, a, b, c), "%q", []byte{a, b, c})
				}
			}
		}
	}
}

func TestWords_AreFoundInTheirPositionsAlone(t *testing.T) {
	table := fitted()
	words := 0
	for line := range strings.Lines(wordList) {
		line = strings.TrimSpace(line)
		if line[0] == '#' {
			continue
		}
		words++
		word := line[positionDigits:]
		require.Regexp(t, "^[a-z]{2,15}$", word)
		tokens, err := strconv.ParseUint(line[:positionDigits], 16, 8)
		require.NoError(t, err)
		for bit, text := range []string{" " + word, "." + word, " " + strings.ToUpper(word[:1]) + word[1:], "." + strings.ToUpper(word[:1]) + word[1:]} {
			row, _ := table.follow(table.begin, text[0])
			want := int64(0)
			if n := int64(tokens >> (2 * bit) & 3); n > 0 {
				want = 1000 - n*wordCost
			}
			assert.Equal(t, want, table.saved([]byte(text), 1, len(word), row, 1000), line)
		}
	}
	assert.Less(t, words, 1<<slotBits*3/4, "a fuller table takes long to make")
	assert.Zero(t, table.saved([]byte(" aa"), 1, 2, table.space, 1000))
}

func TestScanner_ListedWordCostsOneTokenOnlyWhereItStandsAlone(t *testing.T) {
	const word = "committee"
	require.EqualValues(t, wordCost, units(word))
	require.EqualValues(t, wordCost, units("Committee"))
	for _, longer := range []string{"ucommittee", "committeeu", "committeeU", "Ucommittee", "COMMITTEE", "committee\u00e9", "\u00e9committee", "committee\u0301"} {
		assert.Greater(t, units(longer), int64(wordCost), longer)
	}
	assert.Equal(t, units(word)+units(word+" "), units(word+" "+word))
	for _, before := range []string{"7", ".", "(", "_"} {
		assert.Greater(t, units(before+"abandon"), units(before)+wordCost, "listed behind a space alone")
	}
	assert.Greater(t, units("  "+word), int64(wordCost), "not listed behind several spaces")
}

func TestScanner_WordsThatContinueInTheNextPiece(t *testing.T) {
	texts := []string{"the committee", "The Committee met", "a camelCase word", "x\u0416\u0438\u0437\u043d\u044c", "=====", "a  b"}
	for _, text := range append(texts, strings.Repeat("the Committee  met, ", 9)+"committee", strings.Repeat("x", 200)+" the") {
		for cut := range len(text) {
			s := NewScanner()
			at := s.Scan(text, 0, cut, false)
			s.Scan(text, at, len(text), false)
			whole := NewScanner()
			whole.Scan(text, 0, len(text), false)
			assert.Equal(t, whole.Tokens(text, len(text)), s.Tokens(text, len(text)), "%q cut at %d", text, cut)
		}
	}
}

// Blocks are read four bytes at once, and their words looked up together; single bytes are not.
func TestScanner_BlocksCountAsSingleBytes(t *testing.T) {
	same := func(name, text string, escaped bool) {
		s := NewScanner()
		for at := 0; at < len(text); {
			at = s.Scan(text, at, at+1, escaped)
		}
		require.Equal(t, Bound(text, escaped), min(s.Tokens(text, len(text)), Bytes(text)), "%s: %q", name, text)
	}
	for _, kind := range corpus.Kinds() {
		for seed, escaped := range []bool{false, true} {
			same(kind, corpus.Generate(kind, uint64(seed), 4096), escaped)
		}
	}
	for n := range 130 { // words behind a run that began before its block
		same("open run", "\u00e9"+strings.Repeat("q", n)+" the. The committee met", false)
	}
	r := rand.New(rand.NewPCG(1, 2))
	parts := []string{"committee", "The", "COMMITTEE", "x", "xYzab", " ", "  ", ".", "7", "\\", `\n`, "\u00e9", "\u0436", strings.Repeat("q", 30)}
	for range 3000 { // runs of letters that lie across halves and blocks in every way
		var text strings.Builder
		for range r.IntN(60) {
			text.WriteString(parts[r.IntN(len(parts))])
		}
		same("parts", text.String(), r.IntN(2) == 0)
	}
}

// A run of letters that is longer than what a length is counted in must not look like a short one.
func TestScanner_LongRunsAreNoWords(t *testing.T) {
	for _, long := range []int{1 << 8, 1 << 16} {
		text := strings.Repeat("q", long) + "the "
		assert.Greater(t, Bound(text, false), int64(long/4), long)
	}
}

// What an escape stands for is looked up as it stands in the text, so a word with an escaped letter is not listed.
func TestScanner_EscapedLettersOnlyRaiseTheBound(t *testing.T) {
	assert.Greater(t, Bound(`of \u0063ommittee`, true), Bound("of committee", true))
	assert.Equal(t, Bound("of committee", true), Bound(`of\u0020committee`, true))
	assert.Equal(t, Bound("of committee\n", false), Bound(`of committee\n`, true))
}

func TestBound_UncommonTextCostsMoreThanCommonText(t *testing.T) {
	common := Bound(strings.Repeat("the committee considered every proposal ", 20), false)
	shuffled := Bound(strings.Repeat("het tomtemcie dcdesorien yeevr sprolpoa ", 20), false)
	random := Bound(strings.Repeat("xkq vbzwmqjtf hqxzkcvwpj zvfqk wpxrjzkq ", 20), false)
	assert.Less(t, 3*common, 2*shuffled)
	assert.Less(t, shuffled, random)
}

// Lengthening looks at several bytes at once, and at those of the end in another way.
func TestLengthening_IsThatOfEachCharacter(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	parts := []string{"a", "plain words ", "\u00e9", "\u0958", "\u0323", "\u4e2d", "\U0001d15e", "\ufb4e", "\U0001f600"}
	for range 5_000 {
		var text strings.Builder
		want := int64(0)
		for range r.IntN(25) {
			text.WriteString(parts[r.IntN(len(parts))])
		}
		for _, c := range text.String() {
			want += addedTo(uint32(c))
		}
		require.Equal(t, want, Lengthening([]byte(text.String())), "%q", text.String())
	}
}

func BenchmarkLengthening_1KB(b *testing.B) {
	text := []byte(strings.Repeat("plain words ", 90)) // the last piece of it is shorter than a block
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Lengthening(text)
	}
}

func BenchmarkTable(b *testing.B) {
	for b.Loop() {
		newWords(wordList)
	}
}
