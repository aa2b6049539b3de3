package dynamostore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Each pending reservation has a due item, which says when it expires. Due items are spread over dueShards partitions, by the reservation's id, and
// sorted by time in each, so that Expire reads only those that are due.
const (
	// expirePage is the most due dates that are read at once.
	expirePage = 500
	// expireWorkers is how many reservations are charged at the same time.
	expireWorkers = 4
	// maxEntries is the most that one page of Entries holds.
	maxEntries = 10_000
)

// due is a reservation whose time is up.
type due struct {
	id driver.ID
	at int64 // when it expired, in nanoseconds since 1970
}

// Expire implements driver.Store. Each reservation is charged in a step of its own. One whose charge would overflow its
// account stays pending, where it counts as much; the next page begins behind it. What is past the retention is forgotten in the background.
func (s *Store) Expire(ctx context.Context, limit int) (charged int, err error) {
	s.forgetting.start(s)
	after := make([]string, dueShards) // by partition: the sort key up to which it was read
	for charged < limit {
		var found []due
		page := min(limit-charged, expirePage)
		if found, err = s.overdue(ctx, after, page); err != nil {
			return charged, err
		}
		n, err := s.charge(ctx, found)
		if charged += n; err != nil || len(found) < page { // nothing comes after a page that is not full
			return charged, err
		}
		for _, d := range found {
			after[pick(d.id, dueShards)] = dueKey(d.id, d.at).sort
		}
	}
	if limit <= 0 { // no page was read, which begins with this check
		_, err = s.checkTable(ctx, "expire")
	}
	return charged, err
}

// checkTable makes sure that the table still holds the ledger that was opened, and returns the time by the service's clock. readGate reads an item
// with the ledger's epoch, its random name, and fails if it is another one.
func (s *Store) checkTable(ctx context.Context, op string) (now time.Time, err error) {
	err = s.do(ctx, op, func(ctx context.Context, _ *step) error {
		if _, err := s.readGate(ctx); err != nil {
			return err
		}
		now, err = s.clock.now()
		return err
	})
	return now, err
}

// overdue returns up to limit reservations whose time is up, those that have been due longest first. after has for each partition the sort key behind
// which to look, or an empty one.
func (s *Store) overdue(ctx context.Context, after []string, limit int) ([]due, error) {
	now, err := s.checkTable(ctx, "expire")
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var all []due
	var errs []error
	var workers sync.WaitGroup
	for n := range dueShards { // each is asked for all of limit, because the earliest may all be in one
		workers.Go(func() {
			some, err := s.overdueIn(ctx, n, after[n], now, limit)
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, some...), append(errs, err)
		})
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b due) int { return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.id[:], b.id[:])) })
	return all[:min(len(all), limit)], nil
}

// overdueIn is overdue for one partition: after is the sort key of the last reservation that was found there before, or empty.
func (s *Store) overdueIn(ctx context.Context, partition int, after string, now time.Time, limit int) (all []due, err error) {
	// BETWEEN includes its ends: one more is read than is wanted, for after itself. "$" comes after the "#" that follows the time in a sort key.
	in := dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :p AND sk BETWEEN :after AND :until"), Limit: aws.Int32(int32(min(limit, expirePage)) + 1),
		ExpressionAttributeValues: item{
			":p": text(duePartition(partition)), ":after": text(cmp.Or(after, sortable(0))), ":until": text(sortable(now.UnixNano()) + "$"),
		},
	}
	err = s.do(ctx, "expire", func(ctx context.Context, _ *step) error {
		all = nil
		return s.query(ctx, in, func(raw item) (bool, error) {
			r := reader{item: raw}
			sort := r.text(sortKey)
			if r.err != nil || sort == after {
				return true, r.err // an error ends the query whatever the bool is; after itself is skipped
			}
			id, at, err := parseDue(sort)
			if err != nil {
				return false, err
			}
			all = append(all, due{id, at})
			return len(all) < limit, nil
		})
	})
	return all, err
}

