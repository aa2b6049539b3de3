package tokens

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
)

// measureWorkbook bounds the text of an xls file: its bytes, and the shared strings once more for each cell that shows them ([MS-XLS], of Excel
// 97 to 2003). found says whether the file holds a workbook at all. ok is false if the file is damaged or encrypted; text is then 0.
func measureWorkbook(data []byte) (text int64, found, ok bool) {
	streams, ok := workbookStreams(data)
	if !ok {
		return 0, false, false
	}
	// A byte of the file may be a character of an old code page, which becomes up to bytesOfOne, three, bytes of UTF-8.
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
	recordContinue  = 0x003c // more of the record before it, which was too long for one
	recordShared    = 0x00fc // the table of shared strings
	recordSharedUse = 0x00fd // a cell that shows a shared string
)

// shownInWorkbook adds up the lengths of the shared strings that cells show. ok is false if the stream is damaged or encrypted.
func shownInWorkbook(stream []byte) (shown int64, ok bool) {
	table, uses, ok := sharedInWorkbook(stream)
	if !ok {
		return 0, false
	}
	if len(uses) == 0 {
		return 0, true
	}
	if !table.read() {
		return 0, false
	}
	for _, number := range uses {
		shown = addSat(shown, table.length(number))
	}
	return shown, true
}

// sharedInWorkbook returns the table of shared strings, which is still to be read, and for each cell that shows a shared string the number of it. ok
// is false if the stream is damaged or encrypted.
func sharedInWorkbook(stream []byte) (table sharedTexts, uses []uint32, ok bool) {
	inTable := false // the record before was a part of the table
	for len(stream) >= 4 {
		// A record begins with its kind and its length, in two bytes each.
		kind, n := binary.LittleEndian.Uint16(stream), int(binary.LittleEndian.Uint16(stream[2:]))
		if n > len(stream)-4 {
			return table, nil, false
		}
		body := stream[4 : 4+n]
		stream = stream[4+n:]
		inTable = kind == recordShared || kind == recordContinue && inTable
		switch {
		case kind == recordFilePass:
			return table, nil, false
		case inTable:
			table.records = append(table.records, body)
		case kind == recordSharedUse && n >= 10:
			// The record begins with row, column and format, in two bytes each.
			uses = append(uses, binary.LittleEndian.Uint32(body[6:]))
		}
	}
	return table, uses, true
}

// sharedTexts is the table of shared strings of a workbook, in as many records as it takes.
type sharedTexts struct {
	records [][]byte // what is still to be read: the rest of the present record, and the records after it
	start   bool     // the present record was reached while reading, and nothing of it was read yet
	lengths []int64  // of the strings that were read, by their numbers
	longest int64    // of lengths
}

// length returns the length of a string by its number. A number that the table does not have counts as its longest string.
func (s *sharedTexts) length(number uint32) int64 {
	if int64(number) < int64(len(s.lengths)) {
		return s.lengths[number]
	}
	return s.longest
}

// take returns the next n bytes, which may go on in the next record. ok is false if the table has less.
func (s *sharedTexts) take(n int) (b []byte, ok bool) {
	for n > 0 {
		if len(s.records) == 0 {
			return nil, false
		}
		present := s.records[0]
		part := present[:min(n, len(present))]
		b, n = append(b, part...), n-len(part)
		s.records[0], s.start = present[len(part):], false
		if len(s.records[0]) == 0 {
			s.records, s.start = s.records[1:], true
		}
	}
	return b, true
}

// read reads the lengths of all strings. It returns false if a string is damaged, or if there is none.
func (s *sharedTexts) read() bool {
	// The table begins with two numbers: how often cells show its strings, and how many strings it has.
	counts, ok := s.take(8)
	if !ok {
		return false
	}
	for len(s.records) > 0 {
		length, ok := s.text()
		if !ok {
			// Behind the last string there may be anything, so what is there need not be a string.
			announced := int64(binary.LittleEndian.Uint32(counts[4:]))
			return int64(len(s.lengths)) >= announced
		}
		s.lengths = append(s.lengths, length)
		s.longest = max(s.longest, length)
	}
	return len(s.lengths) > 0
}

// The flags of a string in the table.
const (
	wideFlag      = 1 // its characters have two bytes each
	phoneticFlag  = 4 // it has bytes on its pronunciation
	formattedFlag = 8 // it has formats
)

