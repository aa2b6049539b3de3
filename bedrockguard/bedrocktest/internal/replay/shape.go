package main

import (
	"slices"
	"strings"
)

// shape lists the paths of all fields of an answer, sorted, without their values. Usage, other measures and the padding p are left out. A value that
// the model makes up, such as the input of a tool, counts as one field, and the id of a guardrail is replaced by a fixed word.
func (a *answer) shape() []string {
	paths := map[string]bool{}
	var walk func(v any, path string)
	walk = func(v any, path string) {
		for _, end := range []string{".input", ".json", ".additionalModelResponseFields", ".location"} {
			if strings.HasSuffix(path, end) {
				paths[path] = true
				return
			}
		}
		switch v := v.(type) {
		case object:
			for k, x := range v {
				switch {
				case k == "usage" || k == "metrics" || k == "p" || k == "contentBlockIndex" || k == "serviceTier" || k == "performanceConfig":
				// The keys in inputAssessment, outputAssessments, input and outputs are ids of guardrails.
				case strings.HasSuffix(path, "nputAssessment"), strings.HasSuffix(path, "utputAssessments"), strings.HasSuffix(path, "guardrail.input"), strings.HasSuffix(path, "guardrail.outputs[]"):
					walk(x, path+".guardrail")
				default:
					walk(x, path+"."+k)
				}
			}
		case []any:
			for _, x := range v {
				walk(x, path+"[]")
			}
		default:
			paths[path] = true
		}
	}
	if a.body != nil {
		walk(a.body, "")
	}
	for i, content := range a.chunks {
		// In a stream each path begins with the kind of the event.
		walk(content, a.events[i])
	}
	all := make([]string, 0, len(paths))
	for p := range paths {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// newerParts are parts of an answer that older recordings do not have, so that the simulator may be alone with them.
var newerParts = []string{"appliedGuardrailDetails", "actionReason", "guardrailCoverage", "modelOutput"}

// sameShape reports whether two answers have the same fields. If not, it names the first field that only one of them has.
func sameShape(recorded, got answer) (string, bool) {
	want, have := recorded.shape(), got.shape()
	for _, p := range want {
		if !slices.Contains(have, p) {
			return "the recording alone has " + p, false
		}
	}
	for _, p := range have {
		newer := slices.ContainsFunc(newerParts, func(part string) bool { return strings.Contains(p, part) })
		if !newer && !slices.Contains(want, p) {
			return "the simulator alone has " + p, false
		}
	}
	return "", true
}
