package request

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// inJSON is data as it stands in a JSON string.
func inJSON(t require.TestingT, data []byte, escape bool) Base64 {
	s := base64.StdEncoding.EncodeToString(data)
	if escape {
		s = strings.ReplaceAll(s, "/", `\/`)
	}
	p := jsonscan.New(`"` + s + `"`)
	text, err := p.Text()
	require.NoError(t, err)
	return Base64{text}
}

// A picture counts by its pixels, in any format, and as a large one if its header does not tell them.
func TestPicturesCountByTheirPixels(t *testing.T) {
	png := func(size string) string { return "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + size }
	preview := "\xff\xe1\xff\xff" + strings.Repeat("x", 0xfffd)
	for name, tc := range map[string]struct {
		data string
		want int64
	}{
		"png":                      {png("\x00\x00\x02\xee\x00\x00\x00\x64"), 100},
		"png, tiny":                {png("\x00\x00\x00\x01\x00\x00\x00\x01"), 1},
		"png, huge":                {png("\xff\xff\xff\xff\xff\xff\xff\xff"), MaxImageTokens},
		"png, empty":               {png("\x00\x00\x00\x00\x00\x00\x00\x64"), MaxImageTokens},
		"png, cut":                 {png("\x00\x00\x02"), MaxImageTokens},
		"gif":                      {"GIF89a\xee\x02\x64\x00", 100},
		"jpeg":                     {"\xff\xd8\xff\xc0\x00\x11\x08\x00\x64\x02\xee\x03", 100},
		"jpeg behind two previews": {"\xff\xd8" + preview + preview + "\xff\xc2\x00\x11\x08\x00\x64\x02\xee\x03", 100},
		"jpeg without a frame":     {"\xff\xd8\xff\xd9", MaxImageTokens},
		"webp, extended":           {"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xed\x02\x00\x63\x00\x00", 100},
		"webp, lossless":           {"RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f\xed\xc2\x18\x00" + "\x00\x00\x00\x00\x00", 100},
		"webp, lossy":              {"RIFF\x00\x00\x00\x00WEBPVP8 \x00\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\xee\x02\x64\x00", 100},
		"nothing known":            {"what", MaxImageTokens},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, ImageTokens([]byte(tc.data)))
			require.Equal(t, tc.want, inJSON(t, []byte(tc.data), false).ImageTokens())
		})
	}
}

// What media count must not depend on how they arrive.
func TestMediaCountAlikeAsBytesAndInJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := rapid.SampledFrom([]string{"", "\xff\xd8", "\x89PNG", "GIF8", "%PDF-1.7 /Type /Page ", "RIFF\x00\x00\x00\x00WEBP"}).Draw(t, "head")
		data := append([]byte(head), rapid.SliceOf(rapid.Byte()).Draw(t, "data")...)
		text := inJSON(t, data, rapid.Bool().Draw(t, "escaped"))
		require.EqualValues(t, len(data), text.Bytes())
		require.Equal(t, ImageTokens(data), text.ImageTokens())
		for _, format := range []string{"pdf", "docx", "txt", ""} {
			require.Equal(t, DocumentTokens(format, data), text.DocumentTokens(format))
		}
	})
}

func TestLifetimes(t *testing.T) {
	for name, want := range map[string]time.Duration{
		"5m": FiveMinutes, "1h": time.Hour, "30m": 30 * time.Minute, "24h": 24 * time.Hour,
		"300s": 0, "30m0s": 0, "0.5h": 0, "5m0s": 0, "-5m": 0, "soon": 0, "": 0, "5": 0,
	} {
		require.Equal(t, want, Lifetime(name), name)
	}
}

type fields string

func (f fields) MarshalSmithyDocument() ([]byte, error) {
	if f == "" {
		return nil, errors.New("can't be serialised")
	}
	return []byte(f), nil
}

// settingsOnly is a sink for nothing but settings.
type settingsOnly struct {
	Sink
	told []string
}

func (s *settingsOnly) Setting(name, value string) { s.told = append(s.told, name+"="+value) }

func TestReadFields(t *testing.T) {
	read := func(f fields) (s settingsOnly, misplaced []string) {
		ReadFields(f, &s, func(field string) { misplaced = append(misplaced, field) })
		return s, misplaced
	}
	s, misplaced := read(`{"thinking":{"type":"enabled"},"top_k":5,"effort":null,"cachePoint":{},"note":"cache_control"}`)
	require.Equal(t, []string{`thinking={"type":"enabled"}`}, s.told)
	require.Equal(t, []string{"cachePoint"}, misplaced)
	for _, f := range []fields{"", "[1]", `{"top_k"`, "12"} {
		s, misplaced := read(f)
		require.Empty(t, s.told, f)
		require.Empty(t, misplaced, f)
	}
}

func TestMediaTypes(t *testing.T) {
	for mediaType, want := range map[string][2]string{
		"": {"", ""}, "application/pdf": {"document", "pdf"}, "text/markdown": {"document", "md"}, "text/csv": {"document", "csv"},
		"image/png": {"image", "png"}, "video/mp4": {"video", "mp4"}, "application/zip": {"application", "zip"},
		"Application/PDF ; name=a": {"document", "pdf"}, " image/JPEG": {"image", "jpeg"}, "application/json;charset=utf-8": {"document", "txt"},
	} {
		kind, format := MediaType(mediaType)
		require.Equal(t, want, [2]string{kind, format}, mediaType)
	}
}
