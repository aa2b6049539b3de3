package tokens

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
)

// maxUnpackedBytes bounds how much of one file is unpacked to measure it. A file that unpacks to more has an unknown size.
const maxUnpackedBytes = 64 << 20

// Words of the PDF format: objects are numbered, and one refers to another as "7 0 R". Pages are objects in a tree, whose nodes list their children
// in /Kids and tell how many pages are below them in /Count. A page's /Contents are streams that draw its text. A form is a stream that pages and
// other forms draw by " Do". An object stream holds other objects, packed.

// pdfSize is what measurePDF finds.
type pdfSize struct {
	pages int
	text  int64 // the most tokens that the text of all pages can have
}

// measurePDF counts the pages of a PDF and bounds their text. It returns false if encryption hides them, if a stream uses an unknown
// compression, if the file unpacks to too much, and if it finds no page. It does not parse the file: it reads its bytes once, and the
// unpacked bytes of each stream.
//
// The text is in the strings of content streams. They count two tokens for each byte, because a byte may stand for several letters, and one
// for the gap after each string. Streams that several pages share, and forms that are drawn repeatedly, count as often as they can be used.
func measurePDF(data []byte) (pdfSize, bool) {
	if !bytes.Contains(data[:min(len(data), 1024)], []byte("%PDF-")) || bytes.Contains(data, []byte("/Encrypt")) {
		return pdfSize{}, false
	}
	m := pdfMeter{left: maxUnpackedBytes, contents: map[int]int{}}
	// First the parts that are not packed; what object streams hold is searched when they are unpacked.
	m.structure(data)
	if !m.streams(data) {
		return pdfSize{}, false
	}
	notUnpacked := bytes.Count(data, []byte("/ObjStm")) - m.packed // object streams in which there may be pages
	if m.objects == 0 || notUnpacked > 0 {
		return pdfSize{}, false
	}
	// An outline has a /Count as well, which can only raise the number. A count that is larger than the file has bytes is wrong, and cut to that.
	return pdfSize{pages: max(m.objects, min(m.declared, len(data))), text: m.total()}, true
}

// pdfMeter adds up what is found in the parts of one PDF.
type pdfMeter struct {
	left   int64 // how many bytes may still be unpacked
	packed int   // object streams that were unpacked

	objects  int // page objects
	declared int // the largest page count that a page tree declares

	contents map[int]int // by object number: of how many pages the object is the content
	listed   int         // the most times that one array refers to the same object
	kids     int         // the most times that one node of the page tree refers to the same page

	text   int64 // tokens that the text of all content streams can have, each shown once
	forms  int64 // the same for all forms
	draws  int64 // how often content streams draw a form or a picture
	nested int64 // how often forms draw another form or a picture
}

// total returns the bound on the text of all pages. Which page shows what is not known, so each text counts as often as any can be shown: the
// text of all content streams as often as the most used one, and that of all forms as often as all uses of forms together.
func (m *pdfMeter) total() int64 {
	shows := m.contentShows()
	// Any form may be the one that is drawn by all content streams, as often as these are shown, and by all forms. It counts at least once, even if
	// nothing is found to draw it.
	drawn := mulSat(m.forms, addSat(mulSat(max(m.draws, 1), shows), m.nested))
	// A form that draws others may itself be drawn so often, and these with it.
	return addSat(mulSat(m.text, shows), mulSat(drawn, m.nested+1))
}

// contentShows returns how often the content stream that is shown most often can be shown, at least 1.
func (m *pdfMeter) contentShows() int64 {
	pages := 1 // that have the same content stream
	for _, n := range m.contents {
		pages = max(pages, n)
	}
	inOnePage := max(m.listed, 1) // a page's array of contents may have the same one repeatedly
	// A page to which the tree refers several times shows its content so often. Declared pages that were not found show the content of one that was
	// found: the division, rounded up, is how many declared pages there are for each one found.
	declaredForEach := (min(m.declared, maxPDFPages) + m.objects - 1) / max(m.objects, 1)
	ofOnePage := max(m.kids, declaredForEach, 1)
	return mulSat(mulSat(int64(pages), int64(inOnePage)), int64(ofOnePage))
}

// structure searches for pages, page counts and the pages' contents in objects that are not packed: in the file, or in an object stream that was
// unpacked.
func (m *pdfMeter) structure(data []byte) {
	m.dictionaries(data)
	m.arrayObjects(data)
}

