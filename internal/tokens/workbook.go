package tokens

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
)

// measureWorkbook bounds the text of an xls file: its bytes, and the shared strings once more for each cell that shows them ([MS-XLS], of Excel
// 97 to 2003). ok is false if the file is damaged or encrypted; found says whether it holds a workbook at all.
func measureWorkbook(data []byte) (text int64, found, ok bool) {
	streams, ok := workbookStreams(data)
	if !ok {
		return 0, false, false
	}
	// A byte of the file may be a character of an old code page, which becomes up to bytesOfOne bytes.
	text = mulSat(int64(len(data)), bytesOfOne)
	for _, stream := range streams {
		shown, ok := shownInWorkbook(stream)
		if !ok {
			return 0, true, false
		}
		text = addSat(text, shown)
	}
	return text, len(streams) > 0, true
}

// Records of a workbook.
const (
	recordFilePass  = 0x002f // what follows is encrypted
	recordContinue  = 0x003c
	recordShared    = 0x00fc // the table of shared strings
	recordSharedUse = 0x00fd // a cell that shows one
)

// shownInWorkbook adds up the shared strings that cells show.
func shownInWorkbook(stream []byte) (shown int64, ok bool) {
	var table sharedTexts
	var uses []uint32
	for before := uint16(0); len(stream) >= 4; {
		// A record begins with its kind and its length, in two bytes each.
		kind, n := binary.LittleEndian.Uint16(stream), int(binary.LittleEndian.Uint16(stream[2:]))
		if n > len(stream)-4 {
			return 0, false
		}
		body := stream[4 : 4+n]
		stream = stream[4+n:]
		switch {
		case kind == recordFilePass:
			return 0, false
		case kind == recordShared, kind == recordContinue && before == recordShared:
			// A table that is too long for one record goes on in the records directly after it.
			table.records = append(table.records, body)
			before = recordShared
			continue
		case kind == recordSharedUse && n >= 10:
			// The record begins with row, column and format, in two bytes each.
			uses = append(uses, binary.LittleEndian.Uint32(body[6:]))
		}
		before = kind
	}
	if len(uses) == 0 {
		return 0, true
	}
	if !table.read() {
		return 0, false
	}
	for _, number := range uses {
		// A number that the table does not have counts as its longest string.
		length := table.longest
		if int64(number) < int64(len(table.lengths)) {
			length = table.lengths[number]
		}
		shown = addSat(shown, length)
	}
	return shown, true
}

// sharedTexts is the table of shared strings of a workbook, in as many records as it takes.
type sharedTexts struct {
	records [][]byte // what is left of them
	start   bool     // nothing was read of the first of them
	lengths []int64
	longest int64
}

// take returns the next n bytes, which may go on in the next record.
func (s *sharedTexts) take(n int) (b []byte, ok bool) {
	for n > 0 {
		if len(s.records) == 0 {
			return nil, false
		}
		part := s.records[0][:min(n, len(s.records[0]))]
		b, n, s.start = append(b, part...), n-len(part), false
		if s.records[0] = s.records[0][len(part):]; len(s.records[0]) == 0 {
			s.records, s.start = s.records[1:], true
		}
	}
	return b, true
}

// read reads the lengths of all strings.
func (s *sharedTexts) read() bool {
	// The table begins with two numbers: how often cells show its strings, and how many strings it has.
	counts, ok := s.take(8)
	if !ok {
		return false
	}
	for len(s.records) > 0 {
		length, ok := s.text()
		if !ok {
			return int64(len(s.lengths)) >= int64(binary.LittleEndian.Uint32(counts[4:])) // behind the last one there may be anything
		}
		s.lengths = append(s.lengths, length)
		s.longest = max(s.longest, length)
	}
	return len(s.lengths) > 0
}

// text reads one string, and returns the length of its UTF-8, with what Unicode's normalisation can add to it (WideText).
func (s *sharedTexts) text() (length int64, ok bool) {
	const wideFlag, phoneticFlag, formattedFlag = 1, 4, 8
	head, ok := s.take(3)
	if !ok {
		return 0, false
	}
	// behind adds up the bytes that follow the characters: four for each run of a format, and those on pronunciation.
	left, flags, behind := int(binary.LittleEndian.Uint16(head)), head[2], 0
	if flags&formattedFlag != 0 {
		runs, ok := s.take(2)
		if !ok {
			return 0, false
		}
		behind += 4 * int(binary.LittleEndian.Uint16(runs))
	}
	if flags&phoneticFlag != 0 {
		size, ok := s.take(4)
		if !ok {
			return 0, false
		}
		// The size is a signed number, so that its highest bit is no part of it.
		behind += int(binary.LittleEndian.Uint32(size) & (1<<31 - 1))
	}
	var units []uint16
	for left > 0 {
		if s.start { // a record into which characters go on begins with how wide they are
			next, ok := s.take(1)
			if !ok {
				return 0, false
			}
			flags = next[0]
		}
		if len(s.records) == 0 {
			return 0, false
		}
		width := 1 + int(flags&wideFlag)
		// 0 if the record ends in the middle of a character, which is damage.
		n := min(left, len(s.records[0])/width)
		characters, ok := s.take(n * width)
		if !ok || n == 0 {
			return 0, false
		}
		for i := range n {
			unit := uint16(characters[i*width])
			if width == 2 {
				unit |= uint16(characters[i*width+1]) << 8
			}
			units = append(units, unit)
		}
		left -= n
	}
	if _, ok = s.take(behind); !ok {
		return 0, false
	}
	return WideText(string(utf16.Decode(units))), true
}

