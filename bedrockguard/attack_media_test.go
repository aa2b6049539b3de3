package bedrockguard_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// draws draws the parts of a campaign. Sizes come from rapid, which leans to small ones; choices that have to be even come from a
// generator of their own, whose seed rapid draws.
type draws struct {
	t        *rapid.T
	even     *rand.Rand
	features []string
	memory   []attackCall // calls that can be made again
	// surprising says that answers can come from what nobody could know. The service is healthy then: of an answer that is lost
	// nobody learns what it cost.
	surprising bool
	bare       bool     // the call has hardly any text, so that nothing hides what else it is billed for
	focus      []string // features that a bare call has for certain, while others are rare
	replaced   bool     // other models answer
	guarded    bool     // a guardrail is enforced
}

func newDraws(t *rapid.T) *draws {
	seeds := rapid.SliceOfN(rapid.Uint64(), 2, 2).Draw(t, "seeds")
	return &draws{t: t, even: rand.New(rand.NewPCG(seeds[0], seeds[1]))}
}

// size draws a number from lo to hi, mostly near lo.
func (d *draws) size(lo, hi int) int { return rapid.IntRange(lo, hi).Draw(d.t, "size") }

// turns draws how many messages a conversation has: an odd number, because the user speaks first and last.
func (d *draws) turns() int {
	if d.bare {
		return 1
	}
	return 2*d.size(0, 5) + 1
}

func (d *draws) chance(percent int) bool { return d.even.IntN(100) < percent }

// feature notes a feature of the call if it is drawn, and reports whether it was.
func (d *draws) feature(name string, percent int) bool {
	if d.bare {
		percent /= 3
	}
	drawn := d.chance(percent) || slices.Contains(d.focus, name)
	if drawn {
		d.note(name)
	}
	return drawn
}

func (d *draws) note(name string) {
	for _, f := range d.features {
		if f == name {
			return
		}
	}
	d.features = append(d.features, name)
}

// one picks one of several, evenly.
func one[T any](d *draws, all ...T) T { return all[d.even.IntN(len(all))] }

// text draws a text of one of the kinds that tokenizers treat differently. It is never empty.
func (d *draws) text() string {
	if d.bare {
		return one(d, "q", "why?", "12", "so", "é")
	}
	n := d.size(1, 300)
	switch {
	case d.chance(12):
		n = d.size(300, 6000)
	case d.feature("a long text", 1):
		n = 30_000 + d.size(0, 100_000)
	}
	kind := one(d, "prose", "digits", "base32", "spaces", "emoji", "script", "escapes", "code")
	d.note("text of " + kind)
	var b strings.Builder
	for b.Len() < n {
		d.word(&b, kind)
	}
	return b.String()
}

// word writes a few characters of a kind.
func (d *draws) word(b *strings.Builder, kind string) {
	switch kind {
	case "prose":
		b.WriteString(one(d, "spending ", "on a model ", "is easy to start, ", "hard to stop. ", "The invoice ", "comes later; "))
	case "digits":
		fmt.Fprintf(b, "%d", d.even.Uint64())
	case "base32":
		for range 16 {
			b.WriteByte("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[d.even.IntN(32)])
		}
	case "spaces":
		b.WriteString(one(d, " ", "  ", "\n", "\t", "\n\n    ", "                "))
	case "emoji":
		b.WriteString(one(d, "👍", "👩‍👩‍👧‍👦", "🇪🇺", "🧪", "❤️"))
	case "script":
		b.WriteString(one(d, "деньги уходят ", "お金は消える", "钱花完了", "ราคา", "ገንዘብ", "הוצאה ", "पैसा "))
	case "escapes":
		b.WriteString(one(d, "\"", "\\", "\u0001", "<b>", "&amp;", "\u2028", "\r\n", "\x7f", "/"))
	default:
		b.WriteString(one(d, "func f(x int) {\n\t", "return x<<2\n}\n", "if err != nil {", "[]map[string]any{{\"k\": 1}},", "// TODO\n"))
	}
}

// picture draws an image of an odd size; only its header is real.
func (d *draws) picture() []byte {
	if d.feature("an image that can't be read", 5) {
		return []byte("\x89PNG\r\n\x1a\nno image")
	}
	width, height := one(d, 1, 7, 27, 200, 999, 1568, 3000, 8000), one(d, 1, 29, 300, 1023, 2576, 5000)
	return pngHeader(width, height)
}

// pngHeader is a PNG of the size without its pixels.
func pngHeader(width, height int) []byte {
	chunk := []byte("IHDR")
	chunk = binary.BigEndian.AppendUint32(chunk, uint32(width))
	chunk = binary.BigEndian.AppendUint32(chunk, uint32(height))
	chunk = append(chunk, 8, 2, 0, 0, 0)
	out := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13)
	return binary.BigEndian.AppendUint32(append(out, chunk...), crc32.ChecksumIEEE(chunk))
}

