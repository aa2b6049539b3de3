package tokens

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// officeSize is the unpacked size of an office file.
type officeSize struct {
	text     int64 // bytes of its texts; each shared string counts for every cell that shows it
	pictures int   // image files, or their uses if those are more
}

// measureOffice unpacks a docx or an xlsx file and bounds its text. What a part holds is told by how it begins, and not by its name, which is
// free. It returns false if the file is of another kind, is damaged, is written in a way that hides its text, or unpacks to more than
// maxUnpackedBytes.
func measureOffice(data []byte) (officeSize, bool) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return officeSize{}, false
	}
	m := officeMeter{left: maxUnpackedBytes}
	for _, f := range z.File {
		if !m.add(f) {
			return officeSize{}, false
		}
	}
	size := m.size()
	return size, size.text > 0
}

// officeMeter adds up what is found in the parts of one office file.
type officeMeter struct {
	left     int64         // how many bytes may still be unpacked
	text     int64         // bytes of the texts of all parts, with what Unicode's normalisation can add
	pictures int           // image files
	uses     int           // places that show an image
	shared   sharedStrings // the strings of a workbook
	parts    [][]byte      // the texts, in UTF-8
}

// add unpacks a part and counts it. It returns false if the part can't be measured.
func (m *officeMeter) add(f *zip.File) bool {
	if strings.Contains(f.Name, "/media/") {
		m.pictures++
	}
	part, ok := unpackText(f, m.left)
	// workbook.bin is the binary form of a workbook, whose text is not found by tags.
	if !ok || strings.HasSuffix(f.Name, "workbook.bin") {
		return false
	}
	m.left -= int64(len(part))
	if part, ok = readable(part); !ok {
		return false
	}
	m.text = addSat(m.text, int64(len(part))+Lengthening(part))
	// The attributes and the element by which a document shows an image.
	for _, use := range [...]string{"embed=", "embed =", ":imagedata "} {
		m.uses += bytes.Count(part, []byte(use))
	}
	if tagOf(part, "sst") >= 0 { // the table of a workbook's shared strings
		m.shared.add(part)
	}
	m.parts = append(m.parts, part)
	return true
}

// size returns the size of the whole file, when all its parts were added.
func (m *officeMeter) size() officeSize {
	size := officeSize{text: m.text, pictures: max(m.pictures, m.uses)}
	if len(m.shared.lengths) > 0 {
		// Any part may be a sheet, because names are free.
		for _, part := range m.parts {
			size.text = addSat(size.text, m.shared.shown(part))
		}
	}
	return size
}

// headBytes is how much of a part is looked at to tell whether it is text.
const headBytes = 512

// unpackText returns a part if it is text, and nothing if it is not. It returns false if the part is damaged, or is text of more than left
// bytes.
func unpackText(f *zip.File, left int64) ([]byte, bool) {
	r, err := f.Open()
	if err != nil {
		return nil, false
	}
	defer r.Close()
	head := make([]byte, headBytes)
	n, err := io.ReadFull(r, head)
	// A part shorter than headBytes ends with one of the two errors of an early end, which are fine.
	if head = head[:n]; !isText(head) {
		return nil, err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	rest, err := io.ReadAll(io.LimitReader(r, left+1))
	part := append(head, rest...)
	return part, err == nil && int64(len(part)) <= left
}

// isText reports whether a part begins as text does: in two bytes for a character or more, or without control characters.
func isText(head []byte) bool {
	// Two zeros in front of the first tag are four bytes for a character: text as well, though readable refuses it.
	fourBytes := bytes.HasPrefix(head, []byte("\x00\x00")) && bytes.IndexByte(head[:min(len(head), 4)], '<') > 0
	if fourBytes || wide(head) != nil {
		return true
	}
	for _, c := range head {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' {
			return false
		}
	}
	return len(head) > 0
}

// wide returns the byte order of a text with two bytes for each character, by its mark or its first tag; nil for any other.
func wide(text []byte) binary.ByteOrder {
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("<\x00")):
		return binary.LittleEndian
	case bytes.HasPrefix(text, []byte("\xfe\xff")), bytes.HasPrefix(text, []byte("\x00<")):
		return binary.BigEndian
	default:
		return nil
	}
}

// readable returns a part in UTF-8, and false for a text that a reader of XML makes longer, or that is encoded so that its tags can't be found.
func readable(part []byte) ([]byte, bool) {
	if order := wide(part); order != nil {
		part = fromUTF16(part, order)
	} else if !utf8.Valid(part) {
		part = fromCodePage(part)
	}
	// A document type and its entities can make a text longer.
	grows := bytes.Contains(part, []byte("<!DOCTYPE")) || bytes.Contains(part, []byte("<!ENTITY"))
	return part, !grows && usualEncoding(part) && namesAreShort(part)
}

