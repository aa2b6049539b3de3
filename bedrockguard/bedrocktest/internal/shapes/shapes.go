// Package shapes checks requests against AWS's service model.
package shapes

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// shapesJSON is the part of AWS's service model about requests, with its source and date; `make service-model` writes it.
//
//go:embed shapes.json
var shapesJSON []byte

// Shape is one type of the service model, with its constraints. The strings Member, Key and Value are names of other types.
type Shape struct {
	// As the model's JSON has them.
	Type     string                 `json:"type"` // structure, list, map, string, integer and so on
	Members  map[string]shapeMember `json:"members"`
	Required []string               `json:"required"`
	Member   string                 `json:"member"` // for a list
	Key      string                 `json:"key"`    // for a map
	Value    string                 `json:"value"`
	Min      *float64               `json:"min"` // of a number; of other types, of the length
	Max      *float64               `json:"max"`
	Pattern  string                 `json:"pattern"`
	Enum     []string               `json:"enum"`
	Union    bool                   `json:"union"`    // a structure that must have exactly one field
	Document bool                   `json:"document"` // any JSON value
	Payload  string                 `json:"payload"`  // the field that is the whole body

	// What All makes of them, once.
	Names              []string       // of the fields in the body, sorted
	outside            []string       // of the fields in the path or in a header, sorted
	Matcher            *regexp.Regexp // of Pattern; nil without one
	whole              bool           // numbers are integers
	member, key, value *Shape         // the types that Member, Key and Value name; nil without such a name

	// What matches remembers.
	known sync.Map     // results of earlier matches with short texts: ids and names are repeated often
	count atomic.Int32 // how many results known was given
}

// matches reports whether a text satisfies the pattern.
func (s *Shape) matches(text string) bool {
	if ok, found := s.known.Load(text); found {
		return ok.(bool)
	}
	ok := s.Matcher.MatchString(text)
	if len(text) <= maxKnownLength && s.count.Add(1) <= maxKnown {
		// A copy, because the text is a part of the whole body, which would otherwise be kept with it.
		s.known.Store(strings.Clone(text), ok)
	}
	return ok
}

// maxKnown and maxKnownLength bound how many results are remembered, and of how long texts.
const (
	maxKnown       = 256
	maxKnownLength = 128
)

// shapeMember is a field of a structure.
type shapeMember struct {
	Shape    string `json:"shape"`    // the name of its type
	Location string `json:"location"` // empty means the body
	// LocationName is the header's name, if it is in a header.
	LocationName string `json:"locationName"`

	shape *Shape // the type that Shape names
}

// All are the types by name, with the names of other types resolved and the patterns compiled. The table is read once.
var All = sync.OnceValue(func() map[string]*Shape {
	var table struct {
		Shapes map[string]*Shape `json:"shapes"`
	}
	if err := json.Unmarshal(shapesJSON, &table); err != nil {
		panic("bedrocktest: the table of the service model: " + err.Error()) // a test reads the table
	}
	for _, s := range table.Shapes {
		s.member, s.key, s.value = table.Shapes[s.Member], table.Shapes[s.Key], table.Shapes[s.Value]
		s.whole = s.Type == "integer" || s.Type == "long"
		for name, m := range s.Members {
			m.shape = table.Shapes[m.Shape]
			s.Members[name] = m // the map holds structs, of which m is a copy
			if m.Location == "" {
				s.Names = append(s.Names, name)
			} else {
				s.outside = append(s.outside, name)
			}
		}
		slices.Sort(s.Names)
		slices.Sort(s.outside)
		if s.Pattern != "" {
			s.Matcher = regexp.MustCompile("^(?:" + s.Pattern + ")$")
		}
	}
	return table.Shapes
})

// checker checks a request against the service model, as the service does before it calls a model. Violated constraints are collected and refused
// together; a value of a wrong type is refused at once, so the methods that check a value return that refusal, or nil.
type checker struct {
	at         []step // the path to the checked value
	violations []string
}

// step is a part of a path: a field, or the number of an item.
type step struct {
	key  string
	item int // counted from 1; 0 means a field
}

// maxViolations is how many violated constraints the service lists in one error.
const maxViolations = 10

