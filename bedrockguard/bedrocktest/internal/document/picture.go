package document

import (
	"bytes"
	"encoding/base64"
	"image"
	_ "image/gif"  // decoders for the sizes of images
	_ "image/jpeg" // same
	_ "image/png"  // same
)

// ImageSize returns the size in pixels of an image given in base64, and zeros if its header does not have it.
func ImageSize(data string) (width, height int) {
	config, _, err := image.DecodeConfig(base64.NewDecoder(base64.StdEncoding, bytes.NewReader([]byte(data))))
	if err != nil || config.Width <= 0 || config.Height <= 0 {
		return 0, 0
	}
	return config.Width, config.Height
}
