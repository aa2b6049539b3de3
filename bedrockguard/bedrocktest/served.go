package bedrocktest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

// Served says how the service answers a request in another way than it was asked. In the zero value nothing differs.
type Served struct {
	// Model is the id, or the ARN, of the model that answers. If it is empty or unknown here, the requested model answers. An Anthropic or OpenAI
	// body has it as its model, Converse as the model that a prompt router invoked; other dialects can't report it, and the requested model answers.
	Model string
	// Tier is the service tier that serves. Empty is the requested one.
	Tier string
	// Latency is "optimized" or "standard". Empty is "standard": optimised capacity is never available without asking.
	Latency string
}

// answering is the model that answers a request, and at which price.
type answering struct {
	model   *modeltable.Model
	profile string
	regions []string // the regions whose prices may apply: the one from which the call is made, and that of an ARN
	name    string   // the model's name in the answer; empty if it is the requested one
	tier    string   // the tier in the answer; empty if the request has none
	latency string   // the latency mode in the answer; empty if the request has none
}

// answeredBy decides which model answers, in which service tier and latency mode: what was asked for, except for what Options.Serve changes.
// Where the answer can't name the model, the requested one answers. A request for the optimised latency is served in standard latency unless
// Serve says otherwise.
func (s *Server) answeredBy(in *inference) answering {
	by := answering{model: in.Model, profile: in.Profile, regions: []string{s.opts.Region}, tier: in.Tier, latency: in.Latency}
	if in.region != "" {
		by.regions = append(by.regions, in.region)
	}
	if by.latency != "" {
		by.latency = "standard"
	}
	if s.opts.Serve == nil {
		return by
	}
	served := s.opts.Serve(in.request)
	if in.namesModel() {
		s.letAnswer(&by, in, served.Model)
	}
	by.tier, by.latency = cmp.Or(served.Tier, by.tier), cmp.Or(served.Latency, by.latency)
	return by
}

// letAnswer lets the model of an id or ARN answer, unless the id is empty or unknown, or the model is the requested one. Only Converse's answer shows
// the profile: in any other, the requested model with another profile counts as the requested one.
func (s *Server) letAnswer(by *answering, in *inference, id string) {
	m, profile, region, known := s.lookup(id)
	converse := strings.HasPrefix(in.request.Operation, "converse")
	if !known || m == in.Model && !converse {
		return
	}
	by.model, by.profile, by.name = m, profile, id
	if region != "" { // the id is an ARN
		by.regions = append(by.regions, region)
	}
}

// namesModel reports whether the answer's dialect names the model that answers.
func (in *inference) namesModel() bool {
	if strings.HasPrefix(in.request.Operation, "converse") {
		return true
	}
	return in.Model.Mode == "" && (in.Model.Provider == "anthropic" || in.Model.Provider == "openai")
}

// price returns the rates of a request with this number of input tokens, and its tier's factor in thousandths. Where several regions' prices may
// apply, each rate and the factor is the highest of them.
func (by *answering) price(input int) (r modeltable.Rates, tier uint64) {
	for _, region := range by.regions {
		r = r.Higher(by.model.RatesFor(by.profile, region, input, by.latency == "optimized"))
		tier = max(tier, by.model.TierFactor(by.tier, region))
	}
	return r, tier
}

// bodyName returns the model's name in a body: the foundation model's id that was asked for, unchanged; or if another model answers (Options.Serve),
// that model's id, which for Anthropic's models is the maker's own name, without the provider and the version.
func (in *inference) bodyName() string {
	if in.by.name == "" {
		return in.Model.ID
	}
	id := in.by.model.ID
	if in.by.model.Provider == "anthropic" {
		id, _, _ = strings.Cut(strings.TrimPrefix(id, "anthropic."), "-v")
	}
	return id
}

// servedAs adds how the request was served to an answer of Converse, or to its stream's last event. If the test gives a whole trace (Reply.Trace),
// that replaces the simulator's.
func (in *inference) servedAs(answer map[string]any, r Reply) map[string]any {
	if in.by.tier != "" {
		answer["serviceTier"] = map[string]any{"type": in.by.tier}
	}
	if in.by.latency != "" {
		answer["performanceConfig"] = map[string]any{"latency": in.by.latency}
	}
	trace := map[string]any{}
	if guardrails := in.guardrailTrace(r, false); guardrails != nil { // nil if the answer reports none
		trace["guardrail"] = guardrails
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

// tracedAs adds what the guardrails did to an answer of InvokeModel, or to its stream's last chunk. If the test gives a whole trace (Reply.Trace),
// that replaces the simulator's.
func (in *inference) tracedAs(body map[string]any, r Reply) map[string]any {
	if guardrails := in.guardrailTrace(r, true); guardrails != nil { // nil if the answer reports none
		body["amazon-bedrock-trace"] = map[string]any{"guardrail": guardrails}
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

// header adds how an InvokeModel request was served to the header of its answer.
func (by *answering) header(h http.Header) {
	if by.tier != "" {
		h.Set("X-Amzn-Bedrock-Service-Tier", by.tier)
	}
	if by.latency != "" {
		h.Set("X-Amzn-Bedrock-PerformanceConfig-Latency", by.latency)
	}
}

// tierName returns the tier that served, in the form of a chat body.
func (by *answering) tierName() string {
	if by.tier == "" {
		return "default"
	}
	return by.tier
}
