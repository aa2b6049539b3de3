package tokens

import (
	"archive/zip"
	"bytes"
	"io"
	"strings"
)

// officeSize is the unpacked size of an office file.
type officeSize struct {
	text     int64 // bytes of its XML; each shared string counts for every cell that shows it
	pictures int   // image files, or their uses if those are more
}

// measureOffice unpacks a docx or an xlsx file and bounds its text. It returns false if the file is of another kind, is damaged, or unpacks
// to more than maxUnpackedBytes.
func measureOffice(data []byte) (officeSize, bool) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return officeSize{}, false
	}
	var size officeSize
	var sheets [][]byte
	var shared sharedStrings
	left, uses := int64(maxUnpackedBytes), 0 // bytes that may still be unpacked; places that show an image
	for _, f := range z.File {
		if strings.Contains(f.Name, "/media/") {
			size.pictures++
		}
		if !strings.HasSuffix(f.Name, ".xml") {
			continue
		}
		part, ok := unpackPart(f, left)
		if !ok {
			return officeSize{}, false
		}
		left -= int64(len(part))
		size.text = addSat(size.text, int64(len(part)))
		uses += bytes.Count(part, []byte("embed="))
		switch {
		case strings.HasSuffix(f.Name, "sharedStrings.xml"):
			shared.add(part)
		case strings.Contains(f.Name, "sheet"):
			sheets = append(sheets, part)
		}
	}
	size.pictures = max(size.pictures, uses)
	for _, sheet := range sheets {
		size.text = addSat(size.text, shared.shown(sheet))
	}
	return size, size.text > 0
}

// unpackPart returns the unpacked bytes of a file of the archive, and false if it is damaged or has more than left.
func unpackPart(f *zip.File, left int64) ([]byte, bool) {
	r, err := f.Open()
	if err != nil {
		return nil, false
	}
	defer r.Close()
	part, err := io.ReadAll(io.LimitReader(r, left+1))
	return part, err == nil && int64(len(part)) <= left
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
		n := tagOf(part[1:], "si")
		if n < 0 {
			n = len(part) - 1
		}
		s.lengths = append(s.lengths, int64(n+1))
		s.longest = max(s.longest, int64(n+1))
		part = part[n+1:]
	}
}

// maxTagName is longer than any element name with its prefix.
const maxTagName = 64

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
		i := bytes.Index(rest, []byte("t="))
		if i < 0 || len(rest) < i+5 {
			return n
		}
		rest = rest[i+2:]
		if quoted := string(rest[:3]); quoted != `"s"` && quoted != `'s'` {
			continue
		}
		n = addSat(n, s.length(rest))
	}
}

// length returns the length of a cell's string, whose number is in the tag "v". rest begins in the cell's opening tag.
func (s *sharedStrings) length(rest []byte) int64 {
	rest = rest[:min(len(rest), 256)]
	v := tagOf(rest, "v")
	if v < 0 {
		return s.longest
	}
	value := rest[v:]
	end := bytes.IndexByte(value, '>')
	if end < 0 || end+1 >= len(value) || value[end+1] < '0' || value[end+1] > '9' {
		return s.longest
	}
	if number := pdfInt(value[end+1:]); number < len(s.lengths) {
		return s.lengths[number]
	}
	return s.longest
}
