package tokens

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// packed is a PDF stream object with its bytes deflated.
func packed(number int, dict, content string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(content))
	_ = z.Close()
	return fmt.Sprintf("%d 0 obj\n<<%s /Filter /FlateDecode /Length %d>>\nstream\n%s\nendstream\nendobj\n", number, dict, b.Len(), b.String())
}

func page(contents string) string { return "<</Type /Page /Contents " + contents + ">>\n" }

// words is a content stream that writes so many words, each of them two tokens or fewer.
func words(n int) string {
	return "BT /F1 1 Tf " + strings.Repeat("(lorem) Tj ", n) + "ET"
}

func boundOf(t *testing.T, format string, data []byte, provider string) int64 {
	t.Helper()
	b := DocumentBlock(format, data)
	n, ok := blockBound(&b, LimitsFor(provider))
	require.True(t, ok)
	return n
}

// TestPDFTextIsBoundedWhateverItsPageHolds: a page of a poster has the text of many pages of print.
func TestPDFTextIsBoundedWhateverItsPageHolds(t *testing.T) {
	poster := "%PDF-1.7\n" + page("4 0 R") + packed(4, "", words(40_000))
	assert.GreaterOrEqual(t, boundOf(t, "pdf", []byte(poster), "anthropic"), int64(40_000))
	sheet := "%PDF-1.7\n" + page("4 0 R") + packed(4, "", words(300))
	assert.Equal(t, int64(6000+5000), boundOf(t, "pdf", []byte(sheet), "anthropic"), "a page of print")
	hex := "%PDF-1.7\n" + page("4 0 R") + packed(4, "", "BT "+strings.Repeat("<006c006f00720065006d> Tj ", 40_000)+"ET")
	assert.GreaterOrEqual(t, boundOf(t, "pdf", []byte(hex), "anthropic"), int64(40_000))
	plain := "%PDF-1.7\n" + page("4 0 R") + "4 0 obj <</Length 9>>\nstream\n" + words(40_000) + "\nendstream endobj"
	assert.GreaterOrEqual(t, boundOf(t, "pdf", []byte(plain), "anthropic"), int64(40_000))
}

// TestPDFTextThatPagesShareCountsForEach: the bytes stand once, the tokens on every page.
func TestPDFTextThatPagesShareCountsForEach(t *testing.T) {
	const pages, each = 10, 20_000
	for name, file := range map[string]string{
		"one stream":      strings.Repeat(page("4 0 R"), pages) + packed(4, "", words(each)),
		"arrays":          strings.Repeat(page("[4 0 R 5 0 R]"), pages) + packed(4, "", words(each)) + packed(5, "", "q Q"),
		"in one array":    page("["+strings.Repeat("4 0 R ", pages)+"]") + packed(4, "", words(each)),
		"a shared array":  strings.Repeat(page("7 0 R"), pages) + "7 0 obj [4 0 R] endobj\n" + packed(4, "", words(each)),
		"a drawn form":    page("4 0 R") + packed(4, "", strings.Repeat("/Fm0 Do ", pages)+words(1)) + packed(5, "/Subtype /Form", words(each)),
		"forms in a form": page("4 0 R") + packed(4, "", "/Fm0 Do ") + packed(5, "/Subtype /Form", strings.Repeat("/Fm1 Do ", pages)) + packed(6, "/Subtype /Form", words(each)),
	} {
		t.Run(name, func(t *testing.T) {
			assert.GreaterOrEqual(t, boundOf(t, "pdf", []byte("%PDF-1.7\n"+file), "anthropic"), int64(pages*each))
		})
	}
}

// TestPDFWithPackedObjectsIsMeasured: most writers pack the pages, and the whole context window would be asked for one page.
func TestPDFWithPackedObjectsIsMeasured(t *testing.T) {
	file := "%PDF-1.5\n" + packed(9, "/Type /ObjStm /N 2 /First 10", "1 0 2 30 "+page("4 0 R")+"<</Type /Pages /Count 1>>") + packed(4, "", words(100))
	pages, ok := PDFPages([]byte(file))
	assert.True(t, ok)
	assert.Equal(t, 1, pages)
	assert.Equal(t, int64(6000+5000), boundOf(t, "pdf", []byte(file), "anthropic"))
	for name, bad := range map[string]string{
		"damaged":         strings.Replace(file, "stream\nx", "stream\nyy", 1),
		"packed twice":    "%PDF-1.5\n" + page("4 0 R") + strings.Replace(packed(4, "", words(1)), "/Filter /FlateDecode", "/Filter [/ASCII85Decode /FlateDecode]", 1),
		"of unknown make": "%PDF-1.5\n" + page("4 0 R") + strings.Replace(packed(4, "", words(1)), "/FlateDecode", "/Crypt", 1),
		"encrypted":       file + "/Encrypt 5 0 R",
	} {
		if bad == file {
			continue
		}
		_, ok = PDFPages([]byte(bad))
		assert.False(t, ok, name)
	}
}

