package bedrockguard

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// readConverse reads a typed request without looking into its text: the serialised body tells its length later, which
// costs nothing. Only media are measured here, because their bytes say little about their tokens.
func (a *demand) readConverse(r *converse.Request) error {
	a.choices, a.converse, a.decodable, a.prompt.Messages = 1, true, true, len(r.Messages)
	if r.Guarded {
		a.guardrail = cmp.Or(r.Guardrail, unnamedGuardrail)
	}
	if r.Tier != nil {
		a.tiers[0] = string(r.Tier.Type)
	}
	if r.Performance != nil {
		a.latency = string(r.Performance.Latency)
	}
	if r.Inference != nil && r.Inference.MaxTokens != nil {
		if *r.Inference.MaxTokens <= 0 {
			return malformed("inferenceConfig.maxTokens", fmt.Sprintf("%d tokens, want at least 1", *r.Inference.MaxTokens))
		}
		a.maxOutput = int64(*r.Inference.MaxTokens)
	}
	m := meter{demand: a}
	converse.WalkBeyondText(r, &m)
	return m.err
}

// unnamedGuardrail stands for a guardrail whose id the request does not tell.
const unnamedGuardrail = "unnamed"

// addFields takes in the fields that bypass Converse's own.
func (a *demand) addFields(fields request.Marshaler) error {
	raw, err := fields.MarshalSmithyDocument()
	if err != nil {
		return malformed("additionalModelRequestFields", "can't be marshaled")
	}
	extra, err := cost.ParseExtra(raw)
	if err != nil {
		return err
	}
	a.extraOutput, a.thinking = max(extra.MaxTokens, extra.ExtraTokens), extra.Thinking
	a.choices = max(a.choices, extra.Choices)
	a.writes = max(a.writes, extra.CacheWrites)
	a.tiers[1] = extra.ServiceTier
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
		a.guardrail = cmp.Or(a.guardrail, unnamedGuardrail)
	}
	a.features(&extra)
	return nil
}

// asConverse takes a reading of a body, which may be in any dialect, for that of a Converse request: the length of the body bounds its texts, a
// picture in S3 is at most the family's largest, whatever else is in S3 is bounded by the context window, and a cache point is no tool.
func (a *demand) asConverse() {
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

// fillPrompt describes a typed request to the prompt-cache check. The prompt has to be empty.
func fillPrompt(p *prompt.Prompt, r *converse.Request) { converse.Walk(r, p.Sink()) }
