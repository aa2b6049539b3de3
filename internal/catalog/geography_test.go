package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsProfile(t *testing.T) {
	for id, want := range map[string]bool{
		"us.amazon.nova-pro-v1:0": true, "global.anthropic.claude-opus-4-6-v1": true, "us-gov.anthropic.claude-3-haiku-20240307-v1:0": true,
		"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0": true,
		"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc":         true,
		"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0":                 false, "amazon.nova-pro-v1:0": false, "us": false, "": false,
	} {
		require.Equal(t, want, IsProfile(id), id)
	}
}
