// Package glob matches the patterns by which limits and kill flags select calls.
package glob

import (
	"fmt"
	"slices"
	"strings"
)

// maxAlternatives is how many patterns one with braces may expand to.
const maxAlternatives = 256

// Alternatives expands a pattern with {a,b} to patterns without: x{a,b} to xa and xb. If it can't, problem says what is wrong with the pattern. Each
// round of the loop takes the text up to the next brace, and the choices in it, and appends each choice to each pattern so far.
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
		next := make([]string, 0, len(all)*len(choices))
		for _, start := range all {
			for _, choice := range choices {
				next = append(next, start+before+choice)
			}
		}
		all = next
		if !opens {
			return all, ""
		}
		pattern = after
	}
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
	p, i := 0, 0 // what is compared next, in the pattern and in s
	// The last * that was met, -1 for none, and from where in s the rest of the pattern was tried last. If that fails, it is tried one byte further
	// on: the * then stands for one byte more.
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
