package guard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/awsenv"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
)

// upstreamFlags are the flags that say where requests are sent, and with which credentials.
func upstreamFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "region", Sources: cli.EnvVars("AWS_REGION", "AWS_DEFAULT_REGION"), Usage: "where Bedrock is asked, and whose prices apply; that of the AWS configuration unless set", HideDefault: true},
		&cli.StringFlag{Name: "upstream", Sources: cli.EnvVars("BEDROCKGUARD_UPSTREAM"), Usage: "another base URL than Bedrock's own, such as a VPC endpoint or a test server", HideDefault: true},
	}
}

// upstream is the Bedrock to which a proxy sends requests.
type upstream struct {
	region string
	url    *url.URL                // nil means AWS's own endpoints
	bearer string                  // a Bedrock API key; empty if requests are signed
	aws    aws.CredentialsProvider // for signatures
}

// upstreamTimeout bounds how long a start waits for credentials: on a machine without any, the metadata service can hang.
const upstreamTimeout = 10 * time.Second

// openUpstream finds the region and the credentials, and fails if there are none. It looks for them at once, so that a program does not begin
// without.
func openUpstream(ctx context.Context, c *cli.Command) (*upstream, error) {
	u := &upstream{region: c.String("region"), bearer: os.Getenv("AWS_BEARER_TOKEN_BEDROCK")}
	if at := c.String("upstream"); at != "" {
		base, err := baseURL(at)
		if err != nil {
			return nil, err
		}
		u.url = base
	}
	// An empty region leaves that of the configuration.
	config, err := awsenv.Load(ctx, awsconfig.WithRegion(u.region))
	if err != nil {
		return nil, fmt.Errorf("the configuration of AWS: %w", err)
	}
	u.region, u.aws = config.Region, config.Credentials
	if u.region == "" {
		return nil, exit.UsageError("no region is named: give --region or set AWS_REGION")
	}
	// With a Bedrock API key nothing is signed, so that other credentials are not needed.
	if u.bearer != "" {
		return u, nil
	}
	ctx, cancel := context.WithTimeout(ctx, upstreamTimeout)
	defer cancel()
	if _, err := u.aws.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("no credentials for Bedrock were found: set AWS_PROFILE, AWS_ACCESS_KEY_ID or AWS_BEARER_TOKEN_BEDROCK: %w", err)
	}
	return u, nil
}

// baseURL parses the base URL in --upstream: it has a scheme and a host, and no path.
func baseURL(text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	if err == nil {
		web := parsed.Scheme == "http" || parsed.Scheme == "https"
		hasPath := strings.Trim(parsed.Path, "/") != ""
		if web && parsed.Host != "" && !hasPath {
			return &url.URL{Scheme: parsed.Scheme, Host: parsed.Host}, nil
		}
	}
	return nil, exit.UsageError("--upstream is no base URL such as https://vpce-….vpce.amazonaws.com")
}

// signer makes signatures of AWS Signature Version 4. It may be used by several goroutines.
var signer = v4.NewSigner()

// sign puts the credentials of this process into a request: a Bedrock API key, or a signature for the service that the request goes to. The
// endpoints called bedrock-mantle belong to a service of their own.
func (u *upstream) sign(req *http.Request, body []byte) error {
	if u.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+u.bearer)
		return nil
	}
	ctx, cancel := context.WithTimeout(req.Context(), upstreamTimeout)
	defer cancel()
	credentials, err := u.aws.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("credentials for Bedrock: %w", err)
	}
	service := "bedrock"
	if strings.HasPrefix(req.URL.Host, "bedrock-mantle") {
		service = "bedrock-mantle"
	}
	hash := sha256.Sum256(body)
	return signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(hash[:]), service, u.region, time.Now())
}
