package dynamostore

import (
	"cmp"
	"context"
	"encoding/hex"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// An account's item is written by each call, and each KB of it is paid for. So the sums of windows that have passed, which are in buckets, one for
// each start, don't stay in it: when so many have come together, one transaction moves them to an item of the account's archive, in which the
// sums of all shards, the items over which the account is spread, are added up. Each item of the archive holds the buckets from its sort key
// on, up to that of the next one. An account's archivedTo says up to which start its buckets are there, so that a settlement or a correction
// that comes late finds its bucket, and changes it where it is. A group is an account with all its shards, as they were read.

const (
	// minArchiveBatch is how many buckets come together before they are moved.
	minArchiveBatch = 32
	// maxArchiveBatch is how many are moved at once, which an expression has room for.
	maxArchiveBatch = 40
	// pastKeptWithClock is how long a bucket stays in the account's item at least if Options.Clock is set: as good as always, because such a
	// clock may be set back.
	pastKeptWithClock = 100 * 366 * 24 * time.Hour
)

// archivePartition names the partition of an account's archive.
func archivePartition(of driver.Key) string { return "past#" + hex.EncodeToString(of[:]) }

// archived is a bucket in the archive, or where it would be.
type archived struct {
	key itemKey // of the item that holds it
	bucket
	found bool  // the bucket is there
	shift shift // what a step adds to it
}

// archive moves old buckets of groups that this step has just rewritten, so that all their shards are known. Its errors are ignored: the next
// rewrite tries again.
func (s *Store) archive(ctx context.Context, groups ...*group) {
	for _, g := range groups {
		if !g.rewritten || g.shards[0].since == noWindow { // of an account in which nothing was booked yet
			continue
		}
		if past := g.pastBuckets(s.pastKept); len(past) >= s.archiveBatch {
			_ = s.write(ctx, s.moveToArchive(g, past[:min(len(past), maxArchiveBatch)]))
		}
	}
}

// pastBuckets returns the starts of the buckets that are still in the account's items, and whose window has passed for longer than kept.
func (g *group) pastBuckets(kept time.Duration) (starts []int64) {
	before := less(g.shards[0].since, int64(kept))
	for _, b := range g.buckets {
		if b.Start < before && b.Start > g.archivedTo && b.Start >= 0 { // a negative one has no place in the order of the archive's sort keys
			starts = append(starts, b.Start)
		}
	}
	return starts
}

// moveToArchive returns the actions of one transaction that takes the buckets with these starts out of every shard of the account, and adds
// their totals to an item of the archive. It fails if the ledger's epoch (its random name), the group's version or a sum of these buckets has
// changed since the group was read; other buckets may have changed.
func (s *Store) moveToArchive(g *group, starts []int64) []types.TransactWriteItem {
	version, to := newVersion(), starts[len(starts)-1]
	sums := &expression{} // what the archive's item gets
	var total []bucket
	actions := []types.TransactWriteItem{s.checkEpoch(driver.ID(g.shards[0].key))}
	for _, a := range g.shards {
		x := &expression{}
		x.require(attrVersion, "=", blob(g.version))
		for _, start := range starts {
			b := *bucketOf(&a.buckets, start) // empty if only other shards have it
			x.takeOut(b)
			bucketOf(&total, start).merge(b)
		}
		x.set(attrVersion, blob(version))
		x.set(attrArchivedTo, number(to))
		x.add(attrChanges, 1)
		actions = append(actions, s.update(accountKey(a.key, a.shard), x))
	}
	for i := range total {
		total[i].sums(sums.add)
	}
	if ttl, ends := expiry(g.shards[0].since, g.shards[0].keeps(s.opts.Retention)); ends {
		sums.set(ttlAttribute, number(ttl))
	}
	if sums.update() == nil { // all of these sums are zero, and the archive's item gets no time to live
		return actions
	}
	return append(actions, s.update(itemKey{archivePartition(g.shards[0].key), sortable(starts[0])}, sums))
}

// takeOut adds to x that a bucket is removed from an item, on the condition that its sums are those of b.
func (x *expression) takeOut(b bucket) {
	for _, sum := range [...]struct {
		prefix string
		n      int64
	}{{settledPrefix, b.settled}, {pendingPrefix, b.pending}, {forgotPrefix, b.forgotten}} {
		attribute := bucketAttribute(sum.prefix, b.start)
		if sum.n == 0 {
			x.requireUnless(attribute, "=", number(0)) // a sum that is zero need not be there
		} else {
			x.require(attribute, "=", number(sum.n))
		}
		x.remove(attribute)
	}
}

// findArchived looks for the item of the archive that a bucket is or would be in: the one with the highest sort key that is not above the bucket's
// start. It returns nil if the archive does not go back so far.
func (s *Store) findArchived(ctx context.Context, key driver.Key, start int64) (found *archived, err error) {
	in := dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :p AND sk <= :start"), Limit: aws.Int32(1), ScanIndexForward: aws.Bool(false),
		ExpressionAttributeValues: item{":p": text(archivePartition(key)), ":start": text(sortable(start))},
	}
	err = s.query(ctx, in, func(raw item) (bool, error) {
		r := reader{item: raw}
		found = &archived{key: itemKey{r.text(partitionKey), r.text(sortKey)}, bucket: bucket{start: start}}
		for _, b := range r.buckets() {
			if b.start == start {
				found.bucket, found.found = b, true
			}
		}
		return false, r.err // one item is enough
	})
	return found, err
}