// maxWorkbooks is how many streams of one file are measured. A file for two versions of Excel has two.
const maxWorkbooks = 4

// workbookStreams returns the streams of a compound file ([MS-CFB]) that hold a workbook.
func workbookStreams(data []byte) (streams [][]byte, ok bool) {
	// The header has the first sector of the directory at 48, the size of the smallest stream with sectors of its own at 56, and the first
	// sector of the table for the others at 60. An entry of the directory has 128 bytes: the name first, the kind at 66 (5 is the root, 2 a
	// stream), the first sector at 116 and the size at 120.
	f, ok := openCompound(data)
	const smallest = 4096 // shorter streams stand together in one
	if !ok || binary.LittleEndian.Uint32(data[56:]) != smallest {
		return nil, false
	}
	directory, ok := f.chain(f.fat, binary.LittleEndian.Uint32(data[48:]), f.sector)
	if !ok {
		return nil, false
	}
	var small []byte // the short streams
	var smallFAT []uint32
	for ; len(directory) >= 128; directory = directory[128:] {
		start, size := binary.LittleEndian.Uint32(directory[116:]), int(binary.LittleEndian.Uint32(directory[120:]))
		if directory[66] == 5 && size > 0 { // the root
			// The root is the first entry. Its stream holds all short streams, in small sectors, and the table says which of these follow one
			// another.
			table, tableOK := f.chain(f.fat, binary.LittleEndian.Uint32(data[60:]), f.sector)
			if small, ok = f.chain(f.fat, start, f.sector); !ok || !tableOK {
				return nil, false
			}
			smallFAT = numbers(table)
			continue
		}
		if directory[66] != 2 || !isWorkbook(directory[:64]) {
			continue
		}
		var stream []byte
		if size < smallest {
			const smallSector = 64
			of := compound{sectors: small}
			stream, ok = of.chain(smallFAT, start, smallSector)
		} else {
			stream, ok = f.chain(f.fat, start, f.sector)
		}
		if !ok || size > len(stream) || len(streams) == maxWorkbooks {
			return nil, false
		}
		streams = append(streams, stream[:size])
	}
	return streams, true
}

// isWorkbook reports whether a stream's name, in two bytes for each character, is that of a workbook.
func isWorkbook(name []byte) bool {
	name = bytes.ToLower(bytes.ReplaceAll(name, []byte{0}, nil))
	return string(name) == "workbook" || string(name) == "book"
}

// compound is a file that holds streams in chains of sectors.
type compound struct {
	sectors []byte // behind the header
	sector  int    // the size of one
	fat     []uint32
}

// openCompound reads the table that says which sector follows which.
func openCompound(data []byte) (f compound, ok bool) {
	const header = 512
	le := binary.LittleEndian
	if len(data) < header || !bytes.HasPrefix(data, []byte(compoundFile)) {
		return f, false
	}
	// The header tells the size of a sector, 512 or 4096 bytes, as a power of two. The first of the tables are listed in it from 76 on; 68 leads
	// to the list of the others.
	if shift := le.Uint16(data[30:]); shift == 9 || shift == 12 {
		f.sector = 1 << shift
	} else {
		return f, false
	}
	if len(data) < f.sector {
		return f, false
	}
	// The header takes the place of one sector, even of a large one.
	f.sectors = data[f.sector:]
	tables := numbers(data[76:header])
	next := le.Uint32(data[68:])
	for range len(f.sectors) / f.sector { // further parts of the list of tables, each of which ends with the number of the next one
		part, ok := f.at(next, f.sector)
		if !ok {
			break
		}
		list := numbers(part)
		tables, next = append(tables, list[:len(list)-1]...), list[len(list)-1]
	}
	for _, number := range tables {
		// Unused entries have a number behind the end of the file, for which at returns false. A damaged list could name one table again and
		// again: nothing is added to a table that is longer than the file.
		if part, ok := f.at(number, f.sector); ok && len(f.fat) < len(data) {
			f.fat = append(f.fat, numbers(part)...)
		}
	}
	return f, len(f.fat) > 0
}

// at returns a sector, of which the last one may be cut. It returns false behind the end of the file, and for a rest too short for one number.
func (f *compound) at(number uint32, size int) ([]byte, bool) {
	from := int64(number) * int64(size)
	if from >= int64(len(f.sectors)) {
		return nil, false
	}
	rest := f.sectors[from:]
	return rest[:min(size, len(rest))], len(rest) >= 4
}

// chain returns the sectors from a first one on: number is its number, fat tells for each sector which one follows, and size is how many bytes one has.
// Short streams have a table and a size of their own, so that these are not always those of f. It returns false for a chain that leads outside of the
// file, or in a circle.
func (f *compound) chain(fat []uint32, number uint32, size int) (all []byte, ok bool) {
	const lastSector = 0xfffffffa // this and larger numbers are ends of chains, and sectors of no stream
	for number < lastSector {
		part, ok := f.at(number, size)
		if !ok || int64(number) >= int64(len(fat)) || len(all) > len(f.sectors) {
			return nil, false
		}
		all, number = append(all, part...), fat[number]
	}
	return all, true
}

// numbers reads a table of numbers.
func numbers(b []byte) []uint32 {
	all := make([]uint32, 0, len(b)/4)
	for ; len(b) >= 4; b = b[4:] {
		all = append(all, binary.LittleEndian.Uint32(b))
	}
	return all
}
