package tokens

import (
	"strings"
	"unicode/utf8"
)

const (
	chunkBytes = 8 << 10 // the size of the pieces whose counts are remembered
	runBytes   = 256     // how long a word may be that is counted at once: tiktoken's merge loop is quadratic in the length of a word
)

// nextChunk returns the length of the first chunk of s. A chunk ends before the last space in the second half of chunkBytes, if there is one. So
// if text is appended, the first chunks stay the same, and their counts are remembered. Splitting a text can only raise its count.
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

// lastEscape returns the offset of the last escape \uXXXX in s whose backslash is not escaped itself, or -1. One at the very beginning is not
// returned, because the byte before it is not known. It is for texts without spaces that consist of escapes, such as Chinese.
func lastEscape(s string) int {
	// From the last one back to the first; LastIndex returns -1 when there is none left.
	for i := strings.LastIndex(s, `\u`); i > 0; i = strings.LastIndex(s[:i], `\u`) {
		if s[i-1] != '\\' {
			return i
		}
	}
	return -1
}

// runeStart returns the last index from i-3 to i at which a rune may begin, or i if there is none, which only happens in invalid UTF-8. i
// has to be less than len(s).
func runeStart(s string, i int) int {
	for at := i; at > 0 && at > i-utf8.UTFMax; at-- {
		if utf8.RuneStart(s[at]) {
			return at
		}
	}
	return i
}

// nextRun returns the length of the longest beginning of s in which no run of characters of one class is longer than runBytes. Bytes beyond
// ASCII belong to the run before them. It does not cut a character in two, and returns at least 1 so that its caller gets on.
func nextRun(s string) int {
	class, run := byteClass(0), 0 // the class and the length of the present run; 0 is the class of none
	for i := range len(s) {
		c := classOf(s[i])
		if c != class && c != classAny { // a run of another class begins here
			class, run = c, 0
		}
		if run++; run > runBytes {
			return max(runeStart(s, i), 1)
		}
	}
	return len(s)
}

// byteClass is a kind of character as far as tokenizers cut text between them.
type byteClass uint8

const (
	classAny   byteClass = iota + 1 // a byte beyond ASCII, which continues any run
	classSpace                      // white space and control characters
	classLetter
	classDigit
	classPunct // any other ASCII character
)

// classOf returns the class of a byte.
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
