package cache

import "context"

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
