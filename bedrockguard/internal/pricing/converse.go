package pricing

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// readConverse fills in the demand from the typed input of Converse without looking into its text: the serialised body tells the length of that
// later, which costs nothing. What the length does not tell, such as media, is collected by a meter.
func (a *Demand) readConverse(r *converse.Request) error {
	a.choices, a.converse, a.prompt.Messages = 1, true, len(r.Messages)
	a.Decodable = true // until the meter finds what the SDK's types can't tell
	// Guarded says that the request names a guardrail, Guardrail is its id, which may be missing.
	if r.Guarded {
		a.Guardrail = cmp.Or(r.Guardrail, unnamedGuardrail)
	}
	if r.Tier != nil {
		a.Tiers[0] = string(r.Tier.Type) // of Tiers, Converse's own field fills in the first, and the additional fields the second
	}
	if r.Performance != nil {
		a.latency = string(r.Performance.Latency)
	}
	// The maximum of zero, with which the demand begins, says that the request sets none.
	if r.Inference != nil && r.Inference.MaxTokens != nil {
		if *r.Inference.MaxTokens <= 0 {
			return request.MalformedField("inferenceConfig.maxTokens", fmt.Sprintf("%d tokens, want at least 1", *r.Inference.MaxTokens))
		}
		a.MaxOutput = int64(*r.Inference.MaxTokens)
	}
	// WalkBeyondText leaves the texts out, and tells the meter of everything else in the request.
	m := meter{Demand: a}
	converse.WalkBeyondText(r, &m)
	return m.err
}

// unnamedGuardrail stands for a guardrail whose id the request does not tell.
const unnamedGuardrail = "unnamed"

// AddFields takes in the additional fields that Converse passes on to the model unchanged. They can ask for more than Converse's own fields do, never
// for less. Their texts are left out, because they are in the length of the serialised body.
func (a *Demand) AddFields(fields request.Marshaler) error {
	raw, err := fields.MarshalSmithyDocument()
	if err != nil {
		return request.MalformedField("additionalModelRequestFields", "can't be marshaled")
	}
	extra, err := cost.ParseExtra(raw)
	if err != nil {
		return err
	}
	a.ExtraOutput, a.Thinking = max(extra.MaxTokens, extra.ExtraTokens), extra.Thinking
	a.choices = max(a.choices, extra.Choices)
	a.Writes = max(a.Writes, extra.CacheWrites)
	a.Tiers[1] = extra.ServiceTier
	if a.latency != LatencyOptimized { // the dearer one
		a.latency = cmp.Or(extra.Latency, a.latency)
	}
	a.compacts = a.compacts || extra.Compacts
	a.embedded += extra.Embedded
	a.addPrompt(&extra.Prompt)
	if extra.Guardrail {
		a.Guardrail = cmp.Or(a.Guardrail, unnamedGuardrail)
	}
	a.features(&extra)
	return nil
}

// addPrompt takes in what additional fields put into the prompt: media, and counts from which follows how much text the service adds. The text of the
// fields themselves is in the length of the body.
func (a *Demand) addPrompt(p *tokens.Prompt) {
	a.prompt.Messages += p.Messages
	a.prompt.Tools += p.Tools
	a.prompt.BuiltinTools += p.BuiltinTools
	a.prompt.Hidden.Add(p.Hidden)
	for _, b := range p.Blocks {
		if b.Kind != tokens.Text && b.Kind != tokens.JSON {
			a.prompt.Blocks = append(a.prompt.Blocks, b)
		}
	}
}

// AsConverse corrects a demand that ReadInvoke has read from a body, now that the body is known to be Converse's: in other dialects the same JSON
// can mean something else, and costs more.
func (a *Demand) AsConverse() {
	a.converse = true
	// A cache point in the list of tools is no tool.
	a.prompt.Tools -= a.toolPoints
	// A picture in S3 counts as the largest that models of its family read. Whatever else is in S3 stays opaque: the context window bounds it.
	for _, i := range a.storedPictures {
		a.prompt.Blocks[i].Kind = tokens.Image
		a.images++
	}
	if a.unseen == cost.StoredElsewhere {
		a.unseen = ""
	}
	a.toolPoints, a.storedPictures = 0, nil
	// The length of the body bounds the texts. This comes last, because storedPictures are indexes of the blocks.
	a.prompt.Blocks = slices.DeleteFunc(a.prompt.Blocks, func(b tokens.Block) bool { return b.Kind == tokens.Text || b.Kind == tokens.JSON })
}
