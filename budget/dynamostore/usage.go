package dynamostore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Usage is what was charged in a UTC day, in rows: one for calls with the same scope, whose key within the day is made of that scope. A row has an
// item with the scope, which is made once, before anything is added, and is counted in an item of the day. Behind it, in the order of keys, it has an
// item with its sums for each shard: the row is spread over as many items as accounts are, and the id of a reservation picks one of them. What a
// transaction adds to sums needs not be read before.

// The attributes of the items of usage, beside the sums, which are named by the number of their unit.
const (
	attrUsageOf   = "uv" // the scope, as account.UsageValue encodes it
	attrUsageRows = "uc" // of a day: how many rows it has
	attrUses      = "us" // of an entry: what it has added to which rows
	attrUsesOther = "uo" // of an entry: which of these were added to the row of others, a byte each
	unitPrefix    = "n"  // of the sums: see unitAttribute
)

// daysPartition has an item for each day that has rows of usage, sorted by the day.
const daysPartition = "usage"

// dayKey is the key of the item with the number of rows that a day has.
func dayKey(day int64) itemKey { return itemKey{daysPartition, sortable(day)} }

// usagePartition names the partition of a day's rows whose keys, in hexadecimal digits, begin with the given digit.
func usagePartition(day int64, digit int) string {
	return "usage#" + strconv.FormatInt(day, 10) + "#" + strconv.FormatInt(int64(digit), 16)
}

// usageRowKey is the key of the item with the scope of a row.
func usageRowKey(day int64, key driver.Key) itemKey {
	return itemKey{usagePartition(day, int(key[0]>>4)), hex.EncodeToString(key[:])}
}

// usageSumKey is the key of the item with the sums of a shard of a row.
func usageSumKey(day int64, key driver.Key, shard int) itemKey {
	k := usageRowKey(day, key)
	k.sort += "#" + strconv.Itoa(shard)
	return k
}

// unitAttribute names the sum of a unit.
func unitAttribute(unit int) string { return unitPrefix + strconv.Itoa(unit) }

// use is what an entry, a reservation, has added to a row: the amount, and the key of the row that its scope should have.
type use struct {
	account.Use
	other bool // the day had no room for that row, so that the amount is in the row driver.OtherUsage
}

// encodeUses returns the values of attrUses and attrUsesOther.
func encodeUses(all []use) (uses, other []byte) {
	plain := make([]account.Use, len(all))
	for i := range all {
		plain[i] = all[i].Use
		if all[i].other {
			other = append(other, 1)
		} else {
			other = append(other, 0)
		}
	}
	return account.EncodeUses(plain), other
}

// decodeUses decodes what encodeUses returned.
func decodeUses(uses, other []byte) ([]use, error) {
	plain, err := account.DecodeUses(uses)
	if err != nil {
		return nil, err
	}
	if len(plain) != len(other) {
		return nil, errEncoding
	}
	all := make([]use, len(plain))
	for i := range all {
		all[i] = use{plain[i], other[i] != 0}
	}
	return all, nil
}

// row returns the key of the row that the use is in.
func (u *use) row() driver.Key {
	if u.other {
		return driver.OtherUsage
	}
	return u.Key
}

// rowMemory remembers of which rows it is known that they are there, or that they will never be made, because the day has the row of others. Its zero
// value is empty.
type rowMemory struct {
	mu    sync.Mutex
	known map[usagePlace]bool // by row: whether what is added to it goes to the row of others
}

// usagePlace names a row, whether or not it is there.
type usagePlace struct {
	day int64 // counted from 1970
	key driver.Key
}

// maxPlaces bounds what is remembered; what is forgotten is looked up again.
const maxPlaces = 100_000

// get returns what is known of a row.
func (m *rowMemory) get(at usagePlace) (other, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	other, known = m.known[at]
	return other, known
}

// set remembers a row. If there is no room, all others are forgotten.
func (m *rowMemory) set(at usagePlace, other bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxPlaces {
		m.known = make(map[usagePlace]bool)
	}
	m.known[at] = other
}

// inOther reports whether what is added to a row of a day goes to the row driver.OtherUsage, because the day has no room for a row of its own. If
// there is room, and the row is missing, inOther makes it; value is its encoded scope. Once a day has the row of others, no further ones are made, so
// that what a key has added is always in the same row.
func (s *Store) inOther(ctx context.Context, day int64, key driver.Key, value []byte) (bool, error) {
	at := usagePlace{day, key}
	if other, known := s.knownRows.get(at); known {
		return other, nil
	}
	for {
		d, err := s.readUsageDay(ctx, day, key)
		if err != nil {
			return false, err
		}
		if d.hasRow || d.hasOthers {
			s.knownRows.set(at, !d.hasRow)
			return !d.hasRow, nil
		}
		made, madeOf, other := key, value, false // the row that is to be made, and its scope
		if d.rows >= int64(s.opts.UsageRows) {
			// There is no room for another one but the row of others, which has no scope. Once it is there, no process makes any other row, even with a
			// higher bound.
			made, madeOf, other = driver.OtherUsage, []byte{}, true
		}
		if err = s.addRow(ctx, d, made, madeOf); err == nil {
			s.knownRows.set(at, other)
			return other, nil
		} else if !errors.Is(err, errMoved) {
			return false, err
		}
		// errMoved: another process has changed these items since they were read, so they are read again.
		if !pause(ctx, movedPause, 1) {
			return false, ctx.Err()
		}
	}
}

