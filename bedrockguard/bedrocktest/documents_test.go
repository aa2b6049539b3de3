package bedrocktest

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/document"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range files {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestCellsOfAWorkbookAreExpanded(t *testing.T) {
	text, ok := document.ReadXlsx(zipped(t, map[string]string{
		"xl/sharedStrings.xml":     `<sst><si><t>alpha</t></si><si><r><t>be</t></r><r><t>ta</t></r></si></sst>`,
		"xl/worksheets/sheet1.xml": `<worksheet><sheetData><row><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1"><v>12.5</v></c><c t="inlineStr"><is><t>own</t></is></c></row><row><c t="s"><v>0</v></c></row></sheetData></worksheet>`,
	}))
	require.True(t, ok)
	assert.Equal(t, "alpha\tbeta\t12.5\town\talpha\t", text)
}

func TestPicturesOfADocumentAreReadByNova(t *testing.T) {
	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 1000, 1000))))
	text, pictures, ok := document.ReadDocx(zipped(t, map[string]string{
		"word/document.xml":     `<w:document xmlns:w="w" xmlns:a="a"><w:body><w:p><w:r><w:t>one &amp; two</w:t></w:r></w:p><w:p><a:blip/><a:blip/></w:p></w:body></w:document>`,
		"word/media/image1.png": picture.String(),
	}))
	require.True(t, ok)
	assert.Equal(t, "one & two\n\n", text)
	require.Len(t, pictures, 2, "each use of a picture")
	m, _, _, _ := modeltable.Lookup(novaPro, nil)
	assert.Equal(t, 1_000_000/375, modeltable.ImageTokens(m, pictures[0]))
}

// pdfOf puts objects, numbered from 1, into a file.
func pdfOf(objects ...string) []byte {
	var b strings.Builder
	b.WriteString("%PDF-1.7\n")
	for i, o := range objects {
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	return []byte(b.String() + "%%EOF")
}

func deflated(dict, content string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(content))
	_ = z.Close()
	return fmt.Sprintf("<<%s /Filter /FlateDecode /Length %d>>\nstream\n%s\nendstream", dict, b.Len(), b.String())
}

func TestTextOfAPDF(t *testing.T) {
	const show = "BT (Hello \\(you\\)\\051) Tj [(a) -3 (b)] TJ <4869> Tj ET"
	const shown = "Hello (you))\nab\nHi\n"
	const pages = "<</Type /Pages /Kids [3 0 R 4 0 R] /Count 2>>"
	for name, tc := range map[string]struct {
		file []byte
		want []string
	}{
		"plain":            {pdfOf("<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R]>>", "<</Type /Page /Parent 2 0 R /Contents 4 0 R>>", "<<>>\nstream\n"+show+"\nendstream"), []string{shown}},
		"deflated, shared": {pdfOf("<</Type /Catalog /Pages 2 0 R>>", pages, "<</Type /Page /Parent 2 0 R /Contents 5 0 R>>", "<</Type /Page /Parent 2 0 R /Contents [5 0 R 5 0 R]>>", deflated("", show)), []string{shown, shown + shown}},
		"in an object stream": {pdfOf("<</Type /Catalog /Pages 10 0 R>>", deflated("/Type /ObjStm /N 2 /First 12",
			"10 0 11 31  <</Type /Pages /Kids [11 0 R]>><</Type /Page /Parent 10 0 R /Contents 3 0 R>>"), deflated("", show)), []string{shown}},
		"a page that the tree names twice": {pdfOf("<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R 3 0 R]>>", "<</Type /Page /Parent 2 0 R /Contents 4 0 R>>", deflated("", show)), []string{shown, shown}},
		"a form drawn twice": {pdfOf("<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R] /Resources <</XObject <</F1 5 0 R>>>>>>", "<</Type /Page /Parent 2 0 R /Contents 4 0 R>>",
			deflated("", "/F1 Do /F1 Do"), deflated("/Subtype /Form", show)), []string{shown + shown}},
		"no PDF": {[]byte("nothing"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := document.ReadPDF(tc.file)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "\n\n", "\n")
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestImagesAreCountedByPixels(t *testing.T) {
	claude, _, _, _ := modeltable.Lookup(opus46, nil)
	large, _, _, _ := modeltable.Lookup(sonnet5, nil)
	nova, _, _, _ := modeltable.Lookup(novaPro, nil)
	assert.Equal(t, modeltable.MaxImageTokens, modeltable.ImageTokens(claude, "no image"))
	assert.Equal(t, modeltable.MaxLargeImageTokens, modeltable.ImageTokens(large, "no image"))
	assert.Equal(t, modeltable.MaxOtherImageTokens, modeltable.ImageTokens(nova, "no image"))
}

// TestDocumentsAreOnTheBill by what they unpack to, in both forms that a request has.
func TestDocumentsAreOnTheBill(t *testing.T) {
	sheet := zipped(t, map[string]string{
		"xl/sharedStrings.xml":     `<sst><si><t>` + strings.Repeat("a", 1000) + `</t></si></sst>`,
		"xl/worksheets/sheet1.xml": `<worksheet>` + strings.Repeat(`<c t="s"><v>0</v></c>`, 50) + `</worksheet>`,
	})
	server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
	p := ask(sonnet5).user(say("q"))
	p.in.Messages[0].Content = append(p.in.Messages[0].Content, &types.ContentBlockMemberDocument{Value: types.DocumentBlock{
		Name: aws.String("d"), Format: types.DocumentFormatXlsx, Source: &types.DocumentSourceMemberBytes{Value: sheet},
	}})
	converse(t, server, p)
	assert.EqualValues(t, 5+1+50*1001+dialects.OfficeFrame, server.Inferences()[0].InputTokens)
	page := pdfOf("<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R]>>", "<</Type /Page /Parent 2 0 R /Contents 4 0 R>>", deflated("", "(abc) Tj"))
	body, err := json.Marshal(map[string]any{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": []any{map[string]any{"role": "user", "content": []any{
		map[string]any{"type": "document", "source": map[string]any{"type": "base64", "media_type": "application/pdf", "data": page}},
	}}}})
	require.NoError(t, err)
	assert.EqualValues(t, 4+len("abc\n")+modeltable.MaxLargeImageTokens+180, inputOf(t, sonnet5, string(body)))
}
