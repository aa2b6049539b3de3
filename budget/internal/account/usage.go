package account

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Use is what an amount adds to a row of usage.
type Use struct {
	Key    budget.Key
	Amount budget.Charge
}

// Uses returns what a posted amount adds to rows of usage: all of it to its call's, or to those of its shares. An amount of nothing
// adds to none.
func Uses(call *budget.Call, actual budget.Charge, shares []budget.Share) []Use {
	if actual == (budget.Charge{}) {
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

// UsageValue writes the values that a row of usage is kept for, as a value.
func UsageValue(call *budget.Call) []byte {
	return EncodeCall(&budget.Call{Scope: call.UsageScope()}, "")
}

// UsageScope reads what UsageValue wrote, or returns ErrEncoding.
func UsageScope(raw []byte) (budget.Scope, error) {
	c, _, err := DecodeCall(raw)
	return c.Scope, err
}

// UsageDay is the number of the UTC day of a moment, counted from 1970; 0 for any before.
func UsageDay(at time.Time) int64 {
	const day = int64(24 * time.Hour / time.Second)
	return max(0, at.Unix()) / day
}

// DayStart is the beginning of the day that UsageDay counted.
func DayStart(day int64) time.Time { return time.Unix(day*int64(24*time.Hour/time.Second), 0).UTC() }

// uses is the version of what EncodeUses writes.
const uses = 1

// EncodeUses writes uses as a value: their keys, and as many amounts as there are units.
func EncodeUses(all []Use) []byte {
	if len(all) == 0 {
		return []byte{}
	}
	out := []byte{uses, budget.NumUnits - 1}
	for i := range all {
		out = append(out, all[i].Key[:]...)
		for _, n := range all[i].Amount[1:] {
			out = binary.AppendUvarint(out, uint64(n))
		}
	}
	return out
}

// DecodeUses reads what EncodeUses wrote, or returns ErrEncoding.
func DecodeUses(raw []byte) (all []Use, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if len(raw) < 2 || raw[0] != uses {
		return nil, ErrEncoding
	}
	units := int(raw[1])
	if units > budget.NumUnits-1 {
		return nil, fmt.Errorf("%w: it counts %d units, this one knows %d", ErrEncoding, units, budget.NumUnits-1)
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

// KeptEnd is the end of a bucket as forgetting goes by it: sums of calendar windows of a day or longer are kept as long as usage is, if
// the store's retention is shorter, so that what was spent in the same month of the year before is known.
func KeptEnd(s budget.Span, retention time.Duration) int64 {
	const nearlyADay = int64(22 * time.Hour) // one on which the clocks go forward, by as much as they ever did
	longer := int64(budget.UsageRetention) - int64(retention)
	if s.Since != s.Start || s.End-s.Start < nearlyADay || longer <= 0 || s.End > 1<<63-1-longer {
		return s.End
	}
	return s.End + longer
}
