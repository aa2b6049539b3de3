// Package memstore keeps a ledger's accounts in the memory of one process. It is not crash-safe: what it holds ends with
// the process, so it caps one run of one program. It is also the reference model that other stores are compared with.
package memstore

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// DefaultRetention is how long resolved reservations are remembered.
const DefaultRetention = 24 * time.Hour

// Options configures a Store. The zero value is ready to use.
type Options struct {
	// Clock is the store's time. Nil is time.Now.
	Clock func() time.Time
	// Retention is how long resolved reservations are remembered, for replays and corrections. Zero is DefaultRetention.
	Retention time.Duration
}

// Store is a budget.Store in memory. It is safe for concurrent use. Make one with New.
type Store struct {
	clock     func() time.Time
	retention time.Duration

	mu       sync.Mutex
	closed   bool
	accounts map[budget.Key]*account
	entries  map[budget.ID]*entry
	kills    []kill
	pruneAt  int64
}

var _ budget.Store = (*Store)(nil)

// errClosed is returned by every step after Close.
var errClosed = errors.New("memstore: closed")

// New returns an empty store.
func New(optFns ...func(*Options)) *Store {
	var o Options
	for _, fn := range optFns {
		fn(&o)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Retention <= 0 {
		o.Retention = DefaultRetention
	}
	return &Store{clock: o.Clock, retention: o.Retention, accounts: make(map[budget.Key]*account), entries: make(map[budget.ID]*entry)}
}

// account is one limit for one value of its scope.
type account struct {
	window       budget.Window
	buckets      []bucket // ascending by start
	override     *budget.Override
	latchedUntil int64 // 0 when open
	marked       uint64
	markedUntil  int64
}

type bucket struct{ start, end, settled, pending int64 }

// entry is one reservation. A tombstone has no lines.
type entry struct {
	owner      budget.Key
	state      budget.State
	estimated  bool
	orphan     bool
	reserved   budget.Charge
	actual     budget.Charge
	lines      []booking
	reservedAt int64
	resolvedAt int64
	expiresAt  int64
}

// booking says where one line of a reservation is booked.
type booking struct {
	account budget.Key
	unit    budget.Unit
	start   int64
	end     int64
}

type kill struct {
	budget.Kill
	dims []budget.Key
}

// begin locks the store and returns its time, or an error with the store unlocked.
func (s *Store) begin(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return time.Time{}, errClosed
	}
	return s.clock(), nil
}

// Reserve implements budget.Store.
func (s *Store) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return budget.Decision{}, err
	}
	defer s.mu.Unlock()
	if e := s.entries[r.ID]; e != nil {
		return e.replay(r)
	}
	for i := range s.kills {
		if s.kills[i].holds(r.Dims) {
			k := s.kills[i].Kill
			return budget.Decision{Killed: &k}, nil
		}
	}
	d, err := s.check(r, now)
	if err != nil || d.Denied != nil {
		return d, err
	}
	d.Admitted, d.ExpiresAt = true, now.Add(r.TTL)
	e := &entry{owner: r.Owner, state: budget.Pending, reserved: r.Charge, reservedAt: now.UnixNano(), expiresAt: d.ExpiresAt.UnixNano(), lines: make([]booking, len(r.Lines))}
	for i := range r.Lines {
		line := &r.Lines[i]
		span := line.Window.At(now)
		s.open(line).bucket(span.Start, span.End).pending += r.Charge[line.Unit]
		e.lines[i] = booking{line.Account, line.Unit, span.Start, span.End}
	}
	s.entries[r.ID] = e
	return d, nil
}

// replay answers a Reserve of an id that is known.
func (e *entry) replay(r budget.Reservation) (budget.Decision, error) {
	switch {
	case e.state != budget.Pending:
		return budget.Decision{}, budget.ErrResolved
	case e.owner != r.Owner || e.reserved != r.Charge || !e.sameAccounts(r.Lines):
		return budget.Decision{}, budget.ErrIDConflict
	default:
		return budget.Decision{Admitted: true, Replayed: true, ExpiresAt: time.Unix(0, e.expiresAt)}, nil
	}
}

func (e *entry) sameAccounts(lines []budget.Line) bool {
	return slices.EqualFunc(e.lines, lines, func(b booking, l budget.Line) bool { return b.account == l.Account && b.unit == l.Unit })
}

