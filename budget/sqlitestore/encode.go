package sqlitestore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// errEncoding says that a stored value can't be read: the file was written by something else.
var errEncoding = errors.New("sqlitestore: a stored value can't be read")

// booking says where one line of a reservation is booked: in the bucket of the account that begins at start. At end the bucket has stopped counting,
// and the time for which its sums are kept (Options.Retention) begins. Both are in nanoseconds since 1970 UTC.
type booking struct {
	account    driver.Key
	unit       driver.Unit
	start, end int64
}

// bookingBytes is how long an encoded booking is.
const bookingBytes = 16 + 1 + 8 + 8

// encodeBookings encodes bookings one after another, in bookingBytes each: account, unit, start and end.
func encodeBookings(bookings []booking) []byte {
	out := make([]byte, 0, len(bookings)*bookingBytes)
	for _, b := range bookings {
		out = append(out, b.account[:]...)
		out = append(out, byte(b.unit))
		out = binary.BigEndian.AppendUint64(out, uint64(b.start))
		out = binary.BigEndian.AppendUint64(out, uint64(b.end))
	}
	return out
}

// decodeBookings decodes what encodeBookings returned.
func decodeBookings(raw []byte) ([]booking, error) {
	if len(raw)%bookingBytes != 0 {
		return nil, errEncoding
	}
	bookings := make([]booking, 0, len(raw)/bookingBytes)
	for ; len(raw) > 0; raw = raw[bookingBytes:] {
		b := booking{account: driver.Key(raw[:16]), unit: driver.Unit(raw[16])}
		b.start, b.end = int64(binary.BigEndian.Uint64(raw[17:])), int64(binary.BigEndian.Uint64(raw[25:]))
		if !b.unit.Valid() {
			return nil, errEncoding
		}
		bookings = append(bookings, b)
	}
	return bookings, nil
}

// encodeCharge encodes a charge as eight bytes for each unit. An earlier library knew fewer units, and has written shorter ones.
func encodeCharge(c driver.Charge) []byte {
	out := make([]byte, 0, len(c)*8)
	for _, n := range c {
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	return out
}

// decodeCharge decodes what encodeCharge returned. Units that an earlier library did not know stay zero.
func decodeCharge(raw []byte) (c driver.Charge, err error) {
	if len(raw)%8 != 0 {
		return c, errEncoding
	}
	if len(raw) > len(c)*8 {
		// Index 0 stands for no unit, so that there is one unit less than amounts.
		return c, fmt.Errorf("%w: it counts %d units, this library knows %d: use a newer one", errEncoding, len(raw)/8-1, len(c)-1)
	}
	for i := range len(raw) / 8 {
		c[i] = int64(binary.BigEndian.Uint64(raw[i*8:]))
	}
	return c, nil
}

// encodeKeys joins keys.
func encodeKeys(keys []driver.Key) []byte {
	out := make([]byte, 0, len(keys)*16)
	for _, k := range keys {
		out = append(out, k[:]...)
	}
	return out
}

// decodeKeys takes apart what encodeKeys has joined.
func decodeKeys(raw []byte) ([]driver.Key, error) {
	if len(raw)%16 != 0 {
		return nil, errEncoding
	}
	keys := make([]driver.Key, 0, len(raw)/16)
	for ; len(raw) > 0; raw = raw[16:] {
		keys = append(keys, driver.Key(raw[:16]))
	}
	return keys, nil
}

// encodeTimes encodes until when each threshold of an account is not reported again, in nanoseconds since 1970 UTC.
func encodeTimes(times []int64) []byte {
	out := make([]byte, 0, len(times)*8)
	for _, n := range times {
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	return out
}

// decodeTimes decodes what encodeTimes returned.
func decodeTimes(raw []byte) ([]int64, error) {
	if len(raw)%8 != 0 {
		return nil, errEncoding
	}
	times := make([]int64, 0, len(raw)/8)
	for ; len(raw) > 0; raw = raw[8:] {
		times = append(times, int64(binary.BigEndian.Uint64(raw)))
	}
	return times, nil
}
