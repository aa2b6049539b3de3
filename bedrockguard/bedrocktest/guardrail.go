package bedrocktest

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// textUnitCharacters is how many characters one text unit of a guardrail covers (Amazon Bedrock's pricing page, 2026-11).
const textUnitCharacters = 1000

// policy is one policy of a guardrail: the field that counts its units, and the list price of one unit in nano-USD.
type policy struct {
	counter string
	price   int64
}

// policies returns the policies of a guardrail that has all, at the list prices read on 2026-11-20: 0.15 USD per 1,000 text units for
// content and for topics, 0.10 for sensitive information and for grounding, 0.17 for automated reasoning; words are free.
func policies() []policy {
	return []policy{
		{"contentPolicyUnits", 150_000},
		{"topicPolicyUnits", 150_000},
		{"wordPolicyUnits", 0},
		{"sensitiveInformationPolicyUnits", 100_000},
		{"sensitiveInformationPolicyFreeUnits", 0},
		{"contextualGroundingPolicyUnits", 100_000},
		{"automatedReasoningPolicyUnits", 170_000},
	}
}

// guardrailImage is the list price of one image in nano-USD: 0.75 USD per 1,000, read on 2026-11-20.
const guardrailImage = 750_000

// evaluation is how much one guardrail evaluated, of either the input or the output: text units and images. Each of its policies counts all
// units.
type evaluation struct{ units, images int64 }

// nanoUSD returns the price of all policies together.
func (e evaluation) nanoUSD() (total int64) {
	for _, p := range policies() {
		total += e.units * p.price
	}
	return total + e.images*guardrailImage
}

// usage returns the evaluation in the form of the service's answers.
func (e evaluation) usage() map[string]any {
	out := map[string]any{"contentPolicyImageUnits": e.images, "automatedReasoningPolicies": 0}
	for _, p := range policies() {
		out[p.counter] = e.units
	}
	return out
}

// textUnits returns the units of one text. An empty text has none.
func textUnits(characters int) int64 {
	return int64((characters + textUnitCharacters - 1) / textUnitCharacters)
}

// askGuardrails sets which guardrails evaluate a request: those that are enforced, and the one that it names. Answers report the enforced ones
// always, and the named one if the request asks for its trace. Models that embed or rank have none.
func (s *Server) askGuardrails(in *inference, named, version string, traced bool) *refusal.Error {
	if named != "" && s.opts.Guardrails != nil && !slices.Contains(s.opts.Guardrails, named) && !slices.Contains(s.opts.EnforcedGuardrails, named) {
		return refusal.Invalid("The guardrail identifier or version provided in the request does not exist.")
	}
	if in.Model.Mode != "" {
		return nil
	}
	in.Guardrails, in.guardrailVersion = append(in.Guardrails, s.opts.EnforcedGuardrails...), version
	in.traced = len(in.Guardrails)
	if named != "" && !slices.Contains(in.Guardrails, named) {
		in.Guardrails = append(in.Guardrails, named)
		if traced {
			in.traced++
		}
	}
	return nil
}

// evaluations returns how much each guardrail evaluates of the request and of the reply.
func (in *inference) evaluations(r Reply) (input, output evaluation) {
	for _, characters := range in.GuardedTexts {
		input.units += textUnits(characters)
	}
	input.images = int64(in.Images)
	output.units = textUnits(utf8.RuneCountInString(r.Text))
	return input, output
}

// guardrailsNanoUSD returns the price of all guardrails of an inference.
func (in *inference) guardrailsNanoUSD(r Reply) int64 {
	input, output := in.evaluations(r)
	return int64(len(in.Guardrails)) * (input.nanoUSD() + output.nanoUSD())
}

// guardrailTrace returns what an answer reports of its guardrails, or nil if it reports none. Converse and InvokeModel have different names for
// input and output; outputs is InvokeModel's.
func (in *inference) guardrailTrace(r Reply, inputKey, outputKey string) map[string]any {
	if in.traced == 0 {
		return nil
	}
	input, output := in.evaluations(r)
	before, after, list := map[string]any{}, map[string]any{}, []any{}
	for _, id := range in.Guardrails[:in.traced] {
		assessed := in.assessment(id, output, utf8.RuneCountInString(r.Text), r.FoundInAnswer)
		before[id] = in.assessment(id, input, in.guardedCharacters(), r.FoundInRequest)
		after[id] = []any{assessed}
		list = append(list, map[string]any{id: assessed})
	}
	out := map[string]any{inputKey: before, outputKey: after}
	if outputKey == "outputs" { // InvokeModel has a list where Converse has a map by id
		out[outputKey] = list
	}
	withheld := []any{}
	for _, text := range r.Withheld {
		withheld = append(withheld, text)
	}
	out["modelOutput"], out["actionReason"] = withheld, r.guardrailReason()
	return out
}