// check finds the first line without room, and the observe-only ones. It changes nothing but a latch.
func (s *Store) check(r budget.Reservation, now time.Time) (budget.Decision, error) {
	var d budget.Decision
	for i := range r.Lines {
		line := &r.Lines[i]
		amount := r.Charge[line.Unit]
		b, overflow := s.balance(line, now, amount)
		if overflow {
			return budget.Decision{}, budget.ErrOverflow
		}
		if !b.Latched && b.Settled+b.Pending+amount <= b.Max {
			continue
		}
		denial := budget.Denial{Line: i, Balance: b}
		if line.Observe {
			d.Observed = append(d.Observed, denial)
			continue
		}
		if d.Denied == nil {
			d.Denied = &denial
		}
	}
	if d.Denied == nil {
		return d, nil
	}
	d.Observed = nil
	if line := &r.Lines[d.Denied.Line]; line.Latch && !r.Tentative && !d.Denied.Latched {
		a := s.open(line)
		a.latchedUntil = until(line.Window, now)
	}
	return d, nil
}

// until is when the window that refuses a call now has passed: the end of a calendar window, a whole length later for a
// rolling one.
func until(w budget.Window, now time.Time) int64 { return w.At(now).End }

// balance says where an account stands, and whether adding amount to it would overflow.
func (s *Store) balance(line *budget.Line, now time.Time, amount int64) (b budget.Balance, overflow bool) {
	b.Max = line.Max
	a := s.accounts[line.Account]
	if a == nil {
		if amount > b.Max {
			b.ResetAfter = 0
		}
		return b, false
	}
	if a.override != nil && now.Before(a.override.Until) {
		b.Max = a.override.Max
	}
	span := line.Window.At(now)
	first := a.firstSince(span.Since)
	for _, k := range a.buckets[first:] {
		b.Settled, overflow = add(b.Settled, k.settled, overflow)
		b.Pending, overflow = add(b.Pending, k.pending, overflow)
	}
	used, overflow := add(b.Settled, b.Pending, overflow)
	need, overflow := add(used, amount, overflow)
	b.Latched = a.latchedUntil > now.UnixNano()
	if excess := need - b.Max; b.Latched || excess > 0 {
		b.ResetAfter = a.resetAfter(line.Window, now, first, excess, amount > b.Max)
		if b.Latched && a.latchedUntil != math.MaxInt64 {
			b.ResetAfter = time.Duration(a.latchedUntil - now.UnixNano())
		}
	}
	return b, overflow
}

func (a *account) resetAfter(w budget.Window, now time.Time, first int, excess int64, never bool) time.Duration {
	if never {
		return 0
	}
	sums := make([]budget.Bucket, 0, len(a.buckets)-first)
	for _, k := range a.buckets[first:] {
		sums = append(sums, budget.Bucket{Start: k.start, Used: k.settled + k.pending})
	}
	return w.ResetAfter(now, sums, excess)
}

// add sums, and remembers whether a sum left the range of int64.
func add(a, b int64, overflowed bool) (int64, bool) {
	c := a + b
	return c, overflowed || (c > a) != (b > 0) && b != 0
}

// firstSince returns the index of the first bucket that starts at since or later.
func (a *account) firstSince(since int64) int {
	i := len(a.buckets)
	for i > 0 && a.buckets[i-1].start >= since {
		i--
	}
	return i
}

// open returns the account of a line, made if need be.
func (s *Store) open(line *budget.Line) *account {
	a := s.accounts[line.Account]
	if a == nil {
		a = &account{window: line.Window}
		s.accounts[line.Account] = a
	}
	return a
}

// bucket returns the bucket that begins at start, made if need be. The pointer holds until the next call.
func (a *account) bucket(start, end int64) *bucket {
	i := a.firstSince(start)
	if i == len(a.buckets) || a.buckets[i].start != start {
		a.buckets = slices.Insert(a.buckets, i, bucket{start: start, end: end})
	}
	return &a.buckets[i]
}

// at returns the bucket of a booking.
func (s *Store) at(b booking) *bucket {
	a := s.accounts[b.account]
	if a == nil {
		a = &account{}
		s.accounts[b.account] = a
	}
	return a.bucket(b.start, b.end)
}

