package document

import (
	"bytes"
	"encoding/binary"
)

// longestVideoSeconds bounds the length that the header of a file may claim.
const longestVideoSeconds = 3600

// MovieSeconds returns the length of an MPEG-4 or QuickTime movie, rounded up; zero if its header is not found. The header mvhd has a version,
// two times, the number of time units in a second (scale), and the length in these units; in version 1 the times and the length have 64 bits.
// The offsets below count from the name of the header, after which the version comes in the fifth byte.
func MovieSeconds(raw []byte) int {
	at := bytes.Index(raw, []byte("mvhd"))
	if at < 0 || len(raw) < at+36 {
		return 0
	}
	scale, length := uint64(binary.BigEndian.Uint32(raw[at+16:])), uint64(binary.BigEndian.Uint32(raw[at+20:]))
	if raw[at+4] == 1 { // 64-bit times
		scale, length = uint64(binary.BigEndian.Uint32(raw[at+24:])), binary.BigEndian.Uint64(raw[at+28:])
	}
	// A length that can't be right counts as the longest.
	if scale == 0 || length/scale > longestVideoSeconds {
		return longestVideoSeconds
	}
	return int((length + scale - 1) / scale)
}
