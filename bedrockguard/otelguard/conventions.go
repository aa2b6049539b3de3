package otelguard

// The keys of OpenTelemetry's conventions for generative AI that are used here, by their repository
// github.com/open-telemetry/semantic-conventions-genai as of 2026-11-28. They are copied because no Go package has them: the last one that
// did, semconv/v1.41.0, has other names for cache writes. There are no keys for amounts of money yet.
const (
	keyOperation        = "gen_ai.operation.name"
	keyProvider         = "gen_ai.provider.name"
	keyRequestModel     = "gen_ai.request.model"
	keyTokenType        = "gen_ai.token.type"
	keyInputTokens      = "gen_ai.usage.input_tokens" // including tokens read from and written to the cache
	keyOutputTokens     = "gen_ai.usage.output_tokens"
	keyCacheReadTokens  = "gen_ai.usage.cache_read.input_tokens"
	keyCacheWriteTokens = "gen_ai.usage.cache_write.input_tokens"
	keyWorkflowName     = "gen_ai.workflow.name"

	metricTokenUsage = "gen_ai.client.token.usage"
	metricDuration   = "gen_ai.client.operation.duration"
)

// The values that these conventions define.
const (
	provider        = "aws.bedrock"
	operationChat   = "chat"
	operationEmbed  = "embeddings"
	operationOther  = "generate_content"
	tokenTypeInput  = "input"
	tokenTypeOutput = "output"
)

// The keys of OpenTelemetry's general conventions (its registry of attributes, 2026-11-28).
const (
	keyErrorType = "error.type"
	keyRegion    = "cloud.region"
	keyRequestID = "aws.request_id"
)

// The guard's own keys. A tag of a scope has the key keyTag followed by its name.
const (
	keyWorkflow    = "bedrockguard.workflow"
	keyPrincipal   = "bedrockguard.principal"
	keyTag         = "bedrockguard.tag."
	keyClass       = "bedrockguard.token.class"
	keyLimit       = "bedrockguard.limit"
	keyAccount     = "bedrockguard.account"
	keyUnit        = "bedrockguard.unit"
	keyReason      = "bedrockguard.reason"   // of a refusal; see reasons
	keyEnforced    = "bedrockguard.enforced" // false for a limit that only observes, and for a refusal that was not carried out
	keyStage       = "bedrockguard.stage"    // of a kill: call or stream
	keyThreshold   = "bedrockguard.threshold"
	keyRule        = "bedrockguard.rule"    // of the cache check
	keyWarning     = "bedrockguard.warning" // the kind of the event
	keyWorst       = "bedrockguard.worst"   // of a span: what was reserved, in USD
	keyActual      = "bedrockguard.actual"  // of a span: what was charged, in USD
	keyEstimated   = "bedrockguard.estimated"
	keyAttempt     = "bedrockguard.attempt"     // of a span: its number, which begins with 1
	keyReservation = "bedrockguard.reservation" // of a span: the reservation's id
)

// The bounds of the histograms, as the conventions recommend.
var (
	tokenBounds    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	durationBounds = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
)