// TestPDFThatUnpacksToTooMuchIsUnknown: a bomb is not unpacked to its end.
func TestPDFThatUnpacksToTooMuchIsUnknown(t *testing.T) {
	_, ok := PDFPages([]byte("%PDF-1.5\n" + page("4 0 R") + packed(4, "", strings.Repeat(" ", maxUnpackedBytes+1))))
	assert.False(t, ok)
}

func zipFile(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range parts {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// TestSharedStringsCountInEveryCell: a workbook holds each text once, and the reader of its cells sees it as often as it is shown.
func TestSharedStringsCountInEveryCell(t *testing.T) {
	long := strings.Repeat("word ", 400)
	for name, format := range map[string][2]string{
		"plain":       {`<sst><si><t>short</t></si><si><t>` + long + `</t></si></sst>`, `<row>` + strings.Repeat(`<c r="A1" t="s"><v>1</v></c>`, 300) + `</row>`},
		"name spaces": {`<x:sst><x:si><x:t>short</x:t></x:si><x:si><x:t>` + long + `</x:t></x:si></x:sst>`, `<x:row>` + strings.Repeat(`<x:c t='s' r="A1"><x:v>1</x:v></x:c>`, 300) + `</x:row>`},
		"unreadable":  {`<sst><si><t>short</t></si><si><t>` + long + `</t></si></sst>`, `<row>` + strings.Repeat(`<c r="A1" t="s"><v xml:space="preserve">one</v></c>`, 300) + `</row>`},
	} {
		t.Run(name, func(t *testing.T) {
			data := zipFile(t, map[string]string{"xl/sharedStrings.xml": format[0], "xl/worksheets/sheet1.xml": format[1]})
			assert.GreaterOrEqual(t, boundOf(t, "xlsx", data, "anthropic"), int64(300*len(long)))
		})
	}
	data := zipFile(t, map[string]string{"xl/sharedStrings.xml": `<sst><si><t>short</t></si><si><t>` + long + `</t></si></sst>`, "xl/worksheets/sheet1.xml": `<c t="s"><v>0</v></c>`})
	assert.Less(t, boundOf(t, "xlsx", data, "anthropic"), int64(2*len(long)), "a cell counts as what it shows")
}

// TestPicturesInsideDocumentsCount where the family reads them, as often as they are shown.
func TestPicturesInsideDocumentsCount(t *testing.T) {
	parts := map[string]string{"word/document.xml": `<w:t>hello</w:t>` + strings.Repeat(`<a:blip r:embed="rId4"/>`, 40), "word/media/image1.png": "png"}
	data := zipFile(t, parts)
	assert.GreaterOrEqual(t, boundOf(t, "docx", data, "amazon"), 40*anyLimits.Image.MaxTokens)
	assert.Less(t, boundOf(t, "docx", data, "anthropic"), int64(2000))
	broken := DocumentBlock("docx", data[:len(data)/2])
	_, ok := blockBound(&broken, LimitsFor("amazon"))
	assert.False(t, ok)
}

// TestOfficeTextCountsInWhateverPartItIs: a reader finds the parts by their relationships, and not by their names.
func TestOfficeTextCountsInWhateverPartItIs(t *testing.T) {
	long := strings.Repeat("word ", 20_000)
	document, wide := `<w:t>`+long+`</w:t>`, utf16LE(`<w:t>`+strings.Repeat("\u4e2d", 20_000)+`</w:t>`)
	strs, cells := `<sst><si><t>`+long+`</t></si></sst>`, strings.Repeat(`<c r="A1" t="s"><v>0</v></c>`, 20)
	for name, tt := range map[string]struct {
		format string
		parts  map[string]string
		want   int
	}{
		"another name":              {"docx", map[string]string{"[Content_Types].xml": "<Types/>", "word/document.dat": document}, len(long)},
		"capitals":                  {"docx", map[string]string{"[Content_Types].xml": "<Types/>", "word/document.XML": document}, len(long)},
		"among the pictures":        {"docx", map[string]string{"[Content_Types].xml": "<Types/>", "word/media/image1.png": document}, len(long)},
		"a page that is taken in":   {"docx", map[string]string{"word/document.xml": `<w:altChunk r:id="rId1"/>`, "word/chunk.html": "<p>" + long + "</p>"}, len(long)},
		"two bytes for a character": {"docx", map[string]string{"word/document.xml": wide}, 3 * 20_000},
		"an old code page":          {"docx", map[string]string{"word/document.xml": `<?xml version="1.0" encoding="windows-874"?><w:t>` + strings.Repeat("\xa1", 20_000) + `</w:t>`}, 3 * 20_000},
		"strings of another name":   {"xlsx", map[string]string{"xl/texts.xml": strs, "xl/worksheets/sheet1.xml": cells}, 20 * len(long)},
		"a sheet of another name":   {"xlsx", map[string]string{"xl/sharedStrings.xml": strs, "xl/page1.xml": cells}, 20 * len(long)},
		"white space in the cells":  {"xlsx", map[string]string{"xl/sharedStrings.xml": strs, "xl/worksheets/sheet1.xml": strings.Repeat("<c r=\"A1\" t =\n\"s\"><v>0</v></c>", 20)}, 20 * len(long)},
		"cells of two bytes":        {"xlsx", map[string]string{"xl/sharedStrings.xml": utf16LE(strs), "xl/worksheets/sheet1.xml": utf16LE(cells)}, 20 * len(long)},
		"an old name for a new one": {"doc", map[string]string{"word/document.xml": document}, len(long)},
		"the same of a workbook":    {"xls", map[string]string{"xl/sharedStrings.xml": strs, "xl/worksheets/sheet1.xml": cells}, 20 * len(long)},
	} {
		t.Run(name, func(t *testing.T) {
			assert.GreaterOrEqual(t, boundOf(t, tt.format, zipFile(t, tt.parts), "anthropic"), int64(tt.want))
		})
	}
	for name, parts := range map[string]map[string]string{
		"text that its own definitions make longer": {"word/document.xml": `<!DOCTYPE d [<!ENTITY a "` + long + `">]><w:t>&a;&a;</w:t>`},
		"binary sheets": {"xl/workbook.bin": "\x83\x01\x00", "xl/worksheets/sheet1.bin": "\x81\x01\x00", "[Content_Types].xml": "<Types/>"},
	} {
		b := DocumentBlock("xlsx", zipFile(t, parts))
		_, ok := blockBound(&b, LimitsFor("anthropic"))
		assert.False(t, ok, name)
	}
	assert.EqualValues(t, 21, DocumentBlock("txt", []byte("PKs are primary keys.")).Bytes)
	fonts := zipFile(t, map[string]string{"word/document.xml": `<w:t>hello</w:t>`, "word/fonts/font1.odttf": strings.Repeat("\x00\x01\xff", 50_000), "word/media/image1.png": "\x89PNG\r\n\x1a\n" + strings.Repeat("\x00\xff", 50_000)})
	assert.Less(t, boundOf(t, "docx", fonts, "anthropic"), int64(1000), "what is no text has none")
}

// TestTextDocumentsCountInWhateverEncodingTheyAre: one byte of an old code page can be three bytes, and so three tokens.
func TestTextDocumentsCountInWhateverEncodingTheyAre(t *testing.T) {
	for name, data := range map[string]string{
		"an old code page":        strings.Repeat("\xa1", 20_000),
		"two bytes, with a mark":  utf16LE(strings.Repeat("\u4e2d", 20_000)),
		"two bytes, without one":  utf16LE(strings.Repeat("\u4e2d ", 20_000))[2:],
		"escapes to another page": "\x1b$B" + strings.Repeat("Cf", 20_000) + "\x1b(B",
	} {
		for _, format := range []string{"txt", "md", "csv", "html"} {
			assert.GreaterOrEqual(t, boundOf(t, format, []byte(data), "meta"), int64(3*20_000), "%s: %s", format, name)
		}
	}
}

// TestDocumentOfAnotherFormatIsUnknown: a reader that goes by how the data begin unpacks them.
func TestDocumentOfAnotherFormatIsUnknown(t *testing.T) {
	packed := zipFile(t, map[string]string{"word/document.xml": strings.Repeat("word ", 20_000)})
	for _, format := range []string{"txt", "md", "csv", "html"} {
		for _, data := range [][]byte{packed, []byte("%PDF-1.5\n"), []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")} {
			b := DocumentBlock(format, data)
			_, ok := blockBound(&b, LimitsFor("anthropic"))
			assert.False(t, ok, format)
		}
	}
	for _, format := range []string{"doc", "xls"} {
		b := DocumentBlock(format, []byte("%PDF-1.5\n"))
		_, ok := blockBound(&b, LimitsFor("anthropic"))
		assert.False(t, ok, format)
	}
}

// utf16LE encodes a text with two bytes for each character, behind a byte order mark.
func utf16LE(text string) string {
	b := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return string(b)
}
