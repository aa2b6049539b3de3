package iam

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A comparison returns a tri: yes, no, or maybe if AWS documents no result; triOf makes one of a bool. glob makes a pattern of a text with wildcards,
// and literal one in which every character stands for itself; overlaps reports whether there is a text that two patterns match.

// operator is a condition operator, split into its parts.
type operator struct {
	base     string // in lower case, without Not
	negated  bool
	ifExists bool
	set      string // forAny, forAll, or nothing
}

const (
	forAny = "foranyvalue"
	forAll = "forallvalues"
)

// comparison is how an operator compares a value of the request (given) with one of the document (want).
type comparison struct {
	wild      bool                                 // * and ? in the document's value are wildcards
	variables bool                                 // ${NAME} in the document's value is a variable
	compare   func(want pattern, given string) tri // nil for null, which compares nothing
	check     func(want string) error              // whether a document may have this value; nil if it may have any
}

// comparisons are indexed by the names of operators, in lower case. A negated operator is the opposite of the one without Not. Under an operator
// without the mark wild or variables, wildcards or variables stand for themselves.
var comparisons = map[string]comparison{
	"stringequals":             {variables: true, compare: matches},
	"stringequalsignorecase":   {variables: true, compare: matchesFolded},
	"stringlike":               {variables: true, wild: true, compare: matches},
	"arnequals":                {variables: true, wild: true, compare: matchesARN},
	"arnlike":                  {variables: true, wild: true, compare: matchesARN},
	"bool":                     {variables: true, compare: sameBool, check: checkBool},
	"binaryequals":             {compare: matches, check: checkBinary},
	"ipaddress":                {compare: inNetwork, check: checkNetwork},
	"numericequals":            {compare: ordered(number, 0), check: checkNumber},
	"numericlessthan":          {compare: ordered(number, -1), check: checkNumber},
	"numericlessthanequals":    {compare: ordered(number, -1, 0), check: checkNumber},
	"numericgreaterthan":       {compare: ordered(number, 1), check: checkNumber},
	"numericgreaterthanequals": {compare: ordered(number, 1, 0), check: checkNumber},
	"dateequals":               {compare: ordered(date, 0), check: checkDate},
	"datelessthan":             {compare: ordered(date, -1), check: checkDate},
	"datelessthanequals":       {compare: ordered(date, -1, 0), check: checkDate},
	"dategreaterthan":          {compare: ordered(date, 1), check: checkDate},
	"dategreaterthanequals":    {compare: ordered(date, 1, 0), check: checkDate},
	null:                       {check: checkBool},
}

// null is the operator that checks whether a key is absent.
const null = "null"

// negations are the operators with Not, and the operator of which each is the opposite. Names are in lower case.
var negations = map[string]string{
	"stringnotequals": "stringequals", "stringnotequalsignorecase": "stringequalsignorecase", "stringnotlike": "stringlike", "arnnotequals": "arnequals",
	"arnnotlike": "arnlike", "notipaddress": "ipaddress", "numericnotequals": "numericequals", "datenotequals": "dateequals",
}

// parseOperator parses the name of an operator: [SET:][NAME or its negation][IfExists], the same in upper and lower case.
func parseOperator(name string) (operator, error) {
	var o operator
	rest := strings.ToLower(name)
	if set, base, ok := strings.Cut(rest, ":"); ok {
		if set != forAny && set != forAll {
			return o, fmt.Errorf("operator %q: want ForAnyValue: or ForAllValues: before it", name)
		}
		o.set, rest = set, base
	}
	rest, o.ifExists = strings.CutSuffix(rest, "ifexists")
	if positive, ok := negations[rest]; ok {
		o.base, o.negated = positive, true
	} else {
		o.base = rest
	}
	if _, ok := comparisons[o.base]; !ok {
		return o, fmt.Errorf("there is no operator %q", name)
	}
	if o.base == null && (o.ifExists || o.set != "") {
		return o, fmt.Errorf("operator %q: Null stands alone", name)
	}
	return o, nil
}

