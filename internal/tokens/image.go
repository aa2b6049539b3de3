package tokens

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
)

// imageHeaderBytes is how far ImageBlock searches for the size: a JPEG may have colour profiles and previews first.
const imageHeaderBytes = 1 << 20

// ImageBlock returns a block for an image of size bytes. It reads only the header of data. If that has no dimensions, neither has the block,
// which then counts with the family's maximum.
func ImageBlock(format string, data io.Reader, size int64) Block {
	b := Block{Kind: Image, Format: format, Bytes: size}
	if w, h, ok := readImageSize(data); ok {
		b.Width, b.Height = w, h
	}
	return b
}

// ImageSize returns the dimensions, in pixels, in the header of a PNG, JPEG, GIF or WebP image. It returns false for anything else, and for
// a header that is incomplete or has no positive size.
func ImageSize(data []byte) (width, height int, ok bool) {
	return readImageSize(bytes.NewReader(data))
}

func readImageSize(r io.Reader) (width, height int, ok bool) {
	var magic [12]byte
	r = io.LimitReader(r, imageHeaderBytes)
	n, _ := io.ReadFull(r, magic[:])
	whole := io.MultiReader(bytes.NewReader(magic[:n]), r)
	decode := decoderFor(magic[:n])
	if decode == nil {
		return 0, 0, false
	}
	c, err := decode(whole)
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return 0, 0, false
	}
	return c.Width, c.Height, true
}

func decoderFor(magic []byte) func(io.Reader) (image.Config, error) {
	switch {
	case bytes.HasPrefix(magic, []byte("\x89PNG")):
		return png.DecodeConfig
	case bytes.HasPrefix(magic, []byte("\xff\xd8")):
		return jpeg.DecodeConfig
	case bytes.HasPrefix(magic, []byte("GIF8")):
		return gif.DecodeConfig
	case len(magic) == 12 && string(magic[:4]) == "RIFF" && string(magic[8:]) == "WEBP":
		return decodeWebP
	default:
		return nil
	}
}

// webPHeaderBytes is how many bytes of a WebP file are needed for its size.
const webPHeaderBytes = 30

func decodeWebP(r io.Reader) (image.Config, error) {
	var h [webPHeaderBytes]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return image.Config{}, err
	}
	w, height := webPSize(h[:])
	if w == 0 {
		return image.Config{}, image.ErrFormat
	}
	return image.Config{Width: w, Height: height}, nil
}

// webPSize reads the first chunk of a WebP file: VP8X has the canvas size (RFC 9649, section 2.7), VP8L a packed size after its signature
// byte (section 3.4), VP8 the size after the start code of a key frame (RFC 6386, section 9.1).
func webPSize(h []byte) (width, height int) {
	body := h[20:]
	switch string(h[12:16]) {
	case "VP8X":
		return 1 + uint24(body[4:]), 1 + uint24(body[7:])
	case "VP8L":
		if body[0] == 0x2f {
			bits := binary.LittleEndian.Uint32(body[1:])
			return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff)
		}
	case "VP8 ":
		if bytes.Equal(body[3:6], []byte{0x9d, 0x01, 0x2a}) {
			w, h := binary.LittleEndian.Uint16(body[6:]), binary.LittleEndian.Uint16(body[8:])
			return int(w & 0x3fff), int(h & 0x3fff)
		}
	}
	return 0, 0
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
