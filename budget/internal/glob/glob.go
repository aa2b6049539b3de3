// Package glob matches the patterns by which limits and kill flags select calls.
package glob

import (
	"fmt"
	"slices"
	"strings"
)

// maxAlternatives is how many patterns one with braces may expand to.
const maxAlternatives = 256

// Alternatives expands a pattern with {a,b} to patterns without: x{a,b} to xa and xb. If it can't, problem says what is wrong with the pattern; it is
// empty otherwise. Each round of the loop takes the pattern up to the end of its next braces, and continues each alternative so far with each choice
// in these.
func Alternatives(pattern string) (all []string, problem string) {
	all = []string{""}
	for {
		// Without another brace, before is all that is left of the pattern, and inside is empty.
		before, rest, opens := strings.Cut(pattern, "{")
		inside, after, closes := strings.Cut(rest, "}")
		switch {
		case strings.Contains(before, "}") || opens && !closes:
			return nil, "a brace without its other half: {a,b} stands for one of these texts, and ? for a brace itself"
		case strings.Contains(inside, "{"):
			return nil, "braces inside of braces"
		}
		choices := []string{""}
		if opens {
			choices = strings.Split(inside, ",")
		}
		if len(all)*len(choices) > maxAlternatives {
			return nil, fmt.Sprintf("its braces stand for more than %d patterns", maxAlternatives)
		}
		all = continued(all, before, choices)
		if !opens {
			return all, ""
		}
		pattern = after
	}
}

// continued returns each of the starts with a text and each of the choices behind it.
func continued(starts []string, text string, choices []string) []string {
	all := make([]string, 0, len(starts)*len(choices))
	for _, start := range starts {
		for _, choice := range choices {
			all = append(all, start+text+choice)
		}
	}
	return all
}

// Match reports whether a pattern, or one of its alternatives, matches. Braces that can't be expanded are plain text. An empty pattern
// matches everything, but an empty alternative, as in {a,}, only an empty text.
func Match(pattern, s string) bool {
	if strings.ContainsAny(pattern, "{}") {
		if all, problem := Alternatives(pattern); problem == "" {
			return slices.ContainsFunc(all, func(one string) bool { return one == "" && s == "" || one != "" && Wildcard(one, s) })
		}
	}
	return Wildcard(pattern, s)
}

// Wildcard reports whether a pattern matches, in which * stands for any text and ? for one byte. It takes time proportional to len(pattern)*len(s) at
// worst. An empty pattern matches everything.
func Wildcard(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	p, i := 0, 0 // where the next comparison is, in the pattern and in s
	// star is where the last * is that was met, -1 if none was; from is where in s what follows the * was tried last. When that fails, what follows is
	// tried one byte further on: the * then stands for one byte more.
	star, from := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
