package modeltable

import "encoding/base64"

// PageTokens is the tokens of the image of a PDF page: those of the family's largest image.
func PageTokens(m *Model) int { return ImageTokens(m, "") }

// Tokens of media that are billed by tokens. Recorded on Nova 2 Lite: videos of 1.3, 10 and 13.3 seconds with some 1,790, 1,560 and 3,070;
// on Nova Pro 1.3 seconds with some 1,100. Objects in S3 are not opened: a short video and a page of a document were recorded with 1,781 and
// 2,404, and count somewhat more here.
const (
	MinVideoTokens    = 1900
	VideoSecondTokens = 240
	UnopenedVideo     = 4000
	UnopenedDocument  = 3000
	minAudioTokens    = 500
	bytesOfAudioToken = 200
)

// SoundTokens counts audio in base64 by its size.
func SoundTokens(data string) int {
	return max(minAudioTokens, base64.StdEncoding.DecodedLen(len(data))/bytesOfAudioToken)
}