// text reads one string, and returns the length of its UTF-8, with what Unicode's normalisation can add to it (WideText). ok is false if the table
// ends before the string does.
func (s *sharedTexts) text() (length int64, ok bool) {
	characters, flags, behind, ok := s.textHead()
	if !ok {
		return 0, false
	}
	units, ok := s.characters(characters, flags)
	if !ok {
		return 0, false
	}
	if _, ok = s.take(behind); !ok {
		return 0, false
	}
	return WideText(string(utf16.Decode(units))), true
}

// textHead reads what stands before a string's characters: how many these are, the flags, and how many bytes follow behind the characters.
func (s *sharedTexts) textHead() (characters int, flags byte, behind int, ok bool) {
	head, ok := s.take(3)
	if !ok {
		return 0, 0, 0, false
	}
	characters, flags = int(binary.LittleEndian.Uint16(head)), head[2]
	if flags&formattedFlag != 0 {
		runs, ok := s.take(2)
		if !ok {
			return 0, 0, 0, false
		}
		behind += 4 * int(binary.LittleEndian.Uint16(runs)) // four bytes for each run of one format
	}
	if flags&phoneticFlag != 0 {
		size, ok := s.take(4)
		if !ok {
			return 0, 0, 0, false
		}
		// The size is a signed number, so that its highest bit is no part of it.
		behind += int(binary.LittleEndian.Uint32(size) & (1<<31 - 1))
	}
	return characters, flags, behind, true
}

// characters reads so many characters of a string with these flags, as units of UTF-16.
func (s *sharedTexts) characters(left int, flags byte) (units []uint16, ok bool) {
	for left > 0 {
		if s.start { // a record into which characters go on begins with how wide they are
			next, ok := s.take(1)
			if !ok {
				return nil, false
			}
			flags = next[0]
		}
		if len(s.records) == 0 {
			return nil, false
		}
		width := 1 + int(flags&wideFlag)
		// 0 if the record ends in the middle of a character, which is damage.
		n := min(left, len(s.records[0])/width)
		packed, ok := s.take(n * width)
		if !ok || n == 0 {
			return nil, false
		}
		units = appendUnits(units, packed, width)
		left -= n
	}
	return units, true
}

// appendUnits appends characters of one byte or two, as width says, to units of UTF-16.
func appendUnits(units []uint16, packed []byte, width int) []uint16 {
	for ; len(packed) >= width; packed = packed[width:] {
		unit := uint16(packed[0])
		if width == 2 {
			unit |= uint16(packed[1]) << 8
		}
		units = append(units, unit)
	}
	return units
}

// maxWorkbooks is how many streams of one file are measured. A file for two versions of Excel has two.
const maxWorkbooks = 4

// Offsets in the header of a compound file ([MS-CFB]).
const (
	headerShift      = 30 // the size of a sector, as a power of two
	headerDirectory  = 48 // the first sector of the directory
	headerSmallest   = 56 // the size of the smallest stream that has sectors of its own
	headerShortTable = 60 // the first sector of the table for shorter streams, which says which small sector follows which
	headerMoreTables = 68 // the sector with which the list of tables goes on
	headerTables     = 76 // the list of the sectors that hold the table of which sector follows which; it goes on to the end of the header
	headerBytes      = 512
)

// directoryEntry is an entry of the directory of a compound file, one for each stream.
type directoryEntry struct {
	name  []byte // in two bytes for each character, with zeros behind it
	kind  byte   // kindStream, kindRoot or another one
	start uint32 // the stream's first sector
	size  int    // the stream's length in bytes
}

// Kinds of entries of the directory.
const (
	kindStream = 2
	kindRoot   = 5 // whose stream holds the streams that are too short for sectors of their own
)

// entryBytes is how long an entry of the directory is.
const entryBytes = 128

// entryOf reads the entry at the beginning of a directory, which has to have entryBytes or more.
func entryOf(directory []byte) directoryEntry {
	return directoryEntry{
		name:  directory[:64],
		kind:  directory[66],
		start: binary.LittleEndian.Uint32(directory[116:]),
		size:  int(binary.LittleEndian.Uint32(directory[120:])),
	}
}

const (
	smallestStream = 4096 // of the streams with sectors of their own; shorter ones stand together in the root's stream
	smallSector    = 64   // how large the sectors of the shorter ones are
)

