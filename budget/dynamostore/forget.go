package dynamostore

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Resolved reservations are forgotten by the UTC day on which they were resolved, once that is past the retention: one transaction deletes
// some and adds what they had posted to the forgotten sums of their buckets. The table's time to live could not do that. They are in the order
// of their ids, which are random, so that all are looked through for each day, page by page; where that has got to stands in the table, for
// whichever process goes on. That costs calls nothing, and reading 8 reservations a read unit once a day. No day is forgotten before the one
// before it is, and each Expire begins one at most: a clock that is ahead for a moment forgets a day early, and no sum.

// The attributes of the item that says how far the ledger is forgotten.
const (
	attrForgetDay  = "fd" // reservations that were resolved before this day are being forgotten, or are forgotten
	attrForgetPart = "fp" // the partition that is next, entryShards when all are done
	attrForgetFrom = "fa" // the sort key up to which that partition was looked through
)

// forgetKey returns the key of the item that says how far the ledger is forgotten.
func forgetKey() itemKey { return itemKey{"forget", "walk"} }

const (
	// entriesAtOnce is how many reservations are read at once.
	entriesAtOnce = 500
	// forgetActions is how many items one transaction of forgetting changes at most, unless it forgets one reservation alone.
	forgetActions = 90
	// forgetTime is for how long one Expire lets the store forget.
	forgetTime = 20 * time.Second
)

// forgetting runs forget in the background, once at a time. Its zero value is ready to use.
type forgetting struct {
	mu     sync.Mutex
	cancel context.CancelFunc // of the run under way; nil if there is none
	ended  chan struct{}      // closed when the last run has ended
	closed bool
	done   atomic.Int64 // as far as this process knows, what was resolved before this day, counted from 1970, is forgotten
}

// start begins a run, unless there is one or nothing to do.
func (f *forgetting) start(s *Store) {
	now, err := s.clock.now()
	if err != nil || f.done.Load() >= s.forgetBefore(now) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.cancel != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), forgetTime)
	ended := make(chan struct{})
	f.cancel, f.ended = cancel, ended
	go func() {
		defer close(ended)
		_ = s.forget(ctx) // whatever the error: the next Expire goes on
		cancel()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cancel = nil
	}()
}

// stop ends the run under way, and lets no other begin.
func (f *forgetting) stop() {
	f.mu.Lock()
	f.closed = true
	cancel, ended := f.cancel, f.ended
	f.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if ended != nil {
		<-ended
	}
}

// forgetBefore returns the day before which what was resolved is past the retention, 0 if the retention reaches back to 1970.
func (s *Store) forgetBefore(now time.Time) int64 {
	at := now.Add(-s.opts.Retention)
	if at.After(now) || at.Unix() < 0 { // the difference may wrap for a very long retention
		return 0
	}
	return account.UsageDay(at)
}

// walk is how far the ledger is forgotten: see the attributes above for its fields. All partitions of entries are looked through for each day.
type walk struct {
	day       int64 // counted from 1970, in UTC
	partition int
	from      string
}

// done reports whether all partitions were looked through for this day.
func (w *walk) done() bool { return w.partition >= entryShards }

// forget begins the next day, or goes on with one that was begun, until that day is done, the context ends or another process has gone on.
func (s *Store) forget(ctx context.Context) error {
	var read *walk  // what the table says; nil if nothing was ever forgotten
	var today int64 // what was resolved before this day is past the retention
	err := s.do(ctx, "forget", func(ctx context.Context, _ *step) (err error) {
		if _, err = s.readGate(ctx); err != nil { // the table does not hold the ledger that was opened
			return err
		}
		now, err := s.clock.now()
		if err != nil {
			return err
		}
		today = s.forgetBefore(now)
		read, err = s.readWalk(ctx)
		return err
	})
	if err != nil {
		return err
	}
	w := read.next(today)
	for !w.done() {
		next, err := s.forgetPage(ctx, *w)
		if err == nil {
			err = s.write(ctx, []types.TransactWriteItem{s.putWalk(read, next), s.checkEpoch(driver.ID{})})
		}
		if err != nil {
			return err
		}
		read, w = next, next
	}
	if w.day >= today { // there is nothing to do until tomorrow; else the next Expire begins the day after
		s.forgetting.done.Store(w.day)
	}
	return nil
}

// next returns what is to be done after w, which is nil if nothing was ever forgotten: then one walk does for all days up to today's. It returns w
// itself if that is not done yet, or is of today, so that there is nothing to do.
func (w *walk) next(today int64) *walk {
	switch {
	case w == nil:
		return &walk{day: today}
	case w.done() && w.day < today:
		return &walk{day: w.day + 1}
	default:
		return w
	}
}