const inFormat = "a document in "

// document draws a document and its format.
func (d *draws) document() (format string, data []byte) {
	format = one(d, "txt", "md", "csv", "html", "pdf", "pdf", "docx", "xlsx")
	if slices.Contains(d.focus, "citations") {
		format = one(d, "txt", "md", "html")
	}
	for _, f := range d.focus {
		if wanted, ok := strings.CutPrefix(f, inFormat); ok {
			format = wanted
		}
	}
	d.note(inFormat + format)
	switch format {
	case "csv":
		return format, []byte(strings.Repeat(fmt.Sprintf("%d,%d\n", d.even.IntN(1e9), d.even.IntN(10)), d.size(1, 200)))
	case "html":
		return format, []byte("<html><body><p>" + d.text() + "</p></body></html>")
	case "pdf":
		return format, d.pdf()
	case "docx":
		return format, d.docx()
	case "xlsx":
		return format, d.xlsx()
	default:
		return format, []byte(d.text())
	}
}

// pdf draws a PDF: plain or deflated, its pages in an object stream or not, with content that is shown once or many times.
func (d *draws) pdf() []byte {
	lines, box := d.size(1, 60), ""
	if d.feature("a PDF that is a poster", 15) {
		lines, box = 4000, " /MediaBox [0 0 2384 3370]"
	}
	content := d.content(lines)
	dict := ""
	if d.chance(60) {
		dict, content = " /Filter /FlateDecode", deflate(content)
	}
	stream := func(more, data string) string {
		return fmt.Sprintf("<<%s /Length %d>>\nstream\n%s\nendstream", more, len(data), data)
	}
	file := map[int]string{1: "<</Type /Catalog /Pages 2 0 R>>", 100: stream(dict, content)}
	objects := map[int]string{}
	pages, uses := one(d, 1, 2, 6), d.size(2, 6)
	shows, kids := "100 0 R", ""
	ways := []string{"shared", "listed", "listed apart", "forms", "nested forms", "named again", "once", "once"}
	if d.bare {
		ways = ways[:6]
	}
	switch way := one(d, ways...); way {
	case "once": // each page has content of its own
		for i := range pages {
			file[101+i] = file[100]
		}
		shows = ""
	case "shared":
		d.note("a PDF whose pages share a stream")
	case "listed":
		shows = "[" + strings.Repeat("100 0 R ", uses) + "]"
	case "listed apart":
		objects[60], shows = "["+strings.Repeat("100 0 R ", uses)+"]", "60 0 R"
	case "forms", "nested forms":
		d.note("a PDF with forms")
		file[99], file[100] = stream("", strings.Repeat("/F Do ", uses)), stream(" /Type /XObject /Subtype /Form"+dict, content)
		shows, box = "99 0 R", box+" /Resources <</XObject <</F 100 0 R>>>>"
		if way == "nested forms" {
			file[98] = stream(" /Type /XObject /Subtype /Form /Resources <</XObject <</F 100 0 R>>>>", strings.Repeat("/F Do ", uses))
			box = strings.Replace(box, "/F 100 0 R", "/F 98 0 R", 1)
		}
	default:
		d.note("a PDF that names a page again")
		kids = strings.Repeat("10 0 R ", uses)
	}
	for i := range pages {
		at := shows
		if at == "" {
			at = fmt.Sprintf("%d 0 R", 101+i)
		}
		kids += fmt.Sprintf("%d 0 R ", 10+i)
		objects[10+i] = fmt.Sprintf("<</Type /Page /Parent 2 0 R /Contents %s%s>>", at, box)
	}
	objects[2] = fmt.Sprintf("<</Type /Pages /Kids [%s] /Count %d>>", strings.TrimSpace(kids), strings.Count(kids, "R"))
	if d.feature("a PDF with object streams", 30) {
		file[50] = objectStream(objects)
	} else {
		maps.Copy(file, objects)
	}
	var b strings.Builder
	b.WriteString("%PDF-1.7\n")
	for _, number := range slices.Sorted(maps.Keys(file)) {
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", number, file[number])
	}
	b.WriteString("trailer\n<</Root 1 0 R>>\n%%EOF")
	return []byte(b.String())
}

