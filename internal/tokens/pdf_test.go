package tokens

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// object is a PDF object that is not a stream.
func object(number int, value string) string {
	return fmt.Sprintf("%d 0 obj %s endobj\n", number, value)
}

// pageWith is a page that draws what its resources call by names, such as "/Fm0 5 0 R".
func pageWith(contents, drawn string) string {
	return "<</Type /Page /Contents " + contents + " /Resources <</XObject <<" + drawn + ">>>>>>\n"
}

// form is a form that draws what its resources call by names.
func form(number int, drawn, content string) string {
	return packed(number, "/Subtype /Form /Resources <</XObject <<"+drawn+">>>>", content)
}

func deflated(content string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(content))
	_ = z.Close()
	return b.String()
}

// stored is content in a zlib stream that does not compress it, so that a word of the file's format can stand in it.
func stored(content string) string {
	var b bytes.Buffer
	b.WriteString("\x78\x01")
	z, _ := flate.NewWriter(&b, flate.NoCompression)
	_, _ = z.Write([]byte(content))
	_ = z.Close()
	return b.String()
}

// TestPDFTextIsFoundWhereverAFileHidesIt: whoever writes the file is not whoever pays for reading it. A file whose text can't be bounded is unknown, and
// counts as the whole context window.
func TestPDFTextIsFoundWhereverAFileHidesIt(t *testing.T) {
	const n = 40_000
	bomb := pageWith("4 0 R", "/Fm0 10 0 R") + packed(4, "", strings.Repeat("/Fm0 Do ", 10))
	for level := range 5 { // each form draws the next one ten times
		bomb += form(10+level, fmt.Sprintf("/Fm0 %d 0 R", 11+level), strings.Repeat("/Fm0 Do ", 10))
	}
	bomb += form(15, "", words(1))
	ownArrays := ""
	for i := range 10 {
		ownArrays += page(fmt.Sprintf("%d 0 R", 20+i)) + object(20+i, "[4 0 R]")
	}
	annotations := page("4 0 R") + packed(4, "", words(1)) + form(5, "", words(n/100))
	for i := range 100 {
		annotations += object(100+i, "<</Type /Annot /AP <</N 5 0 R>>>>")
	}
	for name, file := range map[string]string{
		"called a font":             page("4 0 R") + packed(4, "/Length1 1", words(n)),
		"called an embedded font":   page("4 0 R") + packed(4, "/X /FontFile", words(n)),
		"called data":               page("4 0 R") + packed(4, "/Type /Metadata", words(n)),
		"called an image":           page("4 0 R") + packed(4, "/Subtype /Image", words(n)),
		"one of several, an image":  page("[3 0 R 4 0 R]") + packed(3, "", "q Q") + packed(4, "/Subtype /Image", words(n)),
		"in an array, an image":     page("7 0 R") + object(7, "[4 0 R]") + packed(4, "/Subtype /Image", words(n)),
		"a packed array, an image":  packed(9, "/Type /ObjStm /N 2 /First 10", "1 0 7 40  "+fmt.Sprintf("%-40s", page("7 0 R"))+"[4 0 R]") + packed(4, "/Subtype /Image", words(n)),
		"a form and an image":       pageWith("4 0 R", "/Fm0 5 0 R") + packed(4, "", "/Fm0 Do") + packed(5, "/Subtype /Image /Subtype /Form", words(n)),
		"the operator in the next":  page("[4 0 R 5 0 R]") + packed(4, "", "BT ("+strings.Repeat("lorem ", n)+")") + packed(5, "", "Tj ET"),
		"a text in three parts":     page("[4 0 R 5 0 R 6 0 R]") + packed(4, "", "BT (") + packed(5, "", strings.Repeat("lorem ", n)) + packed(6, "", ") Tj ET"),
		"a form on a line":          pageWith("4 0 R", "/Fm0 5 0 R") + packed(4, "", strings.Repeat("/Fm0\nDo\n", 10)) + form(5, "", words(n/10)),
		"a form behind a comment":   pageWith("4 0 R", "/Fm0 5 0 R") + packed(4, "", strings.Repeat("/Fm0%x\nDo\n", 10)) + form(5, "", words(n/10)),
		"a form behind a long one":  pageWith("4 0 R", "/Fm0 5 0 R") + packed(4, "", strings.Repeat("/Fm0%"+strings.Repeat("x", 1000)+"\nDo\n", 10)) + form(5, "", words(n/10)),
		"a form across two parts":   pageWith("[4 0 R 6 0 R]", "/Fm0 5 0 R") + packed(4, "", "q /Fm0 %x") + packed(6, "", "Do Q") + form(5, "", words(n)),
		"a comment of 255 bytes":    pageWith("4 0 R", "/Fm0 5 0 R") + packed(4, "", "/Fm0 %"+strings.Repeat("x", 253)+"\nDo") + form(5, "", words(n)),
		"a form by another name":    pageWith("4 0 R", "/Fm0 5 0 R") + packed(4, "", strings.Repeat("/F#6d0 Do ", 10)) + form(5, "", words(n/10)),
		"forms that multiply":       bomb,
		"a form that draws itself":  pageWith("4 0 R", "/Fm0 5 0 R") + packed(4, "", "/Fm0 Do") + form(5, "/Fm0 5 0 R", words(1)+" /Fm0 Do"),
		"forms of another object":   page("4 0 R") + packed(4, "", strings.Repeat("/Fm0 Do ", 10)) + object(8, "<</XObject 9 0 R>>") + object(9, "<</Fm0 5 0 R>>") + form(5, "", words(n/10)),
		"an array for each page":    ownArrays + packed(4, "", words(n/10)),
		"a very long array":         page("["+strings.Repeat("4 0 R ", n)+"]") + packed(4, "", words(1)),
		"comments in the array":     page("["+strings.Repeat("4 0%x\nR ", 10)+"]") + packed(4, "", words(n/10)),
		"annotations that look so":  annotations,
		"a comment before stream":   page("4 0 R") + strings.Replace(packed(4, "", words(n)), "\nstream", "%x\nstream", 1),
		"a name in code":            page("4 0 R") + strings.Replace(packed(4, "", words(n)), "/Filter", "/F#69lter", 1),
		"a page in code":            page("3 0 R") + "<</Type /P#61ge /Contents 4 0 R>>\n" + packed(3, "", "") + packed(4, "", words(n)),
		"obj in the dictionary":     page("4 0 R") + strings.Replace(packed(4, "", words(n)), "/Length", "/X (obj) /Length", 1),
		"obj as a value":            page("4 0 R") + strings.Replace(packed(4, "", words(n)), "/Length", "/X /obj /Length", 1),
		"an end in the middle":      page("4 0 R") + fmt.Sprintf("4 0 obj<</Filter /FlateDecode /Length 5 0 R>>\nstream\n%s\nendstream\nendobj\n", stored("q Q endstream endobj "+words(n))),
		"an end in plain text":      page("4 0 R") + "4 0 obj<</Length 5 0 R>>\nstream\nq Q endstream endobj " + words(n) + "\nendstream\nendobj\n",
		"packed twice, short names": page("4 0 R") + strings.Replace(packed(4, "", deflated(words(n))), "/Filter /FlateDecode", "/Filter [/FlateDecode /Fl]", 1),
		"differences":               page("4 0 R") + packed(4, "/DecodeParms <</Predictor 12>>", words(n)),
		"differences, elsewhere":    page("4 0 R") + packed(4, "/DecodeParms 9 0 R", words(n)) + object(9, "<</Predictor 12>>"),
	} {
		t.Run(name, func(t *testing.T) {
			size, ok := measurePDF([]byte("%PDF-1.7\n" + file))
			assert.True(t, !ok || size.text >= n, "%d tokens", size.text)
		})
	}
}

