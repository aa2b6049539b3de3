package lease

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// knownFlags are the kill flags that the store inside held when it was last asked. They keep calls from being served from a
// lease; only the store inside refuses for a flag, because this memory may be old.
type knownFlags struct {
	all     []budget.Kill
	dims    [][]budget.Key
	asOf    time.Time // by this process's clock, before the question was sent
	changes uint64    // how often this process has changed them
	stale   bool      // the store inside has told that they may have changed
}

// fresh reports whether a flag that is not known can be no older than the given length.
func (f *knownFlags) fresh(now time.Time, length time.Duration) bool {
	return !f.asOf.IsZero() && !now.Before(f.asOf) && now.Before(f.asOf.Add(length))
}

// holding returns the first flag that holds for a call at a moment of the store's time, or nil.
func (f *knownFlags) holding(r *budget.Reservation, now time.Time) *budget.Kill {
	for i := range f.all {
		k := &f.all[i]
		if !k.Until.IsZero() && !now.Before(k.Until) {
			continue
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

// add sets a flag, in the place of the same one.
func (f *knownFlags) add(k budget.Kill) {
	f.remove(k.Flag())
	k.Scope.Tags = maps.Clone(k.Scope.Tags)
	f.all, f.dims = append(f.all, k), append(f.dims, k.Scope.Dims())
}

func (f *knownFlags) remove(flag budget.Flag) {
	f.changes++
	object := flag.Object()
	if i := slices.IndexFunc(f.all, func(k budget.Kill) bool { return k.Flag().Object() == object }); i >= 0 {
		f.all, f.dims = slices.Delete(f.all, i, i+1), slices.Delete(f.dims, i, i+1)
	}
}

// Kill implements Store. From its return on this process admits no call that the flag holds for. Other processes may admit
// some from leases that they drew before: until the EffectiveBy that Kills tells.
func (s *Store) Kill(ctx context.Context, k budget.Kill, c budget.Change) error {
	if err := cmp.Or(c.Validate(), k.Validate(), s.checkOpen(ctx)); err != nil {
		return err
	}
	k.EffectiveBy = time.Time{}
	if err := s.inner.Kill(ctx, k, innerChange(c)); err != nil {
		return err
	}
	s.mu.Lock()
	k.At = s.now().Add(s.offset)
	s.flags.add(k)
	s.mu.Unlock()
	_, _ = s.Kills(ctx) // for the store's own time; the flag is set whether this succeeds or not
	return nil
}

// Revive implements Store.
func (s *Store) Revive(ctx context.Context, f budget.Flag, c budget.Change) error {
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
	} else { // what is known is newer than our question: perhaps this flag was set anew, here or elsewhere
		s.flags.stale = true
		s.wakeBackground()
	}
	s.roomMade++
	return nil
}

// killMargin is how long before it holds a store inside may stamp a flag: as long as its Kill may take by default.
const killMargin = 15 * time.Second

// Kills implements Store, and tells by when each flag holds in every process.
func (s *Store) Kills(ctx context.Context) ([]budget.Kill, error) {
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
	case changes != s.flags.changes: // our own change is newer than this answer may be
		s.flags.stale = true
		s.wakeBackground()
	case !asked.Before(s.flags.asOf):
		f := knownFlags{asOf: asked, changes: changes, stale: s.flags.stale}
		for _, k := range all {
			k.Scope.Tags = maps.Clone(k.Scope.Tags)
			f.all, f.dims = append(f.all, k), append(f.dims, k.Scope.Dims())
		}
		s.flags = f
	}
	return all, nil
}

// SetPolicy implements Store.
func (s *Store) SetPolicy(ctx context.Context, document []byte, c budget.Change) error {
	if err := cmp.Or(budget.ValidateDocument(document), c.Validate(), s.checkOpen(ctx)); err != nil {
		return err
	}
	return s.inner.SetPolicy(ctx, document, innerChange(c))
}

// Policy implements Store.
func (s *Store) Policy(ctx context.Context) (budget.PolicyDocument, error) {
	if err := s.checkOpen(ctx); err != nil {
		return budget.PolicyDocument{}, err
	}
	return s.inner.Policy(ctx)
}

// flagsMayHaveChanged has the flags read again, by the background work.
func (s *Store) flagsMayHaveChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flags.stale = true
	s.wakeBackground()
}

// Signal implements Signaler if the store inside does; else it returns errors.ErrUnsupported at once.
func (s *Store) Signal(ctx context.Context, changed func()) error {
	signaler, ok := s.inner.(budget.Signaler)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := s.checkOpen(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return signaler.Signal(ctx, changed)
}

// containsAll reports whether all of part is among whole.
func containsAll(whole, part []budget.Key) bool {
	return !slices.ContainsFunc(part, func(k budget.Key) bool { return !slices.Contains(whole, k) })
}

// scopeOf returns the scope of a reservation's call.
func scopeOf(r *budget.Reservation) budget.Scope {
	if r.Call == nil {
		return budget.Scope{}
	}
	return r.Call.Scope
}
