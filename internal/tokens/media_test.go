package tokens

import (
	"archive/zip"
	"bytes"
	"image"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

func TestImageSize(t *testing.T) {
	for name, data := range sampleImages(t) {
		t.Run(name, func(t *testing.T) {
			w, h, ok := ImageSize(data)
			assert.True(t, ok)
			assert.Equal(t, [2]int{37, 23}, [2]int{w, h})
			b := ImageBlock(name, bytes.NewReader(data), int64(len(data)))
			assert.Equal(t, Block{Kind: Image, Format: name, Bytes: int64(len(data)), Width: 37, Height: 23}, b)
			_, _, ok = ImageSize(data[:11])
			assert.False(t, ok, "cut")
		})
	}
	_, _, ok := ImageSize([]byte("no image at all, but long enough to look like one"))
	assert.False(t, ok)
}

func TestPDFPages(t *testing.T) {
	for name, tc := range map[string]struct {
		pdf  string
		want int
		ok   bool
	}{
		"two pages":           {"%PDF-1.4 1 0 obj<</Type/Pages/Count 2>> <</Type /Page>> <</Type\n/Page/Parent 1 0 R>>", 2, true},
		"comment between":     {"%PDF-1.4 <</Type %x\n /Page>>", 1, true},
		"tree tells more":     {"%PDF-1.4 <</Type/Pages /Count 5 /Kids[3 0 R 3 0 R]>> <</Type/Page>>", 5, true},
		"count is absurd":     {"%PDF-1.4 /Count 99999999999999999999 <</Type/Page>>", 51, true},
		"not a page":          {"%PDF-1.4 <</Type/Pages/Count 3>> <</Type/PageLabel>>", 0, false},
		"object streams hide": {"%PDF-1.5 <</Type/ObjStm>> <</Type/Page>>", 0, false},
		"encrypted":           {"%PDF-1.5 /Encrypt 5 0 R <</Type/Page>>", 0, false},
		"no pdf":              {"<</Type/Page>>", 0, false},
		"empty":               {"", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			n, ok := PDFPages([]byte(tc.pdf))
			assert.Equal(t, tc.ok, ok)
			assert.Equal(t, tc.want, n)
		})
	}
}

func TestDocumentBlock(t *testing.T) {
	var office bytes.Buffer
	z := zip.NewWriter(&office)
	w, err := z.Create("word/document.xml")
	require.NoError(t, err)
	_, err = w.Write([]byte(strings.Repeat("a", 100_000)))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.Less(t, office.Len(), 1000)

	assert.EqualValues(t, 100_000, DocumentBlock("docx", office.Bytes()).Bytes, "compressed text counts unpacked")
	assert.Zero(t, DocumentBlock("docx", []byte("junk")).Bytes)
	assert.EqualValues(t, 4, DocumentBlock("md", []byte("text")).Bytes)
	assert.EqualValues(t, 12, DocumentBlock("doc", []byte("text")).Bytes)
	assert.Equal(t, 1, DocumentBlock("pdf", []byte("%PDF-1.4 <</Type/Page>>")).Pages)
}

func FuzzImageSize(f *testing.F) {
	for _, data := range sampleImages(f) {
		f.Add(data)
	}
	f.Add([]byte("\xff\xd80\xff\xc0\x00\x11\b0000\x030A\x001\x11\x012\x11\x01\xff\xda00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h, ok := ImageSize(data)
		require.Equal(t, ok, w > 0 && h > 0)
	})
}

func FuzzPDFPages(f *testing.F) {
	f.Add([]byte("%PDF-1.4 <</Type %x\n /Page>> /Count 7"))
	f.Add([]byte("%PDF- /Type%"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, ok := PDFPages(data)
		require.True(t, n >= 0 && n <= len(data) && (!ok || n > 0))
	})
}