// Settle implements budget.Store.
func (s *Store) Settle(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return budget.Posting{}, err
	}
	defer s.mu.Unlock()
	e := s.entries[st.ID]
	if e == nil || e.state == budget.Voided {
		return s.postOrphan(e, st, now)
	}
	switch {
	case e.owner != st.Owner:
		return budget.Posting{}, budget.ErrIDConflict
	case e.state == budget.Settled && e.actual == st.Actual:
		return budget.Posting{Replayed: true, From: budget.Settled}, nil
	case e.state == budget.Settled:
		return budget.Posting{}, budget.ErrResolved
	}
	var before, pending budget.Charge
	if e.state == budget.Pending {
		pending = e.reserved
	} else {
		before = e.actual
	}
	if err := s.post(e.lines, st.Actual, before, pending); err != nil {
		return budget.Posting{}, err
	}
	p := budget.Posting{From: e.state}
	e.state, e.actual, e.estimated, e.resolvedAt = budget.Settled, st.Actual, st.Estimated, now.UnixNano()
	p.Crossed = s.crossed(st.Lines, now)
	return p, nil
}

// postOrphan posts spend that was never set aside, or whose reservation was voided.
func (s *Store) postOrphan(e *entry, st budget.Settlement, now time.Time) (budget.Posting, error) {
	var p budget.Posting
	if e != nil {
		if e.owner != st.Owner {
			return p, budget.ErrIDConflict
		}
		p.From = budget.Voided
	}
	lines := make([]booking, len(st.Lines))
	for i := range st.Lines {
		s.open(&st.Lines[i])
		span := st.Lines[i].Window.At(now)
		lines[i] = booking{st.Lines[i].Account, st.Lines[i].Unit, span.Start, span.End}
	}
	if err := s.post(lines, st.Actual, budget.Charge{}, budget.Charge{}); err != nil {
		return budget.Posting{}, err
	}
	s.entries[st.ID] = &entry{
		owner: st.Owner, state: budget.Settled, estimated: st.Estimated, orphan: true, actual: st.Actual, lines: lines,
		reservedAt: now.UnixNano(), resolvedAt: now.UnixNano(),
	}
	p.Crossed = s.crossed(st.Lines, now)
	return p, nil
}

// post adds actual - before to settled and takes pending out, in every line or in none.
func (s *Store) post(lines []booking, actual, before, pending budget.Charge) error {
	for _, b := range lines {
		if _, overflow := add(s.at(b).settled, actual[b.unit]-before[b.unit], false); overflow {
			return budget.ErrOverflow
		}
	}
	for _, b := range lines {
		k := s.at(b)
		k.settled += actual[b.unit] - before[b.unit]
		k.pending -= pending[b.unit]
	}
	return nil
}

// crossed reports the marks that settled spend has reached for the first time in their window.
func (s *Store) crossed(lines []budget.Line, now time.Time) []budget.Crossing {
	var all []budget.Crossing
	for i := range lines {
		line := &lines[i]
		if len(line.Marks) == 0 {
			continue
		}
		a := s.open(line)
		if now.UnixNano() >= a.markedUntil {
			a.marked = 0
		}
		b, _ := s.balance(line, now, 0)
		for m, mark := range line.Marks {
			if b.Settled < mark || a.marked&(1<<m) != 0 {
				continue
			}
			if a.marked == 0 {
				a.markedUntil = until(line.Window, now)
			}
			a.marked |= 1 << m
			all = append(all, budget.Crossing{Line: i, Mark: m, Settled: b.Settled})
		}
	}
	return all
}

// Void implements budget.Store.
func (s *Store) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	now, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	e := s.entries[id]
	switch {
	case e == nil:
		s.entries[id] = &entry{owner: owner, state: budget.Voided, reservedAt: now.UnixNano(), resolvedAt: now.UnixNano()}
		return nil
	case e.owner != owner:
		return budget.ErrIDConflict
	case e.state == budget.Voided:
		return nil
	case e.state != budget.Pending:
		return budget.ErrResolved
	}
	if err := s.post(e.lines, budget.Charge{}, budget.Charge{}, e.reserved); err != nil {
		return err
	}
	e.state, e.resolvedAt = budget.Voided, now.UnixNano()
	return nil
}

// Correct implements budget.Store.
func (s *Store) Correct(ctx context.Context, id budget.ID, actual budget.Charge) (budget.Posting, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return budget.Posting{}, err
	}
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil || e.state == budget.Pending {
		return budget.Posting{}, budget.ErrNotFound
	}
	p := budget.Posting{From: e.state}
	if e.actual == actual && (e.state == budget.Settled || e.state == budget.Voided) && !e.estimated {
		p.Replayed = true
		return p, nil
	}
	if err := s.post(e.lines, actual, e.actual, budget.Charge{}); err != nil {
		return budget.Posting{}, err
	}
	e.state, e.actual, e.estimated, e.resolvedAt = budget.Settled, actual, false, now.UnixNano()
	return p, nil
}