// guardrailReason says what the guardrails did, in the service's words. Findings in the request block the answer; others mask a part of it.
func (r Reply) guardrailReason() string {
	switch {
	case r.StopReason != intervened:
		return "No action."
	case r.FoundInRequest == "":
		return "Guardrail masked."
	default:
		return "Guardrail blocked."
	}
}

// guardedCharacters returns how many characters of the request the guardrails evaluate.
func (in *inference) guardedCharacters() (n int) {
	for _, characters := range in.GuardedTexts {
		n += characters
	}
	return n
}

// assessment returns what one guardrail reports of the input or the output.
func (in *inference) assessment(id string, e evaluation, characters int, found string) map[string]any {
	return assessment(id, in.guardrailVersion, e, characters, found)
}

// assessment returns what a guardrail reports of a text: its findings (found, a JSON object of policies), how much it evaluated (e, and how many
// characters the text has), and who owns it.
func assessment(id, version string, e evaluation, characters int, found string) map[string]any {
	if version == "" {
		version = "DRAFT"
	}
	name := id[strings.LastIndexByte(id, '/')+1:]
	out := map[string]any{}
	_ = json.Unmarshal([]byte(found), &out) // if it is not an object, nothing was found
	out["invocationMetrics"] = map[string]any{
		"guardrailProcessingLatency": 1, "usage": e.usage(),
		"guardrailCoverage": map[string]any{"textCharacters": map[string]any{"guarded": characters, "total": characters}},
	}
	out["appliedGuardrailDetails"] = map[string]any{
		"guardrailId": name, "guardrailVersion": version, "guardrailArn": "arn:aws:bedrock:us-east-1:123456789012:guardrail/" + name,
		"guardrailOrigin": []string{"REQUEST"}, "guardrailOwnership": "SELF",
	}
	return out
}

// applyGuardrail reads a request of ApplyGuardrail. It returns how much is evaluated, each text by itself, and the texts joined by newlines.
func (s *Server) applyGuardrail(id string, n *jsonnode.Node) (evaluation, string, *refusal.Error) {
	var e evaluation
	var texts []string
	content := n.Get("content").List()
	if source := n.Get("source").Text(); source != "INPUT" && source != "OUTPUT" || len(content) == 0 {
		return e, "", refusal.Invalid("source must be INPUT or OUTPUT, and content must not be empty")
	}
	for _, b := range content {
		switch text := b.Get("text").Get("text").Text(); {
		case text != "":
			e.units += textUnits(utf8.RuneCountInString(text))
			texts = append(texts, text)
		case b.Get("image") != nil:
			e.images++
		default:
			return e, "", refusal.Invalid("content must hold texts and images")
		}
	}
	if strings.TrimSpace(id) == "" {
		return e, "", refusal.Invalid("the guardrail needs an id")
	}
	return e, strings.Join(texts, "\n"), nil
}

// applied returns the answer of ApplyGuardrail about a text, with what Options.Assess finds in it. e is how much was evaluated.
func (s *Server) applied(n *jsonnode.Node, id, version string, e evaluation, text string) map[string]any {
	var found Finding
	if s.opts.Assess != nil {
		found = s.opts.Assess(n.Get("source").Text(), text)
	}
	out := map[string]any{
		"action": "NONE", "actionReason": "No action.", "outputs": []any{}, "usage": e.usage(),
		"guardrailCoverage": map[string]any{"textCharacters": map[string]any{"guarded": utf8.RuneCountInString(text), "total": utf8.RuneCountInString(text)}},
		"assessments":       []any{assessment(id, version, e, utf8.RuneCountInString(text), found.Policies)},
	}
	if e.images > 0 {
		out["guardrailCoverage"].(map[string]any)["images"] = map[string]any{"guarded": e.images, "total": e.images}
	}
	if found.Policies != "" {
		out["action"], out["actionReason"], out["outputs"] = "GUARDRAIL_INTERVENED", "Guardrail blocked.", []any{map[string]any{"text": found.Output}}
	}
	return out
}

// Finding is what a guardrail finds in a text. In the zero value it finds nothing.
type Finding struct {
	Policies string // JSON object: {"wordPolicy":{"customWords":[{"match":"x","action":"BLOCKED"}]}}
	Output   string // replaces the text in the answer
}
