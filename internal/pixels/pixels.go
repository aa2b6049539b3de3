// Package pixels reads the dimensions of images from their headers, without allocations, for callers that look at every image of every request.
package pixels

import (
	"bytes"
	"encoding/binary"
)

// MaxHeader is how far the dimensions are searched for: a JPEG may have colour profiles and previews first.
const MaxHeader = 1 << 20

// WebPHeader is how many bytes of a WebP file are needed for its dimensions.
const WebPHeader = 30

// Of returns the dimensions, in pixels, in the header of a PNG, JPEG, GIF or WebP image. It returns false for anything else, and for a header that
// is incomplete or has no positive size. It checks less than a decoder does: for a damaged file it may return a size although that does not.
func Of(data []byte) (width, height int, ok bool) {
	data = data[:min(len(data), MaxHeader)]
	switch { // all but a JPEG have their size at a fixed place
	case bytes.HasPrefix(data, []byte("\x89PNG")) && len(data) >= 24:
		width, height = int(binary.BigEndian.Uint32(data[16:])), int(binary.BigEndian.Uint32(data[20:]))
	case IsJPEG(data):
		width, height = jpegSize(data)
	case bytes.HasPrefix(data, []byte("GIF8")) && len(data) >= 10:
		width, height = int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:]))
	case len(data) >= WebPHeader && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		width, height = webPSize(data)
	}
	if width <= 0 || height <= 0 {
		return 0, 0, false
	}
	return width, height, true
}

// jpegSize goes from segment to segment up to the frame header, which has the size (ITU T.81, section B.2.2). A segment begins with 0xff and its
// marker, after which most have their length. Like other readers it skips bytes between segments. Without a frame header both results are 0.
func jpegSize(data []byte) (width, height int) {
	const frameHead = 9                     // bytes: 0xff, marker, two of length, one of precision, and two each of height and width
	for i := 2; i+frameHead <= len(data); { // behind the two bytes that a JPEG begins with
		marker := data[i+1]
		switch {
		case data[i] != 0xff || marker == 0xff: // no segment begins here, or a filling byte comes first
			i++
		case isFrameHeader(marker): // the height comes first
			return int(binary.BigEndian.Uint16(data[i+7:])), int(binary.BigEndian.Uint16(data[i+5:]))
		case marker >= 0xd0 && marker <= 0xd8 || marker <= 0x01: // a marker alone, without a length
			i += 2
		default: // the length is without the two bytes before it
			i += 2 + int(binary.BigEndian.Uint16(data[i+2:]))
		}
	}
	return 0, 0
}

// isFrameHeader reports whether a JPEG's segment with this marker is a frame header. Three of the markers from 0xc0 to 0xcf begin tables or
// extensions.
func isFrameHeader(marker byte) bool {
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc
}

// IsJPEG reports whether data begins as a JPEG does, whose dimensions can stand far behind its beginning.
func IsJPEG(data []byte) bool { return bytes.HasPrefix(data, []byte("\xff\xd8")) }

// webPSize reads the first chunk of a WebP file: VP8X has the canvas size (RFC 9649, section 2.7), VP8L a packed size after its signature
// byte (section 3.4), VP8 the size after the start code of a key frame (RFC 6386, section 9.1).
func webPSize(h []byte) (width, height int) {
	body := h[20:] // behind the names of file and chunk and their lengths; it has at least ten bytes, because Of asks for thirty
	switch string(h[12:16]) {
	case "VP8X": // width and height have three bytes each, and are stored less one
		return 1 + uint24(body[4:]), 1 + uint24(body[7:])
	case "VP8L": // they have 14 bits each, and are stored less one
		if body[0] == 0x2f {
			bits := binary.LittleEndian.Uint32(body[1:])
			return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff)
		}
	case "VP8 ":
		if bytes.Equal(body[3:6], []byte{0x9d, 0x01, 0x2a}) {
			// The two highest bits of each are a scale, which does not change the size of the coded image.
			w, h := binary.LittleEndian.Uint16(body[6:]), binary.LittleEndian.Uint16(body[8:])
			return int(w & 0x3fff), int(h & 0x3fff)
		}
	}
	return 0, 0
}

// uint24 reads a little-endian number of three bytes.
func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
