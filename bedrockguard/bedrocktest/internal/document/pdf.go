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
	seen := make(map[int]bool)
	for _, o := range f.objects {
		// The root of the page tree is the node without a /Parent.
		if pdfPages.Match(o.value) && !bytes.Contains(o.value, []byte("/Parent")) {
			f.walk(o, nil, 0, func(number int, page *pdfObject, inherited []byte) {
				seen[number] = true
				pages = append(pages, f.pageText(page, inherited))
			})
		}
	}
	for number, o := range f.objects { // pages that are not in any tree
		if !seen[number] && pdfPage.Match(o.value) {
			pages = append(pages, f.pageText(o, nil))
		}
	}
	return pages
}

// read finds all objects in the file, unpacks their streams, and adds the objects that are packed in object streams.
func (f *pdfFile) read(raw []byte) {
	for _, at := range pdfBegin.FindAllSubmatchIndex(raw, -1) {
		number, _ := strconv.Atoi(string(raw[at[2]:at[3]]))
		body := raw[at[1]:]
		if end := bytes.Index(body, []byte("endobj")); end >= 0 {
			body = body[:end]
		}
		o := &pdfObject{value: body}
		if i := bytes.Index(body, []byte("stream")); i >= 0 {
			o.value = body[:i]
			data := bytes.TrimPrefix(bytes.TrimPrefix(body[i+len("stream"):], []byte("\r")), []byte("\n"))
			// The last one ends the stream: the data may have the word, too.
			if end := bytes.LastIndex(data, []byte("endstream")); end >= 0 {
				data = data[:end]
			}
			o.stream = unpacked(o.value, data)
		}
		// A file that was changed has the new version of an object further on, which replaces the old one.
		f.objects[number] = o
	}
	for _, o := range f.objects {
		if pdfPacked.Match(o.value) {
			f.unpackObjects(o)
		}
	}
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

// unpackObjects reads an object stream: /N pairs of a number and an offset, and from the byte /First on the objects. An object that the file also
// has by itself keeps that value.
func (f *pdfFile) unpackObjects(o *pdfObject) {
	count, first := entryInt(o.value, "/N"), entryInt(o.value, "/First")
	if first <= 0 || first > len(o.stream) {
		return
	}
	pairs := bytes.Fields(o.stream[:first])
	for i := 0; i+1 < len(pairs) && i < 2*count; i += 2 {
		number, _ := strconv.Atoi(string(pairs[i]))
		begin, _ := strconv.Atoi(string(pairs[i+1]))
		// The end of an object is the offset of the next one, in the next pair; the last one ends with the stream.
		end := len(o.stream) - first
		if i+3 < len(pairs) {
			end, _ = strconv.Atoi(string(pairs[i+3]))
		}
		if begin >= 0 && begin <= end && first+end <= len(o.stream) {
			if _, known := f.objects[number]; !known {
				f.objects[number] = &pdfObject{value: o.stream[first+begin : first+end]}
			}
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
	contents := entry(page.value, "/Contents")
	numbers := f.references(contents)
	// A single reference without a stream is to the array of the content streams.
	if len(numbers) == 1 && f.objects[numbers[0]] != nil && f.objects[numbers[0]].stream == nil {
		numbers = f.references(f.objects[numbers[0]].value)
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
	if refs := f.references(resources); len(refs) == 1 && !bytes.Contains(resources, []byte("<<")) && f.objects[refs[0]] != nil {
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

// entry returns the value of a dictionary's entry: an array, a dictionary, or the bytes before the next name.
func entry(dict []byte, key string) []byte {
	for at := 0; ; {
		i := bytes.Index(dict[at:], []byte(key))
		if i < 0 {
			return nil
		}
		rest := dict[at+i+len(key):]
		at += i + len(key)
		if len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n[</("), rest[0]) < 0 {
			continue // the key is only a part of a longer one
		}
		rest = bytes.TrimLeft(rest, " \t\r\n")
		switch {
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

// literal writes the string in parentheses at the beginning of s, and returns how many bytes it takes. Parentheses inside of it may be nested;
// after a backslash there are up to three octal digits of a byte, or a character that stands for itself.
func literal(out *strings.Builder, s []byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			i++
			if i >= len(s) {
				return i
			}
			n := 0
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			if n > 0 {
				v, _ := strconv.ParseUint(string(s[i:i+n]), 8, 16)
				out.WriteRune(rune(byte(v)))
				i += n - 1
				continue
			}
			// The letters n, r and t after a backslash, which mean control characters, are written as letters.
			out.WriteByte(s[i])
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

// hexadecimal writes a string of hexadecimal digits. Zero bytes, such as the first of two-byte characters, are left out.
func hexadecimal(out *strings.Builder, digits []byte) {
	for i := 0; i+1 < len(digits); i += 2 {
		if v, err := strconv.ParseUint(string(digits[i:i+2]), 16, 8); err == nil && v > 0 {
			out.WriteRune(rune(v))
		}
	}
}
