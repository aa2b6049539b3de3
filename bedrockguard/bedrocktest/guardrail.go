package bedrocktest

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// askGuardrails sets which guardrails evaluate a request: those that are enforced, and the one that it names (empty if it names none). Answers report
// the enforced ones always, and the named one if the request asks for its trace (traced): in.traced is how many are reported, and these come first in
// in.Guardrails. It refuses an unknown name; if Options.Guardrails is nil, every name is known. Models that embed or rank have no guardrails.
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

// evaluations returns how much each guardrail evaluates of the request and of the reply. in.GuardedTexts has the number of characters of each text.
func (in *inference) evaluations(r Reply) (input, output modeltable.Evaluation) {
	for _, characters := range in.GuardedTexts {
		input.Units += modeltable.TextUnits(characters)
	}
	input.Images = int64(in.Images)
	output.Units = modeltable.TextUnits(utf8.RuneCountInString(r.Text))
	return input, output
}

// guardrailsNanoUSD returns the price of all guardrails of an inference.
func (in *inference) guardrailsNanoUSD(r Reply) int64 {
	input, output := in.evaluations(r)
	return int64(len(in.Guardrails)) * (input.NanoUSD() + output.NanoUSD())
}

// guardrailTrace returns what an answer reports of its guardrails, or nil if it reports none. invoke asks for the names and the form of InvokeModel,
// which has a list of outputs where Converse has a map by the guardrail's id.
func (in *inference) guardrailTrace(r Reply, invoke bool) map[string]any {
	if in.traced == 0 {
		return nil
	}
	input, output := in.evaluations(r)
	before, after, list := map[string]any{}, map[string]any{}, []any{}
	for _, id := range in.Guardrails[:in.traced] {
		before[id] = assessment(id, in.guardrailVersion, input, in.guardedCharacters(), r.FoundInRequest)
		assessed := assessment(id, in.guardrailVersion, output, utf8.RuneCountInString(r.Text), r.FoundInAnswer)
		after[id], list = []any{assessed}, append(list, map[string]any{id: assessed})
	}
	out := map[string]any{"modelOutput": append([]string{}, r.Withheld...), "actionReason": r.guardrailReason()}
	if invoke {
		out["input"], out["outputs"] = before, list
	} else {
		out["inputAssessment"], out["outputAssessments"] = before, after
	}
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

// assessment returns what a guardrail reports of the input or the output: its findings (found, a JSON object of policies, or empty), how much it
// evaluated (e, and how many characters the text has), and who owns it. An empty version means the draft.
func assessment(id, version string, e modeltable.Evaluation, characters int, found string) map[string]any {
	if version == "" {
		version = "DRAFT"
	}
	name := id[strings.LastIndexByte(id, '/')+1:]
	out := map[string]any{}
	_ = json.Unmarshal([]byte(found), &out) // if it is not an object, nothing was found
	out["invocationMetrics"] = map[string]any{
		"guardrailProcessingLatency": 1, "usage": e.Usage(),
		"guardrailCoverage": map[string]any{"textCharacters": map[string]any{"guarded": characters, "total": characters}},
	}
	out["appliedGuardrailDetails"] = map[string]any{
		"guardrailId": name, "guardrailVersion": version, "guardrailArn": "arn:aws:bedrock:us-east-1:123456789012:guardrail/" + name,
		"guardrailOrigin": []string{"REQUEST"}, "guardrailOwnership": "SELF",
	}
	return out
}

// applyGuardrail reads a request of ApplyGuardrail. It returns how much is evaluated, each text by itself, and the texts joined by newlines.
func (s *Server) applyGuardrail(id string, n *jsonnode.Node) (modeltable.Evaluation, string, *refusal.Error) {
	var e modeltable.Evaluation
	var texts []string
	content := n.Get("content").List()
	if source := n.Get("source").Text(); source != "INPUT" && source != "OUTPUT" || len(content) == 0 {
		return e, "", refusal.Invalid("source must be INPUT or OUTPUT, and content must not be empty")
	}
	for _, b := range content {
		switch text := b.Get("text").Get("text").Text(); {
		case text != "":
			e.Units += modeltable.TextUnits(utf8.RuneCountInString(text))
			texts = append(texts, text)
		case b.Get("image") != nil:
			e.Images++
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
func (s *Server) applied(n *jsonnode.Node, id, version string, e modeltable.Evaluation, text string) map[string]any {
	var found Finding
	if s.opts.Assess != nil {
		found = s.opts.Assess(n.Get("source").Text(), text)
	}
	out := map[string]any{
		"action": "NONE", "actionReason": "No action.", "outputs": []any{}, "usage": e.Usage(),
		"guardrailCoverage": map[string]any{"textCharacters": map[string]any{"guarded": utf8.RuneCountInString(text), "total": utf8.RuneCountInString(text)}},
		"assessments":       []any{assessment(id, version, e, utf8.RuneCountInString(text), found.Policies)},
	}
	if e.Images > 0 {
		out["guardrailCoverage"].(map[string]any)["images"] = map[string]any{"guarded": e.Images, "total": e.Images}
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
