package redisstore

import "github.com/bedrockguard/bedrockguard-go/budget"

// states are the letters of an entry's state.
var states = map[byte]budget.State{'p': budget.Pending, 's': budget.Settled, 'v': budget.Voided, 'x': budget.Expired}

// stateLetter is the letter of a state, or - for any.
func stateLetter(s budget.State) byte {
	for letter, state := range states {
		if state == s {
			return letter
		}
	}
	return '-'
}

// parseEntry reads an entry as lua/entry.lua describes it; its bookings are the scripts' own.
func parseEntry(id, value string) (e budget.Entry, err error) {
	in := reader{text: value}
	in.bytes(16) // the owner
	state, flags := states[byte(in.number(1))], in.number(1)
	reserved, resolved := in.count(), in.count()
	in.count() // when it expires
	e = budget.Entry{State: state, Estimated: flags&1 != 0, Orphan: flags&2 != 0, Reserved: in.charge(), Actual: in.charge()}
	if in.failed || e.State == 0 || flags > 7 || len(id) != len(e.ID) || reserved > never || resolved > never {
		return budget.Entry{}, errReply
	}
	e.ID, e.ReservedAt = budget.ID([]byte(id)), fromMicro(reserved)
	if e.State != budget.Pending {
		e.ResolvedAt = fromMicro(resolved)
	}
	return e, nil
}
