package lease

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A call is served from a lease (a share of limits that this process has drawn from the store inside), or it is sent to the store inside. Leases
// belong to groups: a group is a set of accounts, and its lines are those of every call that counts in these accounts.

// route says who decides about a Reserve.
type route uint8

const (
	answered  route = iota // this process has answered it
	askStore               // the store inside is asked for this call alone
	drawLease              // a lease is drawn first
	denied                 // the store inside was asked while drawing, and has no room for this call
	readFlags              // the kill flags are read first, because those that are known are too old
)

// maxRoutes bounds how often one Reserve starts again because other calls used up what it had drawn. After that it asks the store inside for
// the call alone.
const maxRoutes = 8

// errOvertaken says that another goroutine made the same reservation in a lease meanwhile. The Reserve then starts again; a caller sees the error
// only if the last try has it, too.
var errOvertaken = errors.New("budget: the same reservation was made again and again meanwhile")

// Reserve implements Store. A lease that has room answers without I/O. If the limits have plenty of room, a lease is drawn; else the store
// inside is asked for this call alone. A call is denied only if the store inside has denied it after this process gave back everything that
// it does not need, or if it did so less than a second ago.
func (s *Store) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if err := r.Validate(); err != nil {
		return driver.Decision{}, err
	}
	var g *group // nil for an id that is known: its group does not matter
	for range maxRoutes {
		var d driver.Decision
		var way route
		var err error
		d, g, way, err = s.answerLocally(ctx, &r)
		switch way {
		case readFlags:
			d, way, err = s.readFlagsFor(ctx, &r)
		case drawLease:
			d, way, err = s.draw(ctx, g, &r)
		}
		switch {
		case err != nil || way == answered:
			return d, err
		case way == askStore:
			d, err = s.direct(ctx, g, r, nil)
		case way == denied:
			d, err = s.direct(ctx, g, r, &d)
		default: // start again: the flags have been read (readFlags), or other calls have used up what was drawn (drawLease)
			continue
		}
		if !errors.Is(err, errOvertaken) {
			return d, err
		}
	}
	return s.direct(ctx, g, r, nil) // after maxRoutes tries
}

// readFlagsFor reads the kill flags. A repeat of a call in a lease is then answered by them. For any other call it returns the route readFlags: the
// Reserve starts again.
func (s *Store) readFlagsFor(ctx context.Context, r *driver.Reservation) (driver.Decision, route, error) {
	if _, err := s.Kills(ctx); err != nil {
		return driver.Decision{}, answered, err
	}
	if d, known, err := s.replay(r); known {
		return d, answered, err
	}
	return driver.Decision{}, readFlags, nil
}

// answerLocally answers from what this process knows, or says who can answer. It does no I/O. It also returns the group of the call's lines; nil
// for an id that is known already.
func (s *Store) answerLocally(ctx context.Context, r *driver.Reservation) (driver.Decision, *group, route, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return driver.Decision{}, nil, answered, err
	}
	defer s.mu.Unlock()
	if c := s.calls[r.ID]; c != nil {
		d, way, err := s.answerRepeat(c, r, now)
		return d, nil, way, err
	}
	g := s.groupOf(r.Lines, now)
	g.ttl = max(g.ttl, r.TTL) // a grant must not expire before the calls that it may serve
	// Calls of a group are not leasable if a line has a latch, or buckets that are too short. offset turns this process's time into the store's.
	if !g.leasable || s.flags.holding(r, now.Add(s.offset)) != nil {
		return driver.Decision{}, g, askStore, nil
	}
	switch l, stale := s.findRoom(g, r, now); { // stale: a lease has room, but the known flags are too old to use it
	case l != nil:
		return s.admit(l, r, now), g, answered, nil
	case stale:
		return driver.Decision{}, g, readFlags, nil
	}
	if denial := s.repeatDenial(g, r, now); denial != nil {
		return driver.Decision{Denied: denial}, g, answered, nil
	}
	// While a call of another process is known to wait for room on one of these accounts, this process draws no lease there.
	if s.wishOn(g.lines, now) {
		return driver.Decision{}, g, askStore, nil
	}
	return driver.Decision{}, g, drawLease, nil
}

