package dynamostore

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// The attributes of a reservation's item.
const (
	attrOwner      = "ow"
	attrState      = "st"
	attrEstimated  = "es"
	attrOrphan     = "or"
	attrTombstone  = "tb" // 1 or 0, as attrEstimated and attrOrphan are
	attrReserved   = "rc" // the worst case, an amount in each unit
	attrActual     = "ac" // what is posted, an amount in each unit, too
	attrBookings   = "bk" // as encodeBookings encodes them
	attrReservedAt = "ra"
	attrResolvedAt = "za"
	attrExpiresAt  = "xa"
	attrMark       = "nc" // which step wrote it last, and in which attempt: see stepMark
	attrCall       = "wh" // the call's scope and operation, encoded
	attrReference  = "rf" // the provider's id of the request
)

// entry is one reservation. Its times are in nanoseconds since 1970 UTC.
type entry struct {
	id         driver.ID
	owner      driver.Key
	state      driver.State
	estimated  bool          // settled with its worst case, because nobody knows what it cost
	orphan     bool          // posted although there was no pending reservation: it was never made, or had been voided
	tombstone  bool          // voided before it was made, so that nobody knows where it would have been booked
	reserved   driver.Charge // the worst case that was set aside
	actual     driver.Charge // what is posted
	bookings   []booking     // where it is booked
	reservedAt int64
	resolvedAt int64 // 0 while it is pending
	expiresAt  int64
	mark       stepMark // which step wrote it last
	call       []byte   // the call's scope and operation, as account.EncodeCall encodes them
	reference  []byte   // the provider's id of the request
	uses       []use    // what it has added to rows of usage, the sums of a day over calls with the same scope
	hasTTL     bool     // an earlier library gave it a time to live: see removeTTL
}

// booking says where a part of one line is booked, and how much it holds there: pending, or posted once it is resolved. A line is one limit that
// applies to the call; its account may be spread over several items, the shards.
type booking struct {
	account driver.Key
	shard   int
	unit    driver.Unit
	start   int64 // of the bucket, in nanoseconds since 1970
	amount  int64
}

// How many bytes these take when they are stored.
const (
	bookingBytes = 16 + 1 + 1 + 8 + 8 // the account, the shard, the unit, the start and the amount
	stepBytes    = 16
	markBytes    = stepBytes + 4
)

// stepMark is left in an entry by each change: a random name of the step, and the number of its attempt. A step whose reply
// was lost finds out by it whether it was the one that wrote.
type stepMark [markBytes]byte

// of reports whether a step with this name has left the mark.
func (m stepMark) of(step [stepBytes]byte) bool { return bytes.Equal(m[:stepBytes], step[:]) }

// encodeBookings encodes bookings one after another, in bookingBytes each.
func encodeBookings(bookings []booking) []byte {
	out := make([]byte, 0, len(bookings)*bookingBytes)
	for _, b := range bookings {
		out = append(out, b.account[:]...)
		out = append(out, byte(b.shard), byte(b.unit))
		out = appendInt64(out, b.start)
		out = appendInt64(out, b.amount)
	}
	return out
}

// decodeBookings decodes what encodeBookings returned, and returns false for anything else.
func decodeBookings(raw []byte) ([]booking, bool) {
	if len(raw)%bookingBytes != 0 {
		return nil, false
	}
	bookings := make([]booking, 0, len(raw)/bookingBytes)
	for r := range slices.Chunk(raw, bookingBytes) {
		b := booking{account: driver.Key(r[:16]), shard: int(r[16]), unit: driver.Unit(r[17]), start: readInt64(r[18:]), amount: readInt64(r[26:])}
		if !b.unit.Valid() || b.shard >= MaxShards || b.amount < 0 {
			return nil, false
		}
		bookings = append(bookings, b)
	}
	return bookings, true
}

