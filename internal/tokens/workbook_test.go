package tokens

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sector = 512

// record is one record of a workbook in the binary format.
func record(kind uint16, body []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, kind)
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(body))), body...)
}

// cellOf shows the shared string of a number.
func cellOf(number uint32) []byte {
	return record(0x00fd, binary.LittleEndian.AppendUint32(make([]byte, 6), number))
}

// sharedTable is the table of shared strings, each in one byte for a character, or two, and in as many records as that takes.
func sharedTable(wide bool, texts ...string) (all []byte) {
	body := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(len(texts))), uint32(len(texts)))
	kind := uint16(0x00fc)
	for _, text := range texts {
		flags := byte(0)
		if wide {
			flags = 1
		}
		units := utf16.Encode([]rune(text))
		body = append(binary.LittleEndian.AppendUint16(body, uint16(len(units))), flags)
		for _, unit := range units {
			if len(body)+2 > 8224 {
				all = append(all, record(kind, body)...)
				kind, body = 0x003c, []byte{flags}
			}
			if body = append(body, byte(unit)); wide {
				body = append(body, byte(unit>>8))
			}
		}
	}
	return append(all, record(kind, body)...)
}

// workbook is a compound file with one stream; with backwards its sectors stand in reverse order.
func workbook(t *testing.T, stream []byte, backwards bool) []byte {
	t.Helper()
	for len(stream) < 4096 || len(stream)%sector != 0 {
		stream = append(stream, 0)
	}
	n := len(stream) / sector
	fats := 1
	for fats*sector/4 < n+fats+1 {
		fats++
	}
	require.LessOrEqual(t, fats, 109)
	const end, free, ofFAT = 0xfffffffe, 0xffffffff, 0xfffffffd
	fat := make([]uint32, fats*sector/4)
	for i := range fat {
		fat[i] = free
	}
	for i := range fats {
		fat[i] = ofFAT
	}
	fat[fats] = end // the directory
	first := fats + 1
	place := func(i int) int {
		if backwards {
			return first + n - 1 - i
		}
		return first + i
	}
	for i := range n {
		fat[place(i)] = end
		if i+1 < n {
			fat[place(i)] = uint32(place(i + 1))
		}
	}
	header := make([]byte, sector)
	copy(header, compoundFile)
	le := binary.LittleEndian
	le.PutUint16(header[24:], 0x3e)
	le.PutUint16(header[26:], 3)
	le.PutUint16(header[28:], 0xfffe)
	le.PutUint16(header[30:], 9)
	le.PutUint16(header[32:], 6)
	le.PutUint32(header[44:], uint32(fats))
	le.PutUint32(header[48:], uint32(fats))
	le.PutUint32(header[56:], 4096)
	le.PutUint32(header[60:], end)
	le.PutUint32(header[68:], end)
	for i := range 109 {
		le.PutUint32(header[76+4*i:], free)
		if i < fats {
			le.PutUint32(header[76+4*i:], uint32(i))
		}
	}
	file := header
	for _, next := range fat {
		file = le.AppendUint32(file, next)
	}
	directory := make([]byte, sector)
	for at, name := range []string{"Root Entry", "Workbook"} {
		entry := directory[128*at:]
		for i, unit := range utf16.Encode([]rune(name)) {
			le.PutUint16(entry[2*i:], unit)
		}
		le.PutUint16(entry[64:], uint16(2*len(name)+2))
		entry[66] = byte(5 - 3*at)
		le.PutUint32(entry[116:], end)
	}
	le.PutUint32(directory[128+116:], uint32(place(0)))
	le.PutUint32(directory[128+120:], uint32(len(stream)))
	file = append(file, directory...)
	sectors := make([]byte, len(stream))
	for i := range n {
		copy(sectors[(place(i)-first)*sector:], stream[i*sector:(i+1)*sector])
	}
	return append(file, sectors...)
}

// TestSharedStringsOfOldWorkbooksCountInEveryCell, as those of new ones do.
func TestSharedStringsOfOldWorkbooksCountInEveryCell(t *testing.T) {
	long := strings.Repeat("word ", 6000)
	begin := record(0x0809, []byte{0, 6, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for name, wide := range map[string]bool{"one byte": false, "two bytes": true} {
		for _, backwards := range []bool{false, true} {
			stream := append(append([]byte{}, begin...), sharedTable(wide, "short", long)...)
			for range 300 {
				stream = append(stream, cellOf(1)...)
			}
			assert.GreaterOrEqual(t, boundOf(t, "xls", workbook(t, stream, backwards), "anthropic"), int64(300*len(long)), name)
		}
	}
	for before := 8190; before <= 8224; before++ { // the second text begins around the end of a record
		stream := append(append([]byte{}, begin...), sharedTable(before%2 == 0, strings.Repeat("x", before/(2-before%2)-10), long)...)
		for range 10 {
			stream = append(stream, cellOf(1)...)
		}
		n := boundOf(t, "xls", workbook(t, stream, false), "anthropic")
		assert.GreaterOrEqual(t, n, int64(10*len(long)), before)
		assert.Less(t, n, int64(20*len(long)), before)
	}
	once := append(append(append([]byte{}, begin...), sharedTable(false, "short", long)...), append(cellOf(0), cellOf(1)...)...)
	data := workbook(t, once, true)
	assert.LessOrEqual(t, boundOf(t, "xls", data, "anthropic"), int64(4*len(data)), "a cell counts as what it shows")
	for name, broken := range map[string][]byte{"cut": data[:len(data)/2], "nothing but the mark": data[:8], "no chain": append(append([]byte{}, data[:sector]...), make([]byte, 4*sector)...)} {
		b := DocumentBlock("xls", broken)
		_, ok := blockBound(&b, LimitsFor("anthropic"))
		assert.False(t, ok, name)
	}
}