// answerRepeat is answerLocally for a call that was reserved before. Requires mu held.
func (s *Store) answerRepeat(c *call, r *driver.Reservation, now time.Time) (driver.Decision, route, error) {
	l := c.lease
	if l == nil { // the store inside knows this id
		return driver.Decision{}, askStore, nil
	}
	checkedWhenDrawn := containsAll(l.dims, r.Dims) && !l.over(now) // no flag held for these Dims when the lease was drawn
	if c.state == driver.Pending && !checkedWhenDrawn && !s.flags.fresh(now, s.length) {
		return driver.Decision{}, readFlags, nil
	}
	d, err := s.again(c, r)
	return d, answered, err
}

// replay is again for a caller that does not hold mu. known is false if no such call is remembered any more.
func (s *Store) replay(r *driver.Reservation) (d driver.Decision, known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[r.ID]
	if c == nil || c.lease == nil {
		return driver.Decision{}, false, nil
	}
	d, err = s.again(c, r)
	return d, true, err
}

// again answers a repeated reservation of a call in a lease, by the kill flags that are known. Requires mu held.
func (s *Store) again(c *call, r *driver.Reservation) (driver.Decision, error) {
	sameLine := func(a, b driver.Line) bool { return a.Account == b.Account && a.Unit == b.Unit }
	if c.state != driver.Pending {
		return driver.Decision{}, driver.ErrResolved
	}
	sameLines := slices.EqualFunc(c.lease.lines, r.Lines, sameLine) // a call in a lease counts in the lease's lines
	if c.owner != r.Owner || c.reserved() != r.Charge || !sameLines {
		return driver.Decision{}, driver.ErrIDConflict
	}
	if k := s.flags.holding(r, s.now().Add(s.offset)); k != nil {
		return driver.Decision{Killed: k}, nil
	}
	return driver.Decision{Admitted: true, Replayed: true, ExpiresAt: c.lease.storeTime(c.moment)}, nil
}

// findRoom returns the oldest lease in which a call fits, and closes the leases whose time is over. stale reports that there is no lease now, but
// that one would do if the kill flags were read again. Requires mu held.
func (s *Store) findRoom(g *group, r *driver.Reservation, now time.Time) (roomy *lease, stale bool) {
	var over []*lease
	for _, l := range g.open {
		switch {
		case l.over(now):
			over = append(over, l)
		case roomy != nil || !l.hasRoomFor(r, now): // a lease was found before, or this one can't serve the call
			continue
		case !s.sureOfFlags(l, r, now):
			stale = true
		default:
			roomy = l
		}
	}
	// They are closed only now, because closeLease takes them out of g.open.
	for _, l := range over {
		s.closeLease(l, now)
	}
	return roomy, stale && roomy == nil
}

// hasRoomFor reports whether a lease can serve a call: the call can expire before the lease lapses, its worst case fits, and the lease can keep its
// amounts apart (carries).
func (l *lease) hasRoomFor(r *driver.Reservation, now time.Time) bool {
	return !l.tooShortFor(r, now) && l.fits(r.Charge) && l.carries(r.Call)
}

// sureOfFlags reports whether all kill flags that may cover a call are known. When a lease was drawn, the store inside checked the flags for the
// lease's Dims only: a call with other Dims may use it only while the known flags are fresh, for one length after they were read. Requires mu held.
func (s *Store) sureOfFlags(l *lease, r *driver.Reservation, now time.Time) bool {
	return containsAll(l.dims, r.Dims) || s.flags.fresh(now, s.length)
}

