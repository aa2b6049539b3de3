package lease

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// knownFlags are the kill flags that the store inside held when it was last asked. A call that one of them covers is not served from a
// lease, but sent to the store inside, which alone refuses it: the flag may have been revived meanwhile.
type knownFlags struct {
	all     []driver.Kill
	dims    [][]driver.Key // for each of all, the keys of its scope: a flag without patterns covers the calls that have all of them in Dims
	asOf    time.Time      // by this process's clock, before the flags were asked for
	changes uint64         // how often this process itself has set or revived a flag
	stale   bool           // the store inside has signalled that they may have changed
}

// fresh reports whether the flags were read less than one length ago, so that a flag that is missing here was set within that time.
func (f *knownFlags) fresh(now time.Time, length time.Duration) bool {
	return !f.asOf.IsZero() && !now.Before(f.asOf) && now.Before(f.asOf.Add(length))
}

// holding returns a copy of the first flag that covers a call and has not ended, or nil. now is by the store's clock.
func (f *knownFlags) holding(r *driver.Reservation, now time.Time) *driver.Kill {
	for i := range f.all {
		k := &f.all[i]
		if !k.Until.IsZero() && !now.Before(k.Until) {
			continue // it has ended
		}
		holds := false
		if k.Patterns {
			holds = k.Holds(scopeOf(r))
		} else {
			holds = containsAll(r.Dims, f.dims[i])
		}
		if holds {
			own := *k
			return &own
		}
	}
	return nil
}

// add adds a flag, and replaces an older version of the same flag.
func (f *knownFlags) add(k driver.Kill) {
	f.remove(k.Flag())
	k.Scope.Tags = maps.Clone(k.Scope.Tags)
	f.all, f.dims = append(f.all, k), append(f.dims, k.Scope.Dims())
}

// remove removes a flag, if it is known. It counts as a change in any case.
func (f *knownFlags) remove(flag driver.Flag) {
	f.changes++
	object := flag.Object() // the same for all versions of one flag, whatever its reason and its end
	if i := slices.IndexFunc(f.all, func(k driver.Kill) bool { return k.Flag().Object() == object }); i >= 0 {
		f.all, f.dims = slices.Delete(f.all, i, i+1), slices.Delete(f.dims, i, i+1)
	}
}

// Kill implements Store. Once it has returned, this process admits no call that the flag covers. Other processes may still admit calls from
// leases that they have drawn, until the EffectiveBy that Kills reports.
func (s *Store) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	if err := cmp.Or(c.Validate(), k.Validate(), s.checkOpen(ctx)); err != nil {
		return err
	}
	k.EffectiveBy = time.Time{} // the caller can't choose it: Kills works it out
	if err := s.inner.Kill(ctx, k, innerChange(c)); err != nil {
		return err
	}
	s.mu.Lock()
	k.At = s.now().Add(s.offset) // an estimate, until Kills has read the store's own time below
	s.flags.add(k)
	s.mu.Unlock()
	_, _ = s.Kills(ctx) // reads the store's own EffectiveBy; the flag is set even if this fails
	return nil
}

// Revive implements Store. The flag is removed in the store inside, and then from the flags that this process knows. If those have changed since
// this request was sent, the same flag may have been set again, here or in another process: then it is not removed, and the background work
// reads all flags again.
func (s *Store) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if _, err := s.lock(ctx); err != nil {
		return err
	}
	changes, asOf := s.flags.changes, s.flags.asOf
	s.mu.Unlock()
	if err := s.inner.Revive(ctx, f, innerChange(c)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flags.changes == changes && s.flags.asOf.Equal(asOf) {
		s.flags.remove(f)
	} else {
		s.flags.stale = true
		s.wakeBackground()
	}
	s.roomMade++ // no remembered denial is repeated any more
	return nil
}

// killMargin is how long after its At a flag may begin to hold in the store inside: as long as a Kill may take by default.
const killMargin = 15 * time.Second

// Kills implements Store. EffectiveBy is the moment from which a flag holds in every process with leases: a process admits no call by what it drew
// or read more than one length before. This process remembers the flags that it reads, unless it has changed one itself meanwhile.
func (s *Store) Kills(ctx context.Context) ([]driver.Kill, error) {
	asked, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	changes := s.flags.changes
	s.flags.stale = false
	s.mu.Unlock()
	all, err := s.inner.Kills(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.flags.stale = true
		return nil, err
	}
	for i := range all {
		if by := all[i].At.Add(s.length + killMargin); all[i].EffectiveBy.Before(by) {
			all[i].EffectiveBy = by
		}
	}
	switch {
	case changes != s.flags.changes: // this process has changed flags since it asked, so that the answer may be out of date
		s.flags.stale = true
		s.wakeBackground()
	case !asked.Before(s.flags.asOf): // else another Kills, which asked later, has brought newer flags
		s.flags.replace(all, asked)
	}
	return all, nil
}

// replace makes these the known flags, which were asked for at a moment. It leaves stale as it is: it is set if a signal came since the question.
func (f *knownFlags) replace(all []driver.Kill, asked time.Time) {
	f.all, f.dims, f.asOf = nil, nil, asked
	for _, k := range all {
		k.Scope.Tags = maps.Clone(k.Scope.Tags) // all is the caller's
		f.all, f.dims = append(f.all, k), append(f.dims, k.Scope.Dims())
	}
}

// SetPolicy implements Store. The store inside holds the policy; leases do not depend on it.
func (s *Store) SetPolicy(ctx context.Context, document []byte, c driver.Change) error {
	if err := cmp.Or(driver.ValidateDocument(document), c.Validate(), s.checkOpen(ctx)); err != nil {
		return err
	}
	return s.inner.SetPolicy(ctx, document, innerChange(c))
}

// Policy implements Store. It returns the policy of the store inside.
func (s *Store) Policy(ctx context.Context) (driver.PolicyDocument, error) {
	if err := s.checkOpen(ctx); err != nil {
		return driver.PolicyDocument{}, err
	}
	return s.inner.Policy(ctx)
}

// flagsMayHaveChanged makes the background work read the flags again.
func (s *Store) flagsMayHaveChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flags.stale = true
	s.wakeBackground()
}

// Signal implements Signaler if the store inside does; else it returns errors.ErrUnsupported at once.
func (s *Store) Signal(ctx context.Context, changed func()) error {
	signaler, ok := s.inner.(driver.Signaler)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := s.checkOpen(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Close cancels s.ctx, which ends the signal, too. What is deferred is the function that AfterFunc returns, which takes this link away again.
	defer context.AfterFunc(s.ctx, cancel)()
	return signaler.Signal(ctx, changed)
}

// containsAll reports whether all of part is among whole.
func containsAll(whole, part []driver.Key) bool {
	return !slices.ContainsFunc(part, func(k driver.Key) bool { return !slices.Contains(whole, k) })
}

// scopeOf returns the scope of a reservation's call.
func scopeOf(r *driver.Reservation) driver.Scope {
	if r.Call == nil {
		return driver.Scope{}
	}
	return r.Call.Scope
}
