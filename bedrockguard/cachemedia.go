package bedrockguard

import (
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// How many tokens media probably have, for deciding what is worth caching. These figures never bound a cost: the bounds are in package
// tokens. They are typical values of what the makers of models publish (2026-11).
const (
	pixelsPerToken        = 750
	maxImageTokens        = 1600 // larger images are scaled down
	pageTokens            = 2000 // of a document that the service fetches
	redactedBytesPerToken = 4
)

// imageTokens returns how many tokens an image probably has.
func imageTokens(data []byte) int64 {
	w, h, ok := tokens.Pixels(data)
	if !ok || w > maxImageTokens*pixelsPerToken/h {
		return maxImageTokens
	}
	return int64(max(w*h/pixelsPerToken, 1))
}

// documentTokens returns how many tokens a document probably has.
func documentTokens(format types.DocumentFormat, data []byte) int64 {
	return cache.DocumentTokens(string(format), data)
}
