package memstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// kill is a flag that is set, with the keys by which flags finds it.
type kill struct {
	driver.Kill
	dims   []driver.Key // the keys of the values that its scope sets (Scope.Dims)
	object driver.Key   // Flag.Object: a new flag with the same one replaces it
	under  driver.Key   // the dimension that it is filed under
	nth    int64        // in the order in which they were set
}

// flags are the kill flags. A flag without patterns refuses a reservation that has all of the flag's values, so it is enough to file it under one of
// these: a reservation then looks only at the flags that are filed under its own values. It is filed under the value with the fewest flags. The zero
// value is empty.
type flags struct {
	all      map[driver.Key]*kill   // by object
	filed    map[driver.Key][]*kill // flags without patterns, by the key of one of their values; those that refuse everything under the zero key
	patterns []*kill                // flags with patterns: a reservation looks at each
	set      int64                  // how many were set so far
}

// add sets a flag, in the place of the one with the same object.
func (f *flags) add(k *kill) {
	f.remove(k.object)
	if f.all == nil {
		f.all, f.filed = make(map[driver.Key]*kill), make(map[driver.Key][]*kill)
	}
	f.set++
	k.nth = f.set
	f.all[k.object] = k
	if k.Patterns {
		f.patterns = append(f.patterns, k)
		return
	}
	var under driver.Key // the value with the fewest flags; without values it stays the zero key: the flag refuses everything
	for i, d := range k.dims {
		if i == 0 || len(f.filed[d]) < len(f.filed[under]) {
			under = d
		}
	}
	k.under = under
	f.filed[under] = append(f.filed[under], k)
}

// remove removes the flag with an object, if there is one.
func (f *flags) remove(object driver.Key) {
	k := f.all[object]
	if k == nil {
		return
	}
	delete(f.all, object)
	is := func(other *kill) bool { return other == k }
	if k.Patterns {
		f.patterns = slices.DeleteFunc(f.patterns, is)
		return
	}
	if f.filed[k.under] = slices.DeleteFunc(f.filed[k.under], is); len(f.filed[k.under]) == 0 {
		delete(f.filed, k.under)
	}
}

// removeAll removes the flags that drop selects.
func (f *flags) removeAll(drop func(*kill) bool) {
	for object, k := range f.all {
		if drop(k) {
			f.remove(object)
		}
	}
}

// killed returns a copy of the flag that covers a reservation, of several the one that was set first; nil if there is none. It looks at the flags
// that cover everything, at those that are filed under one of the reservation's values, and at those with patterns.
func (f *flags) killed(r *driver.Reservation, now int64) *driver.Kill {
	if len(f.all) == 0 {
		return nil
	}
	var first *kill
	look := func(some []*kill) {
		for _, k := range some {
			if !k.ended(now) && (first == nil || k.nth < first.nth) && k.holds(r) {
				first = k
			}
		}
	}
	look(f.filed[driver.Key{}]) // the flags without values, which cover everything
	for _, d := range r.Dims {
		look(f.filed[d])
	}
	look(f.patterns)
	if first == nil {
		return nil
	}
	own := first.copy()
	return &own
}

// ended reports whether the flag's end has come.
func (k *kill) ended(now int64) bool { return !k.Until.IsZero() && !time.Unix(0, now).Before(k.Until) }

// holds reports whether the flag covers a reservation: with patterns by the scope of its call, else by its Dims.
func (k *kill) holds(r *driver.Reservation) bool {
	if k.Patterns {
		return r.Call != nil && k.Holds(r.Call.Scope)
	}
	for _, d := range k.dims {
		if !slices.Contains(r.Dims, d) {
			return false
		}
	}
	return true
}

// copy returns a copy that shares no memory with the store.
func (k *kill) copy() driver.Kill {
	own := k.Kill
	own.Scope.Tags = maps.Clone(own.Scope.Tags)
	return own
}

// Kill implements driver.Store. A change that was made before does nothing, and one whose object somebody else has changed since its caller looked
// is refused. A new one is put into the audit trail only once there is room for the flag, because a change that fails must leave no trace.
func (s *Store) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	if err := cmp.Or(c.Validate(), k.Validate()); err != nil {
		return err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	record := driver.Record{Change: c, Kind: driver.ChangeKill, Scope: k.Scope, Patterns: k.Patterns, Until: k.Until}
	isNew, err := s.changes.judge(&record) // err is ErrSuperseded, or nil for a new change and for a repeat
	if err != nil || !isNew {
		return err
	}
	if err := s.makeRoom(&k, now); err != nil {
		return err
	}
	s.changes.note(record, now)
	k.At, k.EffectiveBy = time.Unix(0, now), time.Time{}
	k.Scope.Tags = maps.Clone(k.Scope.Tags)
	s.kills.add(&kill{Kill: k, dims: k.Scope.Dims(), object: k.Flag().Object()})
	return nil
}

// endedEvery is how many flags are set between two looks for those that ended long ago.
const endedEvery = 64

// makeRoom drops flags that ended long ago, now and then; and if there is no room for another one with patterns, all ended flags with patterns. It
// returns driver.ErrTooManyFlags if there is still no room for next.
func (s *Store) makeRoom(next *driver.Kill, now int64) error {
	if s.kills.set%endedEvery == 0 {
		s.kills.removeAll(func(k *kill) bool { return k.ended(now - int64(driver.FlagRetention)) })
	}
	if !next.Patterns || s.kills.patternsBeside(next) < driver.MaxPatterns {
		return nil
	}
	s.kills.removeAll(func(k *kill) bool { return k.Patterns && k.ended(now) })
	if s.kills.patternsBeside(next) >= driver.MaxPatterns {
		return driver.ErrTooManyFlags
	}
	return nil
}

// patternsBeside counts the flags with patterns, without the one that would be replaced if next were set.
func (f *flags) patternsBeside(next *driver.Kill) int {
	n := len(f.patterns)
	if f.all[next.Flag().Object()] != nil {
		n--
	}
	return n
}

// Revive implements driver.Store.
func (s *Store) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	// make puts a new change into the audit trail. One that is not new is a repeat, with a nil err, or superseded.
	if isNew, err := s.changes.make(driver.Record{Change: c, Kind: driver.ChangeRevive, Scope: f.Scope, Patterns: f.Patterns}, now); !isNew {
		return err
	}
	s.kills.remove(f.Object())
	return nil
}

// Kills implements driver.Store.
func (s *Store) Kills(ctx context.Context) ([]driver.Kill, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := make([]driver.Kill, 0, len(s.kills.all))
	for _, k := range slices.SortedFunc(maps.Values(s.kills.all), func(a, b *kill) int { return cmp.Compare(a.nth, b.nth) }) {
		if !k.ended(now) {
			all = append(all, k.copy())
		}
	}
	return all, nil
}
