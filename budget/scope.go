package budget

import (
	"context"
	"maps"
)

// scopeKey is the key under which a context carries a scopeValue.
type scopeKey struct{}

// scopeValue is the scope of a context's calls, and why those are refused, if WithScope found that scopes contradict each other.
type scopeValue struct {
	scope Scope
	err   error
}

// WithScope returns a context whose calls count to the given scope's accounts. Scopes only add up: an inner WithScope fills in what an outer
// one left empty. If both set a field differently, the outer value stays and every call under the context is refused with ErrInvalidScope.
func WithScope(ctx context.Context, s Scope) context.Context {
	outer, err := ScopeFrom(ctx)
	merged, conflict := s.Under(outer) // the outer scope, with s where it is empty; conflict says that both set a field differently
	if err == nil {
		err = conflict
	}
	merged.Tags = maps.Clone(merged.Tags)
	return context.WithValue(ctx, scopeKey{}, scopeValue{scope: merged, err: err})
}

// ScopeFrom returns the scope that a context carries, empty without one, and ErrInvalidScope if WithScope refused it.
func ScopeFrom(ctx context.Context) (Scope, error) {
	v, _ := ctx.Value(scopeKey{}).(scopeValue)
	return v.scope, v.err
}
