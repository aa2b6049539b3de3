package account

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Use is an amount that is added to one row of usage.
type Use struct {
	Key    driver.Key
	Amount driver.Charge
}

// Uses returns what a posted amount adds to rows of usage: all of it to the row of its call, or a part to the row of each share. An amount
// of zero adds nothing.
func Uses(call *driver.Call, actual driver.Charge, shares []driver.Share) []Use {
	if actual == (driver.Charge{}) {
		return nil
	}
	if len(shares) == 0 {
		return []Use{{call.UsageKey(), actual}}
	}
	uses := make([]Use, len(shares))
	for i := range shares {
		uses[i] = Use{shares[i].Call.UsageKey(), shares[i].Amount}
	}
	return uses
}

// UsageValue encodes the scope of a call's row of usage.
func UsageValue(call *driver.Call) []byte {
	return EncodeCall(&driver.Call{Scope: call.UsageScope()}, "")
}

// UsageScope decodes what UsageValue wrote, or returns ErrEncoding.
func UsageScope(raw []byte) (driver.Scope, error) {
	c, _, err := DecodeCall(raw)
	return c.Scope, err
}

// UsageDay returns the UTC day of a moment as a number, counted from 1970; 0 for any before.
func UsageDay(at time.Time) int64 {
	const day = int64(24 * time.Hour / time.Second)
	return max(0, at.Unix()) / day
}

// DayStart returns the beginning of a day of UsageDay.
func DayStart(day int64) time.Time { return time.Unix(day*int64(24*time.Hour/time.Second), 0).UTC() }

// uses is the version of the encoding of EncodeUses.
const uses = 1

// EncodeUses encodes uses: their keys, and as many amounts as there are units.
func EncodeUses(all []Use) []byte {
	if len(all) == 0 {
		return []byte{}
	}
	out := []byte{uses, driver.NumUnits - 1}
	for i := range all {
		out = append(out, all[i].Key[:]...)
		for _, n := range all[i].Amount[1:] {
			out = binary.AppendUvarint(out, uint64(n))
		}
	}
	return out
}

// DecodeUses decodes what EncodeUses wrote, or returns ErrEncoding.
func DecodeUses(raw []byte) (all []Use, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if len(raw) < 2 || raw[0] != uses {
		return nil, ErrEncoding
	}
	units := int(raw[1])
	if units > driver.NumUnits-1 {
		return nil, fmt.Errorf("%w: it counts %d units, this one knows %d", ErrEncoding, units, driver.NumUnits-1)
	}
	for raw = raw[2:]; len(raw) > 0; {
		var u Use
		n := copy(u.Key[:], raw)
		if raw = raw[n:]; n != len(u.Key) {
			return nil, ErrEncoding
		}
		for i := range units {
			amount, n := binary.Uvarint(raw)
			if n <= 0 || amount > 1<<63-1 {
				return nil, ErrEncoding
			}
			u.Amount[i+1], raw = int64(amount), raw[n:]
		}
		all = append(all, u)
	}
	return all, nil
}

// KeptEnd returns the end of a bucket by which stores decide when to forget it. For calendar windows of a day or longer it is so much later
// that their sums are kept as long as usage, if the store's retention is shorter: long enough to compare a month with the same month of the
// year before.
func KeptEnd(s driver.Span, retention time.Duration) int64 {
	const nearlyADay = int64(22 * time.Hour) // a day may be shorter than 24 hours if clocks go forward
	longer := int64(driver.UsageRetention) - int64(retention)
	if s.Since != s.Start || s.End-s.Start < nearlyADay || longer <= 0 || s.End > 1<<63-1-longer {
		return s.End
	}
	return s.End + longer
}
