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

// Usage is kept in rows of a day. A row has an item with whose it is, which is made once, before anything is added, and counted in an item
// of the day; and behind it, in the order of keys, an item with its sums for each shard, by the id of the reservation, as accounts have.
// What a transaction adds to sums needs not be read before.

// The attributes of the items of usage, beside the sums, which are named by the number of their unit.
const (
	attrUsageOf   = "uv" // whose it is, in the library's form
	attrUsageRows = "uc" // of a day: how many rows it has
	attrUses      = "us" // of an entry: what it has added to which rows
	attrUsesOther = "uo" // of an entry: which of these were added to the row of others, a byte each
	unitPrefix    = "n"
)

// daysPartition has an item for each day that has rows of usage, sorted by the day.
const daysPartition = "usage"

// dayKey holds how many rows a day has.
func dayKey(day int64) itemKey { return itemKey{daysPartition, dueSort(day)} }

// usagePartition holds the rows of a day whose keys begin with a digit.
func usagePartition(day int64, digit int) string {
	return "usage#" + strconv.FormatInt(day, 10) + "#" + strconv.FormatInt(int64(digit), 16)
}

// usageRowKey holds whose a row is.
func usageRowKey(day int64, key driver.Key) itemKey {
	return itemKey{usagePartition(day, int(key[0]>>4)), hex.EncodeToString(key[:])}
}

// usageSumKey holds the sums of a shard of a row.
func usageSumKey(day int64, key driver.Key, shard int) itemKey {
	k := usageRowKey(day, key)
	k.sort += "#" + strconv.Itoa(shard)
	return k
}

func unitAttribute(unit int) string { return unitPrefix + strconv.Itoa(unit) }