// matches compares texts, with the wildcards that the pattern has.
func matches(want pattern, given string) tri { return triOf(want.overlaps(literal(given))) }

// matchesFolded compares texts without regard to upper and lower case.
func matchesFolded(want pattern, given string) tri {
	return triOf(want.lower().overlaps(literal(given).lower()))
}

// matchesARN compares ARNs part by part.
func matchesARN(want pattern, given string) tri { return compareARN(want, literal(given), false) }

// sameBool compares true and false.
func sameBool(want pattern, given string) tri { return triOf(strings.EqualFold(want.String(), given)) }

// inNetwork returns whether the request's IP address is in the document's network.
func inNetwork(want pattern, given string) tri {
	network, err := parseNetwork(want.String())
	if err != nil {
		return maybe
	}
	address, err := netip.ParseAddr(given)
	return triOf(err == nil && network.Contains(address))
}

// parseNetwork parses a range of IP addresses; one address is a range by itself.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	return network.Masked(), err
}

// ordered makes a comparison of numbers or dates, which read parses. It holds if the request's value, compared with the document's, is one of
// orders: -1 smaller, 0 equal, 1 larger. If a value can't be parsed, AWS documents no result.
func ordered(read func(string) (*big.Rat, error), orders ...int) func(pattern, string) tri {
	return func(want pattern, given string) tri {
		wanted, err := read(want.String())
		if err != nil {
			return maybe
		}
		value, err := read(given)
		if err != nil {
			return maybe
		}
		return triOf(slices.Contains(orders, value.Cmp(wanted)))
	}
}

// number parses a decimal number. Fractions, exponents and other bases, which the parser behind it would take, are refused.
func number(text string) (*big.Rat, error) {
	if len(text) > 40 || strings.ContainsAny(text, "/eE_xXpP") {
		return nil, fmt.Errorf("%.40q is no number", text)
	}
	if r, ok := new(big.Rat).SetString(text); ok {
		return r, nil
	}
	return nil, fmt.Errorf("%q is no number", text)
}

// dateForms are the forms of ISO 8601 in W3C's note.
var dateForms = [...]string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01"}

// date parses a moment: in one of the forms, or in seconds since 1970. A text of four digits or fewer is a year and no number of seconds.
func date(text string) (*big.Rat, error) {
	for _, form := range dateForms {
		if at, err := time.Parse(form, text); err == nil {
			seconds := new(big.Rat).SetInt64(at.Unix())
			return seconds.Add(seconds, big.NewRat(int64(at.Nanosecond()), 1e9)), nil
		}
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) > len("2026") {
		return new(big.Rat).SetInt64(seconds), nil
	}
	if year, err := time.Parse("2006", text); err == nil {
		return new(big.Rat).SetInt64(year.Unix()), nil
	}
	return nil, fmt.Errorf("%q is no date: want such as 2026-11-29T12:00:00Z", text)
}

// checkNumber accepts a decimal number.
func checkNumber(text string) error { _, err := number(text); return err }

// checkDate accepts a moment, as date parses it.
func checkDate(text string) error { _, err := date(text); return err }

// checkNetwork accepts an IP address, or a range of them.
func checkNetwork(text string) error {
	if _, err := parseNetwork(text); err != nil {
		return fmt.Errorf("%q is no IP address or range", text)
	}
	return nil
}

// checkBool accepts true, false and a variable.
func checkBool(text string) error {
	if strings.EqualFold(text, "true") || strings.EqualFold(text, "false") || strings.HasPrefix(text, "${") {
		return nil
	}
	return fmt.Errorf("%q: want true or false", text)
}

// checkBinary accepts base64.
func checkBinary(text string) error {
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		return fmt.Errorf("%q is no base64", text)
	}
	return nil
}
