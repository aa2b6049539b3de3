package textcost

import (
	_ "embed"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// wordCost is what a common word costs for each token that it is: 5 % are for what was not measured.
const wordCost = Unit + Unit/20

// wordCosts holds what a word of so many tokens costs; no run costs as much as one that is not listed.
var wordCosts = [4]int64{math.MaxInt64, wordCost, 2 * wordCost, 3 * wordCost}

const (
	positionDigits = 2
	wordLetters    = 15 // the longest word that may be listed
	slotBits       = 15
	bucketBits     = 12
)

// Positions in which a word may be listed, by how far its tokens there are shifted.
const (
	afterSpace = 0 // behind a single space, which the token includes
	afterOther = 2 // behind anything that is neither a letter nor a single space
	capital    = 4 // with a capital, in addition to one of these
)

// wordList holds a line for each word: two hexadecimal digits, which are its tokens in each position, and the word.
//
//go:embed words.txt
var wordList string

// words is a hash table without collisions: the multiplier of a bucket was chosen so that each of its words has a slot of its own.
type words struct {
	multipliers [1 << bucketBits]uint16
	slots       [1 << slotBits]listed
}

// listed is a word of small letters and, in the highest byte of last, its tokens in each position, two bits each, 0 where it is
// not listed.
type listed struct {
	first, last uint64 // eight letters, the first one lowest, and the others
}

const (
	tokensShift   = 56
	lettersOfLast = 1<<tokensShift - 1
)

func hash(first, last uint64) uint64 {
	return (first ^ bits.RotateLeft64(last, 29)) * 0x9e3779b97f4a7c15
}

func (w *words) slot(hash uint64) uint64 {
	return hash * uint64(w.multipliers[hash>>(64-bucketBits)]) >> (64 - slotBits)
}

// saved returns how much cheaper a run of letters is as a listed word behind row, 0 if it is none. Its units are those of
// its letters. No branch depends on the word.
func (t *table) saved(text []byte, start, length int, row uint16, units int64) int64 {
	if length > wordLetters {
		return 0
	}
	first, last := wordAt(text, start, length)
	position := tokensShift + ^uint64(text[start])>>3&capital
	if row != t.space {
		position += afterOther
	}
	slot := &t.words.slots[t.words.slot(hash(first, last))]
	tokens := slot.last >> (position & 63)
	if slot.first^first|(slot.last^last)&lettersOfLast != 0 {
		tokens = 0
	}
	return max(units-wordCosts[tokens&3], 0)
}

// newWords reads a list of words.
func newWords(list string) *words {
	w := new(words)
	var buckets [1 << bucketBits][]listed
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			item := newListed(line)
			buckets[item.hash()>>(64-bucketBits)] = append(buckets[item.hash()>>(64-bucketBits)], item)
		}
	}
	order := make([]int, len(buckets))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(buckets[b]) - len(buckets[a]) })
	for _, i := range order {
		for w.multipliers[i] = 1; !w.place(buckets[i]); {
			if w.multipliers[i] += 2; w.multipliers[i] == 1 {
				panic("textcost: words.txt does not fit into its table")
			}
		}
	}
	return w
}

func newListed(line string) listed {
	item := listed{}
	item.first, item.last = wordAt([]byte(line[positionDigits:]), 0, len(line)-positionDigits)
	tokens, err := strconv.ParseUint(line[:positionDigits], 16, 8)
	if err != nil {
		panic("textcost: " + line)
	}
	item.last |= tokens << tokensShift
	return item
}

func (l listed) hash() uint64 { return hash(l.first, l.last&lettersOfLast) }

// place gives each word of a bucket its slot, and reports false when two would share one.
func (w *words) place(bucket []listed) bool {
	for i, item := range bucket {
		slot := w.slot(item.hash())
		if w.slots[slot] != (listed{}) {
			for _, placed := range bucket[:i] {
				w.slots[w.slot(placed.hash())] = listed{}
			}
			return false
		}
		w.slots[slot] = item
	}
	return true
}

// masks keep the letters of a word of each length, and none of longer ones, which are listed nowhere.
var masks = func() (m [blockBytes]struct{ first, last uint64 }) {
	for length := range wordLetters + 1 {
		m[length].first, m[length].last = 1<<(8*min(length, 8))-1, 1<<(8*max(length-8, 0))-1
	}
	return m
}()

// wordAt returns the letters of a word of text. The first one is taken as a small letter; other capitals are listed nowhere.
func wordAt(text []byte, start, length int) (first, last uint64) {
	mask := &masks[length&(blockBytes-1)]
	return eightBytes(text, start)&mask.first | 0x20, eightBytes(text, start+8) & mask.last
}
