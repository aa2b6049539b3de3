package cache

import (
	"context"
	"time"
)

// Edit is one change to a request's cache points. Edits change nothing else of the request.
type Edit struct {
	// Remove is the index in Prompt.Points of a point to remove, or -1.
	Remove int
	// After is the index in Prompt.Blocks of the block after which a point is added, or -1.
	After int
	// TTL is the lifetime of the added point.
	TTL time.Duration
}

type compactionKey struct{}

// WithCompaction returns a context that announces that the workflow's next call may rewrite its history, once, so that this is no finding.
func WithCompaction(ctx context.Context) context.Context {
	return context.WithValue(ctx, compactionKey{}, true)
}

// Compacted reports whether a context announces a compaction.
func Compacted(ctx context.Context) bool {
	announced, _ := ctx.Value(compactionKey{}).(bool)
	return announced
}
