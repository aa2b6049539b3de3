package httpdoor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEndpointsOfAWSAreKnownByTheirNames(t *testing.T) {
	for host, region := range map[string]string{
		"bedrock-runtime.us-east-1.amazonaws.com":                          "us-east-1",
		"BEDROCK-RUNTIME.us-east-1.amazonaws.com.":                         "us-east-1",
		"bedrock-runtime-fips.us-gov-west-1.amazonaws.com":                 "us-gov-west-1",
		"bedrock-runtime.eu-west-1.api.aws":                                "eu-west-1",
		"bedrock-runtime-fips.ca-central-1.api.aws":                        "ca-central-1",
		"bedrock-runtime.cn-north-1.amazonaws.com.cn":                      "cn-north-1",
		"bedrock-runtime.eusc-de-east-1.amazonaws.eu":                      "eusc-de-east-1",
		"vpce-0a1b-2c3d.bedrock-runtime.us-west-2.vpce.amazonaws.com":      "us-west-2",
		"vpce-0a1b-us-west-2a.bedrock-mantle.us-west-2.vpce.amazonaws.com": "us-west-2",
		"bedrock-mantle.us-east-2.api.aws":                                 "us-east-2",
		"bedrock.us-east-1.amazonaws.com":                                  "",
		"bedrock-runtime.us-east-1.amazonaws.com.example.org":              "",
		"bedrock-runtime.example.org":                                      "",
		"s3.bedrock-runtime.us-east-1.amazonaws.com":                       "",
		"amazonaws.com": "",
	} {
		_, got := endpointOf(host)
		require.Equal(t, region, got, host)
	}
}