// usageDay is what a day has of rows of usage, as it was read for one key.
type usageDay struct {
	day       int64 // counted from 1970
	hasRow    bool  // the key has a row of its own
	hasOthers bool  // the day has the row of others
	rows      int64 // how many rows there are
	counted   bool  // the day has the item that counts its rows; it has none before the first row
}

// readUsageDay reads what a day has of rows of usage, and whether a key has one, at one moment.
func (s *Store) readUsageDay(ctx context.Context, day int64, key driver.Key) (d usageDay, err error) {
	items, err := s.snapshot(ctx, []itemKey{usageRowKey(day, key), dayKey(day), usageRowKey(day, driver.OtherUsage), gateKey(0)})
	if err != nil {
		return usageDay{}, err
	}
	if _, err := s.gate(items[3]); err != nil { // the table does not hold the ledger that was opened
		return usageDay{}, err
	}
	r := reader{item: items[1]}
	d = usageDay{day: day, hasRow: len(items[0]) > 0, hasOthers: len(items[2]) > 0}
	d.rows, d.counted = r.number(attrUsageRows)
	return d, r.err
}

// addRow makes a row with a scope, value, and counts it, if nobody else has made one since the day was read.
func (s *Store) addRow(ctx context.Context, d usageDay, key driver.Key, value []byte) error {
	fresh, counted := &expression{}, &expression{}
	fresh.requireNone(partitionKey)
	if d.counted {
		counted.require(attrUsageRows, "=", number(d.rows))
	} else {
		counted.requireNone(partitionKey)
	}
	ttl := number(usageTTL(d.day))
	return s.write(ctx, []types.TransactWriteItem{
		s.put(usageRowKey(d.day, key).with(item{attrUsageOf: blob(value), ttlAttribute: ttl}), fresh),
		s.put(dayKey(d.day).with(item{attrUsageRows: number(d.rows + 1), ttlAttribute: ttl}), counted),
		s.checkEpoch(driver.ID(key)), // requires, in the gate that the key picks, that this is the ledger that was opened
	})
}

// usageTTL is the second after which nobody asks for a day any more.
func usageTTL(day int64) int64 {
	return account.DayStart(day + 1).Add(driver.UsageRetention).Unix()
}

// divide returns how an amount that is posted for an entry divides among rows, and the encoded scope of each row. Without shares all of it belongs to
// the entry's call; but a correction without shares, of an entry whose amount was divided, adds all of it to the row of the first part.
func (e *entry) divide(next outcome) (uses []account.Use, values [][]byte, err error) {
	if next.actual == (driver.Charge{}) {
		return nil, nil, nil
	}
	call, _, err := account.DecodeCall(e.call)
	if err != nil {
		return nil, nil, err
	}
	if next.correction && len(next.shares) == 0 && len(e.uses) > 0 {
		// The scope of that row is not known here. It is only written with a row that is made, and that row was made when the use was added: so the
		// call's stands in its place.
		return []account.Use{{Key: e.uses[0].Key, Amount: next.actual}}, [][]byte{account.UsageValue(&call)}, nil
	}
	uses = account.Uses(&call, next.actual, next.shares) // one for each share, in their order; or, without shares, one for the call
	for i := range uses {
		of := &call
		if len(next.shares) > 0 {
			of = next.shares[i].Call
		}
		values = append(values, account.UsageValue(of))
	}
	return uses, values, nil
}

// divided reports whether an entry's amount divides as a correction wants it already. A correction without shares leaves the division as it is. With
// shares, account.Uses needs no call.
func (e *entry) divided(c *driver.Correction) bool {
	return len(c.Shares) == 0 || slices.EqualFunc(e.uses, account.Uses(nil, c.Actual, c.Shares), func(a use, b account.Use) bool { return a.Use == b })
}