// fromUTF16 returns a text of two bytes for each character in UTF-8.
func fromUTF16(part []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(part)/2)
	for i := range units {
		units[i] = order.Uint16(part[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// fromCodePage returns a text of an old code page in UTF-8, as long as it can be: each byte beyond ASCII becomes U+FFFD, which has three bytes, as
// many as any character of an old code page becomes.
func fromCodePage(narrow []byte) []byte {
	part := make([]byte, 0, 3*len(narrow))
	for _, c := range narrow {
		if c < utf8.RuneSelf {
			part = append(part, c)
		} else {
			part = utf8.AppendRune(part, utf8.RuneError)
		}
	}
	return part
}

// usualEncoding reports whether a text is in an encoding in which tags are ASCII, by its beginning, and by what it declares if it declares an
// encoding.
func usualEncoding(part []byte) bool {
	// A text that begins with a zero byte has four bytes for a character, and one that begins with "Lo" is EBCDIC, in which these are the bytes of "<?".
	if bytes.HasPrefix(part, []byte("\x00")) || bytes.HasPrefix(part, []byte("Lo")) {
		return false
	}
	declared, _, ok := bytes.Cut(part[:min(len(part), headBytes)], []byte("?>"))
	if !ok || !bytes.Contains(declared, []byte("<?xml")) {
		return true
	}
	_, name, ok := bytes.Cut(bytes.ToLower(declared), []byte("encoding"))
	if !ok {
		return true
	}
	name = bytes.TrimLeft(name, "= \t\r\n\"'")
	// UTF-16 is harmless: readable has decoded it, so that the tags are ASCII.
	for _, usual := range [...]string{"utf-8", "utf-16", "us-ascii", "iso-8859-", "windows-"} {
		if bytes.HasPrefix(name, []byte(usual)) {
			return true
		}
	}
	return false
}

// namesAreShort reports whether every tag's name is short enough for tagOf to find the tag.
func namesAreShort(part []byte) bool {
	for {
		i := bytes.IndexByte(part, '<')
		if i < 0 {
			return true
		}
		// A name that does not end within so many bytes would be overlooked.
		if part = part[i+1:]; len(part) >= maxTagName && !bytes.ContainsAny(part[:maxTagName], " />\t\r\n<") {
			return false
		}
	}
}

// sharedStrings has the lengths of the strings to which the cells of a workbook refer by number.
type sharedStrings struct {
	lengths []int64
	longest int64
}

// add reads the table of strings: one for each tag "si", with any prefix, in order. Each counts with its tags, up to the next one.
func (s *sharedStrings) add(part []byte) {
	for {
		begin := tagOf(part, "si")
		if begin < 0 {
			return
		}
		part = part[begin:]
		next := len(part) // where the next string begins, or the part ends
		if i := tagOf(part[1:], "si"); i >= 0 {
			next = 1 + i
		}
		length := int64(next) + Lengthening(part[:next])
		s.lengths = append(s.lengths, length)
		s.longest = max(s.longest, length)
		part = part[next:]
	}
}

// maxTagName is longer than any element name with its prefix.
const maxTagName = 128

// tagOf returns the offset of an opening tag, with or without a namespace prefix, or -1. A closing tag does not match, because of its slash.
func tagOf(part []byte, name string) int {
	for at := 0; ; {
		i := bytes.IndexByte(part[at:], '<')
		if i < 0 {
			return -1
		}
		i += at
		tag := part[i+1:]
		if end := bytes.IndexAny(tag[:min(len(tag), maxTagName)], " />\t\r\n"); end >= 0 {
			local := tag[:end]
			if colon := bytes.IndexByte(local, ':'); colon >= 0 {
				local = local[colon+1:]
			}
			if string(local) == name {
				return i
			}
		}
		at = i + 1
	}
}

// shown adds up the lengths of the strings that the cells of a sheet show. A cell with the attribute t="s" shows a shared string. If its number can't
// be read, it counts as the longest string.
func (s *sharedStrings) shown(sheet []byte) (n int64) {
	for rest := sheet; ; {
		at := tagOf(rest, "c")
		if at < 0 {
			return n
		}
		rest = rest[at+1:]
		end := bytes.IndexByte(rest, '>')
		if end < 0 {
			end = len(rest)
		}
		if mayShowShared(rest[:end]) {
			n = addSat(n, s.length(rest[end:]))
		}
	}
}

// xmlSpace is what XML allows between an element's name and its attributes.
const xmlSpace = " \t\r\n"

// mayShowShared reports whether the tag of a cell can say that its value is the number of a shared string: whether its attribute t is "s", may be
// that in another spelling, or can't be read because the tag is no proper XML.
func mayShowShared(tag []byte) bool {
	for {
		at := bytes.IndexByte(tag, '=')
		if at < 0 {
			return false
		}
		before := bytes.TrimRight(tag[:at], xmlSpace)
		value := bytes.TrimLeft(tag[at+1:], xmlSpace)
		if len(value) == 0 || value[0] != '"' && value[0] != '\'' { // no quote begins the value
			return true
		}
		end := bytes.IndexByte(value[1:], value[0])
		if end < 0 { // the quote is not closed
			return true
		}
		text := value[1 : 1+end]
		isS := string(text) == "s" || bytes.IndexByte(text, '&') >= 0 // an entity may stand for the letter
		if isS && endsWithT(before) {
			return true
		}
		tag = value[2+end:]
	}
}

// endsWithT reports whether a part of a tag ends with the name of the attribute t. A name with a prefix, as in x:t, is that of another attribute.
func endsWithT(part []byte) bool {
	last := len(part) - 1
	return last > 0 && part[last] == 't' && strings.IndexByte(xmlSpace, part[last-1]) >= 0
}

// length returns the length of a cell's string. rest is what follows the cell's opening tag.
func (s *sharedStrings) length(rest []byte) int64 {
	// The value follows the tag of its cell closely. If it does not, the cell counts as the longest string.
	rest = rest[:min(len(rest), 256)]
	v := tagOf(rest, "v")
	if v < 0 {
		return s.longest
	}
	_, value, _ := bytes.Cut(rest[v:], []byte(">")) // nothing if the tag does not end here
	if len(value) == 0 || value[0] < '0' || value[0] > '9' {
		return s.longest
	}
	if number := pdfInt(value); number < len(s.lengths) {
		return s.lengths[number]
	}
	return s.longest
}
