// Package document reads what a model gets of a file: the text of PDF pages, Word documents and workbooks, the size of a picture and the length
// of a film.
package document

import (
	"bytes"
	"compress/zlib"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// A PDF consists of numbered objects ("12 0 obj ... endobj"), which refer to each other by number ("12 0 R"). An object is a dictionary, an array
// or another value; a stream is a dictionary followed by data, such as the content of a page. A form is content that pages draw by a name ("/Name
// Do"), and an object stream has further objects packed in its data. The page tree has nodes (/Pages) with children (/Kids), down to the pages
// (/Page).

// pdfFile has the parts of a PDF that its text needs: objects by number, each with its dictionary or value and its unpacked stream.
type pdfFile struct {
	objects map[int]*pdfObject
}

// pdfObject is one object of the file.
type pdfObject struct {
	value  []byte // the bytes between obj and endobj, without the stream
	stream []byte // unpacked; nil if there is none, or if it can't be unpacked
}

// These patterns find the beginning of an object, a reference to one, the types of objects, and the drawing of a form. Their groups are the number of
// the object, or the name of the form.
var (
	pdfBegin     = regexp.MustCompile(`(\d+)\s+\d+\s+obj\b`)
	pdfReference = regexp.MustCompile(`(\d+)\s+\d+\s+R\b`)
	pdfPage      = regexp.MustCompile(`/Type\s*/Page\b`)
	pdfPages     = regexp.MustCompile(`/Type\s*/Pages\b`)
	pdfPacked    = regexp.MustCompile(`/Type\s*/ObjStm\b`)
	pdfDraw      = regexp.MustCompile(`/([^\s/\[\]<>()]+)\s+Do\b`)
)

// ReadPDF returns the text of each page, in the order of the page tree. It reads plain and deflated streams, objects in object streams,
// content that pages share, and text in forms that a page draws, but nothing that is encrypted. It returns nothing for a file of another
// kind.
func ReadPDF(raw []byte) []string {
	f := &pdfFile{objects: make(map[int]*pdfObject)}
	f.read(raw)
	var pages []string
	inTree := make(map[int]bool) // by the number of the page
	for _, o := range f.objects {
		root := pdfPages.Match(o.value) && !bytes.Contains(o.value, []byte("/Parent")) // every other node of a page tree has a parent
		if root {
			f.walk(o, nil, 0, func(number int, page *pdfObject, inherited []byte) {
				inTree[number] = true
				pages = append(pages, f.pageText(page, inherited))
			})
		}
	}
	for number, o := range f.objects {
		if !inTree[number] && pdfPage.Match(o.value) {
			pages = append(pages, f.pageText(o, nil))
		}
	}
	return pages
}

// read finds all objects in the file, unpacks their streams, and adds the objects that are packed in object streams.
func (f *pdfFile) read(raw []byte) {
	for _, at := range pdfBegin.FindAllSubmatchIndex(raw, -1) {
		// at[0] and at[1] are where the match begins and ends, at[2] and at[3] where the number in it does.
		number, _ := strconv.Atoi(string(raw[at[2]:at[3]]))
		body := raw[at[1]:]
		if end := bytes.Index(body, []byte("endobj")); end >= 0 {
			body = body[:end]
		}
		// A file that was changed has the new version of an object further on, which replaces the old one.
		f.objects[number] = newObject(body)
	}
	for _, o := range f.objects {
		if pdfPacked.Match(o.value) {
			f.unpackObjects(o)
		}
	}
}

// newObject splits the bytes of an object into its value and its stream, if it has one.
func newObject(body []byte) *pdfObject {
	begin := bytes.Index(body, []byte("stream"))
	if begin < 0 {
		return &pdfObject{value: body}
	}
	value := body[:begin]
	data := bytes.TrimPrefix(bytes.TrimPrefix(body[begin+len("stream"):], []byte("\r")), []byte("\n"))
	// The last endstream ends the stream: the data may have the word, too.
	if end := bytes.LastIndex(data, []byte("endstream")); end >= 0 {
		data = data[:end]
	}
	return &pdfObject{value: value, stream: unpacked(value, data)}
}

// unpacked inflates a stream if its dictionary says that it is deflated. For other compressions it returns no text.
func unpacked(dict, data []byte) []byte {
	if !bytes.Contains(dict, []byte("/Filter")) {
		return data
	}
	// Each filter is tried as if it were deflate: data in another form do not begin like a deflated stream.
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	defer z.Close()
	// Of damaged data the part before the damage counts.
	plain, _ := io.ReadAll(io.LimitReader(z, maxUnpacked))
	return plain
}

// unpackObjects reads an object stream: /N pairs of a number and an offset, and from the byte /First on the objects, from whose first byte the
// offsets count. An object that the file also has by itself keeps that value.
func (f *pdfFile) unpackObjects(o *pdfObject) {
	count, first := entryInt(o.value, "/N"), entryInt(o.value, "/First")
	if first <= 0 || first > len(o.stream) {
		return
	}
	pairs, objects := bytes.Fields(o.stream[:first]), o.stream[first:]
	for i := 0; i+1 < len(pairs) && i < 2*count; i += 2 {
		number, _ := strconv.Atoi(string(pairs[i]))
		begin, _ := strconv.Atoi(string(pairs[i+1]))
		// The end of an object is the offset of the next one, in the next pair; the last one ends with the stream.
		end := len(objects)
		if i+3 < len(pairs) {
			end, _ = strconv.Atoi(string(pairs[i+3]))
		}
		_, known := f.objects[number]
		if !known && begin >= 0 && begin <= end && end <= len(objects) {
			f.objects[number] = &pdfObject{value: objects[begin:end]}
		}
	}
}

// maxTree bounds how deep a page tree, and forms inside of forms, are followed.
const maxTree = 16

// walk calls visit with the number, the object and the inherited resources of each page below the node o of the page tree, once for each time
// that the page is in the tree. A page without resources of its own has those of the nodes above it.
func (f *pdfFile) walk(o *pdfObject, inherited []byte, depth int, visit func(int, *pdfObject, []byte)) {
	if r := entry(o.value, "/Resources"); r != nil {
		inherited = r
	}
	for _, kid := range f.references(entry(o.value, "/Kids")) {
		switch child := f.objects[kid]; {
		case child == nil || depth > maxTree:
		case pdfPages.Match(child.value):
			f.walk(child, inherited, depth+1, visit)
		default:
			visit(kid, child, inherited)
		}
	}
}

// pageText returns the text that a page shows: that of its content streams, which count as one, and of the forms that they draw.
func (f *pdfFile) pageText(page *pdfObject, inherited []byte) string {
	resources := entry(page.value, "/Resources")
	if resources == nil {
		resources = inherited
	}
	numbers := f.references(entry(page.value, "/Contents"))
	// If there is one reference, to an object without a stream, that object is an array with the references to the content streams.
	if len(numbers) == 1 {
		if only := f.objects[numbers[0]]; only != nil && only.stream == nil {
			numbers = f.references(only.value)
		}
	}
	var content []byte
	for _, number := range numbers {
		if o := f.objects[number]; o != nil {
			content = append(append(content, o.stream...), '\n')
		}
	}
	var out strings.Builder
	f.show(&out, content, resources, 0)
	return out.String()
}

// show writes the text of a content stream, and of the forms that it draws. resources is the dictionary with the forms by name, or a reference to
// it; depth is how many forms the content is in.
func (f *pdfFile) show(out *strings.Builder, content, resources []byte, depth int) {
	writeStrings(out, content)
	if depth >= maxTree || !bytes.Contains(content, []byte("Do")) {
		return
	}
	isDictionary := bytes.Contains(resources, []byte("<<"))
	if refs := f.references(resources); !isDictionary && len(refs) == 1 && f.objects[refs[0]] != nil {
		resources = f.objects[refs[0]].value
	}
	for _, m := range pdfDraw.FindAllSubmatch(content, -1) {
		named := f.references(entry(resources, "/"+string(m[1])))
		if len(named) == 0 {
			continue
		}
		if form := f.objects[named[0]]; form != nil && bytes.Contains(form.value, []byte("/Form")) {
			// The form's dictionary holds its resources, and entry finds a name at any depth in it.
			f.show(out, form.stream, form.value, depth+1)
		}
	}
}

// references returns the numbers of the objects to which a value refers.
func (f *pdfFile) references(value []byte) (numbers []int) {
	for _, m := range pdfReference.FindAllSubmatch(value, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		numbers = append(numbers, n)
	}
	return numbers
}

// entry returns the value of a dictionary's entry: an array, a dictionary, or the bytes before the next name; nil if there is no such entry.
func entry(dict []byte, key string) []byte {
	rest := behindKey(dict, key)
	switch {
	case rest == nil:
		return nil
	case bytes.HasPrefix(rest, []byte("<<")):
		return rest[:balanced(rest)]
	case bytes.HasPrefix(rest, []byte("[")):
		if end := bytes.IndexByte(rest, ']'); end >= 0 {
			return rest[:end+1]
		}
		return rest
	default:
		if end := bytes.IndexAny(rest, "/>"); end >= 0 {
			return rest[:end]
		}
		return rest
	}
}

// behindKey returns what follows a key in a dictionary, from its value on; nil without the key. A place where the key is only the beginning of a
// longer one is no key: after it comes neither white space nor the beginning of a value.
func behindKey(dict []byte, key string) []byte {
	for {
		at := bytes.Index(dict, []byte(key))
		if at < 0 {
			return nil
		}
		dict = dict[at+len(key):]
		if len(dict) > 0 && bytes.IndexByte([]byte(" \t\r\n[</("), dict[0]) >= 0 {
			return bytes.TrimLeft(dict, " \t\r\n")
		}
	}
}

// balanced returns the length of the dictionary at the beginning of b.
func balanced(b []byte) int {
	depth := 0
	for i := 0; i+1 < len(b); i++ {
		switch string(b[i : i+2]) {
		case "<<":
			depth++
			i++
		case ">>":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

// entryInt returns the value of a dictionary's entry as an integer; 0 if it is none.
func entryInt(dict []byte, key string) int {
	n, _ := strconv.Atoi(string(bytes.TrimSpace(entry(dict, key))))
	return n
}

// writeStrings writes the strings of a content stream: those in parentheses and those of hexadecimal digits in angle brackets. The operators Tj
// and TJ, which show text, end a line. Bytes are read as Latin-1.
func writeStrings(out *strings.Builder, content []byte) {
	for i := 0; i < len(content); {
		switch c := content[i]; {
		case c == '(':
			i += literal(out, content[i:])
		case c == '<' && i+1 < len(content) && content[i+1] != '<':
			end := bytes.IndexByte(content[i:], '>')
			if end < 0 {
				return
			}
			hexadecimal(out, content[i+1:i+end])
			i += end + 1
		case c == 'T' && i+1 < len(content) && (content[i+1] == 'j' || content[i+1] == 'J'):
			out.WriteByte('\n')
			i += 2
		// << or >> begins or ends a dictionary: both characters are stepped over.
		case c == '<' || c == '>':
			i += 2
		default:
			i++
		}
	}
}

// literal writes the string in parentheses at the beginning of s, and returns how many bytes it takes: all of s if its end is missing. Parentheses
// inside of it may be nested; depth is how many are open.
func literal(out *strings.Builder, s []byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			i += escape(out, s[i+1:])
		case '(':
			if depth++; depth > 1 {
				out.WriteByte(c)
			}
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
			out.WriteByte(c)
		default:
			out.WriteRune(rune(c))
		}
	}
	return len(s)
}

// escape writes what the bytes after a backslash stand for: a byte, if they are up to three octal digits, or else the first of them itself. It
// returns how many bytes it has taken. The letters n, r and t, which mean control characters, are written as letters.
func escape(out *strings.Builder, after []byte) int {
	if len(after) == 0 {
		return 0
	}
	digits := 0
	for digits < min(3, len(after)) && after[digits] >= '0' && after[digits] <= '7' {
		digits++
	}
	if digits == 0 {
		out.WriteByte(after[0])
		return 1
	}
	v, _ := strconv.ParseUint(string(after[:digits]), 8, 16)
	out.WriteRune(rune(byte(v))) // three digits can be more than a byte, whose highest bit is then lost
	return digits
}

// hexadecimal writes a string of hexadecimal digits. Zero bytes, such as the first of two-byte characters, are left out.
func hexadecimal(out *strings.Builder, digits []byte) {
	for i := 0; i+1 < len(digits); i += 2 {
		if v, err := strconv.ParseUint(string(digits[i:i+2]), 16, 8); err == nil && v > 0 {
			out.WriteRune(rune(v))
		}
	}
}
