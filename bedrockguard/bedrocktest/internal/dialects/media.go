package dialects

import (
	"encoding/base64"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/document"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

// film returns the tokens of a video, by the length in the header of its file. A video in S3 is not opened, and one whose length is not found has the
// least tokens that a video can have.
func film(v *jsonnode.Node) int {
	data := v.Get("source").Get("bytes")
	if data == nil {
		return modeltable.UnopenedVideo
	}
	raw, _ := base64.StdEncoding.DecodeString(data.Text())
	return max(modeltable.MinVideoTokens, document.MovieSeconds(raw)*modeltable.VideoSecondTokens)
}

// sound counts audio by its size.
func sound(v *jsonnode.Node) int { return modeltable.SoundTokens(v.Get("source").Get("bytes").Text()) }
