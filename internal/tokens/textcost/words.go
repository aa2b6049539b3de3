package textcost

import (
	_ "embed"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// A listed word is one of the common words in words.txt. As a rule its letters cost more one by one than it does as a word, so the scanner
// subtracts the difference at the word's end. A unit of cost is 1/120 token. A row stands for the last characters before a place in the text.

// wordCost is the cost of a common word for each of its tokens. The additional 5 % are a margin for tokenizers that were not measured.
const wordCost = Unit + Unit/20

// wordCosts has the cost of a listed word by its number of tokens. Index 0 is for a word that is not listed: its cost is so high that the
// cost of its letters is always lower.
var wordCosts = [4]int64{math.MaxInt64, wordCost, 2 * wordCost, 3 * wordCost}

const (
	positionDigits = 2  // with which each line of words.txt begins
	wordLetters    = 15 // the length of the longest listed word
	slotBits       = 15 // the table has 1<<slotBits slots
	bucketBits     = 12 // and 1<<bucketBits buckets
)

// The positions of a word in a text. Each value is by how many bits the word's number of tokens in that position is shifted in listed.
const (
	afterSpace = 0 // after a single space, which the token includes
	afterOther = 2 // after anything that is neither a letter nor a single space
	capital    = 4 // with a capital, in addition to one of these
)

// wordList has a line for each word: two hexadecimal digits with its tokens in each position, and the word.
//
//go:embed words.txt
var wordList string

// words is the list of words as a hash table without collisions: to look a word up takes one comparison. A word's hash selects a bucket, and the
// bucket's multiplier, together with the hash, a slot. newWords chooses the multipliers so that each word has a slot of its own.
type words struct {
	buckets [1 << bucketBits]bucket
	slots   [1 << slotBits]listed
}

// bucket has a multiplier in its lowest bits. From filterShift on it has a filter: a bit for each value of five further bits of a hash, which is set
// if some word of the bucket has that value there. For most words that are not listed the bit is 0. They are then looked for in the first slot, which
// is in the processor's caches, for which the slots are too many. Text of many kinds is scanned 6 % faster for it, and English 3 % slower.
type bucket uint64

const (
	filterShift    = 32
	mostMultiplier = 1<<16 - 1 // of those that newWords tries
)

// listed is a word of the list, which has up to 15 small letters. The highest byte of last has the word's number of tokens in each position,
// two bits each; 0 says that it is not listed for the position.
type listed struct {
	first, last uint64 // the first eight letters, the first one in the lowest byte, and the rest
}

// The parts of listed.last: the numbers of tokens from tokensShift on, and below it the letters.
const (
	tokensShift   = 56
	lettersOfLast = 1<<tokensShift - 1
)

// hash is a multiplicative hash of a word's letters: the factor is 2 to the 64th divided by the golden ratio, which spreads similar words over the
// upper bits. The rotation keeps the two halves from canceling each other out.
func hash(first, last uint64) uint64 {
	return (first ^ bits.RotateLeft64(last, 29)) * 0x9e3779b97f4a7c15
}

// slot returns a word's index in slots: the top bits of its hash choose the bucket, and the next 32 bits, multiplied with the bucket's
// multiplier, the slot. It is 0 if the bucket's filter shows that the word is not listed.
func (w *words) slot(wordHash uint64) uint32 {
	// The last factor is a mask: all ones if the filter has the hash's bit, else 0.
	b := w.buckets[bucketOf(wordHash)]
	return (uint32(wordHash>>(32-bucketBits)) * uint32(b)) >> (32 - slotBits) & -uint32(b>>filterBit(wordHash)&1)
}

// bucketOf returns the index of the bucket for a word's hash.
func bucketOf(wordHash uint64) uint64 { return wordHash >> (64 - bucketBits) }

// filterBit returns which bit of its bucket a word's hash sets.
func filterBit(wordHash uint64) uint64 { return filterShift | wordHash>>(59-bucketBits)&31 }

// saved returns by how much a run of letters is cheaper as a listed word than letter by letter, which costs units; 0 if it is not listed. units
// are 1/120 token each. row stands for the character before the run: t.space is the one for a single space. No branch depends on the word,
// because the processor could not predict it.
func (t *table) saved(text []byte, start, length int, row uint16, units int64) int64 {
	if length > wordLetters {
		return 0
	}
	first, last := wordAt(text, start, length)
	// position is by how much the word's number of tokens is shifted in slot.last, by where the word stands and how it is written. A capital letter
	// lacks the bit 0x20 that its small one has: inverted and shifted by 3, that bit is the constant capital.
	position := tokensShift + ^uint64(text[start])>>3&capital
	if row != t.space {
		position += afterOther
	}
	slot := &t.words.slots[t.words.slot(hash(first, last))]
	tokens := slot.last >> (position & 63) // position is less than 64; the mask saves a check
	if slot.first^first|(slot.last^last)&lettersOfLast != 0 {
		// The slot has another word, so the cost of the letters stays.
		tokens = 0
	}
	return max(units-wordCosts[tokens&3], 0) // 0 if tokens is 0, for which wordCosts has more than any letters cost
}

// newWords parses a list of words, and finds a multiplier for each bucket. It begins with the largest buckets, for which that is hardest.
func newWords(list string) *words {
	w := new(words)
	var buckets [1 << bucketBits][]listed // the words of each bucket
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			item := newListed(line)
			b := bucketOf(item.hash())
			buckets[b] = append(buckets[b], item)
			w.buckets[b] |= 1 << filterBit(item.hash())
		}
	}
	order := make([]int, len(buckets)) // of the buckets, the largest first
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(buckets[b]) - len(buckets[a]) })
	for _, i := range order {
		// The multiplier is in the lowest bits of the bucket, so that adding to the bucket changes it. The odd numbers from 1 on are tried.
		for w.buckets[i]++; !w.place(buckets[i]); w.buckets[i] += 2 {
			if w.buckets[i]&mostMultiplier == mostMultiplier {
				panic("textcost: words.txt does not fit into its table")
			}
		}
	}
	return w
}

// newListed parses one line of wordList.
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

// hash returns the hash of the word, without its numbers of tokens.
func (l listed) hash() uint64 { return hash(l.first, l.last&lettersOfLast) }

// place puts each word of a bucket into the slot that the bucket's present multiplier gives it. It returns false, and leaves the slots as they were,
// if one of these slots is taken, by a word of this bucket or of another one.
func (w *words) place(bucket []listed) bool {
	for i, item := range bucket {
		slot := w.slot(item.hash())
		if w.slots[slot] != (listed{}) {
			// Takes back those that were placed, which the next multiplier puts elsewhere.
			for _, placed := range bucket[:i] {
				w.slots[w.slot(placed.hash())] = listed{}
			}
			return false
		}
		w.slots[slot] = item
	}
	return true
}

// masks has, for each length, which bytes of first and last are letters of a word. It is zero for lengths of words that are too long to be
// listed.
var masks = func() (m [blockBytes]struct{ first, last uint64 }) {
	for length := range wordLetters + 1 {
		m[length].first, m[length].last = 1<<(8*min(length, 8))-1, 1<<(8*max(length-8, 0))-1
	}
	return m
}()

// wordAt returns the letters of a word of text. A capital at the beginning becomes a small letter. Other capitals are kept, so that such a word
// is not found.
func wordAt(text []byte, start, length int) (first, last uint64) {
	mask := &masks[length&(blockBytes-1)]
	// 0x20 makes a capital small, and changes no small letter.
	return eightBytes(text, start)&mask.first | 0x20, eightBytes(text, start+8) & mask.last
}