// Expire implements budget.Store.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.entries {
		if n == limit {
			break
		}
		if e.state != budget.Pending || now.UnixNano() < e.expiresAt {
			continue
		}
		if err := s.post(e.lines, e.reserved, budget.Charge{}, e.reserved); err != nil {
			return n, err
		}
		e.state, e.actual, e.estimated, e.resolvedAt = budget.Expired, e.reserved, true, now.UnixNano()
		n++
	}
	s.prune(now)
	return n, nil
}

// pruneEvery bounds how often the whole memory is looked through.
const pruneEvery = time.Minute

// prune forgets reservations and buckets that are past the retention. A bucket with something pending stays.
func (s *Store) prune(now time.Time) {
	if now.UnixNano() < s.pruneAt {
		return
	}
	s.pruneAt = now.Add(pruneEvery).UnixNano()
	old := now.Add(-s.retention).UnixNano()
	for id, e := range s.entries {
		if e.state != budget.Pending && e.resolvedAt < old {
			delete(s.entries, id)
		}
	}
	for _, a := range s.accounts {
		a.buckets = slices.DeleteFunc(a.buckets, func(b bucket) bool { return b.pending == 0 && b.end < old })
	}
}

// Balances implements budget.Store.
func (s *Store) Balances(ctx context.Context, lines []budget.Line) ([]budget.Balance, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := make([]budget.Balance, len(lines))
	for i := range lines {
		b, _ := s.balance(&lines[i], now, 0)
		if a := s.accounts[lines[i].Account]; a != nil && b.Settled+b.Pending > 0 && !b.Latched {
			b.ResetAfter = a.resetAfter(lines[i].Window, now, a.firstSince(lines[i].Window.At(now).Since), b.Settled+b.Pending, false)
		}
		all[i] = b
	}
	return all, nil
}

// Override implements budget.Store.
func (s *Store) Override(ctx context.Context, key budget.Key, o *budget.Override) error {
	if _, err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	a := s.accounts[key]
	if a == nil {
		a = &account{}
		s.accounts[key] = a
	}
	a.override = nil
	if o != nil {
		own := *o
		a.override = &own
	}
	return nil
}

// Unlatch implements budget.Store.
func (s *Store) Unlatch(ctx context.Context, keys []budget.Key) error {
	if _, err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, k := range keys {
		if a := s.accounts[k]; a != nil {
			a.latchedUntil = 0
		}
	}
	return nil
}

// holds reports whether all of the flag's keys are among the call's.
func (k *kill) holds(dims []budget.Key) bool {
	for _, d := range k.dims {
		if !slices.Contains(dims, d) {
			return false
		}
	}
	return true
}

// Kill implements budget.Store.
func (s *Store) Kill(ctx context.Context, k budget.Kill) error {
	now, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	k.At = now
	dims := k.Scope.Dims()
	s.removeKill(dims)
	s.kills = append(s.kills, kill{Kill: k, dims: dims})
	return nil
}

// Revive implements budget.Store.
func (s *Store) Revive(ctx context.Context, scope budget.Scope) error {
	if _, err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.removeKill(scope.Dims())
	return nil
}

func (s *Store) removeKill(dims []budget.Key) {
	s.kills = slices.DeleteFunc(s.kills, func(k kill) bool { return slices.Equal(k.dims, dims) })
}

// Kills implements budget.Store.
func (s *Store) Kills(ctx context.Context) ([]budget.Kill, error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := make([]budget.Kill, len(s.kills))
	for i := range s.kills {
		all[i] = s.kills[i].Kill
	}
	return all, nil
}

// Entries implements budget.Store. It looks through all entries: it is for tests and reconciliation, not for the hot path.
func (s *Store) Entries(ctx context.Context, q budget.Query) ([]budget.Entry, error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var all []budget.Entry
	for id, e := range s.entries {
		if bytes.Compare(id[:], q.After[:]) <= 0 || q.State != 0 && e.state != q.State || q.Estimated && !e.estimated {
			continue
		}
		all = append(all, e.entry(id))
	}
	slices.SortFunc(all, func(a, b budget.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return all[:min(len(all), max(q.Max, 1))], nil
}

func (e *entry) entry(id budget.ID) budget.Entry {
	out := budget.Entry{ID: id, State: e.state, Estimated: e.estimated, Orphan: e.orphan, Reserved: e.reserved, Actual: e.actual, ReservedAt: time.Unix(0, e.reservedAt)}
	if e.resolvedAt != 0 {
		out.ResolvedAt = time.Unix(0, e.resolvedAt)
	}
	return out
}

// Close implements budget.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
