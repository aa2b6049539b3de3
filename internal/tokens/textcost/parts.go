package textcost

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"unicode/utf8"
)

// A scanner's state are its row, which stands for the last characters, the units of cost that it has added up, and the word that is open.
// determining, three, is how many characters tell the row after them, whatever the row before. added counts the bytes by which Unicode's
// normalisation can lengthen the text; inexact says that malformed bytes make added wrong.

const (
	partBytes  = 64 << 10  // the least that is worth a goroutine: it takes some microseconds to start, and the text some hundred to scan
	mostParts  = 4         // so that one prompt does not take all processors of a large machine
	pieceBytes = 256 << 10 // how much is scanned between two checks of a context
)

// ScanAll scans a whole text and returns the scanner at its end, or the context's error: it checks the context every 256 KB. A text of 128 KB
// or more is scanned in up to four parts at once, one for each processor, which gives the same bound. No goroutine outlives the call.
func ScanAll(ctx context.Context, text string, escaped bool) (Scanner, error) {
	s := NewScanner()
	parts := min(runtime.GOMAXPROCS(0), mostParts, len(text)/partBytes)
	if parts < 2 {
		return s, s.scanPart(ctx, text, 0, len(text), escaped)
	}
	return scanParts(ctx, text, parts, escaped)
}

// scanPart scans the text from one byte to another. The context's error ends it early.
func (s *Scanner) scanPart(ctx context.Context, text string, from, to int, escaped bool) error {
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		from = s.Scan(text, from, min(from+pieceBytes, to), escaped)
	}
	return nil
}

// part is a part of a text, and what a goroutine has found in it.
type part struct {
	scanner Scanner
	to      int // where it ends
	err     error
	panic   any // what the goroutine has panicked with
}

// scanParts is ScanAll for a number of parts. Each but the first begins at a place where the scanner's state is known (see startAt), so that the
// costs of the parts add up to that of the text. The caller's goroutine scans the last part. If another one panics, the caller does too, because
// it may have a way to recover.
func scanParts(ctx context.Context, text string, count int, escaped bool) (Scanner, error) {
	var parts [mostParts]part
	var running sync.WaitGroup
	from, last := 0, &parts[0] // the part that was found last, and where it begins; its end is only known when the next one is found
	last.scanner = NewScanner()
	for i := 1; i < count; i++ {
		cut, next, found := startAt(text, max(len(text)/count*i, from), escaped)
		if !found {
			// This part has no such place, so the one before it goes on through it.
			continue
		}
		p, begin := last, from
		p.to = cut
		running.Go(func() {
			defer func() { p.panic = recover() }()
			p.err = p.scanner.scanPart(ctx, text, begin, p.to, escaped)
		})
		from, last = cut, &parts[i]
		last.scanner = next
	}
	last.err = func() error {
		defer running.Wait() // runs even if this part panics
		return last.scanner.scanPart(ctx, text, from, len(text), escaped)
	}()
	// The last part's scanner is at the end of the text, so the result has its state, and what all scanners have counted.
	sum, err := &last.scanner, last.err
	for i := range parts {
		p := &parts[i]
		if p.panic != nil {
			panic(p.panic)
		}
		if p != last {
			err = cmp.Or(err, p.err)
			sum.units += p.scanner.units
			sum.added += p.scanner.added
			sum.inexact = sum.inexact || p.scanner.inexact
		}
	}
	return *sum, err
}

const (
	startSearch   = 4 << 10 // how far startAt looks
	longestEscape = 12      // in bytes: that of a surrogate pair
)

// startAt looks for the first place from a byte on at which a scanner can begin in the middle of a text, and returns it with that scanner, which
// has counted nothing yet. The character before that place is ASCII but no letter, so that no word is open there. Either no escape is near, and the
// byte behind the place begins a character, or an escape begins at the place. In text without such a place, such as Chinese without spaces, startAt
// finds none.
func startAt(text string, at int, escaped bool) (place int, s Scanner, found bool) {
	plain := 0 // how many bytes directly before the present one are no backslashes, counted from longestEscape bytes before at on
	for i := max(at-longestEscape, 0); i < min(at+startSearch, len(text)); i++ {
		// After so many plain bytes the present one is not inside of an escape, and those before it are characters themselves.
		if i >= at && plain >= longestEscape && text[i-1] < beyond && !isLetter(text[i-1]) && utf8.RuneStart(text[i]) {
			return i, Scanner{table: fitted(), row: rowAfter(text[i-determining : i])}, true
		}
		if escaped && i >= at && beginsEscape(text, i) {
			if row, known := rowBefore(text, i); known {
				return i, Scanner{table: fitted(), row: row}, true
			}
		}
		if plain++; text[i] == '\\' { // counts for the next byte
			plain = 0
		}
	}
	return 0, Scanner{}, false
}

// beginsEscape reports whether a byte certainly begins an escape: it is a backslash, and the byte before it is none. It may be the second half of a
// surrogate pair; then rowBefore finds that the character before it does not end there.
func beginsEscape(text string, i int) bool { return i > 0 && text[i] == '\\' && text[i-1] != '\\' }

// rowBefore returns the row at an escape, from the characters before it, and false if the last of them is a letter or beyond ASCII, or if they are
// not certain.
func rowBefore(text string, at int) (row uint16, known bool) {
	const look = 4 * longestEscape // includes enough characters, however they are escaped
	// Reading begins at an escape, because any other byte may be inside of one.
	from := max(at-look, 0)
	for from < at && !beginsEscape(text, from) {
		from++
	}
	t, last, characters := fitted(), rune(beyond), 0
	for row = t.begin; from < at; characters++ {
		size := 1
		if last = rune(text[from]); last == '\\' {
			last, size = escape(bytesOf(text[from:]))
		}
		from += size
		row = t.after(row, last)
	}
	// If an escape goes on behind at, from is now behind it, too. Fewer characters than determining do not tell the row.
	return row, from == at && characters >= determining && last < beyond && !isLetter(byte(last))
}

// rowAfter returns the row after the last bytes of a text. Three ASCII characters determine it, whatever is before them; after a byte beyond
// ASCII it is known from there on.
func rowAfter(last string) uint16 {
	t := fitted()
	row := t.begin
	for _, c := range []byte(last) {
		row = t.after(row, rune(c))
	}
	return row
}

// after returns the row after a character that comes in a row. A single byte of a character beyond ASCII may stand for that character: each is larger
// than beyond.
func (t *table) after(row uint16, character rune) uint16 {
	if character >= beyond {
		return t.beyond
	}
	return uint16(uint32(row) + t.states[row+uint16(character)])
}