// TestPDFFormsCountAsOftenAsTheyAreDrawn: figures are forms in forms, and a bound that lets any form be drawn by any other one is a hundred times the text.
func TestPDFFormsCountAsOftenAsTheyAreDrawn(t *testing.T) {
	const figures, each = 30, 50
	file, drawn, names := "", "", ""
	for i := range figures {
		outer, inner := 100+2*i, 101+2*i
		drawn += fmt.Sprintf("/Fm%d Do ", i)
		names += fmt.Sprintf("/Fm%d %d 0 R ", i, outer)
		file += form(outer, fmt.Sprintf("/Fm0 %d 0 R", inner), words(1)+" /Fm0 Do /Fm0 Do ") + form(inner, "/Im0 9 0 R", words(each)+strings.Repeat("/Im0 Do ", 5))
	}
	file += packed(9, "/Subtype /Image", "pixels")
	size, ok := measurePDF([]byte("%PDF-1.7\n" + pageWith("4 0 R", names) + packed(4, "", drawn) + file))
	require.True(t, ok)
	once := boundOfWords(each)
	assert.GreaterOrEqual(t, size.text, int64(figures)*2*once)
	assert.LessOrEqual(t, size.text, int64(figures)*6*once)
}

// boundOfWords is what one content stream of so many words counts.
func boundOfWords(n int) int64 {
	text, _ := contentText([]byte(words(n)))
	return text
}

// TestPDFTablesAreNoText: the bytes of a colour table or a font have brackets, too.
func TestPDFTablesAreNoText(t *testing.T) {
	size, ok := measurePDF([]byte("%PDF-1.7\n" + page("4 0 R") + packed(4, "", words(3)) + packed(5, "/N 4", strings.Repeat("('Tj) ", 10_000)) + packed(6, "/Length1 9", words(1000))))
	require.True(t, ok)
	assert.Equal(t, boundOfWords(3), size.text)
}