// readWalk reads how far the ledger is forgotten; nil if it never was.
func (s *Store) readWalk(ctx context.Context) (*walk, error) {
	raw, err := s.get(ctx, forgetKey())
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	r := reader{item: raw}
	return &walk{day: r.required(attrForgetDay), partition: int(r.required(attrForgetPart)), from: r.text(attrForgetFrom)}, r.err
}

// putWalk returns the action that writes how far the ledger is forgotten, on the condition that nobody has done so since it was read. read is nil if
// nothing was ever forgotten.
func (s *Store) putWalk(read, next *walk) types.TransactWriteItem {
	x := &expression{}
	if read == nil {
		x.requireNone(partitionKey)
	} else {
		x.require(attrForgetDay, "=", number(read.day))
		x.require(attrForgetPart, "=", number(int64(read.partition)))
		x.require(attrForgetFrom, "=", text(read.from))
	}
	return s.put(forgetKey().with(item{attrForgetDay: number(next.day), attrForgetPart: number(int64(next.partition)), attrForgetFrom: text(next.from)}), x)
}

// forgetPage reads a page of reservations, forgets those that were resolved before the day, and returns where the next page begins.
func (s *Store) forgetPage(ctx context.Context, w walk) (next *walk, err error) {
	before := account.DayStart(w.day).UnixNano()
	err = s.do(ctx, "forget", func(ctx context.Context, _ *step) error {
		var page []*entry
		if page, next, err = s.readPage(ctx, w); err != nil {
			return err
		}
		var old, withTTL []*entry
		for _, e := range page {
			switch {
			case e.state != driver.Pending && e.resolvedAt < before:
				old = append(old, e)
			case e.hasTTL:
				withTTL = append(withTTL, e)
			}
		}
		if err := s.forgetAll(ctx, old); err != nil {
			return err
		}
		return s.removeTTL(ctx, withTTL)
	})
	return next, err
}

// readPage reads the reservations that are looked through next, and returns what comes after them.
func (s *Store) readPage(ctx context.Context, w walk) (page []*entry, next *walk, err error) {
	next = &walk{day: w.day, partition: w.partition + 1} // unless the page is full, so that there may be more in this partition
	// The service accepts no empty value for a key, which w.from is at the beginning; no id lies between w.from and w.from + "\x00".
	in := dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :p AND sk > :from"), Limit: aws.Int32(entriesAtOnce),
		ExpressionAttributeValues: item{":p": text(entryPartition(w.partition)), ":from": text(w.from + "\x00")},
	}
	err = s.query(ctx, in, func(raw item) (bool, error) {
		r := reader{item: raw}
		id, err := driver.ParseID(r.text(sortKey))
		if err != nil {
			return false, errEncoding
		}
		e, err := decodeEntry(id, raw)
		if err != nil {
			return false, err
		}
		if page = append(page, e); len(page) == entriesAtOnce {
			next.partition, next.from = w.partition, r.text(sortKey)
		}
		return len(page) < entriesAtOnce, nil
	})
	return page, next, err
}

// removeTTL removes the time to live from reservations that an earlier library has given one, because the table would delete them without what
// they had posted being added to the forgotten sums.
func (s *Store) removeTTL(ctx context.Context, entries []*entry) error {
	for some := range slices.Chunk(entries, forgetActions) {
		actions := []types.TransactWriteItem{s.checkEpoch(some[0].id)}
		for _, e := range some {
			x := &expression{}
			x.require(attrMark, "=", blob(e.mark[:])) // no other step has written it since it was read
			x.remove(ttlAttribute)
			actions = append(actions, s.update(entryKey(e.id), x))
		}
		if err := s.write(ctx, actions); err != nil {
			return err
		}
	}
	return nil
}

// sumPlace says which sum of an account is meant: the one in the bucket with a start, in a shard, which is one of the items over which the account
// is spread.
type sumPlace struct {
	account driver.Key
	shard   int
	start   int64
}

// posted returns what an entry has posted, by place.
func (e *entry) posted() map[sumPlace]int64 {
	sums := make(map[sumPlace]int64, len(e.bookings))
	for _, b := range e.bookings {
		if b.amount > 0 {
			sums[sumPlace{b.account, b.shard, b.start}] += b.amount
		}
	}
	return sums
}

