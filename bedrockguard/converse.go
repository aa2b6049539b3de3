package bedrockguard

import (
	"cmp"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
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
	extra, err := wire.ParseExtra(raw)
	if err != nil {
		return err
	}
	a.extraOutput = extra.MaxTokens
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
	a.feature(extra.Unpriced)
	return nil
}

// fillPrompt describes a typed request to the prompt-cache check. The prompt has to be empty.
func fillPrompt(p *cache.Prompt, r *converse.Request) { converse.Walk(r, p.Sink()) }
