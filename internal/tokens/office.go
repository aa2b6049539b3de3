package tokens

import (
	"archive/zip"
	"bytes"
	"io"
	"strings"
)

// officeSize is what an office file unpacks to.
type officeSize struct {
	text     int64 // bytes of its XML, each shared string as often as a cell shows it
	pictures int   // files, or their uses when those are more
}

// measureOffice unpacks a docx or an xlsx file and bounds its text. It reports false for a file that is none, is damaged, or unpacks
// to more than maxUnpackedBytes.
func measureOffice(data []byte) (officeSize, bool) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return officeSize{}, false
	}
	var size officeSize
	var sheets [][]byte
	var shared sharedStrings
	left, uses := int64(maxUnpackedBytes), 0
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

func unpackPart(f *zip.File, left int64) ([]byte, bool) {
	r, err := f.Open()
	if err != nil {
		return nil, false
	}
	defer r.Close()
	part, err := io.ReadAll(io.LimitReader(r, left+1))
	return part, err == nil && int64(len(part)) <= left
}

// sharedStrings are the lengths of the strings that the cells of a workbook refer to by number.
type sharedStrings struct {
	lengths []int64
	longest int64
}

// add reads the table of strings: one item each, in order, whatever its tags are called.
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

// maxTagName is longer than any name of an element with its prefix.
const maxTagName = 64

// tagOf returns where an opening tag begins, with or without a prefix of a name space, or -1. A closing tag does not match, because of its slash.
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

// shown sums the strings that the cells of a sheet show. A cell that can't be read shows the longest.
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

// length returns the length of the string of the cell whose opening tag goes on with rest.
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
