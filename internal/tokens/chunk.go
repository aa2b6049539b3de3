package tokens

import (
	"strings"
	"unicode/utf8"
)

const (
	chunkBytes = 8 << 10 // what is counted and remembered at once
	runBytes   = 256     // tiktoken's merge loop is quadratic in the length of a word
)

// nextChunk returns the length of the first chunk of s. Chunks are cut behind a space when the second half of the window
// has one, so that a text which grows keeps the chunks of its beginning. A cut only ever adds tokens.
func nextChunk(s string, escaped bool) int {
	if len(s) <= chunkBytes {
		return len(s)
	}
	const half = chunkBytes / 2
	if i := strings.LastIndexByte(s[half:chunkBytes], ' '); i > 0 {
		return half + i
	}
	if escaped {
		if i := lastEscape(s[half:chunkBytes]); i > 0 {
			return half + i
		}
	}
	return runeStart(s, chunkBytes)
}

// lastEscape returns where the last \uXXXX of a window begins, or -1: a text of nothing else has no space to cut at.
func lastEscape(s string) int {
	for i := strings.LastIndex(s, `\u`); i > 0; i = strings.LastIndex(s[:i], `\u`) {
		if s[i-1] != '\\' {
			return i
		}
	}
	return -1
}

// runeStart returns the largest index up to i, less three bytes at most, at which a rune may begin.
func runeStart(s string, i int) int {
	for j := i; j > 0 && j > i-utf8.UTFMax; j-- {
		if utf8.RuneStart(s[j]) {
			return j
		}
	}
	return i
}

// nextRun returns the length of the first part of s in which no run of one class is longer than runBytes. Bytes beyond
// ASCII belong to any class, so they prolong the run that they stand in.
func nextRun(s string) int {
	class, run := byteClass(0), 0
	for i := range len(s) {
		c := classOf(s[i])
		if c != class && c != classAny {
			class, run = c, 0
		}
		if run++; run > runBytes {
			return max(runeStart(s, i), 1)
		}
	}
	return len(s)
}

type byteClass uint8

const (
	classAny byteClass = iota + 1
	classSpace
	classLetter
	classDigit
	classPunct
)

func classOf(b byte) byteClass {
	switch {
	case b >= utf8.RuneSelf:
		return classAny
	case b <= ' ':
		return classSpace
	case b|0x20 >= 'a' && b|0x20 <= 'z':
		return classLetter
	case b >= '0' && b <= '9':
		return classDigit
	default:
		return classPunct
	}
}
