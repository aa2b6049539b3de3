package chain

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

type doer func(*http.Request) (*http.Response, error)

func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestDecodedAnswersReadAsTheirBytes: an answer that the SDK has decoded, and the same one read on without a caller, post the same.
func TestDecodedAnswersReadAsTheirBytes(t *testing.T) {
	const frame = `{"output":{"message":{"role":"assistant","content":[{"text":"ok"}]}},"stopReason":"end_turn","metrics":{"latencyMs":1},"usage":{%s}%s}`
	units := `{"topicPolicyUnits":2,"contentPolicyUnits":1,"wordPolicyUnits":5,"sensitiveInformationPolicyUnits":1,"sensitiveInformationPolicyFreeUnits":3,"contextualGroundingPolicyUnits":4,"contentPolicyImageUnits":6,"automatedReasoningPolicyUnits":7}`
	for name, tc := range map[string][2]string{
		"plain":       {`"inputTokens":10,"outputTokens":20,"totalTokens":30`, ``},
		"cached":      {`"inputTokens":10,"outputTokens":20,"totalTokens":100,"cacheReadInputTokens":30,"cacheWriteInputTokens":40,"cacheDetails":[{"ttl":"1h","inputTokens":15},{"ttl":"5m","inputTokens":25}]`, ``},
		"cached once": {`"inputTokens":40,"outputTokens":20,"totalTokens":60,"cacheReadInputTokens":30`, ``},
		"served":      {`"inputTokens":10,"outputTokens":20,"totalTokens":30`, `,"serviceTier":{"type":"priority"},"performanceConfig":{"latency":"optimized"}`},
		"routed":      {`"inputTokens":10,"outputTokens":20,"totalTokens":30`, `,"trace":{"promptRouter":{"invokedModelId":"us.amazon.nova-pro-v1:0"}}`},
		"guarded":     {`"inputTokens":0,"outputTokens":0,"totalTokens":0`, `,"trace":{"guardrail":{"inputAssessment":{"gr":{"invocationMetrics":{"usage":` + units + `}}},"outputAssessments":{"gr":[{"invocationMetrics":{"usage":` + units + `}},{}]}}}`},
		"too many":    {`"inputTokens":-1,"outputTokens":20,"totalTokens":30`, ``},
	} {
		for _, provider := range []string{"anthropic", "openai", "amazon"} {
			t.Run(name+"/"+provider, func(t *testing.T) {
				body := fmt.Sprintf(frame, tc[0], tc[1])
				client := bedrockruntime.New(bedrockruntime.Options{Region: "us-east-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "key"}, nil
				}), HTTPClient: doer(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
				})})
				out, err := client.Converse(context.Background(), &bedrockruntime.ConverseInput{ModelId: aws.String("m")})
				require.NoError(t, err)
				decoded, ok := decodedUsage(&Call{Call: pricing.Call{Provider: provider, Demand: pricing.Demand{Writes: price.CacheWrites1h}}}, out)
				read, told, err := wire.ParseUsage(provider, price.CacheWrites1h, nil, []byte(body))
				assert.Equal(t, ok, told && err == nil)
				if ok {
					assert.Equal(t, read, decoded)
				}
			})
		}
	}
}