// chargeUsage returns the actions that put an amount in the place of what an entry has added to rows of usage, and notes in the entry what it will
// have added. looking says that a first attempt has failed, possibly because a shard's sum is near its bound: then the sums of all shards are read,
// and only their total is bounded.
func (s *Store) chargeUsage(ctx context.Context, e *entry, next outcome, looking bool) (actions []types.TransactWriteItem, err error) {
	day := account.UsageDay(time.Unix(0, e.reservedAt))
	changes, err := s.replaceUses(ctx, e, next, day)
	if err != nil {
		return nil, err
	}
	for _, key := range changes.rows() {
		if *changes[key] == (driver.Charge{}) { // as much was put into the row as was taken out of it
			continue
		}
		if looking {
			if err := s.hasRoom(ctx, day, key, changes[key]); err != nil {
				return nil, err
			}
		}
		actions = append(actions, s.addUsage(usageSumKey(day, key, pick(e.id, s.shards)), changes[key], usageTTL(day), looking))
	}
	return actions, nil
}

// replaceUses notes in an entry what it will have added to rows of the day, and returns how these rows change: what the entry had added before is
// taken out of them, and what it adds now is put in.
func (s *Store) replaceUses(ctx context.Context, e *entry, next outcome, day int64) (rowChanges, error) {
	uses, values, err := e.divide(next)
	if err != nil {
		return nil, err
	}
	changes := make(rowChanges)
	for i := range e.uses {
		changes.add(&e.uses[i], -1)
	}
	e.uses = make([]use, len(uses))
	for i := range uses {
		other, err := s.inOther(ctx, day, uses[i].Key, values[i])
		if err != nil {
			return nil, err
		}
		e.uses[i] = use{uses[i], other}
		changes.add(&e.uses[i], 1)
	}
	return changes, nil
}

// rowChanges has for each row, by its key, what is added to its sums. An amount is negative if more is taken out than put in.
type rowChanges map[driver.Key]*driver.Charge

// add adds a use, times a sign of 1 or -1, to the row that it is in.
func (c rowChanges) add(u *use, sign int64) {
	key := u.row()
	if c[key] == nil {
		c[key] = new(driver.Charge)
	}
	for unit, n := range u.Amount {
		c[key][unit] += sign * n
	}
}

// rows returns the keys in their order, in which the rows are changed, whatever the order of the shares is.
func (c rowChanges) rows() []driver.Key {
	order := make([]driver.Key, 0, len(c))
	for key := range c {
		order = append(order, key)
	}
	slices.SortFunc(order, func(a, b driver.Key) int { return bytes.Compare(a[:], b[:]) })
	return order
}

// addUsage returns the action that adds to the sums of one shard of a row. If the caller has not looked at the other shards, the action requires that
// the total can't leave the range of int64 whatever these hold: no shard may exceed its part of that range.
func (s *Store) addUsage(k itemKey, change *driver.Charge, ttl int64, looked bool) types.TransactWriteItem {
	x := &expression{}
	x.set(ttlAttribute, number(ttl))
	most := ceiling(s.shards) // math.MaxInt64 divided by the number of shards
	if looked {
		most = math.MaxInt64
	}
	for unit, n := range change {
		if n == 0 {
			continue
		}
		if n > 0 { // only what is added can go beyond the bound, most; the sum need not be there yet, and less subtracts
			x.requireUnless(unitAttribute(unit), "<=", number(less(most, n)))
		}
		x.add(unitAttribute(unit), n)
	}
	return s.update(k, x)
}

// hasRoom returns driver.ErrOverflow if a change would take a sum of a row out of the range of int64.
func (s *Store) hasRoom(ctx context.Context, day int64, key driver.Key, change *driver.Charge) error {
	keys := make([]itemKey, s.shards)
	for shard := range keys {
		keys[shard] = usageSumKey(day, key, shard)
	}
	items, err := s.snapshot(ctx, keys)
	if err != nil {
		return err
	}
	var sum driver.Charge
	for _, raw := range items {
		if err := addSums(&sum, raw); err != nil {
			return err
		}
	}
	for unit, n := range change {
		if n > 0 && sum[unit] > math.MaxInt64-n { // what is taken out needs no room
			return driver.ErrOverflow
		}
	}
	return nil
}

// addSums adds the sums of an item to sum, each of which is cut at math.MaxInt64.
func addSums(sum *driver.Charge, raw item) error {
	r := reader{item: raw}
	for name := range raw {
		digits, found := strings.CutPrefix(name, unitPrefix)
		unit, err := strconv.Atoi(digits)
		if !found || err != nil {
			continue
		}
		if unit < 1 || unit >= len(sum) {
			return fmt.Errorf("%w: it counts unit %d, this library knows %d: use a newer one", errEncoding, unit, len(sum)-1)
		}
		sum[unit], _ = plus(sum[unit], max(0, r.required(name))) // plus takes no negative numbers
	}
	return r.err
}