// decodeEntry reads a reservation's item. It returns nil, without an error, if there is none.
func decodeEntry(id driver.ID, raw item) (*entry, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	r := reader{item: raw}
	e := &entry{
		id: id, owner: r.bytes16(attrOwner), estimated: r.flag(attrEstimated), orphan: r.flag(attrOrphan),
		tombstone: r.flag(attrTombstone), reservedAt: r.required(attrReservedAt), expiresAt: r.required(attrExpiresAt),
	}
	e.resolvedAt, _ = r.number(attrResolvedAt) // missing while it is pending
	// With -1, blob takes any length; it returns nil for an attribute that is missing, which decodeUses takes for no uses.
	e.call, e.reference = r.blob(attrCall, -1), r.blob(attrReference, -1)
	uses, err := decodeUses(r.blob(attrUses, -1), r.blob(attrUsesOther, -1))
	if err != nil {
		return nil, err
	}
	e.uses = uses
	_, e.hasTTL = raw[ttlAttribute]
	state := r.required(attrState)
	var reservedErr, actualErr error
	e.reserved, reservedErr = decodeCharge(r.blob(attrReserved, -1))
	e.actual, actualErr = decodeCharge(r.blob(attrActual, -1))
	if err := errors.Join(r.err, reservedErr, actualErr); err != nil {
		return nil, err
	}
	bookings, bookingsFit := decodeBookings(r.blob(attrBookings, -1))
	stateFits := state >= int64(driver.Pending) && state <= int64(driver.Expired)
	mark := r.blob(attrMark, markBytes)            // nil if there is none, or one of another length
	if mark == nil || !bookingsFit || !stateFits { // the error names the state for all of these
		r.fail(attrState)
		return nil, r.err
	}
	e.state, e.mark, e.bookings = driver.State(state), stepMark(mark), bookings
	return e, r.err
}

// encode returns the reservation's item.
func (e *entry) encode() item {
	flag := func(set bool) types.AttributeValue {
		if set {
			return number(1)
		}
		return number(0)
	}
	out := entryKey(e.id).with(item{
		attrOwner: blob(e.owner[:]), attrState: number(int64(e.state)), attrEstimated: flag(e.estimated), attrOrphan: flag(e.orphan),
		attrTombstone: flag(e.tombstone), attrReserved: blob(encodeCharge(e.reserved)), attrActual: blob(encodeCharge(e.actual)),
		attrBookings: blob(encodeBookings(e.bookings)), attrReservedAt: number(e.reservedAt), attrExpiresAt: number(e.expiresAt),
		attrMark: blob(e.mark[:]),
	})
	if len(e.call) > 0 {
		out[attrCall] = blob(e.call)
	}
	if len(e.reference) > 0 {
		out[attrReference] = blob(e.reference)
	}
	if len(e.uses) > 0 {
		uses, other := encodeUses(e.uses)
		out[attrUses], out[attrUsesOther] = blob(uses), blob(other)
	}
	if e.state == driver.Pending {
		return out
	}
	out[attrResolvedAt] = number(e.resolvedAt) // and no time to live: forget deletes it, and adds what it had posted to the forgotten sums
	return out
}

// public returns the reservation as Entries shows it. A line that is booked in several shards is one booking there, with their sum.
func (e *entry) public() (driver.Entry, error) {
	c, _, err := account.DecodeCall(e.call)
	if err != nil {
		return driver.Entry{}, err
	}
	out := driver.Entry{
		ID: e.id, State: e.state, Estimated: e.estimated, Orphan: e.orphan, Reserved: e.reserved, Actual: e.actual,
		ReservedAt: time.Unix(0, e.reservedAt), Scope: c.Scope, Operation: c.Operation, Reference: string(e.reference),
	}
	if e.state != driver.Pending {
		out.ResolvedAt = time.Unix(0, e.resolvedAt)
	}
	for _, b := range e.bookings { // those of one account stand together
		if n := len(out.Lines); n > 0 && out.Lines[n-1].Account == b.account {
			out.Lines[n-1].Amount += b.amount
			continue
		}
		out.Lines = append(out.Lines, driver.Booking{Account: b.account, Unit: b.unit, Start: time.Unix(0, b.start), Amount: b.amount})
	}
	return out, nil
}

// conflict returns why a reservation with the id of an entry can't be a repeat of it: the entry is resolved, or was made by another owner, for
// other amounts or in other accounts. It returns nil if it is a repeat.
func (e *entry) conflict(r driver.Reservation) error {
	if e.state != driver.Pending {
		return driver.ErrResolved
	}
	if e.owner != r.Owner || e.reserved != r.Charge {
		return driver.ErrIDConflict
	}
	// Bookings are in the order of the lines. A line may have several, one for each shard that it is booked in.
	places := slices.CompactFunc(slices.Clone(e.bookings), func(a, b booking) bool { return a.account == b.account && a.unit == b.unit })
	same := func(b booking, l driver.Line) bool { return b.account == l.Account && b.unit == l.Unit }
	if !slices.EqualFunc(places, r.Lines, same) {
		return driver.ErrIDConflict
	}
	return nil
}
