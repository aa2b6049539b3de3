package bedrocktest

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Served is how the service answers a request otherwise than it was asked. The zero value is as asked.
type Served struct {
	// Model is the id, or the ARN, of the model that answers. Empty, or a model that is unknown here, is the one that was asked. An
	// Anthropic or OpenAI body names it as its model, Converse as the model that a prompt router invoked; other dialects tell nothing,
	// and answer as asked.
	Model string
	// Tier is the service tier that serves. Empty is the one that was asked for.
	Tier string
	// Latency is "optimized" or "standard". Empty is "standard": optimised capacity is never to be had unasked.
	Latency string
}

// answering is who answers a request, and at which price.
type answering struct {
	model   *model
	profile string
	regions []string // that can price it: the one that is called from, and that of an ARN
	name    string   // as the answer names the model; empty when that is as asked
	tier    string   // as the answer tells it; empty when nobody asked
	latency string
}

// answeredBy decides who answers.
func (s *Server) answeredBy(in *inference) answering {
	by := answering{model: in.model, profile: in.profile, regions: []string{s.opts.Region}, tier: in.tier, latency: in.latency}
	if in.region != "" {
		by.regions = append(by.regions, in.region)
	}
	if by.latency != "" {
		by.latency = "standard"
	}
	if s.opts.Serve == nil {
		return by
	}
	sv := s.opts.Serve(in.request)
	// A body has no room for a profile: the asked model under another one is the asked one there.
	same := func(m *model) bool { return m == in.model && !strings.HasPrefix(in.request.Operation, "converse") }
	if m, profile, region, ok := s.lookup(sv.Model); ok && in.namesModel() && !same(m) {
		by.model, by.profile, by.name = m, profile, sv.Model
		if region != "" {
			by.regions = append(by.regions, region)
		}
	}
	if sv.Tier != "" {
		by.tier = sv.Tier
	}
	if sv.Latency != "" {
		by.latency = sv.Latency
	}
	return by
}

// namesModel reports whether the answer's dialect names the model that answers.
func (in *inference) namesModel() bool {
	if strings.HasPrefix(in.request.Operation, "converse") {
		return true
	}
	return in.model.Mode == "" && (in.model.Provider == "anthropic" || in.model.Provider == "openai")
}

// price returns the rates and the tier's factor of a request with so many input tokens: the dearest of the regions that count.
func (by *answering) price(input int) (r rates, tier uint64) {
	for _, region := range by.regions {
		r = r.dearer(by.model.ratesFor(by.profile, region, input, by.latency == "optimized"))
		tier = max(tier, by.model.tierFactor(by.tier, region))
	}
	return r, tier
}

// bodyName is the model's name in a body: Anthropic's own name of it without the provider and the version, another's as it is.
func (in *inference) bodyName() string {
	if in.by.name == "" {
		return in.model.ID
	}
	id := in.by.model.ID
	if in.by.model.Provider == "anthropic" {
		id, _, _ = strings.Cut(strings.TrimPrefix(id, "anthropic."), "-v")
	}
	return id
}

// askTier notes a tier that is asked for. Where a request names two, the dearer one counts.
func (in *inference) askTier(tier string) {
	if tier == "" {
		return
	}
	if in.tier == "" || in.model.tierFactor(tier, "") > in.model.tierFactor(in.tier, "") {
		in.tier = tier
	}
}

// servedAs adds to an answer of Converse, or to its stream's last event, how the request was served.
func (in *inference) servedAs(answer map[string]any, r Reply) map[string]any {
	if in.by.tier != "" {
		answer["serviceTier"] = map[string]any{"type": in.by.tier}
	}
	if in.by.latency != "" {
		answer["performanceConfig"] = map[string]any{"latency": in.by.latency}
	}
	trace := map[string]any{}
	if told := in.guardrailTrace(r, "inputAssessment", "outputAssessments"); told != nil {
		trace["guardrail"] = told
	}
	if in.by.name != "" {
		trace["promptRouter"] = map[string]any{"invokedModelId": in.by.name}
	}
	if len(trace) > 0 {
		answer["trace"] = trace
	}
	if r.Trace != "" {
		answer["trace"] = json.RawMessage(r.Trace)
	}
	return answer
}

// traced adds to an answer of InvokeModel, or to its stream's last chunk, what its guardrails did.
func (in *inference) tracedAs(body map[string]any, r Reply) map[string]any {
	if told := in.guardrailTrace(r, "input", "outputs"); told != nil {
		body["amazon-bedrock-trace"] = map[string]any{"guardrail": told}
		body["amazon-bedrock-guardrailAction"] = "NONE"
		if r.StopReason == intervened {
			body["amazon-bedrock-guardrailAction"] = "INTERVENED"
		}
	}
	if r.Trace != "" {
		body["amazon-bedrock-trace"] = json.RawMessage(r.Trace)
	}
	return body
}

// header tells in the header of an InvokeModel answer how it was served.
func (by *answering) header(h http.Header) {
	if by.tier != "" {
		h.Set("X-Amzn-Bedrock-Service-Tier", by.tier)
	}
	if by.latency != "" {
		h.Set("X-Amzn-Bedrock-PerformanceConfig-Latency", by.latency)
	}
}

// tierName is the tier that served, as a chat body names it.
func (by *answering) tierName() string {
	if by.tier == "" {
		return "default"
	}
	return by.tier
}
