package redisstore

import (
	"math"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// An entry is what is stored of a reservation. It is text of a fixed layout, which lua/entry.lua describes: a head with times, state and
// flags; the amounts, one number for each unit; its bookings, one for each account; and, if the flags say so, names and shares at the end.
// These are the bits of its flags.
const (
	flagEstimated = 1  // the posted amount is the worst case, because the actual cost was not known
	flagOrphan    = 2  // it was settled without a reservation
	flagTombstone = 4  // an unknown id was voided, so that a late Reserve of it fails; nothing here depends on it
	flagNames     = 8  // the call's scope and operation and the provider's id of the request follow the bookings
	flagUnits     = 16 // the number of units and the key of its row of usage are there; early entries lack both, and have unitsAtFirst units
	flagShares    = 32 // at the end it is stored how the amount divides among several calls
	allFlags      = flagEstimated | flagOrphan | flagTombstone | flagNames | flagUnits | flagShares

	unitsAtFirst = 7
)

// states are the letters for an entry's state.
var states = map[byte]driver.State{'p': driver.Pending, 's': driver.Settled, 'v': driver.Voided, 'x': driver.Expired}

// stateLetter returns the letter that stands for a state. For zero, which in a driver.Query selects entries in every state, it returns '-'.
func stateLetter(s driver.State) byte {
	for letter, state := range states {
		if state == s {
			return letter
		}
	}
	return '-'
}

// parseEntry decodes an entry. Of a booking in a rolling window only the bucket's number is stored; steps has the widths of these accounts'
// buckets, in nanoseconds, as far as they are known. What Entries does not report is read and skipped.
func parseEntry(id, value string, steps map[driver.Key]int64) (driver.Entry, error) {
	in := reader{text: value}
	in.bytes(16) // the owner
	// The state is 0 for a letter that stands for none.
	state, flags := states[byte(in.number(1))], in.number(1)
	reserved, resolved := in.count(), in.count()
	in.count() // when it expires
	units := int64(unitsAtFirst)
	if flags&flagUnits != 0 {
		units = in.number(1)
		in.bytes(16) // its row of usage
	}
	// An error if a newer library has written more units than this one has.
	if err := knows(units); err != nil {
		return driver.Entry{}, err
	}
	e := driver.Entry{State: state, Estimated: flags&flagEstimated != 0, Orphan: flags&flagOrphan != 0, Reserved: in.charge(units), Actual: in.charge(units)}
	// Higher flags are a newer library's. A time above never would be out of the range of fromMicro.
	if in.failed || e.State == 0 || flags > allFlags || len(id) != len(e.ID) || reserved > never || resolved > never {
		return driver.Entry{}, errReply
	}
	e.ID, e.ReservedAt = driver.ID([]byte(id)), fromMicro(reserved)
	if e.State != driver.Pending {
		e.ResolvedAt = fromMicro(resolved)
	}
	// The parts that only some entries have are at the end, and are taken off there, the last one first, so that the bookings are left.
	if flags&flagShares != 0 {
		in.cutShares()
	}
	if flags&flagNames != 0 && !in.failed {
		if err := in.names(&e); err != nil {
			return driver.Entry{}, err
		}
	}
	in.bookings(&e, steps)
	if in.failed {
		return driver.Entry{}, errReply
	}
	return e, nil
}

// cutShares takes the shares off the end of an entry's text: an Entry has none. Their length is in the last two bytes.
func (in *reader) cutShares() {
	behind := max(0, len(in.text)-2) // where the length begins
	length := reader{text: in.text[behind:]}
	in.text = in.text[:max(0, behind-int(length.number(2)))]
	in.failed = in.failed || length.failed
}

// bookings reads the bookings of an entry, of which nothing else is left in the text. For steps see parseEntry.
func (in *reader) bookings(e *driver.Entry, steps map[driver.Key]int64) {
	amounts := &e.Actual // what counts in the entry's accounts
	if e.State == driver.Pending {
		amounts = &e.Reserved
	}
	for !in.failed && in.text != "" {
		// If fewer than 16 bytes are left, in.bytes returns none. The zeros make up the length of a key then, and in.failed is looked at below.
		b := driver.Booking{Account: driver.Key([]byte(in.bytes(16) + strings.Repeat("\x00", 16))[:16])}
		// kind is r for a rolling window, c for a calendar one. The amount behind it is skipped: what counts now is in amounts.
		start, unit, kind := in.count(), driver.Unit(in.number(1)), in.number(1)
		in.count() // the amount that was reserved
		if in.failed || !unit.Valid() {
			in.failed = true
			return
		}
		b.Unit, b.Start, b.Amount = unit, startOf(start, kind == 'r', steps[b.Account]), amounts[unit]
		e.Lines = append(e.Lines, b)
	}
}

// names reads the call of an entry and the provider's id of the request, which follow its bookings, and removes them from the text, so that
// only the bookings are left. The last four bytes are the lengths of the two.
func (in *reader) names(e *driver.Entry) error {
	if len(in.text) < 4 {
		return errReply
	}
	lengths := reader{text: in.text[len(in.text)-4:]}
	whose, reference := int(lengths.number(2)), int(lengths.number(2))
	end := len(in.text) - 4 // of the reference, which stands behind the call
	if whose+reference > end {
		return errReply
	}
	callEnd := end - reference
	callStart := callEnd - whose
	// The second value, the provider's id, is empty in an encoded call.
	c, _, err := account.DecodeCall([]byte(in.text[callStart:callEnd]))
	if err != nil {
		return err
	}
	e.Scope, e.Operation, e.Reference = c.Scope, c.Operation, in.text[callEnd:end]
	in.text = in.text[:callStart]
	return nil
}

// startOf returns when a bucket begins. For a calendar window start is that time in microseconds. For a rolling one it is the bucket's number:
// its time divided by the bucket's width, step, in nanoseconds. Libraries that stored no names stored no width either: step is 0 then, and the
// time is zero for not known.
func startOf(start int64, rolling bool, step int64) time.Time {
	switch {
	case !rolling:
		return fromMicro(start)
	case step <= 0 || start > math.MaxInt64/step:
		return time.Time{}
	default:
		return time.Unix(0, start*step)
	}
}