// Conforms checks a request against the type called name in the service model: its headers, the parts of its path by field name, and its body, n. A
// body that is a field as a whole (Payload), such as that of InvokeModel, is not checked.
func Conforms(r *http.Request, path map[string]string, n *jsonnode.Node, name string) *refusal.Error {
	var c checker
	s := All()[name]
	for _, member := range s.outside {
		m := s.Members[member]
		text, given := path[member]
		if m.Location == "header" {
			text, given = r.Header.Get(m.LocationName), len(r.Header.Values(m.LocationName)) > 0
		}
		if given {
			c.at = append(c.at, step{key: member})
			c.text(m.shape, text)
			c.at = c.at[:0] // back at the request as a whole
		}
	}
	if s.Payload == "" {
		if refused := c.structure(s, n); refused != nil {
			return refused
		}
	}
	return c.refusal()
}

// refusal returns the service's error for all violated constraints, or nil if there are none.
func (c *checker) refusal() *refusal.Error {
	if len(c.violations) == 0 {
		return nil
	}
	word := "errors"
	if len(c.violations) == 1 {
		word = "error"
	}
	told := c.violations[:min(len(c.violations), maxViolations)]
	return refusal.Invalid("%d validation %s detected: %s", len(c.violations), word, strings.Join(told, "; "))
}

// where returns the path to the checked value.
func (c *checker) where() string {
	var out strings.Builder
	for i, s := range c.at {
		if i > 0 {
			out.WriteByte('.')
		}
		if s.item > 0 {
			out.WriteString(strconv.Itoa(s.item))
			out.WriteString(".member")
		} else {
			out.WriteString(s.key)
		}
	}
	return out.String()
}

// violates adds a violated constraint. value is nil if the value has no text.
func (c *checker) violates(value *string, constraint string) {
	told := ""
	if value != nil {
		told = "'" + *value + "' "
	}
	c.violations = append(c.violations, fmt.Sprintf("Value %sat '%s' failed to satisfy constraint: Member must %s", told, c.where(), constraint))
}

// serialization returns the service's answer to a value of the wrong type.
func serialization(format string, args ...any) *refusal.Error {
	return refusal.New(400, "SerializationException", fmt.Sprintf(format, args...))
}

// kinds are the service's names of JSON types.
var kinds = map[byte]string{'"': "STRING_VALUE", 't': "TRUE_VALUE", 'f': "FALSE_VALUE", '[': "START_ARRAY", '{': "START_OBJECT"}

// kindName returns the service's name of a value's JSON type.
func kindName(n *jsonnode.Node) string {
	if name, ok := kinds[n.Kind()]; ok {
		return name
	}
	return "NUMBER_VALUE"
}

// inside checks a value that is one step deeper.
func (c *checker) inside(to step, s *Shape, n *jsonnode.Node) *refusal.Error {
	c.at = append(c.at, to)
	refused := c.value(s, n)
	c.at = c.at[:len(c.at)-1]
	return refused
}

// value checks a value by its type.
func (c *checker) value(s *Shape, n *jsonnode.Node) *refusal.Error {
	switch {
	case s.Document:
		return nil
	case s.Type == "structure":
		return c.structure(s, n)
	case s.Type == "list":
		return c.list(s, n)
	case s.Type == "map":
		return c.entries(s, n)
	case s.Type == "boolean":
		if k := n.Kind(); k != 't' && k != 'f' {
			return serialization("%s can not be converted to a Boolean", kindName(n))
		}
	case s.Type == "integer" || s.Type == "long" || s.Type == "float" || s.Type == "double":
		return c.number(s, n)
	case s.Type == "blob":
		return c.blob(s, n)
	default: // a string, or a time, which is written as a string
		if n.Kind() != '"' {
			return serialization("%s can not be converted to a String", kindName(n))
		}
		if s.Min != nil || s.Max != nil || s.Matcher != nil || s.Enum != nil { // else there is nothing for which to decode it
			c.text(s, n.Text())
		}
	}
	return nil
}