// charge expires reservations, a few at a time, and counts those that it did expire.
func (s *Store) charge(ctx context.Context, found []due) (charged int, err error) {
	var mu sync.Mutex
	var workers sync.WaitGroup
	next := 0
	for range min(expireWorkers, len(found)) {
		workers.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				failed := err != nil // of any worker: then none begins another
				mu.Unlock()
				if failed || i >= len(found) {
					return
				}
				n, problem := s.expire(ctx, found[i].id)
				mu.Lock()
				charged += n
				err = cmp.Or(err, problem)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return charged, err
}

// expire charges one reservation if it is still pending and its time is up, and returns 1 if it did. One whose charge would overflow a sum stays
// pending.
func (s *Store) expire(ctx context.Context, id driver.ID) (int, error) {
	p, err := s.resolve(ctx, "expire", &resolving{id: id, decide: func(e *entry, now time.Time) (outcome, driver.Posting, error) {
		if e == nil || e.state != driver.Pending || e.expiresAt > now.UnixNano() {
			return outcome{}, driver.Posting{}, nil
		}
		return outcome{state: driver.Expired, actual: e.reserved, estimated: true}, driver.Posting{From: driver.Pending}, nil
	}})
	switch {
	case errors.Is(err, driver.ErrOverflow):
		return 0, nil
	case err != nil || p.From == 0: // From is 0 if somebody else has resolved it, or it is not due
		return 0, err
	}
	return 1, nil
}

// Entries implements driver.Store. It reads page by page: an entry that changes while it reads is returned in its old or in its new state. A Max
// that is out of range is replaced with the nearest valid one.
func (s *Store) Entries(ctx context.Context, q driver.Query) (all []driver.Entry, err error) {
	limit := max(1, min(q.Max, maxEntries))
	all = make([]driver.Entry, 0, min(limit, 1000))
	first, err := strconv.ParseInt(q.After.String()[:1], 16, 8) // an entry's partition is the first hexadecimal digit of its id
	if err != nil {
		return nil, err
	}
	for n := int(first); n < entryShards && len(all) < limit; n++ {
		some, err := s.entriesIn(ctx, n, q, limit-len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	if _, err := s.checkTable(ctx, "entries"); err != nil { // the pages above may have come from another table
		return nil, err
	}
	return all, nil
}

// entriesIn is Entries for one partition of entries.
func (s *Store) entriesIn(ctx context.Context, partition int, q driver.Query, limit int) (all []driver.Entry, err error) {
	err = s.do(ctx, "entries", func(ctx context.Context, _ *step) error {
		all = nil
		return s.query(ctx, selecting(partition, q, limit), func(raw item) (bool, error) {
			r := reader{item: raw}
			id, err := driver.ParseID(r.text(sortKey))
			if err != nil {
				return false, fmt.Errorf("%w: an entry's id", errEncoding)
			}
			e, err := decodeEntry(id, raw)
			if err != nil {
				return false, err
			}
			out, err := e.public() // by which Selects checks what the service has not filtered
			if err == nil && q.Selects(&out) {
				all = append(all, out)
			}
			return len(all) < limit, err
		})
	})
	return all, err
}

// selecting returns the request for the entries of a partition that a query selects. The service filters by state, estimate and reference; the
// caller has to check the rest. The request only has a limit if nothing is filtered, because the service counts what it has read.
func selecting(partition int, q driver.Query, limit int) dynamodb.QueryInput {
	x := &expression{}
	if q.State != 0 {
		x.require(attrState, "=", number(int64(q.State)))
	}
	if q.Estimated {
		x.require(attrEstimated, "=", number(1))
	}
	if q.Reference != "" {
		x.require(attrReference, "=", blob([]byte(q.Reference)))
	}
	filter := x.condition()
	in := dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = " + x.value(text(entryPartition(partition))) + " AND sk > " + x.value(text(q.After.String()))),
		FilterExpression:       filter, ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.values,
	}
	if filter == nil && q.Plain() { // Plain: nothing is left for the caller to check, either
		in.Limit = aws.Int32(int32(limit))
	}
	return in
}