// applyArchived prepares, in w.archived, the change of a group's bucket that is in the archive. w.shifts are what the step changes in that bucket,
// one for each shard that it changes; they are added up, because the archive has one sum for all shards. A bucket that is not kept any more, or that
// does not hold what is to be taken out of it, stays as it is: no limit counts it.
func (s *Store) applyArchived(ctx context.Context, w *work) error {
	first := w.shifts[0]
	sum := shift{booking: first.booking}
	for i := range w.shifts {
		sum.pending, sum.settled = sum.pending+w.shifts[i].pending, sum.settled+w.shifts[i].settled
	}
	if sum.pending == 0 && sum.settled == 0 {
		return nil
	}
	found, err := s.findArchived(ctx, first.account, first.start)
	if err != nil || found == nil || found.pending+sum.pending < 0 || found.settled+sum.settled < 0 {
		return err
	}
	if _, overflow := plus(found.settled, max(sum.settled, 0)); overflow {
		return driver.ErrOverflow
	}
	found.shift, w.archived = sum, found
	return nil
}

// postArchived returns the action that changes the sums of a bucket in the archive.
func (s *Store) postArchived(at *archived) types.TransactWriteItem {
	x := &expression{}
	x.requireSome(partitionKey) // an item that the table has deleted since it was read is not made again
	x.shift(&at.shift, 1)
	return s.update(at.key, x)
}

// shift adds to x the change of a bucket's sums, and the requirement that they stay in range. shards is over how many items the bucket is spread, so
// that their sums still fit into an int64 together: it is 1 for an item in the archive, which has the sums of all shards.
func (x *expression) shift(sh *shift, shards int) {
	pending, settled := bucketAttribute(pendingPrefix, sh.start), bucketAttribute(settledPrefix, sh.start)
	if sh.pending < 0 {
		x.require(pending, ">=", number(-sh.pending))
	}
	if sh.pending != 0 {
		x.add(pending, sh.pending)
	}
	switch {
	case sh.settled < 0:
		x.require(settled, ">=", number(-sh.settled))
	case sh.settled > 0:
		x.requireUnless(settled, "<=", number(ceiling(shards)-sh.settled))
	}
	if sh.settled != 0 {
		x.add(settled, sh.settled)
	}
}

// Periods implements driver.Store. What has passed is read from the archive, page by page: a period that changes during the call is returned as
// before the change or as after it. A limit out of range becomes the nearest one in it.
func (s *Store) Periods(ctx context.Context, key driver.Key, after time.Time, limit int) (all []driver.Period, err error) {
	since := int64(math.MinInt64) // before all periods
	if !after.IsZero() {
		since = account.Nanos(after)
	}
	limit = max(1, min(limit, maxEntries))
	err = s.do(ctx, "periods", func(ctx context.Context, _ *step) error {
		groups, err := s.readGroups(ctx, []driver.Key{key})
		if err != nil {
			return err
		}
		// The account is read before its archive. A bucket that moves in between is after this archivedTo, so that it counts once.
		g := groups[key]
		to := g.archivedTo
		if g.version == nil { // the account is gone, and all that is left is in the archive
			to = math.MaxInt64
		}
		buckets, err := s.archivedSince(ctx, key, since, to, limit)
		if err != nil {
			return err
		}
		g.addBuckets(&buckets, since)
		all = make([]driver.Period, min(len(buckets), limit))
		for i := range all {
			b := &buckets[i]
			all[i] = driver.Period{Start: time.Unix(0, b.start), Settled: b.settled, Pending: b.pending, Forgotten: b.forgotten}
		}
		return nil
	})
	if err == nil {
		_, err = s.checkTable(ctx, "periods")
	}
	return all, err
}

// addBuckets adds the buckets of all shards that begin after a moment to others. These are in the order of their starts, and stay so.
func (g *group) addBuckets(all *[]bucket, since int64) {
	for _, a := range g.shards {
		for _, b := range a.buckets {
			if b.start > since {
				bucketOf(all, b.start).merge(b)
			}
		}
	}
}

// archivedSince reads the buckets of an archive that begin after one moment and up to another, at least limit of them if there are so many.
func (s *Store) archivedSince(ctx context.Context, key driver.Key, since, to int64, limit int) (all []bucket, err error) {
	from := sortable(0)
	// The first item to read is the one that has or would have the bucket of since: it may hold later ones, too. It is nil if all items are later.
	if since > 0 {
		if found, err := s.findArchived(ctx, key, since); err != nil {
			return nil, err
		} else if found != nil {
			from = found.key.sort
		}
	}
	in := dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :p AND sk >= :from"),
		ExpressionAttributeValues: item{":p": text(archivePartition(key)), ":from": text(from)},
	}
	err = s.query(ctx, in, func(raw item) (bool, error) {
		r := reader{item: raw}
		for _, b := range r.buckets() {
			if b.start > since && b.start <= to {
				all = append(all, b)
			}
		}
		return len(all) < limit, r.err
	})
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.start, b.start) })
	return all, err
}
