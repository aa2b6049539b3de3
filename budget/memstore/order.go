package memstore

// deadlines is a binary heap of pending entries, with the earliest to expire at index 0: the entry at i expires no later than those at 2i+1 and
// 2i+2. Each entry knows its index (heapIndex), so that a resolved one can be removed at once and the heap has only what is in flight.
type deadlines []*entry

// due reports whether an entry has expired.
func (h deadlines) due(now int64) bool { return len(h) > 0 && h[0].expiresAt <= now }

// push adds an entry.
func (h *deadlines) push(e *entry) {
	*h = append(*h, e)
	h.up(len(*h) - 1)
}

// pop removes the earliest entry of a heap that is not empty.
func (h *deadlines) pop() *entry {
	top := (*h)[0]
	h.remove(top)
	return top
}

// remove removes an entry, if it is in the heap.
func (h *deadlines) remove(e *entry) {
	q, i, last := *h, e.heapIndex, len(*h)-1
	if i > last || q[i] != e { // another entry has this index, or none: e is not in the heap
		return
	}
	moved := q[last] // fills the gap
	q[last] = nil
	*h = q[:last]
	if moved != e {
		q[i] = moved
		// The entry that fills the gap may expire later than those below or earlier than the one above: at most one of the two calls moves it.
		h.down(i)
		h.up(moved.heapIndex)
	}
}

// up moves the entry at i towards index 0 until the one above it expires no later.
func (h deadlines) up(i int) {
	e := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].expiresAt <= e.expiresAt {
			break
		}
		h[i] = h[parent]
		h[i].heapIndex = i
		i = parent
	}
	h[i], e.heapIndex = e, i
}

// down moves the entry at i away from index 0 until those below it expire no earlier.
func (h deadlines) down(i int) {
	e := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].expiresAt < h[child].expiresAt {
			child++
		}
		if e.expiresAt <= h[child].expiresAt {
			break
		}
		h[i] = h[child]
		h[i].heapIndex = i
		i = child
	}
	h[i], e.heapIndex = e, i
}

// history is a list of resolved entries, in the order in which they were last resolved. They are forgotten in that order; if the clock goes
// back, some are forgotten later.
type history struct {
	oldest, newest *entry
	since          int64 // when the oldest was resolved; 0 if the list is empty
	length         int
}

// append adds an entry as the newest one.
func (l *history) append(e *entry) {
	e.older, e.next = l.newest, nil
	if l.newest == nil {
		l.oldest, l.since = e, e.resolvedAt
	} else {
		l.newest.next = e
	}
	l.newest = e
	l.length++
}

// remove removes an entry, if it is in the list.
func (l *history) remove(e *entry) {
	if e.older == nil && l.oldest != e { // the first entry of a list is its oldest: this one is in none
		return
	}
	if e.older == nil {
		l.oldest, l.since = e.next, 0
		if e.next != nil {
			l.since = e.next.resolvedAt
		}
	} else {
		e.older.next = e.next
	}
	if e.next == nil {
		l.newest = e.older
	} else {
		e.next.older = e.older
	}
	e.older, e.next = nil, nil
	l.length--
}