// dictionaries searches for the entries of dictionaries that tell of pages: /Type /Page, and /Count, /Kids and /Contents with their values.
func (m *pdfMeter) dictionaries(data []byte) {
	for rest := data; ; {
		i := bytes.IndexByte(rest, '/')
		if i < 0 {
			return
		}
		rest = rest[i+1:]
		switch {
		case bytes.HasPrefix(rest, []byte("Type")) && isPDFName(pdfSpace(rest[len("Type"):]), "/Page"):
			m.objects++
		case bytes.HasPrefix(rest, []byte("Count")):
			m.declared = max(m.declared, pdfInt(pdfSpace(rest[len("Count"):])))
		case bytes.HasPrefix(rest, []byte("Kids")):
			if value := pdfSpace(rest[len("Kids"):]); len(value) > 0 && value[0] == '[' {
				m.kids = max(m.kids, mostRepeated(value))
			}
		case bytes.HasPrefix(rest, []byte("Contents")):
			m.addContents(pdfSpace(rest[len("Contents"):]))
		}
	}
}

// arrayObjects searches for arrays that are objects of their own, to which pages can refer as their contents.
func (m *pdfMeter) arrayObjects(data []byte) {
	for rest := data; ; {
		i := bytes.Index(rest, []byte("obj"))
		if i < 0 {
			return
		}
		rest = rest[i+len("obj"):]
		if value := pdfSpace(rest); len(value) > 0 && value[0] == '[' {
			m.listed = max(m.listed, mostRepeated(value))
		}
	}
}

// arrays looks, in an unpacked object stream, for the array that refers to one object most often. There the beginnings of objects are not marked, so
// any array may be a page's contents or the children of a node.
func (m *pdfMeter) arrays(data []byte) {
	for rest := data; ; {
		i := bytes.IndexByte(rest, '[')
		if i < 0 {
			return
		}
		most := mostRepeated(rest[i:])
		m.listed, m.kids = max(m.listed, most), max(m.kids, most)
		rest = rest[i+1:]
	}
}

// maxPDFPages is the largest page count of a tree that is used: more than in any file that the service accepts.
const maxPDFPages = 100_000

// addContents adds what a page has under /Contents: a reference to an object, or an array of references.
func (m *pdfMeter) addContents(value []byte) {
	if len(value) > 0 && value[0] == '[' {
		m.listed = max(m.listed, mostRepeated(value))
		// The page counts once for each object in its array; that the array may have an object repeatedly is in m.listed.
		for n := range references(value) {
			m.contents[n]++
		}
		return
	}
	m.contents[pdfInt(value)]++
}

// mostRepeated returns how often an array refers to the object to which it refers most often. array begins with the bracket.
func mostRepeated(array []byte) (most int) {
	for _, n := range references(array) {
		most = max(most, n)
	}
	return most
}

// references counts how often each object number is in an array of references such as [7 0 R 8 0 R], which begins with the bracket. The number of an
// object comes two words before its R.
func references(array []byte) map[int]int {
	array = array[:min(len(array), maxArrayBytes)]
	if end := bytes.IndexByte(array, ']'); end >= 0 {
		array = array[:end]
	}
	found := map[int]int{}
	words := bytes.Fields(array[1:])
	for i := 2; i < len(words); i++ {
		if words[i][0] == 'R' {
			found[pdfInt(words[i-2])]++
		}
	}
	return found
}

// maxArrayBytes bounds how far the end of an array is searched: some five thousand references.
const maxArrayBytes = 1 << 16

// pdfStream returns the dictionary and the packed bytes of the stream whose keyword is at start; and false if the word there is no keyword, because
// no dictionary comes before it.
func pdfStream(data []byte, start int) (dict, body []byte, ok bool) {
	before := bytes.TrimRight(data[:start], "\x00\t\n\f\r ")
	if !bytes.HasSuffix(before, []byte(">>")) {
		return nil, nil, false
	}
	// The dictionary is what stands between the object's beginning, "7 0 obj", and the keyword.
	if i := bytes.LastIndex(before, []byte("obj")); i >= 0 {
		dict = before[i:]
	} else {
		dict = before
	}
	body = data[start+len("stream"):]
	body = bytes.TrimPrefix(bytes.TrimPrefix(body, []byte("\r")), []byte("\n"))
	if end := bytes.Index(body, []byte("endstream")); end >= 0 {
		body = body[:end]
	}
	return dict, body, true
}

// streams adds all streams of a file that are not in another one, and returns false if one of them can't be measured.
func (m *pdfMeter) streams(data []byte) bool {
	for at := 0; ; {
		i := bytes.Index(data[at:], []byte("stream"))
		if i < 0 {
			return true
		}
		start := at + i
		at = start + len("stream")
		if dict, body, ok := pdfStream(data, start); ok && !m.stream(dict, body) {
			return false
		}
	}
}

