// Package textcost bounds how many tokens a text becomes, from what it is made of, in one pass and without a vocabulary.
//
// A character costs what the one or two characters before it make of it, by a table that was fitted to real tokenizers;
// a common word that is one token for each of them costs one token. Units of cost are 1/120 token. The table and the words
// were made by internal/tools/tokenizers, from vocabularies as of 2026-11-28.
package textcost

import (
	_ "embed"
	"strings"
	"sync"
)

// Unit is how many units of cost make one token.
const Unit = 120

// wordCost is what a common word costs: one token, and 5 % for what was not measured.
const wordCost = Unit + Unit/20

// table is costs.bin, with the words of words.txt. A cell holds units of cost.
type table struct {
	letters  [32 * 32 * 32]uint8 // [class two before][class before][small letter]
	pairs    [128 * 128]uint8    // [character before][any other ASCII character]
	repeats  [128]uint8          // [ASCII character] that stands for the third time or more in a row
	cyrillic [64 * 64]uint8      // [letter before][letter]
	plane    [1 << 16 / 4]uint8  // the tokens of each character of the basic plane, two bits each
	words    [1 << slotBits]uint64
}

// Classes of the characters before a small letter; 1 to 26 are letters, also a capital that begins a word.
const (
	classSpace  = 0  // one space; more of them are classOther
	classOther  = 27 // punctuation, white space, the beginning of the text
	classDigit  = 28
	classUpper  = 29 // a capital behind a capital
	classBeyond = 30 // beyond ASCII
	classBegin  = 31 // stands before a capital that does not follow another: a word begins there
)

// Small letters of the Russian alphabet count from 1 at U+0430. Before the first one stands 0, or cyrillicSpace behind a single space.
const (
	cyrillicFirst = 0x430
	cyrillicSpace = 63
)

// beyond stands for any character beyond ASCII in the table of pairs.
const beyond = 0x7f

//go:embed costs.bin
var costs string

// Positions in which a common word is one token.
const (
	afterSpace        = 1 << 60 // behind a single space, which the token includes
	afterOther        = 1 << 61 // behind anything that is neither a letter nor a single space
	capitalAfterSpace = 1 << 62 // as afterSpace, with a capital
	capitalAfterOther = 1 << 63 // as afterOther, with a capital
)

const (
	wordLetters = 12 // the longest word in the list: five bits a letter make 60
	letterMask  = 1<<60 - 1
	slotBits    = 14
)

// wordList holds a line for each word: a hexadecimal digit of positions, lowest bit first as above, and the word.
//
//go:embed words.txt
var wordList string

// The classes two characters before a letter are stored in five groups: small letters, and then those named here. What is not
// named is like classOther.
const groups = 5

var contextGroups = func() (g [32]int) {
	for class := range g {
		switch class {
		case classSpace:
			g[class] = 1
		case classUpper:
			g[class] = 3
		case classBegin:
			g[class] = 4
		case classOther, classDigit, classBeyond:
			g[class] = 2
		}
	}
	return g
}()

// fitted returns the table. Reading it takes about a millisecond, once.
var fitted = sync.OnceValue(func() *table {
	t := new(table)
	rest := costs
	for context := range uint8(32) {
		group := contextGroups[context] << 10
		copy(t.letters[int(context)<<10:], rest[group:group+1<<10])
	}
	rest = rest[groups<<10:]
	for _, part := range [][]uint8{t.pairs[:], t.repeats[:], t.cyrillic[:], t.plane[:]} {
		rest = rest[copy(part, rest):]
	}
	for line := range strings.Lines(wordList) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var letters uint64
		for _, c := range []byte(line[1:]) {
			letters = letters<<5 | uint64(c&31)
		}
		i := slotOf(letters)
		for t.words[i] != 0 {
			i = (i + 1) % (1 << slotBits)
		}
		t.words[i] = letters | uint64(strings.IndexByte("0123456789abcdef", line[0]))<<60
	}
	return t
})

func slotOf(letters uint64) uint64 { return letters * 0x9e3779b97f4a7c15 >> (64 - slotBits) }

// listed reports whether a word, its letters five bits each, is one token in a position.
func (t *table) listed(letters, position uint64) bool {
	for i := slotOf(letters); t.words[i] != 0; i = (i + 1) % (1 << slotBits) {
		if t.words[i]&letterMask == letters {
			return t.words[i]&position != 0
		}
	}
	return false
}

// Kinds of byte.
const (
	kindOther = iota
	kindLower
	kindUpper
	kindBeyond
)

var kinds = func() (k [256]uint8) {
	for c := range k {
		switch {
		case c >= 'a' && c <= 'z':
			k[c] = kindLower
		case c >= 'A' && c <= 'Z':
			k[c] = kindUpper
		case c >= beyond:
			k[c] = kindBeyond
		}
	}
	return k
}()

// classes holds the classes of ASCII characters.
var classes = func() (k [128]uint8) {
	for c := range k {
		switch {
		case c >= '0' && c <= '9':
			k[c] = classDigit
		case kinds[c] == kindLower || kinds[c] == kindUpper:
			k[c] = uint8(c & 31)
		case c == ' ':
			k[c] = classSpace
		default:
			k[c] = classOther
		}
	}
	return k
}()

// lowerPosition holds, for each class, the position of a word of small letters behind it.
var lowerPosition = [32]uint64{classSpace: afterSpace, classOther: afterOther, classDigit: afterOther}
