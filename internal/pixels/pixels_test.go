package pixels_test

import (
	"bytes"
	"image"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/pixels"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

func sampleImages(t testing.TB) map[string][]byte {
	img := image.NewPaletted(image.Rect(0, 0, 37, 23), palette.Plan9)
	var p, j, g bytes.Buffer
	require.NoError(t, png.Encode(&p, img))
	require.NoError(t, jpeg.Encode(&j, img, nil))
	require.NoError(t, gif.Encode(&g, img, nil))
	riff := func(chunk, body string) []byte {
		return []byte("RIFF\x00\x00\x00\x00WEBP" + chunk + "\x0a\x00\x00\x00" + body)
	}
	return map[string][]byte{
		"png": p.Bytes(), "jpeg": j.Bytes(), "gif": g.Bytes(),
		"webp extended": riff("VP8X", "\x00\x00\x00\x00\x24\x00\x00\x16\x00\x00"),
		"webp lossless": riff("VP8L", "\x2f\x24\x80\x05\x00\x00\x00\x00\x00\x00"),
		"webp lossy":    riff("VP8 ", "\x00\x00\x00\x9d\x01\x2a\x25\x00\x17\x00"),
	}
}

func TestOf(t *testing.T) {
	for name, data := range sampleImages(t) {
		t.Run(name, func(t *testing.T) {
			w, h, ok := pixels.Of(data)
			assert.True(t, ok)
			assert.Equal(t, [2]int{37, 23}, [2]int{w, h})
			assert.Zero(t, testing.AllocsPerRun(10, func() { pixels.Of(data) }))
			_, _, ok = pixels.Of(data[:9])
			assert.False(t, ok, "cut")
		})
	}
	for name, data := range map[string]string{
		"no image":                     "no image at all, but long enough to look like one",
		"lossless without a signature": "RIFF\x00\x00\x00\x00WEBPVP8L\x0a\x00\x00\x00\x00\x24\x80\x05\x00\x00\x00\x00\x00\x00\x00",
		"lossy without a start code":   "RIFF\x00\x00\x00\x00WEBPVP8 \x0a\x00\x00\x00\x00\x00\x00\x00\x01\x2a\x25\x00\x17\x00",
	} {
		_, _, ok := pixels.Of([]byte(data))
		assert.False(t, ok, name)
	}
}

// A size that a decoder finds is the size.
func FuzzOf(f *testing.F) {
	for _, data := range sampleImages(f) {
		f.Add(data)
	}
	f.Add([]byte("\xff\xd80\xff\xc0\x00\x11\b0000\x030A\x001\x11\x012\x11\x01\xff\xda00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h, ok := pixels.Of(data)
		require.Equal(t, ok, w > 0 && h > 0)
		if dw, dh, decoded := tokens.ImageSize(data); decoded {
			require.Equal(t, [2]int{dw, dh}, [2]int{w, h})
		}
	})
}
