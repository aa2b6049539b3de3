package dynamostore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/semaphore"
)

// hotItems has the queues in which the steps of this process wait for hot items. If transactions meet in an item, the service cancels all but one
// of them: many callers of one account would cancel each other again and again, and some would never come through. So an item is hot from such
// a conflict on, until none was met for a while. A write has a hot item for itself, and reads share it, both in the order in which they came. Other
// processes still get in between: queues save repetitions, and nothing rests on them. The zero value is ready to use.
type hotItems struct {
	mu    sync.Mutex
	items map[itemKey]*hotItem
}

// hotItem is the queue of one item. It is kept for a while after the last conflict, and for as long as a step uses it.
type hotItem struct {
	sem   *semaphore.Weighted // of hotReaders: a read takes 1, a write all
	used  int                 // steps that wait for it or have it
	until time.Time           // when it is not hot any more
}

const (
	// hotFor is how long an item is hot after a conflict.
	hotFor = time.Minute
	// hotReaders is how many reads may share an item.
	hotReaders = 64
)

// met makes an item hot.
func (h *hotItems) met(key itemKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.items == nil {
		h.items = make(map[itemKey]*hotItem)
	}
	one := h.items[key]
	if one == nil {
		if len(h.items) >= maxRemembered {
			h.cool(time.Now())
		}
		if len(h.items) >= maxRemembered { // all are hot: do without a queue at this one
			return
		}
		one = &hotItem{sem: semaphore.NewWeighted(hotReaders)}
		h.items[key] = one
	}
	one.until = time.Now().Add(hotFor)
}

// cool forgets what is not hot any more. Requires mu held.
func (h *hotItems) cool(now time.Time) {
	for key, one := range h.items {
		if one.used == 0 && now.After(one.until) {
			delete(h.items, key)
		}
	}
}

// queue waits for those of some items that are hot, in the same order for all, so that no two wait for each other. weight is 1 for a read and
// hotReaders for a write. The caller calls leave when its request is answered.
func (h *hotItems) queue(ctx context.Context, keys []itemKey, weight int64) (leave func(), err error) {
	taken := h.hot(keys)
	if len(taken) == 0 {
		return func() {}, nil
	}
	for i, one := range taken {
		if err = one.sem.Acquire(ctx, weight); err != nil { // the context has ended: those before this one were acquired
			h.leave(taken, i, weight)
			return nil, err
		}
	}
	return func() { h.leave(taken, len(taken), weight) }, nil
}

// hot returns the hot ones of some items in order, and notes that they are used.
func (h *hotItems) hot(keys []itemKey) (taken []*hotItem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.items) == 0 {
		return nil
	}
	now := time.Now()
	var found []itemKey
	for _, key := range keys {
		if one := h.items[key]; one != nil && !now.After(one.until) {
			found = append(found, key)
		}
	}
	slices.SortFunc(found, func(a, b itemKey) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.sort, b.sort))
	})
	for _, key := range slices.Compact(found) {
		one := h.items[key]
		one.used++
		taken = append(taken, one)
	}
	return taken
}

// leave gives back the items that a step waited for. The first of taken, as many as acquired says, are released; all of taken have one user less.
func (h *hotItems) leave(taken []*hotItem, acquired int, weight int64) {
	for _, one := range taken[:acquired] {
		one.sem.Release(weight)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range taken {
		one.used--
	}
}

// keysOf returns the keys of the items that a transaction touches.
func keysOf(actions []types.TransactWriteItem) []itemKey {
	keys := make([]itemKey, len(actions))
	for i, a := range actions {
		var at item
		switch {
		case a.Put != nil:
			at = a.Put.Item
		case a.Update != nil:
			at = a.Update.Key
		case a.Delete != nil:
			at = a.Delete.Key
		case a.ConditionCheck != nil:
			at = a.ConditionCheck.Key
		}
		r := reader{item: at}
		keys[i] = itemKey{r.text(partitionKey), r.text(sortKey)}
	}
	return keys
}

// noteConflicts makes the items hot in which a transaction has met another one. A cancelled transaction has a reason for each of its items, in order.
func (s *Store) noteConflicts(err error, keys []itemKey) {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return
	}
	for i, reason := range cancelled.CancellationReasons {
		if i < len(keys) && reason.Code != nil && *reason.Code == conflictReason {
			s.hot.met(keys[i])
		}
	}
}
