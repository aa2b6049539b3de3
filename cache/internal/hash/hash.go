// Package hash hashes texts and JSON, so that what a request holds can be compared with earlier ones and is not kept.
package hash

import (
	"encoding/binary"
	"hash/maphash"
)

// seed makes the hashes of each process different. They compare blocks within a process and are never stored or shown.
var seed = maphash.MakeSeed()

// String hashes a text.
func String(s string) uint64 { return maphash.String(seed, s) }

// Mix combines two hashes, in order: Mix(a, b) is not Mix(b, a). The factors are those of SplitMix64.
func Mix(a, b uint64) uint64 {
	x := (a ^ 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	x ^= x >> 29
	x = (x + b) * 0x94d049bb133111eb
	return x ^ x>>32
}

// sampledWords is how many words of a text Sample hashes.
const sampledWords = 64

// Sample hashes a part of a text: enough to notice that a buffer at the same address was filled with something else.
func Sample(text string) uint64 {
	if len(text) <= 8*sampledWords {
		return String(text)
	}
	var h uint64
	step := (len(text) - 8) / (sampledWords - 1) // so that the last word of eight bytes ends with the text, or shortly before its end
	for i := range sampledWords {
		h = Mix(h, binary.LittleEndian.Uint64([]byte(text[i*step:i*step+8])))
	}
	return h
}
