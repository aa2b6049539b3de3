// Package pricing works out what a call can cost at most, and what its answer costs: what the request asks for, and what the models and
// guardrails that take part in it charge.
package pricing

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Demand is what a request asks for, in terms that both of Bedrock's request forms share: Converse's, and InvokeModel's, whose body is in the
// dialect of the model's maker. It also serves bodies in the dialects of other routes over HTTP.
type Demand struct {
	ModelID string // as the request names it

	// The serialised body.
	Raw         []byte // the body itself, where it lies in memory
	Body        int64  // its length in bytes, or UnknownLength
	Lengthening int64  // bytes by which normalisation can lengthen its text
	embedded    int64  // bytes that the media take up in it
	converse    bool   // it is Converse's

	// The input. prompt has media, counts of messages and tools, and what is known of text that the service adds. If it was read from a body it also
	// has the texts. The bounds pass over these, and take the texts from the body itself.
	prompt     tokens.Prompt
	Hidden     bool   // the service adds text that is not in the request, as for a managed prompt: only the context window bounds that
	unseen     string // a field by which the service reads what is not in the request; empty for none
	counted           // inputs that a model may bill one by one, or by the second
	inConverse        // for AsConverse

	wanted // the output

	// What changes the price.
	Writes    price.CacheWrites // the dearest cache writes that the request can cause
	Tiers     [3]string         // the service tiers asked for, in the up to three places where one can be; empty for none
	latency   string            // the latency mode asked for, such as LatencyOptimized; empty for none
	Guardrail string            // the guardrail that the request names; empty for none
	unpriced  []string          // features that have no token price
}

// counted are the inputs of a request that a model may bill one by one, or by the second.
type counted struct {
	texts          int64 // inputs to embed
	images         int64 // input images
	documentImages bool  // images may be billed as pages of documents
	videos, audios int64 // billed by the second
	Queries        int64 // rerank queries
}

// inConverse is what ReadInvoke notes for AsConverse: what has another meaning if the body turns out to be Converse's.
type inConverse struct {
	toolPoints     int   // how many of prompt's tools are cache points then
	storedPictures []int // indexes of the opaque blocks of prompt that are pictures in S3 then
}

// wanted is what a request asks for as output.
type wanted struct {
	MaxOutput   int64 // the most output tokens of one completion; 0 when the request leaves that to the model
	ExtraOutput int64 // the largest output limit among fields beside the standard one
	Thinking    int64 // the largest thinking budget of a body
	choices     int64 // completions asked for; at least 1
	compacts    bool  // the service may shorten the history, each time in an inference of its own
	Decodable   bool  // the SDK's types hold all that the answer can tell of its cost, so that its bytes need not be parsed
}

// features notes the features of a body that have no token price.
func (a *Demand) features(r *cost.Request) {
	a.feature(r.Unpriced)
	for _, name := range r.AlsoUnpriced {
		a.feature(name)
	}
}

// feature notes a feature that has no token price. The empty name is none.
func (a *Demand) feature(name string) {
	if name != "" && !slices.Contains(a.unpriced, name) {
		a.unpriced = append(a.unpriced, name)
	}
}

// UnknownLength stands for a body that does not tell its length.
const UnknownLength = -1

// Read fills in what an input of the SDK asks for. modelID is the foundation model's.
func (a *Demand) Read(input any, modelID string) error {
	var parts converse.Request
	if parts.Of(input) {
		return a.readConverse(&parts)
	}
	switch in := input.(type) {
	case *bedrockruntime.InvokeModelInput:
		return a.ReadInvoke(cost.OfModel, modelID, in.Body, aws.ToString(in.GuardrailIdentifier), in.ServiceTier, in.PerformanceConfigLatency)
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		return a.ReadInvoke(cost.OfModel, modelID, in.Body, aws.ToString(in.GuardrailIdentifier), in.ServiceTier, in.PerformanceConfigLatency)
	default:
		return request.MalformedField("input", "is of an unknown type")
	}
}
