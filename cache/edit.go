package cache

import (
	"context"
	"time"
)

// Edit is one change to a request's cache points. Applying edits changes nothing else of the request.
type Edit struct {
	// Remove is the index in Prompt.Points of a point to take away, or -1.
	Remove int
	// After is the index in Prompt.Blocks of the block behind which a point is to be added, or -1.
	After int
	// TTL is the lifetime of the point to be added.
	TTL time.Duration
}

type compactionKey struct{}

// WithCompaction returns a context whose next call of the workflow may rewrite its history: the rewrite is expected, once.
func WithCompaction(ctx context.Context) context.Context {
	return context.WithValue(ctx, compactionKey{}, true)
}

// Compacted reports whether a context announces a compaction.
func Compacted(ctx context.Context) bool {
	announced, _ := ctx.Value(compactionKey{}).(bool)
	return announced
}
