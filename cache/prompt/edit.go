package prompt

import "time"

// Edit is one change to a request's cache points. Edits change nothing else of the request.
type Edit struct {
	// Remove is the index in Prompt.Points of a point to remove, or -1.
	Remove int
	// After is the index in Prompt.Blocks of the block after which a point is added, or -1.
	After int
	// TTL is the lifetime of the added point.
	TTL time.Duration
}
