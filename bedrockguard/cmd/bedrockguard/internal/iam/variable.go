package iam

import (
	"errors"
	"strings"
)

// A tri is yes, no, or maybe if it is not known; both is the tri for "and". glob makes a pattern of a text with wildcards, and literal one in which
// every character stands for itself. r.lookup returns the values of a key, with no if the key is missing and maybe if that is not known; r.ask
// remembers a key of which nothing is known.

// piece is a part of a text: literal characters, or a variable.
type piece struct {
	text     string
	variable bool
}

var errOpenVariable = errors.New("a variable that does not end")

// splitVariables splits a text into literal parts and variables.
func splitVariables(text string) ([]piece, error) {
	var all []piece
	for {
		before, rest, found := strings.Cut(text, "${")
		if before != "" {
			all = append(all, piece{text: before})
		}
		if !found {
			return all, nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errOpenVariable
		}
		all = append(all, piece{name, true})
		text = after
	}
}

// expand turns a value of a document into a pattern, in which asterisks and question marks are wildcards if wild is set. The tri is no if a variable
// has no value, which means that the whole text matches nothing; maybe if it is not known whether the variable has one; and yes in all other cases.
func (r *Request) expand(text, version string, wild bool) (pattern, tri) {
	read := literal
	if wild {
		read = glob
	}
	if version == version2008 || !strings.Contains(text, "${") {
		return read(text), yes
	}
	pieces, err := splitVariables(text)
	if err != nil {
		return nil, maybe // a variable without an end, which the parser has refused
	}
	var p pattern
	known := yes
	for _, one := range pieces {
		if !one.variable {
			p = append(p, read(one.text)...)
			continue
		}
		value, ok := r.variable(one.text)
		if ok == no {
			return nil, no
		}
		known = known.both(ok)
		p = append(p, literal(value)...) // a wildcard in the value of a key is an ordinary character
	}
	return p, known
}

// variable returns the value of a variable, which is written as NAME or NAME, 'default'. It returns no if the variable has none, and maybe if
// that is not known or AWS documents no result. The names *, ? and $ stand for these characters.
func (r *Request) variable(text string) (string, tri) {
	if text == "*" || text == "?" || text == "$" {
		return text, yes
	}
	name, fallback, hasFallback := strings.Cut(text, ",")
	values, known := r.lookup(strings.TrimSpace(name))
	switch {
	case known == maybe:
		r.ask(strings.TrimSpace(name))
		return "", maybe
	case known == yes && len(values) == 1:
		return values[0], yes
	case known == yes:
		return "", maybe // the key has several values, or none: AWS documents no result
	case hasFallback:
		quoted := strings.TrimSpace(fallback)
		if len(quoted) >= 2 && quoted[0] == '\'' && quoted[len(quoted)-1] == '\'' {
			return quoted[1 : len(quoted)-1], yes
		}
		return "", maybe
	}
	return "", no
}
