package bedrocktest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// Tokens of media that are billed by tokens. Recorded on Nova 2 Lite: videos of 1.3, 10 and 13.3 seconds with some 1,790, 1,560 and 3,070;
// on Nova Pro 1.3 seconds with some 1,100. Objects in S3 are not opened: a short video and a page of a document were recorded with 1,781 and
// 2,404, and count somewhat more here.
const (
	minVideoTokens      = 1900
	videoSecondTokens   = 240
	unopenedVideo       = 4000
	unopenedDocument    = 3000
	minAudioTokens      = 500
	bytesOfAudioToken   = 200
	longestVideoSeconds = 3600
)

// takesVideo reports whether a model accepts video in messages (AWS's pages of the models, 2026-11).
func (m *model) takesVideo() bool {
	return strings.HasPrefix(m.ID, "amazon.nova") && !strings.Contains(m.ID, "micro") || strings.Contains(m.ID, "twelvelabs") || strings.Contains(m.ID, "palmyra-vision")
}

func (m *model) takesAudio() bool {
	return strings.Contains(m.ID, "voxtral") || strings.HasPrefix(m.ID, "amazon.nova-2") || strings.HasPrefix(m.ID, "amazon.nova-premier")
}

// film counts a video by its length, if its file has one.
func film(v *node) int {
	data := v.get("source").get("bytes")
	if data == nil {
		return unopenedVideo
	}
	raw, _ := base64.StdEncoding.DecodeString(data.text())
	return max(minVideoTokens, movieSeconds(raw)*videoSecondTokens)
}

// movieSeconds returns the length of an MPEG-4 or QuickTime movie, rounded up; zero if its header is not found.
func movieSeconds(raw []byte) int {
	at := bytes.Index(raw, []byte("mvhd"))
	if at < 0 || len(raw) < at+36 {
		return 0
	}
	scale, length := uint64(binary.BigEndian.Uint32(raw[at+16:])), uint64(binary.BigEndian.Uint32(raw[at+20:]))
	if raw[at+4] == 1 { // 64-bit times
		scale, length = uint64(binary.BigEndian.Uint32(raw[at+24:])), binary.BigEndian.Uint64(raw[at+28:])
	}
	if scale == 0 || length/scale > longestVideoSeconds {
		return longestVideoSeconds
	}
	return int((length + scale - 1) / scale)
}

// sound counts audio by its size.
func sound(v *node) int { return soundTokens(v.get("source").get("bytes").text()) }

func soundTokens(data string) int {
	return max(minAudioTokens, base64.StdEncoding.DecodedLen(len(data))/bytesOfAudioToken)
}