// forgetAll forgets entries, as many at a time as a transaction has room for. Each entry takes an action, and so does each place that it has posted
// to, and the gate.
func (s *Store) forgetAll(ctx context.Context, entries []*entry) error {
	for len(entries) > 0 {
		places := make(map[sumPlace]bool)
		n := 0
		for ; n < len(entries); n++ {
			for at := range entries[n].posted() {
				places[at] = true
			}
			if n > 0 && n+1+len(places) > forgetActions { // n+1 entries with this one; a single one goes alone, however many places it has
				break
			}
		}
		if err := s.forgetSome(ctx, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// forgetSome deletes entries in one transaction, which adds what they had posted to the forgotten sums of their buckets. It fails if another
// step has written an entry since it was read, which the entry's mark shows, or if the table holds another ledger, which checkEpoch finds out.
func (s *Store) forgetSome(ctx context.Context, entries []*entry) error {
	sums := make(map[sumPlace]int64)
	actions := []types.TransactWriteItem{s.checkEpoch(entries[0].id)}
	for _, e := range entries {
		for at, n := range e.posted() {
			sums[at], _ = plus(sums[at], n) // at most math.MaxInt64
		}
		x := &expression{}
		x.require(attrMark, "=", blob(e.mark[:]))
		actions = append(actions, s.remove(entryKey(e.id), x))
	}
	changes, err := s.forgottenSums(ctx, sums)
	if err != nil {
		return err
	}
	for key, x := range changes {
		actions = append(actions, s.update(key, x))
	}
	return s.write(ctx, actions)
}

// forgottenSums returns what is added to the items that hold these sums. Sums that are not kept any more are left out.
func (s *Store) forgottenSums(ctx context.Context, sums map[sumPlace]int64) (itemChanges, error) {
	groups, err := s.groupsAt(ctx, sums)
	if err != nil {
		return nil, err
	}
	changes := make(itemChanges)
	old := make(map[sumPlace]int64) // those in the archive, where the sums of all shards are added up
	for at, n := range sums {
		g := groups[at.account]
		if g.version == nil || at.start <= g.archivedTo { // the account is gone, or the bucket was moved
			at.shard = 0 // so that the parts of all shards come together
			old[at], _ = plus(old[at], n)
			continue
		}
		a := g.shards[at.shard]
		if !a.holds(at.start) { // the sum is not kept any more
			continue
		}
		x, added := changes.of(accountKey(at.account, at.shard))
		if added {
			x.require(attrVersion, "=", blob(a.version)) // else the bucket may have been moved
			x.add(attrChanges, 1)
		}
		x.add(bucketAttribute(forgotPrefix, at.start), n)
	}
	return changes, s.forgottenInArchive(ctx, old, changes)
}

// forgottenInArchive adds to changes what is added to the items of the archive that hold these sums. Sums that the archive does not hold any more are
// left out.
func (s *Store) forgottenInArchive(ctx context.Context, sums map[sumPlace]int64, changes itemChanges) error {
	for at, n := range sums {
		found, err := s.findArchived(ctx, at.account, at.start)
		if err != nil {
			return err
		}
		if found == nil || !found.found {
			continue
		}
		x, added := changes.of(found.key)
		if added {
			x.requireSome(partitionKey) // else an item that was deleted since would be made again
		}
		x.add(bucketAttribute(forgotPrefix, at.start), n)
	}
	return nil
}

// itemChanges has an expression for each item that is changed: what is required of the item, and how it changes.
type itemChanges map[itemKey]*expression

// of returns the expression of an item. added says that it is a new and empty one.
func (c itemChanges) of(key itemKey) (x *expression, added bool) {
	if x = c[key]; x == nil {
		x, added = &expression{}, true
		c[key] = x
	}
	return x, added
}

// holds reports whether an item has a bucket with this start.
func (a *accountItem) holds(start int64) bool {
	return slices.ContainsFunc(a.buckets, func(b bucket) bool { return b.start == start })
}

// groupsAt reads the accounts of some sums: each is a group, the account with all its shards.
func (s *Store) groupsAt(ctx context.Context, sums map[sumPlace]int64) (map[driver.Key]*group, error) {
	all := make(map[driver.Key]*group)
	var keys []driver.Key
	for at := range sums {
		if _, known := all[at.account]; !known {
			all[at.account], keys = nil, append(keys, at.account)
		}
	}
	for some := range slices.Chunk(keys, (maxActions-1)/s.shards) { // readGroups also reads a gate
		groups, err := s.readGroups(ctx, some)
		if err != nil {
			return nil, err
		}
		for key, g := range groups {
			all[key] = g
		}
	}
	return all, nil
}