// admit books a call in a lease that has room for it. Requires mu held.
func (s *Store) admit(l *lease, r *driver.Reservation, now time.Time) driver.Decision {
	at := now.Sub(l.sent)
	c := &call{id: r.ID, owner: r.Owner, lease: l, state: driver.Pending, packed: pack(r.Charge, driver.Charge{}), at: at, moment: later(at, r.TTL), whose: r.Call}
	l.pending, _ = l.pending.Plus(r.Charge) // can't overflow: fits has checked it
	u := l.useOf(r.Call)                    // the part of the lease that belongs to the call's scope, for the rows of usage
	u.pending, _ = u.pending.Plus(r.Charge)
	l.inFlight++
	l.group.observeCall(r.Charge)
	l.group.deniedSince = time.Time{}
	l.calls = append(l.calls, c)
	s.calls[r.ID] = c
	return driver.Decision{Admitted: true, ExpiresAt: l.storeTime(c.moment)}
}

// maxReturns bounds how often one Reserve gives leases back and asks again, while other calls of this process draw new ones.
const maxReturns = 3

// direct asks the store inside for one call. first is nil, or the denial of a grant that was just as large as the call: then the store has been
// asked already, and that is its first answer.
func (s *Store) direct(ctx context.Context, g *group, r driver.Reservation, first *driver.Decision) (d driver.Decision, err error) {
	if _, err := s.lock(ctx); err != nil {
		return driver.Decision{}, err
	}
	if c := s.calls[r.ID]; c != nil && c.lease != nil {
		s.mu.Unlock()
		return driver.Decision{}, errOvertaken
	}
	end := s.beginDirect(r.ID)
	s.mu.Unlock()
	defer end(&d)              // by then d is the decision that is returned
	s.observeCall(g, r.Charge) // later grants are sized by the usual call
	asked := s.now()
	if first != nil {
		d = *first
	} else {
		d, err = s.inner.Reserve(ctx, r)
	}
	if !lacksRoom(&d, err) {
		s.learn(g, &r, &d, err)
		return d, err
	}
	defer s.holdOffLeases(r.Lines)() // until this call is answered, no other call of this process may draw what is given back for it
	return s.giveBackAndAsk(ctx, g, r, d, asked)
}

// lacksRoom reports whether an answer of the store inside denies a call for lack of room, and for no other reason.
func lacksRoom(d *driver.Decision, err error) bool {
	return err == nil && !d.Admitted && d.Killed == nil
}

// giveBackAndAsk goes on with a call that the store inside has denied for lack of room: d is that answer, and asked the moment at which it was asked
// for. A process's own unused shares must not deny its calls. So it gives back all that this process does not need in the accounts that denied the
// call, and asks again. Once there is nothing to give back, or after maxReturns rounds, it returns the denial. Asking several times closes no latch
// too early, because latching lines are never leased and so have no unused shares.
func (s *Store) giveBackAndAsk(ctx context.Context, g *group, r driver.Reservation, d driver.Decision, asked time.Time) (driver.Decision, error) {
	var firstDenials []driver.Denial // of lines with a latch
	for returns := 0; ; returns++ {
		firstDenials = keepFirstDenials(r.Lines, d.Denied, firstDenials)
		idle := s.idleOn(r.Lines, d.Denied)
		if len(idle) == 0 || returns == maxReturns {
			s.rememberDenial(g, r, d.Denied, asked)
			// wish lets other processes know that a call waits for room, so that they give back what they do not need.
			s.wish(ctx, g, &r, d.Denied)
			return d, nil
		}
		if _, err := s.giveBackAll(ctx, idle); err != nil {
			return driver.Decision{}, err
		}
		var err error
		asked = s.now()
		if d, err = s.inner.Reserve(ctx, r); !lacksRoom(&d, err) {
			s.learn(g, &r, &d, err)
			return d, err
		}
	}
}

// keepFirstDenials makes the answer of a repeated Reserve say about lines with a latch what the first answer said. The first denial of such a line
// closes its latch, so that later answers would tell the caller of the latch, and not of the amount that did not fit. known holds the first denials
// of these lines; it is returned with those of lines that were not in it. Other lines keep the latest denial.
func keepFirstDenials(lines []driver.Line, denied, known []driver.Denial) []driver.Denial {
	for i, d := range denied {
		if d.Line < 0 || d.Line >= len(lines) || !lines[d.Line].Latch {
			continue
		}
		if at := slices.IndexFunc(known, func(k driver.Denial) bool { return k.Line == d.Line }); at >= 0 {
			denied[i] = known[at]
		} else {
			known = append(known, d)
		}
	}
	return known
}

