package bedrockguard

import (
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// What media are likely to count, for deciding what is worth caching and never for money: those bounds are in package
// tokens. The figures are middling ones of what makers publish of their models (2026-11).
const (
	pixelsPerToken        = 750
	maxImageTokens        = 1600 // larger images are scaled down
	pageTokens            = 2000 // of a document that the service fetches
	redactedBytesPerToken = 4
)

// imageTokens is what an image is likely to count.
func imageTokens(data []byte) int64 {
	w, h, ok := tokens.Pixels(data)
	if !ok || w > maxImageTokens*pixelsPerToken/h {
		return maxImageTokens
	}
	return int64(max(w*h/pixelsPerToken, 1))
}

// documentTokens is what a document is likely to count.
func documentTokens(format types.DocumentFormat, data []byte) int64 {
	return cache.DocumentTokens(string(format), data)
}
