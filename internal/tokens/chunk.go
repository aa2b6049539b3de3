package tokens

import (
	"strings"
	"unicode/utf8"
)

const (
	chunkBytes = 8 << 10 // what is counted and remembered at once
	runBytes   = 256     // tiktoken's merge loop is quadratic in the length of a word
)

// nextChunk returns the length of the first chunk of s. Chunks are cut behind the last space in the second half of chunkBytes, if there is one, so
// that a text to which more is appended has the same chunks at its beginning, whose counts are remembered. Cutting can only add tokens.
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

// lastEscape returns where the last \uXXXX of s begins, or -1. It is for texts without spaces, of escapes alone.
func lastEscape(s string) int {
	for i := strings.LastIndex(s, `\u`); i > 0; i = strings.LastIndex(s[:i], `\u`) {
		if s[i-1] != '\\' {
			return i
		}
	}
	return -1
}

// runeStart returns the last index from i-3 to i at which a rune may begin, or i if there is none, which only happens in invalid UTF-8. i has to be
// below len(s).
func runeStart(s string, i int) int {
	for at := i; at > 0 && at > i-utf8.UTFMax; at-- {
		if utf8.RuneStart(s[at]) {
			return at
		}
	}
	return i
}

// nextRun returns the length of the longest beginning of s in which no run of one class is longer than runBytes. Bytes beyond ASCII count as part
// of the run before them.
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