// idleOn returns this process's leases with unused amounts in the accounts that denied a call.
func (s *Store) idleOn(lines []driver.Line, denied []driver.Denial) []*lease {
	var full []driver.Line
	for _, d := range denied {
		if d.Line >= 0 && d.Line < len(lines) {
			full = append(full, lines[d.Line])
		}
	}
	if len(full) == 0 {
		return nil
	}
	return s.liveLeases(func(l *lease) bool { return l.idle() && l.touches(full) })
}

// holdOffLeases keeps this process from drawing leases on these accounts until end is called.
func (s *Store) holdOffLeases(lines []driver.Line) (end func()) {
	add := func(n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range lines {
			a := lines[i].Account
			if s.denying[a] += n; s.denying[a] == 0 {
				delete(s.denying, a)
			}
		}
	}
	add(1)
	return func() { add(-1) }
}

// learn records what a decision of the store inside about one call shows: a kill flag that this process did not know, or that a known one is gone;
// that not all calls of the group are denied any more; and how much was reserved for the call. It also removes from the decision those
// observe-only denials that are caused by this process's own unused shares. With an error the decision shows nothing. g is nil for a call whose id
// was known before.
func (s *Store) learn(g *group, r *driver.Reservation, d *driver.Decision, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g != nil && err == nil && d.Admitted {
		g.deniedSince = time.Time{}
	}
	justReserved := err == nil && d.Admitted && !d.Replayed
	if c := s.calls[r.ID]; justReserved && c != nil && c.lease == nil {
		c.packed = pack(r.Charge, driver.Charge{}) // settleDirect compares the cost with what was reserved
	}
	switch {
	case d.Killed != nil:
		s.flags.add(*d.Killed) // leases must not serve other calls that it covers
	case d.Admitted && s.flags.holding(r, s.now().Add(s.offset)) != nil: // the flag is gone: it was revived elsewhere
		s.flags.stale = true
		s.wakeBackground()
	}
	d.Observed = s.withoutOwnIdle(r, d.Observed)
}

// withoutOwnIdle drops those observe-only denials that would not be there if this process had given back its unused shares. Requires mu
// held.
func (s *Store) withoutOwnIdle(r *driver.Reservation, observed []driver.Denial) (all []driver.Denial) {
	for _, d := range observed {
		if d.Line < 0 || d.Line >= len(r.Lines) {
			continue
		}
		line := &r.Lines[d.Line]
		s.adjust(&d.Balance, line) // from here on only what this process's calls need counts, not its whole leases
		// A Max below zero has no room even for an amount of zero, and a latch none for any.
		if d.Latched || d.Max < 0 || r.Charge[line.Unit] > d.Left() {
			all = append(all, d)
		}
	}
	return all
}

// denialMemory is how long, at most, a denial is repeated from memory for calls that are at least as large. An eighth of a length is the
// limit where that is shorter.
const denialMemory = time.Second

// lastDenial is the last denial of a call by the store inside in a group.
type lastDenial struct {
	charge    driver.Charge   // what the call asked for
	denied    []driver.Denial // the lines without room, in the order of the group's lines
	at, until time.Time       // when the store inside was asked, and until when the denial may be repeated
	roomMade  uint64          // Store.roomMade at that time: once it has changed, there may be room
}

