package bedrockguard

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/sdkdoor"
)

// Install guards the client that is built with these options: bedrockruntime.New(opts, guard.Install). The other functions in this file are
// shorthands for it.
//
// It adds middlewares at four places. In the Initialize step, after validation. In the Serialize step, directly after the serializer, where
// it reads what the request asks for. In the Finalize step, directly inside the SDK's Retry, so that each attempt that the SDK makes is
// reserved and settled separately. In the Deserialize step, next to the transport and after whatever a caller adds later, where it looks at
// the request once more: if it was changed on the way, a new reservation is made, and if it is sent twice, two are. A per-call option that
// clears APIOptions removes the guard; calls that do not use this client are not guarded either.
//
// The client's streams may run at the same time, which those of an unguarded client may not (aws/smithy-go#714).
func (g *Guard) Install(o *bedrockruntime.Options) {
	sdkdoor.KeepStreamsApart(o)
	o.APIOptions = append(o.APIOptions, g.sdk.Attach)
}

// NewFromConfig is bedrockruntime.NewFromConfig with the guard installed. The options pass straight through.
func (g *Guard) NewFromConfig(cfg aws.Config, optFns ...func(*bedrockruntime.Options)) *bedrockruntime.Client {
	return bedrockruntime.NewFromConfig(cfg, append(optFns[:len(optFns):len(optFns)], g.Install)...)
}

// Wrap returns a guarded client with the options of an existing one, which stays as it was: calls of the existing client are not guarded.
func (g *Guard) Wrap(client *bedrockruntime.Client) *bedrockruntime.Client {
	return bedrockruntime.New(client.Options(), g.Install)
}

// InstallConfig guards the Bedrock runtime clients that are built from this config. The guard is also added to clients of other services,
// because a config is for all of them, and lets their calls pass unchanged. Unlike with Install, two streams at once on one such client
// share the SDK's decoder.
func (g *Guard) InstallConfig(cfg *aws.Config) {
	cfg.APIOptions = append(cfg.APIOptions[:len(cfg.APIOptions):len(cfg.APIOptions)], g.sdk.Attach)
}
