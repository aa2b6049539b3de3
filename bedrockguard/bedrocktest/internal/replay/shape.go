package main

import (
	"slices"
	"strings"
)

// shape lists the paths of all fields of an answer, sorted, without their values. Usage, other measures and the padding p are left out. A value that
// the model makes up, such as the input of a tool, counts as one field, and the id of a guardrail is replaced by a fixed word.
func (a *answer) shape() []string {
	found := paths{}
	if a.body != nil {
		found.walk(a.body, "")
	}
	for i, content := range a.chunks {
		// In a stream each path begins with the kind of the event.
		found.walk(content, a.events[i])
	}
	return sorted(found)
}

// paths are the paths of fields that walk has found.
type paths map[string]bool

// walk adds the paths of all fields in a value, which is itself at the given path.
func (p paths) walk(v any, path string) {
	if endsWith(path, ".input", ".json", ".additionalModelResponseFields", ".location") { // the model makes up what is in it
		p[path] = true
		return
	}
	switch v := v.(type) {
	case object:
		for key, member := range v {
			switch {
			case slices.Contains([]string{"usage", "metrics", "p", "contentBlockIndex", "serviceTier", "performanceConfig"}, key):
			case keysAreGuardrails(path):
				p.walk(member, path+".guardrail")
			default:
				p.walk(member, path+"."+key)
			}
		}
	case []any:
		for _, item := range v {
			p.walk(item, path+"[]")
		}
	default:
		p[path] = true
	}
}

// keysAreGuardrails reports whether the keys of the object at a path are ids of guardrails: in Converse's inputAssessment and outputAssessments, and
// in InvokeModel's input and outputs.
func keysAreGuardrails(path string) bool {
	return endsWith(path, "inputAssessment", "InputAssessment", "outputAssessments", "OutputAssessments", "guardrail.input", "guardrail.outputs[]")
}

// endsWith reports whether a path ends with one of these texts.
func endsWith(path string, ends ...string) bool {
	return slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(path, end) })
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