// rememberDenial removes this process's unused shares from a denial's numbers, and keeps the denial so that repeatDenial can repeat it. It is not
// kept if one of its lines has a latch, because a denial from memory closes no latch, as one by the store inside may; nor if one of them is
// observe-only, because such a line denies only calls that ask for that (RefuseObserved). asked is when the store inside was asked. g is nil for a
// call whose id was known before.
func (s *Store) rememberDenial(g *group, r driver.Reservation, denied []driver.Denial, asked time.Time) {
	if len(denied) == 0 || slices.ContainsFunc(denied, func(d driver.Denial) bool { return d.Line < 0 || d.Line >= len(r.Lines) }) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	memory, repeatable := min(denialMemory, s.length/8), true
	for i := range denied {
		d := &denied[i]
		line := &r.Lines[d.Line]
		s.adjust(&d.Balance, line)
		if line.Latch || d.Latched || line.Observe {
			repeatable = false
		}
		if d.ResetAfter > 0 {
			memory = min(memory, d.ResetAfter) // then time has made room
		}
	}
	if g == nil {
		return
	}
	g.looksToSkip = skipLooks // there is hardly any room: the next grants need not read the room again
	if repeatable {
		g.lastDenial = lastDenial{r.Charge, slices.Clone(denied), asked, asked.Add(memory), s.roomMade}
	}
}

// repeatDenial returns the last denial of a group, with what is left of its ResetAfter, for a call that would certainly get the same denial: it needs
// at least as much on the lines that denied, and no more on the others. For any other call it returns nil. Requires mu held.
func (s *Store) repeatDenial(g *group, r *driver.Reservation, now time.Time) []driver.Denial {
	last := &g.lastDenial
	if last.roomMade != s.roomMade || now.Before(last.at) || !now.Before(last.until) {
		return nil
	}
	repeated := make([]driver.Denial, 0, len(last.denied))
	for i := range r.Lines {
		line := &r.Lines[i]
		more := r.Charge[line.Unit] - last.charge[line.Unit] // how much more this call needs than the one that was denied
		next := len(repeated)                                // the index in last.denied of the first line that was not compared yet
		if next == len(last.denied) || last.denied[next].Line != i {
			if more > 0 {
				return nil // the line had room for the last call, and nobody knows whether it has room for this one
			}
			continue
		}
		d := last.denied[next]
		if more != 0 && !deniesLarger(&d, line, more, r.Charge[line.Unit]) {
			return nil
		}
		if d.ResetAfter > 0 {
			d.ResetAfter = max(d.ResetAfter-now.Sub(last.at), 1) // not 0, which would say that waiting never helps
		}
		repeated = append(repeated, d)
	}
	return repeated
}

// deniesLarger reports whether a line that denied a call would say the same to one that needs more, which is amount in all. A smaller call (more is
// negative) might fit. A larger one has to wait for longer in a rolling window, the only kind with a Length, and never fits if it exceeds the Max.
func deniesLarger(d *driver.Denial, line *driver.Line, more, amount int64) bool {
	rolling := line.Window.Length() > 0
	return more > 0 && !rolling && amount <= d.Max
}

// directCall is a call that was sent to the store inside, and since when its id is remembered.
type directCall struct {
	id driver.ID
	at time.Time
}

// beginDirect begins a step, for a call that no lease serves, in the store inside. It remembers the call's id, so that all later steps with this
// id are sent there, too. The returned function ends the step: it is given the store's decision if the step was a Reserve, and nil after any
// other step, and it forgets the id again if the store inside has refused the call and no other step is under way. Requires mu held; the
// returned function must be called without mu.
func (s *Store) beginDirect(id driver.ID) (end func(*driver.Decision)) {
	c := s.calls[id]
	if c == nil {
		c = &call{id: id}
		s.calls[id] = c
		s.directCalls = append(s.directCalls, directCall{id, s.now()})
	}
	c.users++
	return func(d *driver.Decision) {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.users--
		// Only a Reserve that was refused leaves nothing behind. After an error d is the zero Decision, and the store inside may know the id.
		refusedReserve := d != nil && (len(d.Denied) > 0 || d.Killed != nil)
		c.kept = c.kept || !refusedReserve
		if !c.kept && c.users == 0 && s.calls[id] == c {
			delete(s.calls, id)
		}
	}
}

// refused reports whether an error is an answer of the store inside, by which it certainly did not do what it was asked. After any other error,
// nobody knows whether it did.
func refused(err error) bool {
	return errors.Is(err, driver.ErrOverflow) || errors.Is(err, driver.ErrInvalidCharge) || errors.Is(err, driver.ErrSuperseded)
}
