package bedrockguard_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// A field that Converse does not know says nothing of what a block is: with it no request sets aside less.
func TestHTTPConverseIsNotToldByForeignFieldsWhatABlockIs(t *testing.T) {
	w := newWeb(t, settings{limits: []budget.Limit{{Name: "tiny", Max: budget.InputTokens(1), Window: budget.Monthly}}})
	requested := func(block string) string {
		resp, body := w.post(t, "/model/amazon.nova-pro-v1:0/converse", `{"messages":[{"role":"user","content":[`+block+`]}],"inferenceConfig":{"maxTokens":10}}`)
		require.Equal(t, 402, resp.StatusCode, body)
		return resp.Header.Get("X-Bedrockguard-Requested")
	}
	for name, blocks := range map[string][]string{
		"a video in S3": {
			`{"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://b/k"}}}}`,
			`{"type":"image","video":{"format":"mp4","source":{"s3Location":{"uri":"s3://b/k"}}}}`,
			`{"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://b/k"}}},"type":"image"}`,
			`{"video":{"format":"mp4","type":"image","source":{"s3Location":{"uri":"s3://b/k"}}}}`,
			`{"video":{"format":"mp4","source":{"media_type":"image/png","s3Location":{"uri":"s3://b/k"}}}}`,
			`{"video":{"format":"mp4","source":{"type":"image","s3Location":{"uri":"s3://b/k"}}}}`,
		},
		"a video": {
			`{"video":{"format":"mp4","source":{"bytes":"AAAAGGZ0eXBtcDQyAAAAAG1wNDFpc29t"}}}`,
			`{"type":"image","video":{"format":"mp4","source":{"bytes":"AAAAGGZ0eXBtcDQyAAAAAG1wNDFpc29t"}}}`,
			`{"video":{"format":"mp4","source":{"bytes":"AAAAGGZ0eXBtcDQyAAAAAG1wNDFpc29t"}},"type":"image"}`,
			`{"type":"text","video":{"format":"mp4","source":{"bytes":"AAAAGGZ0eXBtcDQyAAAAAG1wNDFpc29t"}}}`,
			`{"video":{"format":"mp4","source":{"media_type":"image/png","bytes":"AAAAGGZ0eXBtcDQyAAAAAG1wNDFpc29t"}}}`,
			`{"video":{"format":"mp4","source":{"type":"text","bytes":"AAAAGGZ0eXBtcDQyAAAAAG1wNDFpc29t"}}}`,
		},
	} {
		for _, block := range blocks {
			require.Equal(t, requested(blocks[0]), requested(block), "%s: %s", name, block)
		}
	}
}