// hasNoPageText reports whether a stream with this dictionary can't draw text on a page: it is an image, which counts with its page, a font, a table
// of the file's objects, or data about the file.
func hasNoPageText(dict []byte) bool {
	switch {
	case hasName(dict, "/Subtype", "/Image"), hasName(dict, "/Type", "/XRef"), hasName(dict, "/Type", "/Metadata"):
		return true
	// Fonts, by their format or by an entry that only they have.
	case hasName(dict, "/Subtype", "/Type1C"), hasName(dict, "/Subtype", "/CIDFontType0C"), hasName(dict, "/Subtype", "/OpenType"),
		bytes.Contains(dict, []byte("/FontFile")), bytes.Contains(dict, []byte("/Length1")):
		return true
	default:
		return false
	}
}

// stream adds one stream, by what its dictionary says that it is, and returns false if it can't be measured.
func (m *pdfMeter) stream(dict, body []byte) bool {
	if hasNoPageText(dict) {
		return true
	}
	plain, ok := m.unpack(dict, body)
	if !ok {
		return false
	}
	if hasName(dict, "/Type", "/ObjStm") {
		m.packed++
		m.structure(plain)
		m.arrays(plain)
		return true
	}
	text, draws := contentText(plain)
	if hasName(dict, "/Subtype", "/Form") {
		m.forms, m.nested = addSat(m.forms, text), m.nested+draws
	} else {
		m.text, m.draws = addSat(m.text, text), m.draws+draws
	}
	return true
}

// unpack returns the uncompressed bytes of a stream, and takes them off m.left. It returns false for any filter but one FlateDecode, for damaged
// data, and if more than m.left was unpacked. A stream that is cut short counts as far as it goes.
func (m *pdfMeter) unpack(dict, body []byte) ([]byte, bool) {
	if !bytes.Contains(dict, []byte("/Filter")) {
		m.left -= int64(len(body))
		return body, m.left >= 0
	}
	// /Fl is the short form of the filter's name.
	flate := bytes.Contains(dict, []byte("/FlateDecode")) || bytes.Contains(dict, []byte("/Fl "))
	// The names of filters end with "Decode", and each /DecodeParms holds that word as well: more of them mean a second filter.
	second := bytes.Count(dict, []byte("Decode")) > 1+bytes.Count(dict, []byte("/DecodeParms"))
	if !flate || second {
		return nil, false
	}
	z, err := zlib.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	defer z.Close()
	plain, err := io.ReadAll(io.LimitReader(z, m.left+1))
	m.left -= int64(len(plain))
	return plain, (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) && m.left >= 0
}

// hasName reports whether a dictionary has an entry with a name as its value, such as /Type /Page.
func hasName(dict []byte, key, name string) bool {
	for rest := dict; ; {
		i := bytes.Index(rest, []byte(key))
		if i < 0 {
			return false
		}
		rest = rest[i+len(key):]
		if isPDFName(pdfSpace(rest), name) {
			return true
		}
	}
}

// isPDFName reports whether b begins with a name such as /Page, and not with a longer one such as /Pages.
func isPDFName(b []byte, name string) bool {
	if !bytes.HasPrefix(b, []byte(name)) {
		return false
	}
	return len(b) == len(name) || bytes.IndexByte(pdfDelimiters, b[len(name)]) >= 0
}

// pdfDelimiters are the characters that end a name: white space, and those that begin or end something else.
var pdfDelimiters = []byte("\x00\t\n\f\r ()<>[]{}/%")

// showsText reports whether a content stream may have one of the operators that show text: Tj, TJ, ' and ".
func showsText(s []byte) bool {
	return bytes.Contains(s, []byte("Tj")) || bytes.Contains(s, []byte("TJ")) || bytes.IndexByte(s, '\'') >= 0 || bytes.IndexByte(s, '"') >= 0
}

// contentText bounds the tokens of the text that a content stream shows, and counts its uses of forms and images. Strings are in parentheses, or
// hexadecimal in angle brackets.
func contentText(s []byte) (text, draws int64) {
	draws = int64(bytes.Count(s, []byte(" Do")))
	if !showsText(s) {
		return 0, draws
	}
	var inside, strings int64 // bytes in strings, and how many strings
	for i := 0; i < len(s); {
		switch s[i] {
		case '(':
			n := literalString(s[i:])
			inside, strings = inside+int64(n), strings+1
			i += n
		case '<':
			end := bytes.IndexByte(s[i:], '>')
			if end < 0 { // a string that is not closed goes on to the end
				end = len(s) - i
			}
			// Two digits are a byte. The "<<" of a dictionary counts as a string too, which only raises the bound.
			inside, strings = inside+int64(end+1)/2, strings+1
			i += max(end, 1)
		default:
			i++
		}
	}
	return addSat(2*inside, strings), draws
}

// literalString returns the length of the string at the beginning of s, including its parentheses. Parentheses in it are balanced or escaped. A
// string that is not closed goes on to the end of s.
func literalString(s []byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}
