package iam

import (
	"slices"
	"strings"
)

// Whether a condition holds is a tri: yes, no, or maybe if it depends on what is not known of the request. both is the tri for "and", either that for
// "or". Negated operators are stored as the operator without Not (base) and the mark negated. r.lookup returns the values of a key, with no if the
// key is missing and maybe if that is not known. The kind of a node is '{' for an object, '[' for a list, 's' for a string and 0 for null, and its
// method what returns that in words. The set of an operator is forAny, forAll or empty, and its ifExists says that a missing key is enough.

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

// condition parses one key under an operator, with one value or a list of values.
func (p *parser) condition(name string, o operator, key field) Condition {
	c := Condition{Operator: name, Key: key.name, op: o}
	service, rest, ok := strings.Cut(key.name, ":")
	if !ok || service == "" || rest == "" || strings.ContainsAny(key.name, " *?$\"") {
		p.wrong(key.at, "%q is no key: want such as aws:PrincipalArn", key.name)
	}
	items := key.value.items
	if key.value.kind != '[' {
		items = []*node{key.value}
	}
	if len(items) == 0 {
		p.wrong(key.value.at, "%s: an empty list", key.name)
	}
	for _, item := range items {
		if item.kind == '{' || item.kind == '[' || item.kind == 0 {
			p.wrong(item.at, "%s: want a string, and this is %s", key.name, item.what())
			continue
		}
		p.value(key.name, o, item)
		c.Values = append(c.Values, item.text)
	}
	return c
}

// value checks one value of a key as the operator's comparison asks. A value that IAM would not take is noted, and kept all the same.
func (p *parser) value(key string, o operator, n *node) {
	p.characters(n)
	comparing := comparisons[o.base]
	if comparing.variables {
		p.variables(n)
	}
	if comparing.check != nil {
		if err := comparing.check(n.text); err != nil {
			p.wrong(n.at, "%s: %v", key, err)
		}
	}
	mayBeARN := n.text == "*" || strings.HasPrefix(n.text, "arn:") || strings.HasPrefix(n.text, "${")
	if strings.HasPrefix(o.base, "arn") && !mayBeARN {
		p.wrong(n.at, "%s: %q is no ARN", key, n.text)
	}
}

// holds says whether a condition holds for a request. version is that of the document, on which variables in values depend.
func (c *Condition) holds(r *Request, version string) tri {
	given, known := r.lookup(c.Key)
	switch {
	case known == maybe:
		r.ask(c.Key) // the outcome depends on the key
		return maybe
	case c.op.base == null:
		return c.asksWhetherMissing(known == no)
	case known == no:
		return triOf(c.holdsIfMissing())
	}
	return c.compare(r, given, version)
}

// asksWhetherMissing is holds for the operator Null: its value "true" holds if the key is missing, and "false" if it is there.
func (c *Condition) asksWhetherMissing(missing bool) tri {
	return triOf(slices.ContainsFunc(c.Values, func(want string) bool { return strings.EqualFold(want, "true") == missing }))
}

// holdsIfMissing reports whether a condition holds if its key is missing: it does with IfExists, and with ForAllValues, because all of no values
// match. Any other comparison fails, so that its negation holds, except with ForAnyValue, which needs a value even if it is negated.
func (c *Condition) holdsIfMissing() bool {
	switch {
	case c.op.ifExists || c.op.set == forAll:
		return true
	case c.op.set == forAny:
		return false
	}
	return c.op.negated
}

// severalValues are keys that always have a list, even with one value.
var severalValues = []string{"aws:tagkeys", "aws:calledvia", "aws:principalorgpaths", "aws:resourceorgpaths", "aws:sourceorgpaths", "aws:principalservicenameslist", "bedrock-mantle:files"}

// compare compares the values of the request with those of the document. With the set operator ForAllValues each value of the request has to
// match, with ForAnyValue one of them; without a set operator there has to be exactly one value, or AWS documents no result.
func (c *Condition) compare(r *Request, given []string, version string) tri {
	if c.op.set == "" {
		if len(given) != 1 || slices.Contains(severalValues, strings.ToLower(c.Key)) {
			return maybe
		}
		return c.one(r, given[0], version)
	}
	verdict := triOf(c.op.set == forAll) // of no values: all of them match, and none of them does
	for _, value := range given {
		if c.op.set == forAll {
			verdict = verdict.both(c.one(r, value, version))
		} else {
			verdict = verdict.either(c.one(r, value, version))
		}
	}
	return verdict
}

// one returns whether one value of the request matches any of the document's, or none of them if the operator is negated. expand replaces the
// variables in the document's values first: known is no if one has no value, and maybe if that is not known.
func (c *Condition) one(r *Request, given, version string) tri {
	comparing := comparisons[c.op.base]
	verdict := no
	for _, text := range c.Values {
		want, known := literal(text), yes
		if comparing.variables {
			want, known = r.expand(text, version, comparing.wild)
		}
		switch {
		case known == yes:
			verdict = verdict.either(comparing.compare(want, given))
		case known == maybe:
			verdict = verdict.either(maybe)
		case c.op.negated: // a variable without a value under a negated operator: AWS documents no result
			verdict = verdict.either(maybe)
		}
	}
	if c.op.negated {
		return verdict.not()
	}
	return verdict
}
