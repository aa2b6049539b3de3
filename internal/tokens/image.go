package tokens

import (
	"bytes"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/bedrockguard/bedrockguard-go/internal/pixels"
)

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

// readImageSize is ImageSize for a reader. The kind of image follows from the first bytes, not from what the request calls it.
func readImageSize(r io.Reader) (width, height int, ok bool) {
	var magic [12]byte
	// MaxHeader is 1 MiB: a JPEG may have colour profiles and previews before its dimensions.
	r = io.LimitReader(r, pixels.MaxHeader)
	// Less than 12 bytes are no error here: decoderFor knows no image that begins so, or decode fails.
	n, _ := io.ReadFull(r, magic[:])
	whole := io.MultiReader(bytes.NewReader(magic[:n]), r) // from the beginning again
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

// decoderFor returns the function that reads the header of an image with these first bytes, or nil for an unknown kind.
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

// decodeWebP reads the header of a WebP image, which the standard library does not.
func decodeWebP(r io.Reader) (image.Config, error) {
	var h [pixels.WebPHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return image.Config{}, err
	}
	w, height, ok := pixels.Of(h[:])
	if !ok {
		return image.Config{}, image.ErrFormat
	}
	return image.Config{Width: w, Height: height}, nil
}