// content draws the content stream of a page, with its text in one of the forms that a string has.
func (d *draws) content(lines int) string {
	line := one(d, "(word ) Tj", "(12345 ) Tj", "(x) Tj", "(a\\)\\(b) Tj", "(\\344\\366) Tj", "<576f7264> Tj", "[(w) -20 (o) 3 (rd)] TJ", "(word) '") + "\n"
	return "BT\n" + strings.Repeat(line, lines) + "ET"
}

// objectStream packs objects by number into one stream.
func objectStream(objects map[int]string) string {
	var index, body strings.Builder
	for _, number := range slices.Sorted(maps.Keys(objects)) {
		fmt.Fprintf(&index, "%d %d ", number, body.Len())
		body.WriteString(objects[number] + " ")
	}
	content := deflate(index.String() + body.String())
	return fmt.Sprintf("<</Type /ObjStm /N %d /First %d /Filter /FlateDecode /Length %d>>\nstream\n%s\nendstream", len(objects), index.Len(), len(content), content)
}

func deflate(content string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(content)) // a buffer takes everything
	_ = z.Close()
	return b.String()
}

func (d *draws) docx() []byte {
	files := map[string]string{}
	var body strings.Builder
	for range d.size(1, 30) {
		body.WriteString(`<w:p><w:r><w:t>spending &amp; more</w:t></w:r></w:p>`)
	}
	if d.feature("pictures in a docx", 50) {
		for i := range d.size(1, 4) {
			files[fmt.Sprintf("word/media/image%d.png", i)] = string(d.picture())
		}
		for range d.size(1, 8) {
			body.WriteString(`<w:p><w:drawing><a:blip r:embed="rId1"/></w:drawing></w:p>`)
		}
	}
	files["word/document.xml"] = `<w:document xmlns:w="w" xmlns:a="a" xmlns:r="r"><w:body>` + body.String() + `</w:body></w:document>`
	return zipFiles(files)
}

func (d *draws) xlsx() []byte {
	var cells strings.Builder
	for i := range one(d, 1, 10, 40, 200) {
		fmt.Fprintf(&cells, `<c r="A%d" t="s"><v>0</v></c>`, i+1)
	}
	return zipFiles(map[string]string{
		"xl/sharedStrings.xml":     `<sst><si><t>` + strings.Repeat("word ", one(d, 1, 10, 200)) + `</t></si></sst>`,
		"xl/worksheets/sheet1.xml": `<worksheet><sheetData><row>` + cells.String() + `</row></sheetData></worksheet>`,
	})
}

func zipFiles(files map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range files {
		w, err := z.Create(name)
		if err == nil {
			_, _ = w.Write([]byte(content)) // a buffer takes everything
		}
	}
	_ = z.Close()
	return b.Bytes()
}