// workbookStreams returns the streams of a compound file that hold a workbook. ok is false if the file is damaged, or has too many of them.
func workbookStreams(data []byte) (streams [][]byte, ok bool) {
	f, ok := openCompound(data)
	if !ok || binary.LittleEndian.Uint32(data[headerSmallest:]) != smallestStream {
		return nil, false
	}
	directory, ok := f.chain(binary.LittleEndian.Uint32(data[headerDirectory:]))
	if !ok {
		return nil, false
	}
	var short compound // the short streams, once the root was seen, which is the first entry
	for ; len(directory) >= entryBytes; directory = directory[entryBytes:] {
		entry := entryOf(directory)
		switch {
		case entry.kind == kindRoot && entry.size > 0:
			if short, ok = f.shortStreams(entry.start, binary.LittleEndian.Uint32(data[headerShortTable:])); !ok {
				return nil, false
			}
		case entry.kind == kindStream && isWorkbook(entry.name):
			of := &f
			if entry.size < smallestStream {
				of = &short
			}
			stream, ok := of.chain(entry.start)
			if !ok || entry.size > len(stream) || len(streams) == maxWorkbooks {
				return nil, false
			}
			streams = append(streams, stream[:entry.size])
		}
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
	sectors []byte   // all sectors, which stand behind the header
	sector  int      // the size of one sector
	fat     []uint32 // for each sector the number of the one that follows it in its stream
}

// openCompound finds the sectors of a compound file, and reads the table that says which sector follows which. ok is false if data are no such file,
// or a damaged one.
func openCompound(data []byte) (f compound, ok bool) {
	if len(data) < headerBytes || !bytes.HasPrefix(data, []byte(compoundFile)) {
		return f, false
	}
	shift := binary.LittleEndian.Uint16(data[headerShift:])
	if shift != 9 && shift != 12 { // a sector has 512 or 4096 bytes
		return f, false
	}
	f.sector = 1 << shift
	if len(data) < f.sector {
		return f, false
	}
	// The header takes the place of one sector, even of a large one.
	f.sectors = data[f.sector:]
	for _, number := range f.tables(data[:headerBytes]) {
		// Unused entries have a number behind the end of the file, for which at returns false. A damaged list could name one table again and
		// again: nothing is added to a table that is longer than the file.
		if part, ok := f.at(number); ok && len(f.fat) < len(data) {
			f.fat = append(f.fat, numbers(part)...)
		}
	}
	return f, len(f.fat) > 0
}

// tables returns the numbers of the sectors that hold the table of which sector follows which. The list of them begins in the header.
func (f *compound) tables(header []byte) []uint32 {
	tables := numbers(header[headerTables:])
	next := binary.LittleEndian.Uint32(header[headerMoreTables:])
	for range len(f.sectors) / f.sector { // further parts of the list, each of which ends with the number of the next one; at most all sectors
		part, ok := f.at(next)
		if !ok {
			break
		}
		list := numbers(part)
		tables, next = append(tables, list[:len(list)-1]...), list[len(list)-1]
	}
	return tables
}

// shortStreams returns the streams that are too short for sectors of their own. They stand in small sectors, all in one stream, which begins at
// start; the table that says which small sector follows which is a stream as well, which begins at table.
func (f *compound) shortStreams(start, table uint32) (short compound, ok bool) {
	fat, ok := f.chain(table)
	if !ok {
		return short, false
	}
	sectors, ok := f.chain(start)
	if !ok {
		return short, false
	}
	return compound{sectors: sectors, sector: smallSector, fat: numbers(fat)}, true
}

// at returns a sector by its number; the last one of the file may be cut. It returns false for a number behind the end of the file, and for a sector
// that is cut to less than four bytes, in which no number has room.
func (f *compound) at(number uint32) ([]byte, bool) {
	from := int64(number) * int64(f.sector)
	if from >= int64(len(f.sectors)) {
		return nil, false
	}
	rest := f.sectors[from:]
	return rest[:min(f.sector, len(rest))], len(rest) >= 4
}

// chain returns the sectors of a stream one after another, from the sector with this number on. It returns false for a chain that leads outside of
// the file, or in a circle.
func (f *compound) chain(number uint32) (all []byte, ok bool) {
	const lastSector = 0xfffffffa // this and larger numbers are ends of chains, and sectors of no stream
	for number < lastSector {
		part, ok := f.at(number)
		if !ok || int64(number) >= int64(len(f.fat)) || len(all) > len(f.sectors) {
			return nil, false
		}
		all, number = append(all, part...), f.fat[number]
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
