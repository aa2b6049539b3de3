package memstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

type kill struct {
	budget.Kill
	dims []budget.Key
}

// killed returns a copy of the first flag that covers a reservation, or nil.
func (s *Store) killed(r *budget.Reservation, now int64) *budget.Kill {
	for i := range s.kills {
		if k := &s.kills[i]; !k.ended(now) && k.holds(r) {
			own := k.copy()
			return &own
		}
	}
	return nil
}

func (k *kill) ended(now int64) bool { return !k.Until.IsZero() && !time.Unix(0, now).Before(k.Until) }

func (k *kill) holds(r *budget.Reservation) bool {
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
func (k *kill) copy() budget.Kill {
	own := k.Kill
	own.Scope.Tags = maps.Clone(own.Scope.Tags)
	return own
}

// Kill implements budget.Store.
func (s *Store) Kill(ctx context.Context, k budget.Kill, c budget.Change) error {
	if err := cmp.Or(c.Validate(), k.Validate()); err != nil {
		return err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	record := budget.Record{Change: c, Kind: budget.ChangeKill, Scope: k.Scope, Patterns: k.Patterns, Until: k.Until}
	fresh, err := s.changes.judge(&record)
	if err != nil || !fresh {
		return err
	}
	if err := s.makeRoom(&k, now); err != nil {
		return err
	}
	s.changes.note(record, now)
	k.At, k.EffectiveBy = time.Unix(0, now), time.Time{}
	k.Scope.Tags = maps.Clone(k.Scope.Tags)
	s.revive(k.Flag())
	s.kills = append(s.kills, kill{Kill: k, dims: k.Scope.Dims()})
	return nil
}

// makeRoom drops flags that ended long ago; and if there is no room for another one with patterns, all ended flags with patterns.
func (s *Store) makeRoom(next *budget.Kill, now int64) error {
	s.kills = slices.DeleteFunc(s.kills, func(k kill) bool { return k.ended(now - int64(budget.FlagRetention)) })
	if !next.Patterns || s.patterns(next.Flag()) < budget.MaxPatterns {
		return nil
	}
	s.kills = slices.DeleteFunc(s.kills, func(k kill) bool { return k.Patterns && k.ended(now) })
	if s.patterns(next.Flag()) >= budget.MaxPatterns {
		return budget.ErrTooManyFlags
	}
	return nil
}

// patterns counts the flags with patterns, except the given one.
func (s *Store) patterns(beside budget.Flag) (n int) {
	for i := range s.kills {
		if s.kills[i].Patterns && s.kills[i].Flag().Object() != beside.Object() {
			n++
		}
	}
	return n
}

// Revive implements budget.Store.
func (s *Store) Revive(ctx context.Context, f budget.Flag, c budget.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if fresh, err := s.changes.make(budget.Record{Change: c, Kind: budget.ChangeRevive, Scope: f.Scope, Patterns: f.Patterns}, now); !fresh {
		return err
	}
	s.revive(f)
	return nil
}

// revive removes exactly this flag.
func (s *Store) revive(f budget.Flag) {
	object := f.Object()
	s.kills = slices.DeleteFunc(s.kills, func(k kill) bool { return k.Flag().Object() == object })
}

// Kills implements budget.Store.
func (s *Store) Kills(ctx context.Context) ([]budget.Kill, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := make([]budget.Kill, 0, len(s.kills))
	for i := range s.kills {
		if !s.kills[i].ended(now) {
			all = append(all, s.kills[i].copy())
		}
	}
	return all, nil
}
