package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Every request begins with a head: the ledger's random name (epoch), ids, and numbers, each at a fixed offset. A request about accounts also
// has lines, each of which is one limit that applies to a call. An account sums up amounts in buckets: a calendar window has one bucket, a
// rolling window many of the same width. To place a line is to compute in which bucket its amount is booked. Windows depend on time zones,
// which scripts don't know, so that lines are placed here, for a guessed time of the server.

// maxSum is the largest sum that a script can keep exactly, in the doubles that Lua counts with.
const maxSum = 1<<53 - 1

// fits refuses amounts that are too large for any sum.
func fits(c *driver.Charge) error {
	for u, n := range c {
		if n > maxSum {
			return fmt.Errorf("%w: %d %s, at most %d in Redis", driver.ErrOverflow, n, driver.Unit(u), int64(maxSum))
		}
	}
	return nil
}

// errBefore1970 says that a test's clock is too early for windows.
var errBefore1970 = errors.New("redisstore: windows before 1970 are not kept")

// head is the beginning of every script's arguments: bytes and numbers with fixed widths, so that a script finds each by its offset.
type head []byte

// newHead joins parts with fixed widths.
func newHead(parts ...[]byte) head {
	// Room for every head but that of a Reserve, which has 178 bytes, so that append makes room for it once more.
	h := make(head, 0, 176)
	for _, p := range parts {
		h = append(h, p...)
	}
	return h
}

// numbers appends numbers.
func (h head) numbers(all ...int64) head {
	for _, n := range all {
		h = binary.BigEndian.AppendUint64(h, uint64(n))
	}
	return h
}

// flags appends a byte for each: 1 for true.
func (h head) flags(all ...bool) head {
	for _, f := range all {
		h = append(h, bit(f))
	}
	return h
}

// byte appends one byte.
func (h head) byte(b byte) head { return append(h, b) }

// charge appends the amount of each unit.
func (h head) charge(c *driver.Charge) head { return h.numbers(c[driver.UnitUSD:]...) }

// bit returns 1 for true.
func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// hold is the range of time, in microseconds, in which all lines of a request are booked as they were placed. At other times the script has to
// place them anew, or refuses.
type hold struct{ from, until int64 }

// narrow reduces h to the part that it has in common with a range in nanoseconds.
func (h *hold) narrow(from, until int64) {
	h.from = max(h.from, ceilMicro(from))
	h.until = min(h.until, ceilMicro(until))
}

// placed are lines in the encoding for scripts, computed for a guessed time.
type placed struct {
	retention time.Duration // Options.Retention
	booked    head          // of each line: the account, the bucket, the unit, the kind of window and the amount
	terms     head          // of each line: flags, Max and window
	marks     head          // of each line: the number of its thresholds, and these
	hold      hold          // when they are valid: each line narrows it
}

// How many bytes a line has in placed.booked and in placed.terms.
const (
	bookedWidth = 34
	termsWidth  = 33
)

// place computes where lines are booked at the time now, in microseconds. marks says whether to encode the thresholds (Line.Notify), too.
func (s *Store) place(lines []driver.Line, charge *driver.Charge, now int64, marks bool) (*placed, error) {
	// booked and terms share one array, which has room for both, so that they cost one allocation: each is a slice of it that has no length yet, and
	// the capacity of booked ends where terms begins.
	buf, middle := make(head, (bookedWidth+termsWidth)*len(lines)), bookedWidth*len(lines)
	p := &placed{retention: s.opts.Retention, booked: buf[:0:middle], terms: buf[middle:middle], hold: hold{0, never}}
	at := fromMicro(now)
	for i := range lines {
		if err := p.add(&lines[i], charge[lines[i].Unit], at); err != nil {
			return nil, err
		}
		if marks {
			p.marks = binary.BigEndian.AppendUint16(p.marks, uint16(len(lines[i].Notify)))
			for _, f := range lines[i].Notify {
				// A fraction of Max, as Lua's struct.unpack reads a double.
				p.marks = p.marks.numbers(int64(math.Float64bits(f)))
			}
		}
	}
	return p, nil
}

// add appends a line's booking and terms, computed for the time now.
func (p *placed) add(l *driver.Line, amount int64, now time.Time) error {
	// At returns the bucket of now, which begins at Start and counts until End, and the first one that counts now, which begins at Since.
	span := l.Window.At(now)
	if span.Start < 0 {
		return errBefore1970
	}
	options := bit(l.Latch) | bit(l.Observe)<<1
	p.booked = append(p.booked, l.Account[:]...)
	p.terms = append(p.terms, options).numbers(l.Max)
	// A calendar window counts no bucket but that of now. A lifetime is treated as one that begins at 0 and never ends.
	if isCalendar := span.Start == span.Since; isCalendar {
		p.addCalendar(span, l.Unit, amount)
	} else {
		p.addRolling(span, l.Unit, amount, now)
	}
	return nil
}

// addCalendar appends the bucket and the window of a line with a calendar window. Its one bucket is named by its start in microseconds; its terms are
// the window's end and how much longer its sums are kept, in microseconds, and a zero.
func (p *placed) addCalendar(span driver.Span, unit driver.Unit, amount int64) {
	p.hold.narrow(span.Start, span.End)
	p.booked = append(p.booked.numbers(span.Start/1000), byte(unit), 'c').numbers(amount)
	// KeptEnd is when the retention of the bucket's sums begins: at its end, or later for days and longer windows if the retention is short.
	keptLonger := time.Duration(account.KeptEnd(span, p.retention) - span.End)
	p.terms = p.terms.numbers(min(ceilMicro(span.End), never), micros(keptLonger), 0)
}

// addRolling appends the bucket and the window of a line with a rolling window. A bucket is named by its number: its start divided by the width of
// all buckets. The terms are how far now is into the bucket and the width, in nanoseconds, and how many earlier buckets count. From these the script
// computes the bucket of its own time.
func (p *placed) addRolling(span driver.Span, unit driver.Unit, amount int64, now time.Time) {
	width := rollingStep(span)
	p.hold.narrow(span.Start, span.Start+width)
	p.booked = append(p.booked.numbers(span.Start/width), byte(unit), 'r').numbers(amount)
	p.terms = p.terms.numbers(now.UnixNano()-span.Start, width, (span.Start-span.Since)/width)
}

// rollingStep returns the width of the buckets of a rolling window, in nanoseconds. The bucket of now, which begins at Start, counts until End:
// for its own width, and then for the time by which Since, the beginning of the window's first bucket, is before Start.
func rollingStep(span driver.Span) int64 { return span.End - span.Start - (span.Start - span.Since) }

// distinct refuses lines with the same account: the contract forbids them, and a script would book only one. Lines sorted by account, which is
// the usual case, are compared without a map.
func distinct(lines []driver.Line) error {
	sorted := true
	for i := 1; i < len(lines) && sorted; i++ {
		sorted = string(lines[i-1].Account[:]) < string(lines[i].Account[:])
	}
	if sorted {
		return nil
	}
	known := make(map[driver.Key]bool, len(lines))
	for i := range lines {
		if known[lines[i].Account] {
			return fmt.Errorf("redisstore: line %d names the account of another line", i)
		}
		known[lines[i].Account] = true
	}
	return nil
}

// appendKeys joins keys.
func appendKeys(out []byte, keys []driver.Key) []byte {
	for _, k := range keys {
		out = append(out, k[:]...)
	}
	return out
}
