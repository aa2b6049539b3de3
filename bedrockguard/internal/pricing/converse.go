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

// readConverse reads a typed request without looking into its text: the serialised body tells its length later, which
// costs nothing. Only media are measured here, because their bytes say little about their tokens.
func (a *Demand) readConverse(r *converse.Request) error {
	a.choices, a.converse, a.Decodable, a.prompt.Messages = 1, true, true, len(r.Messages)
	if r.Guarded {
		a.Guardrail = cmp.Or(r.Guardrail, unnamedGuardrail)
	}
	if r.Tier != nil {
		a.Tiers[0] = string(r.Tier.Type)
	}
	if r.Performance != nil {
		a.latency = string(r.Performance.Latency)
	}
	if r.Inference != nil && r.Inference.MaxTokens != nil {
		if *r.Inference.MaxTokens <= 0 {
			return request.MalformedField("inferenceConfig.maxTokens", fmt.Sprintf("%d tokens, want at least 1", *r.Inference.MaxTokens))
		}
		a.MaxOutput = int64(*r.Inference.MaxTokens)
	}
	m := meter{Demand: a}
	converse.WalkBeyondText(r, &m)
	return m.err
}

// unnamedGuardrail stands for a guardrail whose id the request does not tell.
const unnamedGuardrail = "unnamed"

// AddFields takes in the fields that bypass Converse's own.
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
	a.latency = cmp.Or(extra.Latency, a.latency)
	a.compacts = a.compacts || extra.Compacts
	a.embedded += extra.Embedded
	p := &a.prompt
	p.Messages, p.Tools, p.BuiltinTools = p.Messages+extra.Prompt.Messages, p.Tools+extra.Prompt.Tools, p.BuiltinTools+extra.Prompt.BuiltinTools
	p.Hidden.Add(extra.Prompt.Hidden)
	for _, b := range extra.Prompt.Blocks {
		if b.Kind != tokens.Text && b.Kind != tokens.JSON {
			p.Blocks = append(p.Blocks, b)
		}
	}
	if extra.Guardrail {
		a.Guardrail = cmp.Or(a.Guardrail, unnamedGuardrail)
	}
	a.features(&extra)
	return nil
}

// AsConverse takes a reading of a body, which may be in any dialect, for that of a Converse request: the length of the body bounds its texts, a
// picture in S3 is at most the family's largest, whatever else is in S3 is bounded by the context window, and a cache point is no tool.
func (a *Demand) AsConverse() {
	a.converse = true
	a.prompt.Tools -= a.toolPoints
	for _, i := range a.storedPictures {
		a.prompt.Blocks[i].Kind = tokens.Image
		a.images++
	}
	if a.unseen == cost.StoredElsewhere {
		a.unseen = ""
	}
	a.toolPoints, a.storedPictures = 0, nil
	a.prompt.Blocks = slices.DeleteFunc(a.prompt.Blocks, func(b tokens.Block) bool { return b.Kind == tokens.Text || b.Kind == tokens.JSON })
}