// structure checks that an object has only the fields of its type, all required ones, and exactly one if the type is a union. A null counts as
// absent.
func (c *checker) structure(s *Shape, n *jsonnode.Node) *refusal.Error {
	if n.Kind() != '{' {
		return serialization("Unexpected field type: expected a structure, got %s", kindName(n))
	}
	set := 0
	for i, key := range n.Keys {
		m, known := s.Members[key]
		if !known || m.Location != "" {
			return refusal.Invalid("extraneous key [%.40s] is not permitted", key)
		}
		if n.Items[i].Raw == "null" {
			continue
		}
		set++
		if refused := c.inside(step{key: key}, m.shape, n.Items[i]); refused != nil {
			return refused
		}
	}
	for _, name := range s.Required {
		if n.Get(name) == nil && s.Members[name].Location == "" {
			c.at = append(c.at, step{key: name})
			c.violates(nil, "not be null")
			c.at = c.at[:len(c.at)-1]
		}
	}
	if s.Union && set != 1 {
		return refusal.Invalid("The object at %s must set exactly one of the following keys: %s.", c.where(), strings.Join(s.Names, ", "))
	}
	return nil
}

// list checks the length of an array and its items, of which none may be null.
func (c *checker) list(s *Shape, n *jsonnode.Node) *refusal.Error {
	if n.Kind() != '[' {
		return serialization("Expected list or null, got %s", kindName(n))
	}
	c.length(s, len(n.Items), nil)
	for i, item := range n.Items {
		to := step{item: i + 1}
		if item.Raw == "null" {
			c.at = append(c.at, to)
			c.violates(nil, "not be null")
			c.at = c.at[:len(c.at)-1]
			continue
		}
		if refused := c.inside(to, s.member, item); refused != nil {
			return refused
		}
	}
	return nil
}

// entries checks the size of a map, its keys and its values.
func (c *checker) entries(s *Shape, n *jsonnode.Node) *refusal.Error {
	if n.Kind() != '{' {
		return serialization("Expected map or null, got %s", kindName(n))
	}
	c.length(s, len(n.Items), nil)
	for i, key := range n.Keys {
		c.text(s.key, key)
		if n.Items[i].Raw == "null" {
			continue
		}
		// In the service's paths the word member follows a key of a map, as it follows the number of an item.
		if refused := c.inside(step{key: key + ".member"}, s.value, n.Items[i]); refused != nil {
			return refused
		}
	}
	return nil
}

// number checks the type of a number and its bounds. The service reads integers with 32 bits: larger ones, and fractions, are refused.
func (c *checker) number(s *Shape, n *jsonnode.Node) *refusal.Error {
	kind := "Float"
	if s.whole {
		kind = "Integer"
	}
	v, err := strconv.ParseFloat(n.Raw, 64)
	if err != nil || n.Kind() == '"' || s.whole && v != float64(int32(v)) {
		return serialization("%s can not be converted to %s", kindName(n), kind)
	}
	if s.Min != nil && v < *s.Min {
		c.violates(&n.Raw, "have value greater than or equal to "+plainNumber(*s.Min))
	}
	if s.Max != nil && v > *s.Max {
		c.violates(&n.Raw, "have value less than or equal to "+plainNumber(*s.Max))
	}
	return nil
}

// plainNumber writes a number without an exponent.
func plainNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// blob checks that bytes are given in base64, and how many they are: three for four characters, without the padding.
func (c *checker) blob(s *Shape, n *jsonnode.Node) *refusal.Error {
	if n.Kind() != '"' {
		return serialization("%s can not be converted to Blob", kindName(n))
	}
	raw := n.Text()
	if _, err := base64.StdEncoding.DecodeString(raw); err != nil {
		return serialization("Invalid base64 in a blob")
	}
	padding := strings.Count(raw[max(len(raw)-2, 0):], "=") // the last two characters may be padding
	c.length(s, base64.StdEncoding.DecodedLen(len(raw))-padding, nil)
	return nil
}

// text checks the length, the pattern and the enumeration of a string, a key or a header.
func (c *checker) text(s *Shape, text string) {
	if s.Min != nil || s.Max != nil {
		c.length(s, utf8.RuneCountInString(text), &text)
	}
	if s.Matcher != nil && !s.matches(text) {
		c.violates(&text, "satisfy regular expression pattern: "+s.Pattern)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, text) {
		c.violates(&text, "satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
	}
}

// length checks n against the bounds of the type: characters, bytes, items or entries. value is the text that the error quotes, or nil.
func (c *checker) length(s *Shape, n int, value *string) {
	if s.Min != nil && float64(n) < *s.Min {
		c.violates(value, "have length greater than or equal to "+plainNumber(*s.Min))
	}
	if s.Max != nil && float64(n) > *s.Max {
		c.violates(value, "have length less than or equal to "+plainNumber(*s.Max))
	}
}
