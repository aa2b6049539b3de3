// Package awsenv finds AWS's configuration where every SDK finds it.
package awsenv

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// Load finds AWS's configuration as every SDK does. It suppresses what the SDK logs while it looks for credentials: if there are
// none, the error says so.
func Load(ctx context.Context, with ...func(*awsconfig.LoadOptions) error) (aws.Config, error) {
	return awsconfig.LoadDefaultConfig(ctx, append(with, awsconfig.WithLogger(logging.Nop{}))...)
}
