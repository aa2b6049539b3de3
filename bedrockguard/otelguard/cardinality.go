package otelguard

import (
	"encoding/binary"
	"strings"
	"sync"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// other is the value of an attribute for all values after the first Options.MaxValues.
const other = "other"

// longestValue is the length, in bytes, to which values are cut.
const longestValue = 128

// clean returns a value that every backend accepts: valid UTF-8, and not too long.
func clean(value string) string {
	value = strings.ToValidUTF8(value, "\uFFFD")
	if len(value) <= longestValue {
		return value
	}
	cut := longestValue - len("…")
	for !utf8.RuneStart(value[cut]) {
		cut--
	}
	return value[:cut] + "…"
}

// cardinality bounds how many values an attribute has, and how many sets of attributes a metric has. The first values keep their names. It
// is safe for concurrent use.
type cardinality struct {
	maxValues, maxSeries int

	mu      sync.Mutex
	values  map[string]map[string]struct{}      // by the attribute's key: the values that keep their names
	series  map[string]map[string]attribute.Set // by metric, and by appendKey of its attributes: the sets that exist
	scratch []byte                              // memory that set uses again, for the result of appendKey
}

// value returns an attribute with the value, or with other.
func (c *cardinality) value(key, value string) attribute.KeyValue {
	value = clean(value)
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.values[key]
	if _, ok := known[value]; ok {
		return attribute.String(key, value)
	}
	if len(known) >= c.maxValues {
		return attribute.String(key, other)
	}
	if known == nil {
		known = make(map[string]struct{})
		if c.values == nil {
			c.values = make(map[string]map[string]struct{})
		}
		c.values[key] = known
	}
	known[value] = struct{}{}
	return attribute.String(key, value)
}

// set returns the attributes of a metric as a set. The fixed ones have few values by their nature; the caller's may have any. Once the metric has
// maxSeries sets, the caller's attributes have the value other in every new one. Each set is made once, which halves the time of an event.
func (c *cardinality) set(metric string, fixed, caller []attribute.KeyValue) attribute.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.series[metric]
	c.scratch = appendKey(appendKey(c.scratch[:0], fixed), caller)
	if set, ok := known[string(c.scratch)]; ok {
		return set
	}
	all := append(make([]attribute.KeyValue, 0, len(fixed)+len(caller)), fixed...)
	if len(known) >= c.maxSeries {
		// Such sets are not remembered: there are few of them, because only their fixed attributes differ.
		for _, a := range caller {
			all = append(all, attribute.String(string(a.Key), other))
		}
		return attribute.NewSet(all...)
	}
	if known == nil {
		known = make(map[string]attribute.Set)
		if c.series == nil {
			c.series = make(map[string]map[string]attribute.Set)
		}
		c.series[metric] = known
	}
	set := attribute.NewSet(append(all, caller...)...)
	known[string(c.scratch)] = set
	return set
}

// appendKey appends a key that differs for different lists of attributes: each name and each value, with its length in front.
func appendKey(key []byte, attrs []attribute.KeyValue) []byte {
	for _, a := range attrs {
		value := a.Value.String()
		key = binary.AppendUvarint(append(binary.AppendUvarint(key, uint64(len(a.Key))), a.Key...), uint64(len(value)))
		key = append(key, value...)
	}
	return key
}
