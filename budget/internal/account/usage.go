package account

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Use is an amount that is added to one row of usage: to what was spent on one day by calls of the same scope.
type Use struct {
	Key    driver.Key // of the row within its day: Call.UsageKey
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

// UsageValue encodes the scope of a call's row of usage, as the value that a store keeps beside the row's key.
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

// usesVersion is the version of the encoding of EncodeUses.
const usesVersion = 1

// EncodeUses encodes uses: a byte for the version, one for the number of units, and for each use its key and an amount in each unit, as varints.
// Units count from 1: index 0 of a Charge, which NumUnits includes, is not written.
func EncodeUses(all []Use) []byte {
	if len(all) == 0 {
		return []byte{}
	}
	out := []byte{usesVersion, driver.NumUnits - 1}
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
	if len(raw) < 2 || raw[0] != usesVersion {
		return nil, ErrEncoding
	}
	units := int(raw[1]) // fewer than there are now, if an older library wrote it
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

// KeptEnd returns the moment from which a store counts its retention, before it forgets a bucket: the sums of a window, or of a part of a rolling
// one. In general that is the bucket's end. Calendar windows of a day or longer have to be kept as long as usage (driver.UsageRetention), so that a
// month can be compared with the same month of the year before. If the store's retention is shorter, their moment is later by the difference.
func KeptEnd(s driver.Span, retention time.Duration) int64 {
	const nearlyADay = int64(22 * time.Hour) // a day may be shorter than 24 hours if clocks go forward
	longer := int64(driver.UsageRetention) - int64(retention)
	rolling := s.Since != s.Start
	// The last condition also holds for a lifetime, whose End is the largest int64.
	if rolling || s.End-s.Start < nearlyADay || longer <= 0 || s.End > 1<<63-1-longer {
		return s.End
	}
	return s.End + longer
}
