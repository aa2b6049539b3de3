package textcost

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// units returns what a text costs behind a letter and a space that are not counted.
func units(text string) int64 {
	s := NewScanner()
	s.plain("x ")
	before := s.units
	s.plain(text)
	return s.run.end(s.table, s.history, s.units) - before
}

func TestTable_IsWhole(t *testing.T) {
	table := fitted()
	require.Len(t, costs, groups<<10+len(table.pairs)+len(table.repeats)+len(table.cyrillic)+len(table.plane))
	for p := range 127 {
		for c := '0'; c <= '9'; c++ {
			assert.GreaterOrEqual(t, int(table.pairs[p<<7+int(c)]), Unit, "some tokenizers spell digits one by one")
		}
	}
	for c := 0x80; c < 0x10000; c++ {
		tokens := table.plane[c>>2] >> (c & 3 * 2) & 3
		assert.Positive(t, tokens, "U+%04X", c)
		if c < 0x800 {
			assert.LessOrEqual(t, tokens, uint8(2), "U+%04X has two bytes", c)
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
		word := line[1:]
		require.Regexp(t, "^[a-z]{2,12}$", word)
		var letters uint64
		for _, c := range []byte(word) {
			letters = letters<<5 | uint64(c&31)
		}
		flags := strings.IndexByte("0123456789abcdef", line[0])
		for bit := range 4 {
			assert.Equal(t, flags>>bit&1 == 1, table.listed(letters, 1<<(60+bit)), line)
		}
	}
	assert.Less(t, words, 1<<slotBits/2, "a full table searches for ever")
	assert.False(t, table.listed(1<<5|1, afterSpace|afterOther), "aa")
}

func TestScanner_ListedWordCostsOneTokenOnlyWhereItStandsAlone(t *testing.T) {
	const word = "committee"
	require.EqualValues(t, wordCost, units(word))
	require.EqualValues(t, wordCost, units("Committee"))
	for _, longer := range []string{"ucommittee", "committeeu", "committeeU", "Ucommittee", "COMMITTEE", "committee\u00e9", "\u00e9committee", "committee\u0301"} {
		assert.Greater(t, units(longer), int64(wordCost), longer)
	}
	space := int64(fitted().pairs['e'<<7|' '])
	assert.EqualValues(t, 2*wordCost+space, units(word+" "+word))
	for _, before := range []string{"7", ".", "(", "_"} {
		assert.Greater(t, units(before+"abandon"), units(before)+wordCost, "listed behind a space alone")
	}
	assert.Greater(t, units("  "+word), int64(wordCost), "not listed behind several spaces")
}

func TestScanner_WordsThatContinueInTheNextPiece(t *testing.T) {
	for _, text := range []string{"the committee", "The Committee met", "a camelCase word", "x\u0416\u0438\u0437\u043d\u044c", "=====", "a  b"} {
		for cut := range len(text) {
			s := NewScanner()
			at := s.Scan(text, 0, cut, false)
			s.Scan(text, at, len(text), false)
			whole := NewScanner()
			whole.plain(text)
			assert.Equal(t, whole.Tokens(), s.Tokens(), "%q cut at %d", text, cut)
		}
	}
}

func TestBound_UncommonTextCostsMoreThanCommonText(t *testing.T) {
	common := Bound(strings.Repeat("the committee considered every proposal ", 20), false)
	shuffled := Bound(strings.Repeat("het tomtemcie dcdesorien yeevr sprolpoa ", 20), false)
	random := Bound(strings.Repeat("xkq vbzwmqjtf hqxzkcvwpj zvfqk wpxrjzkq ", 20), false)
	assert.Less(t, 3*common, 2*shuffled)
	assert.Less(t, shuffled, random)
}
