package cachepoints

import (
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request/converse"
)

// ReadPrompt describes a request, and reports false when it does not understand it.
func ReadPrompt(p *prompt.Prompt, provider string, input any) bool {
	var parts converse.Request
	if parts.Of(input) {
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

// fillPrompt describes a typed request to the prompt-cache check. The prompt has to be empty.
func fillPrompt(p *prompt.Prompt, r *converse.Request) { converse.Walk(r, p.Sink()) }

// Model converts what the catalog knows. If observation has shown that a longer prefix is needed than documented, the observed length
// is used.
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