// use is what an entry has added to a row.
type use struct {
	account.Use
	other bool // it had no row of its own
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

// placeMemory remembers of which rows it is known that they are there, or that they never will be. Its zero value is empty.
type placeMemory struct {
	mu    sync.Mutex
	known map[usagePlace]bool // whether it is in the row of others
}

type usagePlace struct {
	day int64
	key driver.Key
}

// maxPlaces bounds what is remembered; what is forgotten is looked up again.
const maxPlaces = 100_000

func (m *placeMemory) get(at usagePlace) (other, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	other, known = m.known[at]
	return other, known
}

func (m *placeMemory) set(at usagePlace, other bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxPlaces {
		m.known = make(map[usagePlace]bool)
	}
	m.known[at] = other
}

// inOther reports whether what is added to a row of a day goes to that of others, and makes the row if it is to have one.
func (s *Store) inOther(ctx context.Context, day int64, key driver.Key, value []byte) (bool, error) {
	at := usagePlace{day, key}
	if other, known := s.places.get(at); known {
		return other, nil
	}
	for {
		items, err := s.snapshot(ctx, []itemKey{usageRowKey(day, key), dayKey(day), usageRowKey(day, driver.OtherUsage), gateKey(0)})
		if err != nil {
			return false, err
		}
		if _, err := s.gate(items[3]); err != nil {
			return false, err
		}
		r := reader{item: items[1]}
		rows, began := r.number(attrUsageRows)
		if r.err != nil {
			return false, r.err
		}
		if len(items[0]) > 0 {
			s.places.set(at, false)
			return false, nil
		}
		full := len(items[2]) > 0
		if !full && rows >= int64(s.opts.UsageRows) { // for good, whatever processes with another bound find
			key, value, full = driver.OtherUsage, []byte{}, true
		} else if full {
			s.places.set(at, true)
			return true, nil
		}
		if err = s.addRow(ctx, day, key, value, rows, began); err == nil {
			s.places.set(at, full)
			return full, nil
		} else if !errors.Is(err, errMoved) {
			return false, err
		}
		if !pause(ctx, movedPause, 1) {
			return false, ctx.Err()
		}
	}
}

// addRow makes a row, and counts it, if nobody else has made one meanwhile.
func (s *Store) addRow(ctx context.Context, day int64, key driver.Key, value []byte, rows int64, began bool) error {
	fresh, counted := &expression{}, &expression{}
	fresh.requireNone(partitionKey)
	if began {
		counted.require(attrUsageRows, "=", number(rows))
	} else {
		counted.requireNone(partitionKey)
	}
	ttl := number(usageTTL(day))
	return s.write(ctx, []types.TransactWriteItem{
		s.put(usageRowKey(day, key).with(item{attrUsageOf: blob(value), ttlAttribute: ttl}), fresh),
		s.put(dayKey(day).with(item{attrUsageRows: number(rows + 1), ttlAttribute: ttl}), counted),
		s.checkEpoch(driver.ID(key)),
	})
}

// usageTTL is the second after which nobody asks for a day any more.
func usageTTL(day int64) int64 {
	return account.DayStart(day + 1).Add(driver.UsageRetention).Unix()
}

// divide returns how an amount that is posted for an entry divides, and the values of the rows. Without shares it is its call's, or of a
// correction the first one's of those that it had.
func (e *entry) divide(next outcome) (uses []account.Use, values [][]byte, err error) {
	if next.actual == (driver.Charge{}) {
		return nil, nil, nil
	}
	call, _, err := account.DecodeCall(e.whose)
	if err != nil {
		return nil, nil, err
	}
	if next.correction && len(next.shares) == 0 && len(e.uses) > 0 {
		return []account.Use{{Key: e.uses[0].Key, Amount: next.actual}}, [][]byte{account.UsageValue(&call)}, nil
	}
	uses = account.Uses(&call, next.actual, next.shares)
	for i := range uses {
		of := &call
		if len(next.shares) > 0 {
			of = next.shares[i].Call
		}
		values = append(values, account.UsageValue(of))
	}
	return uses, values, nil
}

// divided reports whether an entry has the shares of a correction already. None stand for those that it has.
func (e *entry) divided(c *driver.Correction) bool {
	return len(c.Shares) == 0 || slices.EqualFunc(e.uses, account.Uses(nil, c.Actual, c.Shares), func(a use, b account.Use) bool { return a.Use == b })
}

// chargeUsage returns the actions that put an amount in the place of what an entry has added to rows of usage. Where looking is set they rest
// on a look at the rows, because a first attempt has failed.
func (s *Store) chargeUsage(ctx context.Context, e *entry, next outcome, looking bool) (actions []types.TransactWriteItem, err error) {
	day := account.UsageDay(time.Unix(0, e.reservedAt))
	uses, values, err := e.divide(next)
	if err != nil {
		return nil, err
	}
	changes := make(map[driver.Key]*driver.Charge)
	var order []driver.Key
	add := func(u *use, sign int64) {
		key := u.row()
		if changes[key] == nil {
			changes[key], order = new(driver.Charge), append(order, key)
		}
		for unit, n := range u.Amount {
			changes[key][unit] += sign * n
		}
	}
	for i := range e.uses {
		add(&e.uses[i], -1)
	}
	e.uses = make([]use, len(uses))
	for i := range uses {
		other, err := s.inOther(ctx, day, uses[i].Key, values[i])
		if err != nil {
			return nil, err
		}
		e.uses[i] = use{uses[i], other}
		add(&e.uses[i], 1)
	}
	slices.SortFunc(order, func(a, b driver.Key) int { return bytes.Compare(a[:], b[:]) })
	for _, key := range order {
		if *changes[key] == (driver.Charge{}) {
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

// addUsage adds to the sums of a row. Without a look it makes sure that no sum can leave the range of int64, whatever the other shards hold.
func (s *Store) addUsage(k itemKey, change *driver.Charge, ttl int64, looked bool) types.TransactWriteItem {
	x := &expression{}
	x.set(ttlAttribute, number(ttl))
	most := ceiling(s.shards)
	if looked {
		most = math.MaxInt64
	}
	for unit, n := range change {
		if n == 0 {
			continue
		}
		if n > 0 {
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
		if n > 0 && sum[unit] > math.MaxInt64-n {
			return driver.ErrOverflow
		}
	}
	return nil
}

// addSums adds the sums of an item up, each at most math.MaxInt64.
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
		sum[unit], _ = plus(sum[unit], max(0, r.required(name)))
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
	oldest := account.UsageDay(now.Add(-driver.UsageRetention))
	days, err := s.usageDays(ctx, max(first, oldest))
	if err != nil {
		return nil, err
	}
	all = []driver.UsageRow{}
	for _, day := range days {
		after := driver.Key{}
		if day == first {
			after = from.After
		}
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
			ExpressionAttributeValues: item{":days": text(daysPartition), ":from": text(dueSort(from))},
		}
		return s.query(ctx, in, func(raw item) (bool, error) {
			r := reader{item: raw}
			day, err := strconv.ParseInt(r.text(sortKey), 16, 64)
			if err != nil {
				return false, errEncoding
			}
			days = append(days, day)
			return true, nil
		})
	})
	return days, err
}

// usageIn reads up to limit rows of a day whose keys begin with a digit and come after one. Rows of nothing are left out.
func (s *Store) usageIn(ctx context.Context, day int64, digit int, after driver.Key, limit int) (all []driver.UsageRow, err error) {
	begin := ""
	if after != (driver.Key{}) && int(after[0]>>4) == digit {
		begin = hex.EncodeToString(after[:]) + "$" // after any #
	}
	err = s.do(ctx, "usage", func(ctx context.Context, _ *step) error {
		all = nil
		in := dynamodb.QueryInput{
			KeyConditionExpression:    aws.String("pk = :p AND sk > :after"),
			ExpressionAttributeValues: item{":p": text(usagePartition(day, digit)), ":after": text(begin + "\x00")},
		}
		var row driver.UsageRow
		put := func() {
			if row.Charge != (driver.Charge{}) {
				all = append(all, row)
			}
		}
		err := s.query(ctx, in, func(raw item) (bool, error) {
			key, isRow, err := parseUsage(raw)
			if err != nil {
				return false, err
			}
			if key != row.Key {
				if put(); len(all) >= limit {
					row = driver.UsageRow{}
					return false, nil
				}
				row = driver.UsageRow{Day: account.DayStart(day), Key: key}
			}
			if !isRow {
				return true, addSums(&row.Charge, raw)
			}
			r := reader{item: raw}
			row.Scope, err = account.UsageScope(r.blob(attrUsageOf, -1))
			return true, err
		})
		put()
		return err
	})
	return all, err
}

// parseUsage tells which row an item is of, and whether it says whose that is.
func parseUsage(raw item) (key driver.Key, isRow bool, err error) {
	r := reader{item: raw}
	digits, _, isSum := strings.Cut(r.text(sortKey), "#")
	found, err := hex.DecodeString(digits)
	if err != nil || len(found) != len(key) {
		return key, false, errEncoding
	}
	return driver.Key(found), !isSum, nil
}
