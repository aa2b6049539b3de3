package cachepoints

import (
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
)

// ReadPrompt fills p, which has to be empty, with the blocks and the cache points of a request: an input of the SDK or an *inputs.HTTP. It reports
// false for a request that it does not understand. provider is the company that made the model, which decides how a body in the model's own
// dialect is read.
func ReadPrompt(p *prompt.Prompt, provider string, input any) bool {
	var parts converse.Request
	if parts.Of(input) { // a Converse input of the SDK
		fillPrompt(p, &parts)
		return true
	}
	switch in := input.(type) {
	case *bedrockruntime.InvokeModelInput:
		return prompt.ParseBody(p, provider, in.Body) == nil
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		return prompt.ParseBody(p, provider, in.Body) == nil
	case *inputs.HTTP:
		if in.Form == inputs.FormConverse { // a maker's own dialect may look the same, but this route takes Converse alone
			return prompt.ParseConverse(p, in.Body) == nil
		}
		return prompt.ParseBody(p, provider, in.Body) == nil
	default:
		return false
	}
}

// fillPrompt describes a Converse request of the SDK: Walk tells the prompt's sink of each of its parts. The prompt has to be empty.
func fillPrompt(p *prompt.Prompt, r *converse.Request) { converse.Walk(r, p.Sink()) }

// Model returns what the cache check needs of a model of the catalog: its rules of caching and its prices in pico-USD per token. The shortest prefix
// that is cached is the documented one, or a longer one if only that was seen to be cached.
func Model(r *catalog.Resolved) cache.Model {
	rules := r.Model.Cache
	m := cache.Model{
		ID: r.ModelID, Provider: r.Model.Provider, Explicit: rules.Explicit, Implicit: rules.Implicit,
		MinTokens: max(rules.MinTokens, rules.ObservedMinTokens), MaxTokens: rules.MaxCacheableTokens,
		MaxPoints: rules.MaxPoints, TTLs: rules.TTLs,
		InputPrice: int64(r.Price.Rates.Input), CacheReadPrice: int64(r.Price.Rates.CacheRead),
		CacheWrite5mPrice: int64(r.Price.Rates.CacheWrite5m), CacheWrite1hPrice: int64(r.Price.Rates.CacheWrite1h),
	}
	for _, field := range rules.Fields {
		switch field {
		case "tools":
			m.Tools = true
		case "system":
			m.System = true
		case "messages":
			m.Messages = true
		}
	}
	return m
}