// Usage implements driver.Store. It reads page by page: a row that changes during the call is returned as before the change or as after it. A limit
// out of range becomes the nearest one in it.
func (s *Store) Usage(ctx context.Context, from driver.UsageMark, limit int) (all []driver.UsageRow, err error) {
	limit = max(1, min(limit, maxEntries))
	now, err := s.checkTable(ctx, "usage")
	if err != nil {
		return nil, err
	}
	first := account.UsageDay(from.Day)
	oldest := account.UsageDay(now.Add(-driver.UsageRetention)) // the table may be late in deleting older rows
	days, err := s.usageDays(ctx, max(first, oldest))
	if err != nil {
		return nil, err
	}
	all = []driver.UsageRow{}
	for _, day := range days {
		after := driver.Key{} // of all days but the first, every row is read
		if day == first {
			after = from.After
		}
		// The rows of a day are in 16 partitions, by the first hexadecimal digit of their keys.
		for digit := int(after[0] >> 4); digit < 16; digit++ {
			some, err := s.usageIn(ctx, day, digit, after, limit-len(all))
			if err != nil {
				return nil, err
			}
			if all = append(all, some...); len(all) >= limit {
				return all, nil
			}
		}
	}
	return all, nil
}

// usageDays returns the days, from the given one on, that have rows of usage.
func (s *Store) usageDays(ctx context.Context, from int64) (days []int64, err error) {
	err = s.do(ctx, "usage", func(ctx context.Context, _ *step) error {
		days = nil
		in := dynamodb.QueryInput{
			KeyConditionExpression:    aws.String("pk = :days AND sk >= :from"),
			ExpressionAttributeValues: item{":days": text(daysPartition), ":from": text(sortable(from))},
		}
		return s.query(ctx, in, func(raw item) (bool, error) {
			r := reader{item: raw}
			day, err := strconv.ParseInt(r.text(sortKey), 16, 64) // as sortable prints it
			if err != nil {
				return false, errEncoding
			}
			days = append(days, day)
			return true, nil // on to the next item
		})
	})
	return days, err
}

// usageIn reads up to limit rows of a day whose keys begin with a digit and come after a key. Rows whose sums are zero are left out.
func (s *Store) usageIn(ctx context.Context, day int64, digit int, after driver.Key, limit int) (all []driver.UsageRow, err error) {
	begin := ""
	if after != (driver.Key{}) && int(after[0]>>4) == digit {
		begin = hex.EncodeToString(after[:]) + "$" // comes after the "#" with which the sort keys of the row's sums go on
	}
	err = s.do(ctx, "usage", func(ctx context.Context, _ *step) error {
		// The service accepts no empty value for a key: with begin empty, "\x00" stands before all keys.
		in := dynamodb.QueryInput{
			KeyConditionExpression:    aws.String("pk = :p AND sk > :after"),
			ExpressionAttributeValues: item{":p": text(usagePartition(day, digit)), ":after": text(begin + "\x00")},
		}
		page := usagePage{day: account.DayStart(day), limit: limit} // each attempt begins a new one
		err := s.query(ctx, in, page.add)
		page.endRow()
		all = page.rows
		return err
	})
	return all, err
}

// usagePage puts rows of usage together from their items. The items of a row follow one another: the one with its scope, and then those with its
// sums, one for each shard, which are added up.
type usagePage struct {
	day   time.Time
	limit int
	rows  []driver.UsageRow // those whose items were all read
	row   driver.UsageRow   // the one whose items are being read; zero before the first one
}

// add takes the next item. more is false if the page is full; then the item is of a row that is not on it.
func (p *usagePage) add(raw item) (more bool, err error) {
	key, isRow, err := parseUsage(raw)
	if err != nil {
		return false, err
	}
	if key != p.row.Key { // the first item of a row: the row before it is complete
		if p.endRow(); len(p.rows) >= p.limit {
			return false, nil
		}
		p.row = driver.UsageRow{Day: p.day, Key: key}
	}
	if !isRow {
		return true, addSums(&p.row.Charge, raw)
	}
	r := reader{item: raw}
	p.row.Scope, err = account.UsageScope(r.blob(attrUsageOf, -1))
	return true, err
}

// endRow puts the row whose items were read on the page, unless its sums are zero, as they are before the first row.
func (p *usagePage) endRow() {
	if p.row.Charge != (driver.Charge{}) {
		p.rows = append(p.rows, p.row)
	}
	p.row = driver.UsageRow{}
}

// parseUsage returns which row an item belongs to, and whether it is the item with the row's scope; otherwise it has sums of the row.
func parseUsage(raw item) (key driver.Key, isRow bool, err error) {
	r := reader{item: raw}
	digits, _, isSum := strings.Cut(r.text(sortKey), "#")
	found, err := hex.DecodeString(digits)
	if err != nil || len(found) != len(key) {
		return key, false, errEncoding
	}
	return driver.Key(found), !isSum, nil
}
