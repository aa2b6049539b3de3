package iam

import (
	"slices"
	"strings"
)

// Whether a condition holds is a tri: yes, no, or maybe if it depends on what is not known of the request. both is the tri for "and", either that for
// "or". Negated operators are stored as the operator without Not (base) and the mark negated. r.lookup returns the values of a key, with no if the
// key is missing and maybe if that is not known. The kind of a node is '{' for an object, '[' for a list, 's' for a string and 0 for null, and its
// method what returns that in words.

// conditions parses the Condition of a statement: an object of operators, each with an object of keys and their values. Mistakes are noted
// (p.wrong).
func (p *parser) conditions(n *node) (all []Condition) {
	if n.kind != '{' {
		p.wrong(n.at, "Condition: want an object, and this is %s", n.what())
		return nil
	}
	seen := make(map[string]bool)
	for _, f := range n.fields {
		o, err := parseOperator(f.name)
		if err != nil {
			p.wrong(f.at, "%v", err)
			continue
		}
		if f.value.kind != '{' || len(f.value.fields) == 0 {
			p.wrong(f.value.at, "%s: want an object of at least one key", f.name)
			continue
		}
		for _, key := range f.value.fields {
			once := strings.ToLower(f.name + " " + key.name)
			if seen[once] {
				p.wrong(key.at, "%q stands twice under %s: keys are the same in upper and lower case", key.name, f.name)
			}
			seen[once] = true
			all = append(all, p.condition(f.name, o, key))
		}
	}
	return all
}

// condition parses one key under an operator, with one value or a list of values. It checks the values as the operator's comparison asks.
func (p *parser) condition(name string, o operator, key field) Condition {
	c := Condition{Operator: name, Key: key.name, op: o}
	if service, rest, ok := strings.Cut(key.name, ":"); !ok || service == "" || rest == "" || strings.ContainsAny(key.name, " *?$\"") {
		p.wrong(key.at, "%q is no key: want such as aws:PrincipalArn", key.name)
	}
	items := key.value.items
	if key.value.kind != '[' {
		items = []*node{key.value}
	}
	if len(items) == 0 {
		p.wrong(key.value.at, "%s: an empty list", key.name)
	}
	comparing := comparisons[o.base]
	for _, item := range items {
		if item.kind == '{' || item.kind == '[' || item.kind == 0 {
			p.wrong(item.at, "%s: want a string, and this is %s", key.name, item.what())
			continue
		}
		p.characters(item)
		if comparing.variables {
			p.variables(item)
		}
		if comparing.check != nil {
			if err := comparing.check(item.text); err != nil {
				p.wrong(item.at, "%s: %v", key.name, err)
			}
		}
		if arn := strings.HasPrefix(o.base, "arn"); arn && !strings.HasPrefix(item.text, "arn:") && item.text != "*" && !strings.HasPrefix(item.text, "${") {
			p.wrong(item.at, "%s: %q is no ARN", key.name, item.text)
		}
		c.Values = append(c.Values, item.text)
	}
	return c
}

// holds says whether a condition holds for a request. version is that of the document, on which variables in values depend.
func (c *Condition) holds(r *Request, version string) tri {
	given, known := r.lookup(c.Key)
	if c.op.base == null { // "true" holds if the key is missing, "false" if it is there
		if known == maybe {
			r.ask(c.Key)
			return maybe
		}
		verdict := no
		for _, want := range c.Values {
			verdict = verdict.either(triOf(strings.EqualFold(want, "true") == (known == no)))
		}
		return verdict
	}
	absent := triOf(c.absent())
	switch known {
	case no:
		return absent
	case maybe:
		return c.unknown(r)
	}
	return c.compare(r, given, version)
}

// absent reports whether a condition holds if its key is missing.
func (c *Condition) absent() bool {
	switch {
	case c.op.ifExists || c.op.set == forAll:
		return true
	case c.op.set == forAny:
		return false
	}
	return c.op.negated
}

// unknown is holds for a key of which nothing is known. It remembers that the outcome depends on the key.
func (c *Condition) unknown(r *Request) tri {
	r.ask(c.Key)
	return maybe
}

// severalValues are keys that always have a list, even with one value.
var severalValues = []string{"aws:tagkeys", "aws:calledvia", "aws:principalorgpaths", "aws:resourceorgpaths", "aws:sourceorgpaths", "aws:principalservicenameslist", "bedrock-mantle:files"}

// compare compares the values of the request with those of the document. With the set operator ForAllValues each value of the request has to
// match, with ForAnyValue one of them; without a set operator there has to be exactly one value.
func (c *Condition) compare(r *Request, given []string, version string) tri {
	if c.op.set == "" {
		if len(given) != 1 || slices.Contains(severalValues, strings.ToLower(c.Key)) {
			return maybe // AWS documents no result without a set operator
		}
		return c.one(r, given[0], version)
	}
	verdict := triOf(c.op.set == forAll)
	for _, value := range given {
		if c.op.set == forAll {
			verdict = verdict.both(c.one(r, value, version))
		} else {
			verdict = verdict.either(c.one(r, value, version))
		}
	}
	return verdict
}

// one returns whether one value of the request matches any of the document's, or none of them if the operator is negated. Variables in the
// document's values are replaced first.
func (c *Condition) one(r *Request, given, version string) tri {
	comparing := comparisons[c.op.base]
	verdict := no
	for _, text := range c.Values {
		want, known := literal(text), yes
		if comparing.variables {
			want, known = r.expand(text, version, comparing.wild)
		}
		switch known {
		case yes:
			verdict = verdict.either(comparing.compare(want, given))
		case maybe:
			verdict = verdict.either(maybe)
		case no:
			if c.op.negated {
				verdict = verdict.either(maybe) // a variable without a value under a negated operator: AWS documents no result
			}
		}
	}
	if c.op.negated {
		return verdict.not()
	}
	return verdict
}
