package tokens

import (
	"bytes"
	"cmp"
	"compress/flate"
	"errors"
	"io"
	"slices"
	"strings"
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

// measurePDF counts the pages of a PDF and bounds their text. It returns false if encryption hides them, if a stream uses an unknown compression, if
// the file unpacks to too much, if it finds no page, and if the words of the file do not make sense. It does not build the file's tree: it reads all
// objects from front to back, whether anything refers to them or not.
//
// The text is in the strings of content streams. They count two tokens for each byte, because a byte may stand for several letters, and one
// for the gap after each string. Streams that several pages share, and forms that are drawn repeatedly, count as often as they can be used.
func measurePDF(data []byte) (pdfSize, bool) {
	header := bytes.Index(data[:min(len(data), 1024)], []byte("%PDF-"))
	if header < 0 || bytes.Contains(data, []byte("/Encrypt")) {
		return pdfSize{}, false
	}
	m := newPDFMeter()
	m.structure(data) // of what is not packed; that of object streams is added when they are unpacked
	if !m.readStreams(data[header:]) {
		return pdfSize{}, false
	}
	notUnpacked := bytes.Count(data, []byte("/ObjStm")) - m.unpacked // object streams in which there may be pages
	if m.pages == 0 || notUnpacked > 0 {
		return pdfSize{}, false
	}
	text, ok := m.text()
	// An outline has a /Count as well, which can only raise the number. A count that is larger than the file has bytes is wrong, and cut to that.
	return pdfSize{pages: max(m.pages, min(m.declared, len(data))), text: text}, ok
}

// pdfMeter adds up what is found in the parts of one PDF.
type pdfMeter struct {
	left     int64 // how many bytes may still be unpacked
	unpacked int   // object streams that were unpacked

	pages    int // page objects
	declared int // the largest page count that a page tree declares

	links    *pdfLinks
	contents map[int]*pdfContent // by object number: all streams that were read, but forms
	forms    map[int]*pdfContent // the same for forms
	unread   map[int]bool        // by object number: streams that show no text by their dictionaries
	steps    int                 // calls of formTotal
}

func newPDFMeter() *pdfMeter {
	return &pdfMeter{left: maxUnpackedBytes, links: newPDFLinks(), contents: map[int]*pdfContent{}, forms: map[int]*pdfContent{}, unread: map[int]bool{}}
}

// text returns the bound on the text of all pages, from all streams that were read. It returns false if that can't be told: forms draw each other in a
// circle, or a page shows a stream that was not read.
func (m *pdfMeter) text() (text int64, ok bool) {
	m.links.finish()
	shown, ok := m.shownText()
	if !ok {
		return 0, false
	}
	text = mulSat(shown, m.pageShows())
	for object, c := range m.contents {
		if m.links.shown[object] > 0 || !c.texts {
			continue
		}
		// Nothing is known to show it, as of a pattern and of the glyph of a font. It counts once, if it looks like a content at all: most of these are
		// tables of colours and of characters, in whose bytes there are brackets as well.
		total, ok := m.drawnText(c)
		if !ok {
			return 0, false
		}
		text = addSat(text, total)
	}
	aside, ok := m.asideText()
	return addSat(text, mulSat(aside, m.pageShows())), ok
}

// shownText returns the bound on the text of the streams that pages have as their contents, each as often as pages have it. A page shows a stream
// whatever the stream's own dictionary says that it is. And a content may be cut into several streams between any two words, so that a text stands
// in one and the operator that shows it in the next: with others a stream counts even without an operator.
func (m *pdfMeter) shownText() (text int64, ok bool) {
	for object, times := range m.links.shown {
		if m.unread[object] {
			return 0, false
		}
		for _, c := range [...]*pdfContent{m.contents[object], m.forms[object]} { // there may be both, in two versions of the file
			if c == nil {
				continue
			}
			total, ok := m.drawnText(c)
			if !ok || c.open && m.links.parts[object] { // a string or a name and its operator are cut apart
				return 0, false
			}
			text = addSat(text, mulSat(total, int64(times)))
		}
	}
	return text, true
}

// asideText returns the bound on the text of forms that are shown by other means than by being drawn, above all as what an annotation looks like. A
// form counts as often as anything refers to it, and its own text at least once.
func (m *pdfMeter) asideText() (text int64, ok bool) {
	for object, form := range m.forms {
		total, ok := m.formTotal(object)
		if !ok {
			return 0, false
		}
		text = addSat(text, addSat(form.text, mulSat(total, int64(m.links.uses[object]))))
	}
	return text, true
}

// pageShows returns how often the page that is shown most often can be shown, at least 1. A page to which the tree refers several times is shown so
// often, and declared pages that were not found show one that was: the division, rounded up, is how many declared pages there are for each one found.
func (m *pdfMeter) pageShows() int64 {
	declaredForEach := (min(m.declared, maxPDFPages) + m.pages - 1) / max(m.pages, 1)
	return int64(max(m.links.kids, declaredForEach, 1))
}

// maxPDFPages is the largest page count of a tree that is used: more than in any file that the service accepts.
const maxPDFPages = 100_000

// structure searches bytes for pages and page counts: /Type /Page and /Count.
func (m *pdfMeter) structure(data []byte) {
	for rest := data; ; {
		i := bytes.IndexByte(rest, '/')
		if i < 0 {
			return
		}
		rest = rest[i+1:]
		switch {
		case bytes.HasPrefix(rest, []byte("Type")) && isPDFWord(pdfSpace(rest[len("Type"):]), "/Page"):
			m.pages++
		case bytes.HasPrefix(rest, []byte("Count")):
			m.declared = max(m.declared, pdfInt(pdfSpace(rest[len("Count"):])))
		}
	}
}

// readStreams adds all streams of a file that are not in another one, and the references in all of its objects. It returns false if one of them can't
// be measured.
func (m *pdfMeter) readStreams(data []byte) bool {
	r := pdfReader{data: data, links: m.links}
	for {
		s, more, ok := r.next()
		if !ok || more && !m.stream(&s) {
			return false
		}
		if !more {
			return true
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
func (m *pdfMeter) stream(s *pdfStream) bool {
	form := hasName(s.dict, "/Subtype", "/Form")
	if !form && hasNoPageText(s.dict) {
		m.unread[s.object] = true // which matters if a page shows it all the same
		return true
	}
	plain, ok := m.unpack(s)
	if !ok {
		return false
	}
	if hasName(s.dict, "/Type", "/ObjStm") {
		m.unpacked++
		return m.objectStream(s.dict, plain)
	}
	known := m.contents
	if form {
		known = m.forms
	}
	c := known[s.object]
	if c == nil {
		c = &pdfContent{draws: map[string]int64{}}
		known[s.object] = c
	}
	text, closed := contentText(plain)
	c.open = c.open || !closed || isPDFWord(pdfSpace(plain), "Do")
	c.texts = c.texts || hasPDFWord(plain, "BT") && showsText(plain)
	c.text = addSat(c.text, text)
	if !countDraws(plain, c.draws) {
		m.unread[s.object] = true
		return !form
	}
	return true
}

// objectStream adds the objects in an object stream. It returns false if their words do not make sense.
func (m *pdfMeter) objectStream(dict, plain []byte) bool {
	m.structure(plain)
	// The stream begins with two numbers for each object: that of the object, and where it begins behind the byte that /First tells.
	value, _ := onlyValue(dict, "/First")
	first := min(pdfInt(value), len(plain))
	numbers := bytes.Fields(plain[:first])
	type packedObject struct{ number, from int }
	var objects []packedObject
	for i := 0; i+1 < len(numbers); i += 2 {
		objects = append(objects, packedObject{pdfInt(numbers[i]), min(first+pdfInt(numbers[i+1]), len(plain))})
	}
	slices.SortFunc(objects, func(a, b packedObject) int { return cmp.Compare(a.from, b.from) })
	for i, o := range objects {
		end := len(plain)
		if i+1 < len(objects) {
			end = objects[i+1].from
		}
		if !m.object(o.number, plain[o.from:end]) {
			return false
		}
	}
	return true
}

// object adds one object that is not a stream. It returns false if its words do not make sense.
func (m *pdfMeter) object(number int, data []byte) bool {
	m.links.begin(number)
	for r := (pdfReader{data: data}); ; {
		word, ok := r.word()
		switch {
		case !ok || isEscapedName(word):
			return false
		case word == nil:
			return true
		}
		if !m.links.word(word) {
			return false
		}
	}
}

// unpack returns the uncompressed bytes of a stream, and takes them off m.left. It returns false for any filter but one FlateDecode, for damaged data,
// and if more than m.left was unpacked. A stream that is cut short by the end of the file counts as far as it goes.
func (m *pdfMeter) unpack(s *pdfStream) ([]byte, bool) {
	filter, one := onlyValue(s.dict, "/Filter")
	if !one && !bytes.Contains(s.dict, []byte("/Filter")) {
		m.left -= int64(len(s.body))
		return s.body, m.left >= 0
	}
	if !one || !isFlateAlone(filter) || isPredicted(s.dict) || len(s.body) < 2 {
		return nil, false
	}
	// Two bytes of zlib's header come before the compressed ones; the checksum behind them is often wrong or missing, and readers leave it alone.
	const presetDictionary = 0x20
	if s.body[0]&0x0f != 8 || s.body[1]&presetDictionary != 0 {
		return nil, false
	}
	z := flate.NewReader(bytes.NewReader(s.body[2:]))
	defer z.Close()
	plain, err := io.ReadAll(io.LimitReader(z, m.left+1))
	m.left -= int64(len(plain))
	return plain, (err == nil || errors.Is(err, io.ErrUnexpectedEOF) && !s.complete) && m.left >= 0
}

// isFlateAlone reports whether the value of a /Filter entry is FlateDecode and nothing besides. /Fl is the short form of its name.
func isFlateAlone(filter []byte) bool {
	list := len(filter) > 0 && filter[0] == '['
	if list {
		filter = pdfSpace(filter[1:])
	}
	for _, name := range []string{"/FlateDecode", "/Fl"} {
		if isPDFWord(filter, name) {
			rest := pdfSpace(filter[len(name):])
			return !list || len(rest) > 0 && rest[0] == ']'
		}
	}
	return false
}

// isPredicted reports whether the unpacked bytes may be differences and not the text itself: a dictionary may ask for that by /Predictor, for which 1 is
// none, or refer to parameters that do.
func isPredicted(dict []byte) bool {
	for _, key := range []string{"/DecodeParms", "/DP"} {
		if value, ok := onlyValue(dict, key); ok && len(value) > 0 && value[0] >= '0' && value[0] <= '9' {
			return true
		}
	}
	value, ok := onlyValue(dict, "/Predictor")
	return ok && pdfInt(value) != 1 || !ok && bytes.Contains(dict, []byte("/Predictor"))
}

// hasName reports whether a dictionary has an entry with a name as its value, such as /Type /Page.
func hasName(dict []byte, key, name string) bool {
	for rest := dict; ; {
		i := bytes.Index(rest, []byte(key))
		if i < 0 {
			return false
		}
		rest = rest[i+len(key):]
		if isPDFWord(pdfSpace(rest), name) {
			return true
		}
	}
}

// isPDFWord reports whether b begins with a word such as /Page, and not with a longer one such as /Pages.
func isPDFWord(b []byte, word string) bool {
	if !bytes.HasPrefix(b, []byte(word)) {
		return false
	}
	return len(b) == len(word) || strings.IndexByte(pdfDelimiters, b[len(word)]) >= 0
}

// pdfWhiteSpace are the characters that separate words.
const pdfWhiteSpace = "\x00\t\n\f\r "

// pdfDelimiters are the characters that end a name: white space, and those that begin or end something else.
const pdfDelimiters = pdfWhiteSpace + "()<>[]{}/%"
