package memstore

import (
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

// killed returns a copy of the first flag whose keys are all among the call's, or nil.
func (s *Store) killed(dims []budget.Key) *budget.Kill {
	for i := range s.kills {
		if s.kills[i].holds(dims) {
			k := s.kills[i].copy()
			return &k
		}
	}
	return nil
}

func (k *kill) holds(dims []budget.Key) bool {
	for _, d := range k.dims {
		if !slices.Contains(dims, d) {
			return false
		}
	}
	return true
}

// copy shares nothing with the store.
func (k *kill) copy() budget.Kill {
	own := k.Kill
	own.Scope.Tags = maps.Clone(own.Scope.Tags)
	return own
}

// Kill implements budget.Store.
func (s *Store) Kill(ctx context.Context, k budget.Kill, c budget.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	now, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if fresh, err := s.changes.make(budget.Record{Change: c, Kind: budget.ChangeKill, Scope: k.Scope}, now); !fresh {
		return err
	}
	k.At, k.EffectiveBy = time.Unix(0, now), time.Time{}
	k.Scope.Tags = maps.Clone(k.Scope.Tags)
	flag := kill{Kill: k, dims: k.Scope.Dims()}
	s.revive(flag.dims)
	s.kills = append(s.kills, flag)
	return nil
}

// Revive implements budget.Store.
func (s *Store) Revive(ctx context.Context, scope budget.Scope, c budget.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	now, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if fresh, err := s.changes.make(budget.Record{Change: c, Kind: budget.ChangeRevive, Scope: scope}, now); !fresh {
		return err
	}
	s.revive(scope.Dims())
	return nil
}

// revive removes the flag of exactly these keys. Dims are in a fixed order, so equal scopes have equal lists.
func (s *Store) revive(dims []budget.Key) {
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
		all[i] = s.kills[i].copy()
	}
	return all, nil
}
