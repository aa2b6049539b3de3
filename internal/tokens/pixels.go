package tokens

import (
	"bytes"
	"encoding/binary"
)

// Pixels is ImageSize without allocations, for callers that check every image of every request. It checks less: for a damaged file it may
// return a size although ImageSize does not.
func Pixels(data []byte) (width, height int, ok bool) {
	data = data[:min(len(data), imageHeaderBytes)]
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG")) && len(data) >= 24:
		width, height = int(binary.BigEndian.Uint32(data[16:])), int(binary.BigEndian.Uint32(data[20:]))
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		width, height = jpegSize(data)
	case bytes.HasPrefix(data, []byte("GIF8")) && len(data) >= 10:
		width, height = int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:]))
	case len(data) >= webPHeaderBytes && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		width, height = webPSize(data)
	}
	if width <= 0 || height <= 0 {
		return 0, 0, false
	}
	return width, height, true
}

// jpegSize goes from segment to segment up to the frame header (ITU T.81, section B.2.2). Like other readers it skips bytes between
// segments.
func jpegSize(data []byte) (width, height int) {
	for i := 2; i+9 <= len(data); {
		marker := data[i+1]
		switch {
		case data[i] != 0xff || marker == 0xff:
			i++
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			return int(binary.BigEndian.Uint16(data[i+7:])), int(binary.BigEndian.Uint16(data[i+5:]))
		case marker >= 0xd0 && marker <= 0xd8 || marker <= 0x01: // markers without a length
			i += 2
		default:
			i += 2 + int(binary.BigEndian.Uint16(data[i+2:]))
		}
	}
	return 0, 0
}
